//! docs/proxmox-gotchas.md: thirty rows, and every test that they name is there.

use acceptance::workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Names of functions with an attribute that makes them tests, in all sources below a directory.
fn tests_below(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(tests_in(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

fn tests_in(source: &str) -> BTreeSet<String> {
    let mut lines = source.lines().map(str::trim);
    let mut found = BTreeSet::new();
    while let Some(line) = lines.next() {
        if !(line == "#[test]" || line.starts_with("#[tokio::test")) {
            continue;
        }
        let function = lines.find_map(|line| line.split("fn ").nth(1).filter(|_| !line.starts_with("//")));
        found.extend(function.and_then(|rest| rest.split('(').next()).map(str::to_owned));
    }
    found
}

/// The tests that each row names, by its number.
fn rows(page: &str) -> BTreeMap<u32, Vec<String>> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let number = cells.first()?.parse().ok()?;
        let tests = cells.last()?.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        Some((number, tests))
    });
    rows.collect()
}

#[test]
fn every_gotcha_has_tests_and_they_are_there() {
    let page = std::fs::read_to_string(workspace().join("docs/proxmox-gotchas.md")).unwrap();
    let rows = rows(&page);
    assert_eq!(rows.keys().copied().collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    let mut there = BTreeSet::new();
    tests_below(&workspace().join("crates"), &mut there);
    for (number, tests) in &rows {
        assert!(!tests.is_empty(), "row {number} names no test");
        let missing: Vec<&String> = tests.iter().filter(|test| !there.contains(*test)).collect();
        assert!(missing.is_empty(), "row {number} names {missing:?}, which no source has");
    }
    let tests: BTreeSet<&String> = rows.values().flatten().collect();
    acceptance::figures::write("gotchas", &[("rows", rows.len()), ("tests", tests.len())]);
}

#[test]
fn a_test_is_a_function_with_an_attribute() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn three() {}";
    assert_eq!(tests_in(source), BTreeSet::from(["one".to_owned(), "three".to_owned()]));
    assert_eq!(rows("| 7 | a | b | `x` `y` |\n| # | t |"), BTreeMap::from([(7, vec!["x".to_owned(), "y".to_owned()])]));
}
