//! The structure that `src/lib.rs` describes, held against the source: layers, the clock, and a page that loads nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every file of `src/`, by its path below it, with its text.
fn sources(extension: &str) -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = BTreeMap::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder of the source") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(&root).expect("below src").to_str().expect("UTF-8").to_owned();
                files.insert(name, fs::read_to_string(path).expect("UTF-8"));
            }
        }
    }
    assert!(!files.is_empty(), "no .{extension} in src");
    files
}

/// The module that a file belongs to; `None` for the two that only put modules together.
fn module_of(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    let module = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&module)).then_some(module)
}

/// The code without comments, which may name what they like.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The layer of each module, as the table in `src/lib.rs` has it; leaves are below all layers.
fn layers() -> BTreeMap<String, i8> {
    let lib = &sources("rs")["lib.rs"];
    let mut layers = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = row.split('|').map(str::trim);
        let (layer, modules) = (cells.next().expect("a layer"), cells.next().expect("modules"));
        let layer = match layer {
            "leaf" => -1,
            number => match number.parse() {
                Ok(number) => number,
                Err(_) => continue,
            },
        };
        for module in modules.split(',') {
            layers.insert(module.trim().trim_matches(['[', ']', '`']).to_owned(), layer);
        }
    }
    layers
}

/// The modules that a file names by `crate::…` or, in a list, `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    let module = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices("crate::") {
        let is_whole_word = !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + "crate::".len()..];
        if !is_whole_word {
            continue;
        }
        match rest.strip_prefix('{') {
            None => drop(modules.insert(module(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut member = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => drop(modules.insert(module(std::mem::take(&mut member).trim()))),
                        _ if depth == 0 => member.push(c),
                        _ => {}
                    }
                }
                modules.insert(module(member.trim()));
            }
        }
    }
    modules.remove("");
    modules
}

#[test]
fn the_table_of_modules_is_complete() {
    let modules: BTreeSet<_> = sources("rs").keys().filter_map(|file| module_of(file)).map(str::to_owned).collect();
    assert_eq!(modules, layers().into_keys().collect());
}

#[test]
fn imports_point_down_only() {
    let layers = layers();
    let mut checked = 0;
    for (file, text) in sources("rs") {
        let Some(module) = module_of(&file) else { continue };
        for imported in imports(&code(&text)) {
            let layer_of = |module: &str| *layers.get(module).unwrap_or_else(|| panic!("{file}: no module {module}"));
            let is_below = layer_of(&imported) < layer_of(module);
            // Metrics are labelled by app.
            let is_ticket_of_leaf = layer_of(module) == -1 && imported == "ticket";
            assert!(
                imported == module || is_below || is_ticket_of_leaf,
                "{file} imports {imported}, which does not stand below {module}"
            );
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} imports were found");
}

#[test]
fn the_lower_layers_know_no_http_server() {
    for (file, text) in sources("rs") {
        let module = module_of(&file);
        if ["ticket", "client", "session", "issue", "limit"].into_iter().any(|lower| module == Some(lower)) {
            assert!(!code(&text).contains("actix"), "{file} names actix");
        }
    }
}

#[test]
fn tickets_know_no_configuration_session_clock_or_network() {
    for (file, text) in sources("rs") {
        if module_of(&file) == Some("ticket") {
            for foreign in ["crate::", "std::time", "std::net", "std::fs", "std::env", "tokio", "tracing", "config::"] {
                assert!(!code(&text).contains(foreign), "{file} names {foreign}");
            }
        }
    }
}

#[test]
fn only_the_edge_reads_the_clock() {
    let readers: Vec<_> = sources("rs")
        .into_iter()
        .filter(|(_, text)| {
            ["SystemTime::now", "UNIX_EPOCH", "Utc::now"].iter().any(|clock| code(text).contains(clock))
        })
        .map(|(file, _)| file)
        .collect();
    assert_eq!(readers, ["http/mod.rs"]);
}

#[test]
fn only_the_configuration_imports_the_config_crate() {
    for (file, text) in sources("rs") {
        let imports = code(&text);
        let mut uses = imports.lines().filter(|line| line.trim_start().starts_with("use config::"));
        assert!(uses.next().is_none() || module_of(&file) == Some("config"), "{file} imports the crate config");
    }
}

#[test]
fn the_demo_page_loads_nothing_else() {
    for (file, page) in sources("html") {
        // A namespace is a name and is never fetched, and an empty icon keeps browsers from asking for one.
        let page = page.replace("http://www.w3.org/2000/svg", "").replace("<link rel=\"icon\" href=\"data:,\">", "");
        for outside in [
            "://", "\"//", "'//", "`//", "(//", "=//", "<link", "<iframe", "<object", "<embed", "<base", "@import",
            "import(",
        ] {
            assert!(!page.contains(outside), "{file} has {outside}");
        }
    }
}
