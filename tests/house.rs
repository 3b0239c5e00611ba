//! The plan of the house, held against the source: floors, the clock, and a page that asks nobody else.

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

/// The room that a file belongs to; `None` for the two that only put rooms together.
fn room_of(file: &str) -> Option<&str> {
    let first = file.split('/').next()?;
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (!["lib", "main"].contains(&room)).then_some(room)
}

/// The code without comments, which may name what they like.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Floor by room, as the table in `src/lib.rs` has it; leaves are below all floors.
fn floors() -> BTreeMap<String, i8> {
    let lib = &sources("rs")["lib.rs"];
    let mut floors = BTreeMap::new();
    for row in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let mut cells = row.split('|').map(str::trim);
        let (floor, rooms) = (cells.next().expect("a floor"), cells.next().expect("rooms"));
        let floor = match floor {
            "leaf" => -1,
            number => match number.parse() {
                Ok(number) => number,
                Err(_) => continue,
            },
        };
        for room in rooms.split(',') {
            floors.insert(room.trim().trim_matches(['[', ']', '`']).to_owned(), floor);
        }
    }
    floors
}

/// The rooms that a file names by `crate::…` or, in a list, `crate::{…}`.
fn imports(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let room = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>();
    for (at, _) in code.match_indices("crate::") {
        let is_whole_word = !code[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$');
        let rest = &code[at + "crate::".len()..];
        if !is_whole_word {
            continue;
        }
        match rest.strip_prefix('{') {
            None => drop(rooms.insert(room(rest))),
            Some(list) => {
                let mut depth = 0;
                let mut member = String::new();
                for c in list.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => drop(rooms.insert(room(std::mem::take(&mut member).trim()))),
                        _ if depth == 0 => member.push(c),
                        _ => {}
                    }
                }
                rooms.insert(room(member.trim()));
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn the_table_of_rooms_is_complete() {
    let rooms: BTreeSet<_> = sources("rs").keys().filter_map(|file| room_of(file)).map(str::to_owned).collect();
    assert_eq!(rooms, floors().into_keys().collect());
}

#[test]
fn imports_point_down_only() {
    let floors = floors();
    let mut seen = 0;
    for (file, text) in sources("rs") {
        let Some(room) = room_of(&file) else { continue };
        for imported in imports(&code(&text)) {
            let floor_of = |room: &str| *floors.get(room).unwrap_or_else(|| panic!("{file}: no room {room}"));
            // On the highest floor `app` and `cli` put the others together.
            let is_below = floor_of(&imported) < floor_of(room) || (floor_of(room) == 4 && floor_of(&imported) == 4);
            let is_leaf_beside = floor_of(room) == -1 && imported == "ticket";
            assert!(
                imported == room || is_below || is_leaf_beside,
                "{file} imports {imported}, which does not stand below {room}"
            );
            seen += 1;
        }
    }
    assert!(seen > 20, "only {seen} imports were found");
}

#[test]
fn the_lower_floors_know_no_http_server() {
    for (file, text) in sources("rs") {
        let room = room_of(&file);
        if ["ticket", "client", "session", "issue", "limit"].into_iter().any(|lower| room == Some(lower)) {
            assert!(!code(&text).contains("actix"), "{file} names actix");
        }
    }
}

#[test]
fn tickets_know_no_configuration_session_clock_or_network() {
    for (file, text) in sources("rs") {
        if room_of(&file) == Some("ticket") {
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
        assert!(uses.next().is_none() || room_of(&file) == Some("config"), "{file} imports the crate config");
    }
}

#[test]
fn the_demo_page_asks_nobody_else() {
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
