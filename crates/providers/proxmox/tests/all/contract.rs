//! What the provider can ask for, against the published description and what the simulator serves.

use provider_proxmox::CALLS;
use serde_json::{Value, json};
use simulator::Control;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/contracts/proxmox/pve-9.2-api.json");

#[test]
fn every_call_is_described_takes_tokens_and_is_served() {
    let served: BTreeMap<(String, String), bool> =
        Control::endpoints().into_iter().map(|(method, path, served)| ((method, path), served)).collect();
    // What comes after a console's ticket is no HTTP, and not simulated.
    for (method, path) in CALLS.iter().filter(|(_, path)| !path.ends_with("/vncwebsocket")) {
        let found = served.get(&((*method).to_owned(), (*path).to_owned()));
        assert_eq!(found, Some(&true), "{method} {path} is not in the simulator");
    }
    let Ok(text) = std::fs::read_to_string(SCHEMA) else {
        println!("SKIP every_call_is_described_takes_tokens_and_is_served: {SCHEMA} is not there");
        return;
    };
    let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
    for (method, path) in CALLS {
        let operation = &schema["paths"][*path][*method];
        assert_eq!(operation["method"], *method, "{method} {path}");
        assert_eq!(operation["allowtoken"], 1, "{method} {path} takes no token");
    }
    let figures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/figures");
    std::fs::create_dir_all(&figures).unwrap();
    let of_the_schema: usize =
        schema["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len()).sum();
    let used = CALLS.iter().collect::<BTreeSet<_>>().len();
    let counted = json!({ "operations used": used, "operations of the schema": of_the_schema });
    std::fs::write(figures.join("provider-proxmox.json"), counted.to_string()).unwrap();
}

/// One parameter of `src/calls.rs`: its name, since when it is known, and its type.
type Written<'a> = (&'a str, u32, &'a str);

/// What stands in `src/calls.rs`: the method, the path, the parameters.
fn written() -> Vec<(&'static str, &'static str, Vec<Written<'static>>)> {
    let mut calls: Vec<(&str, &str, Vec<Written<'_>>)> = Vec::new();
    let text = include_str!("../../src/calls.rs").split("calls! {").nth(1).unwrap();
    for line in text.lines().map(str::trim).take_while(|line| !line.starts_with("///")) {
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            [_, method, path, ..] if path.starts_with("\"/") => {
                calls.push((method, path.trim_matches('"'), Vec::new()))
            }
            [_, name, since, kind] => {
                let since = since.trim_end_matches(':').parse().unwrap();
                calls.last_mut().unwrap().2.push((name.trim_matches('"'), since, kind.trim_end_matches(';')));
            }
            _ => {}
        }
    }
    calls
}

/// What is wrong with the parameters that are passed to one operation.
fn wrong(place: &str, operation: &Value, parameters: &[Written<'_>]) -> Vec<String> {
    let none = serde_json::Map::new();
    let properties = operation["parameters"]["properties"].as_object().unwrap_or(&none);
    let mut wrong = Vec::new();
    for (name, _, kind) in parameters {
        let indexed = *kind == "Indexed";
        let described = properties.get(&if indexed { format!("{name}[n]") } else { (*name).to_owned() });
        let inner = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
        let fits: &[&str] = match inner.unwrap_or(kind) {
            "bool" => &["boolean"],
            "u32" => &["integer"],
            // A list or a number with a unit is a text as well.
            _ => &["string", "integer", "array"],
        };
        match described {
            None => wrong.push(format!("{place} has no {name}")),
            Some(spec) if !spec["type"].as_str().is_none_or(|kind| fits.contains(&kind)) => {
                wrong.push(format!("{name} of {place} is {}", spec["type"]));
            }
            Some(spec) if inner.is_some() && spec["optional"] != 1 => {
                wrong.push(format!("{name} of {place} has to be there"));
            }
            Some(_) => {}
        }
    }
    let needed =
        properties.iter().filter(|(name, spec)| spec["optional"] != 1 && !place.contains(&format!("{{{name}}}")));
    let missing = needed.filter(|(name, _)| !parameters.iter().any(|(passed, ..)| passed == name));
    wrong.extend(missing.map(|(name, _)| format!("{place} is never given {name}")));
    wrong
}

#[test]
fn every_parameter_is_described_and_every_required_one_is_passed() {
    let Ok(text) = std::fs::read_to_string(SCHEMA) else {
        println!("SKIP every_parameter_is_described_and_every_required_one_is_passed: {SCHEMA} is not there");
        return;
    };
    let schema: Value = serde_json::from_str(&text).unwrap();
    let calls = written();
    assert!(calls.len() > 50, "{calls:?}");
    let mut found = Vec::new();
    for (method, path, parameters) in &calls {
        let kinds: &[&str] = if path.contains("{kind}") { &["qemu", "lxc"] } else { &[""] };
        for path in kinds.iter().map(|kind| path.replace("{kind}", kind)) {
            let place = format!("{method} {path}");
            assert!(CALLS.contains(&(*method, path.as_str())), "{place} is not listed");
            found.extend(wrong(&place, &schema["paths"][&path][*method], parameters));
        }
    }
    assert_eq!(found, Vec::<String>::new());
    // And those that 8.4 does not know are kept from it; that they are the right ones, a life on 8.4 shows.
    let newer: BTreeSet<&str> = calls
        .iter()
        .flat_map(|(.., parameters)| parameters)
        .filter(|(_, since, _)| *since > 804)
        .map(|one| one.0)
        .collect();
    assert_eq!(newer, BTreeSet::from(["lock-token", "purge", "release-lock"]));
}
