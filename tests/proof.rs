//! The tables of proof in `tests/README.md` name tests and files that exist, and versions that are built.

use std::fs;
use std::path::Path;

const README: &str = include_str!("README.md");
const LOCK: &str = include_str!("../Cargo.lock");

/// The cells of every row below `heading`, without the table's head.
fn rows<'a>(heading: &str) -> Vec<Vec<&'a str>> {
    let (_, section) = README.split_once(&format!("\n## {heading}\n")).expect("a heading of this name");
    let section = section.split("\n## ").next().expect("text");
    let rows = section.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix('|'));
    rows.skip(1).map(|row| row.split(" |").map(str::trim).collect()).collect()
}

/// What stands in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut files, mut tests) = (0, 0);
    for row in [rows("Security"), rows("Reliability")].concat() {
        assert_eq!(row.len(), 3, "{row:?}");
        let mut text = String::new();
        for name in quoted(row[1]).filter(|name| !name.contains(' ')) {
            if name.contains(['/', '.']) {
                text = fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
                files += 1;
            } else {
                // Its attribute stands behind the item before it.
                let before = text.split_once(&format!("fn {name}(")).map(|(before, _)| before);
                let is_test =
                    before.and_then(|text| text.rsplit("}\n").next()).is_some_and(|text| text.contains("test]"));
                assert!(is_test, "{name} is no test of its file, in the row {}", row[0]);
                tests += 1;
            }
        }
        assert!(!text.is_empty(), "nothing holds {}", row[0]);
    }
    assert!(files > 30 && tests > 60, "{files} files and {tests} tests");
}

#[test]
fn every_version_is_the_one_that_is_built() {
    let crates = rows("Supply chain");
    assert!(crates.len() > 10, "{crates:?}");
    for row in crates {
        let name = quoted(row[0]).next().expect("a crate");
        let locked = format!("name = \"{name}\"\nversion = \"{}\"\n", row[1]);
        assert!(LOCK.contains(&locked), "{name} {} is not in Cargo.lock", row[1]);
    }
}
