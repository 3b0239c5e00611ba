//! What the READMEs, the sample configuration and the API description say is what the program does.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "every suite uses a part of what the suites share")]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use usersig::http::Code;
use usersig::metrics::Metrics;
use usersig::ticket::{SdkAppId, SecretKey};

use support::command::Run;
use support::keys::P256;
use support::setup::Setup;
use support::{CERTIFICATE, SECRET};

const README: &str = include_str!("../README.md");
const READMES: [&str; 2] = [README, include_str!("../README.zh-CN.md")];
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

/// The code blocks of a README: the language and the text without its indentation.
fn blocks(readme: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = readme.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else { continue };
        let indent = line.len() - line.trim_start().len();
        let block = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let block: Vec<_> = block.map(|line| line.get(indent..).unwrap_or_default()).collect();
        blocks.push((language.to_owned(), block.join("\n")));
    }
    blocks
}

#[test]
fn every_toml_block_is_accepted() {
    const APP: &str = "[[app]]\nsdk_app_id = 1400000000\nsecret = \"env:APP_SECRET\"\n\n";
    let blocks: Vec<_> = READMES.into_iter().flat_map(blocks).filter(|(language, _)| language == "toml").collect();
    assert!(blocks.len() > 20, "the recipes are there");
    for (_, block) in blocks {
        let app = if block.contains("[[app]]") { "" } else { APP };
        assert_accepted(&format!("{app}{block}\n"));
    }
}

#[test]
fn both_languages_say_the_same() {
    let [english, chinese] = READMES;
    assert_eq!(blocks(english), blocks(chinese), "the same code");
    let levels = |readme: &str| {
        let mut in_code = false;
        let mut levels = Vec::new();
        for line in readme.lines() {
            in_code ^= line.trim_start().starts_with("```");
            if !in_code && line.starts_with('#') {
                levels.push(line.split(' ').next().unwrap_or_default().to_owned());
            }
        }
        levels
    };
    assert_eq!(levels(english), levels(chinese), "the same headings");
    let rows = |readme: &str| {
        let rows = readme.lines().filter(|line| line.starts_with('|'));
        rows.map(|row| literals(row).into_iter().map(str::to_owned).collect::<BTreeSet<_>>()).collect::<Vec<_>>()
    };
    for (row, (english, chinese)) in rows(english).into_iter().zip(rows(chinese)).enumerate() {
        assert_eq!(english, chinese, "row {row} of the tables");
    }
    assert_eq!(rows(english).len(), rows(chinese).len(), "as many rows");
}

/// What stands in backticks.
fn literals(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Keys with their defaults, where the defaults are values.
type Keys = BTreeMap<String, Option<String>>;

/// The configuration reference of a README: for the title of each table its keys.
fn reference(readme: &str) -> BTreeMap<String, Keys> {
    let mut tables: BTreeMap<String, Keys> = BTreeMap::new();
    let mut title = None;
    for line in readme.lines() {
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

/// The keys that the program takes, as it tells who writes another.
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
    for readme in READMES {
        let reference = reference(readme);
        let keys = |title: &str| {
            let keys = reference.get(title).unwrap_or_else(|| panic!("a table {title}"));
            keys.keys().cloned().collect::<BTreeSet<_>>()
        };
        let shared_title =
            reference.keys().find(|title| title.starts_with("`http`")).expect("the keys of several kinds");
        let (common, shared) = (keys("`[[session]]`"), keys(shared_title));
        for (title, accepted) in &accepted {
            let mut told = keys(&format!("`{title}`"));
            if title.starts_with("check") {
                told.extend(common.iter().cloned());
                told.extend(shared.intersection(accepted).cloned());
            }
            if *title == "[[app]]" {
                told.insert("private_map_key".to_owned());
            }
            assert_eq!(&told, accepted, "{title}: the README and the program");
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
    for (title, keys) in reference(README) {
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
fn every_error_code_is_told() {
    for code in Code::ALL {
        let (name, status) = (code.as_str(), code.status().as_u16());
        assert!(OPENAPI.contains(&format!("            - {name}\n")), "{name} in openapi.yaml");
        for readme in READMES {
            let rows = || readme.lines().filter(|line| line.starts_with('|'));
            let row = rows()
                .find(|row| row.contains(&format!("`{name}`")))
                .unwrap_or_else(|| panic!("{name} in the READMEs"));
            assert!(row.split('|').nth(1).is_some_and(|cell| cell.contains(&status.to_string())), "{name}: {row}");
        }
    }
}

#[test]
fn every_metric_is_told_with_its_labels() {
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
    let mut told: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for series in metrics.render(0).lines().filter(|line| line.starts_with("usersig_")) {
        let (name, labels) = series.split_once(['{', ' ']).expect("a value");
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0)).filter(|name| *name != "le");
        told.entry(histogram.unwrap_or(name).to_owned()).or_default().extend(labels.map(str::to_owned));
    }
    for readme in READMES {
        let rows = readme.lines().filter(|line| line.starts_with("| `usersig_"));
        let rows = rows.map(|row| {
            let cells: Vec<_> = row.split('|').collect();
            (literals(cells[1])[0].to_owned(), literals(cells[2]).into_iter().map(str::to_owned).collect())
        });
        assert_eq!(rows.collect::<BTreeMap<_, BTreeSet<_>>>(), told);
    }
}

#[test]
fn every_alert_is_explained() {
    const RULES: &str = include_str!("../deploy/prometheus/rules.yaml");
    let alerts = || RULES.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_ne!(alerts().count(), 0);
    for (alert, readme) in alerts().flat_map(|alert| READMES.map(|readme| (alert, readme))) {
        assert!(readme.contains(&format!("\n#### {alert}\n")), "{alert} has no heading, to which its runbook leads");
    }
}

#[test]
fn every_command_and_file_that_is_named_exists() {
    assert!(
        READMES.iter().all(|readme| readme.contains(concat!("Rust ", env!("CARGO_PKG_RUST_VERSION")))),
        "the Rust that it needs"
    );
    let help = Run::new(&["--help"]).finish().stdout;
    for readme in READMES {
        let code = blocks(readme).into_iter().map(|(_, block)| block).collect::<Vec<_>>().join("\n");
        let inline = readme.lines().flat_map(literals).collect::<Vec<_>>().join("\n");
        for line in [code, inline].iter().flat_map(|text| text.lines()) {
            let Some(command) = line.trim().strip_prefix("usersig ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let known = command == "--help" || help.contains(&format!("\n  {command} "));
            assert!(known, "usersig {command}");
        }
        let links = readme.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let images = readme.split("<img src=\"").skip(1).filter_map(|rest| rest.split('"').next());
        for link in links.chain(images) {
            let is_file = !link.starts_with('#') && !link.contains("://");
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
            assert!(!is_file || path.exists(), "{link}");
        }
    }
}
