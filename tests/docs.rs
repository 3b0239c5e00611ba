//! What the documents, the sample configuration and the API description say is what the program does.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use usersig::http::Code;
use usersig::telemetry::metrics::Metrics;
use usersig::ticket::{SdkAppId, SecretKey};

use support::command::Run;
use support::documents::{Document, blocks, documents, headings, texts};
use support::keys::P256;
use support::setup::Setup;
use support::{CERTIFICATE, SECRET};

const SAMPLE: &str = include_str!("../deploy/usersig.toml");
const OPENAPI: &str = include_str!("../openapi.yaml");

/// A configuration with stand-ins for the secrets and files that it refers to.
fn setup(config: &str) -> Setup {
    let mut setup = Setup::new("");
    let mut config = config.to_owned();
    let quoted: BTreeSet<_> = config.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    for text in quoted {
        if let Some(name) = text.strip_prefix("env:") {
            setup = setup.env(name, SECRET);
        }
        let path = text.strip_prefix("file:").unwrap_or(&text);
        if !path.starts_with("/etc/") && !path.starts_with("/run/") {
            continue;
        }
        let name = Path::new(path).file_name().and_then(|name| name.to_str()).expect("a file's name").to_owned();
        let content = match name.as_str() {
            "ca.pem" => CERTIFICATE,
            "session.pem" => &P256.public_pem,
            _ => SECRET,
        };
        setup = setup.file(&name, content);
        config = config.replace(path, &format!("{{dir}}/{name}"));
    }
    setup.with(&config)
}

#[track_caller]
fn assert_accepted(config: &str) {
    let checked = setup(config).check();
    assert_eq!(checked.code, Some(0), "{config}\n{}", checked.stderr);
}

/// The sample with every key switched on, also those that stand behind a "#".
fn uncommented(sample: &str) -> String {
    let lines = sample.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if !key.starts_with(' ') => key,
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_is_accepted() {
    assert_accepted(SAMPLE);
}

#[test]
fn the_sample_with_every_key_is_accepted() {
    // Traces need another build.
    let (before, traces) = SAMPLE.split_once("#[trace]\n").expect("the table");
    let (_, after) = traces.split_once("\n\n").expect("its end");
    // What the keys that are switched on need of those that always were.
    let sample = uncommented(&[before, after].concat()).replace("shared_users = false", "shared_users = true");
    let sample = sample.replace("store = \"memory\"", "store = \"rediss://limiter@redis:6379/1\"");
    // An app's `require` looks into JSON.
    assert_accepted(&sample.replace("decode = \"java-string\"", "decode = \"json\"\nuser = \"/id\""));
}

/// The TOML blocks of all documents.
fn toml_blocks() -> Vec<String> {
    let blocks = texts().into_iter().flat_map(|text| blocks(&text)).filter(|(language, _)| language == "toml");
    let blocks: Vec<_> = blocks.map(|(_, block)| block).collect();
    assert!(blocks.len() > 20, "the recipes are among them");
    blocks
}

#[test]
fn every_toml_block_is_accepted() {
    const APP: &str = "[[app]]\nsdk_app_id = 1400000000\nsecret = \"env:APP_SECRET\"\n\n";
    for block in toml_blocks() {
        let app = if block.contains("[[app]]") { "" } else { APP };
        assert_accepted(&format!("{app}{block}\n"));
    }
}

#[test]
fn every_http_rule_denies_guests() {
    let (configurations, mut rules) = ([toml_blocks(), vec![SAMPLE.to_owned()]].concat(), 0);
    for rule in configurations.iter().flat_map(|text| text.split("[[session]]\n").skip(1)) {
        let lines: Vec<_> = rule.lines().collect();
        if lines.contains(&"check = \"http\"") {
            let denies_guests = |line: &&str| line.starts_with("deny_users = [\"0\"");
            assert!(lines.iter().any(denies_guests), "guests would be users of this rule:\n{rule}");
            rules += 1;
        }
    }
    assert!(rules > 10, "{rules} rules");
}

#[test]
fn both_languages_have_the_same_blocks_headings_and_literals() {
    for [english, chinese] in documents() {
        let both = |what: &str| format!("{what} of {} and {}", english.path, chinese.path);
        assert_eq!(blocks(&english.text), blocks(&chinese.text), "{}", both("the code blocks"));
        let levels = |text: &str| headings(text).into_iter().map(|(level, _)| level).collect::<Vec<_>>();
        assert_eq!(levels(&english.text), levels(&chinese.text), "{}", both("the heading levels"));
        let rows = |text: &str| {
            let rows = text.lines().filter(|line| line.starts_with('|'));
            rows.map(|row| literals(row).into_iter().map(str::to_owned).collect::<BTreeSet<_>>()).collect::<Vec<_>>()
        };
        let (english_rows, chinese_rows) = (rows(&english.text), rows(&chinese.text));
        assert_eq!(english_rows.len(), chinese_rows.len(), "{}", both("the table rows"));
        for (row, (english, chinese)) in english_rows.iter().zip(&chinese_rows).enumerate() {
            assert_eq!(english, chinese, "{}", both(&format!("row {row} of the tables")));
        }
    }
}

/// What is in backticks.
fn literals(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Keys with their defaults, where the defaults are values.
type Keys = BTreeMap<String, Option<String>>;

/// The configuration reference in a text: for the title of each table its keys.
fn reference(text: &str) -> BTreeMap<String, Keys> {
    let mut tables: BTreeMap<String, Keys> = BTreeMap::new();
    let mut title = None;
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, first, default, ..] = cells.as_slice() else {
            title = None;
            continue;
        };
        if line.starts_with("|---") {
            continue;
        }
        let Some(title) = &title else {
            title = Some((*first).to_owned());
            continue;
        };
        let value = |text: &str| text.starts_with(['"', '[', '{', 't', 'f']) || text.parse::<u64>().is_ok();
        let default = match literals(default).as_slice() {
            [only] if default.len() == only.len() + 2 && value(only) => Some((*only).to_owned()),
            _ => None,
        };
        let keys = tables.entry(title.clone()).or_default();
        keys.extend(literals(first).into_iter().map(|key| (key.to_owned(), default.clone())));
    }
    tables
}

/// The keys of the sample, for each kind of table the text of every key's lines: the comment and the value.
fn sample_keys() -> BTreeMap<String, BTreeMap<String, String>> {
    let mut sections: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut section = String::new();
    let mut pending = Vec::new();
    let mut comment = String::new();
    let sample = uncommented(SAMPLE);
    // A rule's kind stands behind its first keys.
    for line in sample.lines().chain(["[end]"]) {
        if line.starts_with('[') {
            let keys = sections.entry(std::mem::take(&mut section)).or_default();
            for (key, text) in pending.drain(..) {
                keys.entry(key).or_insert(text);
            }
            line.trim_end().clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            if key == "check" {
                section = format!("check = {value}");
            }
            pending.push((key.to_owned(), format!("{comment} {value}")));
            comment.clear();
        } else {
            comment.push_str(line);
        }
    }
    sections.remove("");
    sections
}

/// The keys that the program accepts, as it lists them where another is written.
fn accepted_keys() -> BTreeMap<&'static str, BTreeSet<String>> {
    const OTHER: &str = "no_such_key = 1\n";
    let rule = |check| format!("[[session]]\nname = \"a\"\nfrom = \"bearer\"\ncheck = \"{check}\"\n");
    let app = "[[app]]\nsdk_app_id = 1\nsecret = \"env:APP_SECRET\"\n";
    let sections = [
        ("[server]", "[server]\n".to_owned(), "server"),
        ("[log]", "[log]\n".to_owned(), "log"),
        ("[trace]", "[trace]\n".to_owned(), "trace"),
        ("[limit]", "[limit]\n".to_owned(), "limit"),
        ("[[app]]", app.to_owned(), "app[0]"),
        ("[app.private_map_key]", format!("{app}[app.private_map_key]\n"), "app[0].private_map_key"),
        ("check = \"http\"", rule("http"), "session[0]"),
        ("check = \"redis\"", rule("redis"), "session[0]"),
        ("check = \"jwt\"", rule("jwt") + "issuer = \"https://a\"\naudience = [\"a\"]\n", "session[0]"),
        ("check = \"introspect\"", rule("introspect"), "session[0]"),
    ];
    let keys = |(title, section, path): (&'static str, String, &str)| {
        let refused = setup(&format!("{section}{OTHER}")).check();
        let prefix = format!("{path}.no_such_key: is not a key here; there are: ");
        let line = refused.stderr.lines().find_map(|line| line.strip_prefix(prefix.as_str()));
        let line = line.unwrap_or_else(|| panic!("{title}: {}", refused.stderr));
        (title, line.split(", ").map(str::to_owned).collect())
    };
    sections.map(keys).into_iter().collect()
}

#[test]
fn the_reference_the_sample_and_the_program_have_the_same_keys() {
    let sample = sample_keys();
    let accepted = accepted_keys();
    for text in texts() {
        let reference = reference(&text);
        let keys = |title: &str| {
            let keys = reference.get(title).unwrap_or_else(|| panic!("a table {title}"));
            keys.keys().cloned().collect::<BTreeSet<_>>()
        };
        let shared_title =
            reference.keys().find(|title| title.starts_with("`http`")).expect("the keys of several kinds");
        let (common, shared) = (keys("`[[session]]`"), keys(shared_title));
        for (title, accepted) in &accepted {
            let mut documented = keys(&format!("`{title}`"));
            if title.starts_with("check") {
                documented.extend(common.iter().cloned());
                documented.extend(shared.intersection(accepted).cloned());
            }
            if *title == "[[app]]" {
                documented.insert("private_map_key".to_owned());
            }
            assert_eq!(&documented, accepted, "{title}: the documents and the program");
        }
        let somewhere: BTreeSet<_> = accepted.values().flatten().cloned().collect();
        assert!(shared.is_subset(&somewhere), "{shared:?}");
    }
    for (title, accepted) in &accepted {
        let mut shown: BTreeSet<_> = sample[*title].keys().cloned().collect();
        if *title == "[[app]]" {
            shown.insert("private_map_key".to_owned());
        }
        if title.starts_with("check") {
            shown.extend(["user_prefix", "deny_users"].map(str::to_owned));
        }
        assert_eq!(&shown, accepted, "{title}: the sample and the program");
    }
}

#[test]
fn the_reference_and_the_sample_have_the_same_defaults() {
    let sample = sample_keys();
    for (title, keys) in reference(&texts()[0]) {
        let sections: Vec<_> = match title.as_str() {
            "`[[session]]`" => vec!["check = \"http\""],
            title => vec![title.trim_matches('`')],
        };
        for (key, default) in keys.into_iter().filter_map(|(key, default)| Some((key, default?))) {
            for shown in sections.iter().filter_map(|section| sample.get(*section)?.get(&key)) {
                let default = default.trim_matches('"');
                assert!(shown.contains(default), "{title} {key}: {default} is not in the sample's {shown}");
            }
        }
    }
}

#[test]
fn every_error_code_is_documented() {
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.status().as_u16());
        assert!(OPENAPI.contains(&format!("            - {name}\n")), "{name} in openapi.yaml");
        for text in texts() {
            let row = text.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{name}`")));
            let row = row.unwrap_or_else(|| panic!("{name} in a table of the documents"));
            assert!(row.split('|').nth(1).is_some_and(|cell| cell.contains(&status.to_string())), "{name}: {row}");
        }
    }
}

#[test]
fn every_metric_is_documented_with_its_labels() {
    let metrics = Metrics::default();
    let app = SdkAppId::try_from(1).expect("an SDKAppID");
    let key = SecretKey::parse(SECRET).expect("a secret");
    let _ = (
        metrics.requests.with_label_values(&["r", "200", "ok"]),
        metrics.request_seconds.with_label_values(&["r"]),
        metrics.refusals.with_label_values(&["r"]),
        metrics.checks.with_label_values(&["r", "allowed"]),
        metrics.check_seconds.with_label_values(&["r"]),
        metrics.backend_up.with_label_values(&["r"]),
        metrics.app(app),
    );
    metrics.show_key(app, None, key.fingerprint());
    metrics.key_set_age.with_label_values(&["r"]).set(0.0);
    let mut exposed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in metrics.render(0).lines().filter(|line| line.starts_with("usersig_")) {
        let (name, labels) = series.split_once(['{', ' ']).expect("a value");
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).filter(|name| *name != "le");
        exposed.entry(histogram.unwrap_or(name).to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    for text in texts() {
        let rows = text.lines().filter(|line| line.starts_with("| `usersig_"));
        let rows = rows.map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            (literals(cells[1])[0].to_owned(), literals(cells[2]).into_iter().map(str::to_owned).collect())
        });
        assert_eq!(rows.collect::<BTreeMap<_, BTreeSet<_>>>(), exposed);
    }
}

#[test]
fn every_alert_is_explained() {
    const RULES: &str = include_str!("../deploy/prometheus/rules.yaml");
    let alerts = || RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_ne!(alerts().count(), 0);
    for text in texts() {
        let headings = headings(&text);
        for alert in alerts() {
            let has_heading = headings.iter().any(|(_, anchor)| *anchor == alert.to_lowercase());
            assert!(has_heading, "{alert} has no heading, to which its runbook leads");
        }
    }
}

#[test]
fn the_required_rust_is_documented() {
    let required = concat!("Rust ", env!("CARGO_PKG_RUST_VERSION"));
    assert!(texts().iter().all(|text| text.contains(required)), "{required}");
}

#[test]
fn every_documented_command_exists() {
    let help = Run::new(&["--help"]).finish().stdout;
    for text in texts() {
        let code = blocks(&text).into_iter().map(|(_, block)| block).collect::<Vec<_>>().join("\n");
        let inline = text.lines().flat_map(literals).collect::<Vec<_>>().join("\n");
        for line in [code, inline].iter().flat_map(|text| text.lines()) {
            let Some(command) = line.trim().strip_prefix("usersig ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let known = command == "--help" || help.contains(&format!("\n  {command} "));
            assert!(known, "usersig {command}");
        }
    }
}

/// The links and images of a document.
fn links(text: &str) -> Vec<&str> {
    let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let images = text.split("<img src=\"").skip(1).filter_map(|rest| rest.split('"').next());
    links.chain(images).filter(|link| !link.contains("://")).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    for Document { path, text } in documents().iter().flatten() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        for link in links(text) {
            let (file, anchor) = link.split_once('#').map_or((link, None), |(file, anchor)| (file, Some(anchor)));
            let target = if file.is_empty() { page.clone() } else { page.with_file_name(file) };
            assert!(target.exists(), "{path}: {link}");
            if let Some(anchor) = anchor {
                let text = fs::read_to_string(&target).expect("a document");
                assert!(headings(&text).iter().any(|(_, heading)| heading == anchor), "{path}: no heading for {link}");
            }
        }
    }
}

#[test]
fn every_page_is_linked_from_the_readme_of_its_language() {
    let documents = documents();
    let (readmes, pages) = documents.split_first().expect("the READMEs");
    for (readme, page) in pages.iter().flat_map(|pair| readmes.iter().zip(pair)) {
        assert!(links(&readme.text).contains(&page.path.as_str()), "{} does not link {}", readme.path, page.path);
    }
}
