//! Writes `crates/providers/proxmox/src/calls.rs` from Proxmox VE's published description of its API: names and types
//! of what the provider uses, and nothing else of it.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

mod table;

use table::{Row, TABLE};

const HEAD: &str = "//! Written by `cargo run -p xtask -- SCHEMA > crates/providers/proxmox/src/calls.rs`; not by hand.
//! Every operation that this provider can ask for, with the parameters that it can pass.

use crate::call::{Indexed, Kind, calls};

";

/// The file's text.
///
/// # Errors
/// When the description does not know an operation or parameter of the table, or requires one that is not in it.
pub fn generate(schema: &str) -> Result<String> {
    let schema: Value = serde_json::from_str(schema).context("the description is not JSON")?;
    let mut text = HEAD.to_owned();
    text.push_str("calls! {\n");
    let mut operations = Vec::new();
    for row in TABLE {
        text.push_str(&one(&schema, row).with_context(|| format!("{} {}", row.1, row.2))?);
        operations.extend(paths(row.2).into_iter().map(|path| (row.1, path)));
    }
    text.push_str("}\n\n/// Every operation that this provider can ask for: method and path.\n");
    text.push_str("#[rustfmt::skip]\npub const CALLS: &[(&str, &str)] = &[\n");
    for (method, path) in operations {
        writeln!(text, "    (\"{method}\", \"{path}\"),")?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// The paths that a row stands for.
fn paths(path: &str) -> Vec<String> {
    if path.contains("{kind}") {
        ["qemu", "lxc"].iter().map(|kind| path.replace("{kind}", kind)).collect()
    } else {
        vec![path.to_owned()]
    }
}

fn one(schema: &Value, (name, method, path, wanted): &Row) -> Result<String> {
    let segments: Vec<&str> = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
    let mut known: Vec<BTreeMap<String, Value>> = Vec::new();
    for path in paths(path) {
        let Some(operation) = schema["paths"][path.as_str()].get(*method) else { bail!("{path} is not described") };
        let properties = operation["parameters"]["properties"].as_object().cloned().unwrap_or_default();
        known.push(properties.into_iter().collect());
    }
    let mut text = format!("    {name} {method} \"{path}\" (");
    let typed = segments.iter().map(|segment| {
        let kind = if *segment == "kind" { "Kind" } else { described(known.first(), segment).unwrap_or("String") };
        format!("{segment}: {kind}")
    });
    text.push_str(&typed.collect::<Vec<_>>().join(", "));
    text.push_str(") {");
    for parameter in *wanted {
        text.push_str(&field(&known, parameter)?);
    }
    for (missing, _) in known.iter().flatten().filter(|(_, property)| property["optional"].as_i64() != Some(1)) {
        if !segments.contains(&missing.as_str()) && !wanted.contains(&missing.as_str()) {
            bail!("{missing} is required");
        }
    }
    text.push_str(if wanted.is_empty() { "}\n" } else { "\n    }\n" });
    Ok(text)
}

fn described(known: Option<&BTreeMap<String, Value>>, name: &str) -> Option<&'static str> {
    Some(match known?.get(name)?["type"].as_str()? {
        "integer" => "u32",
        _ => "String",
    })
}

fn field(known: &[BTreeMap<String, Value>], parameter: &str) -> Result<String> {
    let (wire, since) = parameter.split_once('@').unwrap_or((parameter, ""));
    for operation in known {
        if !operation.contains_key(wire) {
            bail!("parameter {wire} is not described");
        }
    }
    let Some(property) = known.first().and_then(|operation| operation.get(wire)) else { bail!("no operation") };
    let plain = match property["type"].as_str() {
        Some("integer") => "u32",
        Some("boolean") => "bool",
        Some("string") | None => "String",
        Some(other) => bail!("parameter {wire} is of type {other}"),
    };
    let indexed = wire.strip_suffix("[n]");
    let kind = match (indexed, property["optional"].as_i64()) {
        (Some(_), _) => "Indexed".to_owned(),
        (None, Some(1)) => format!("Option<{plain}>"),
        (None, _) => plain.to_owned(),
    };
    let stem = indexed.unwrap_or(wire);
    let field = match stem.replace('-', "_").as_str() {
        "type" => "kind".to_owned(),
        "forceStop" => "force_stop".to_owned(),
        other => other.to_owned(),
    };
    let since = if since.is_empty() { "804" } else { since };
    Ok(format!("\n        {field} \"{stem}\" {since}: {kind};"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "../../../shared/contracts/proxmox/pve-9.2-api.json";

    #[test]
    fn the_committed_file_follows_from_the_description() {
        let here = env!("CARGO_MANIFEST_DIR");
        let Ok(schema) = std::fs::read_to_string(format!("{here}/{SCHEMA}")) else {
            println!("SKIP the_committed_file_follows_from_the_description: {SCHEMA} is not there");
            return;
        };
        let committed = std::fs::read_to_string(format!("{here}/../providers/proxmox/src/calls.rs")).unwrap();
        assert!(
            committed == generate(&schema).unwrap(),
            "write it again: cargo run -p xtask -- SCHEMA > crates/providers/proxmox/src/calls.rs"
        );
    }

    #[test]
    fn what_is_not_described_is_refused() {
        let error = generate(r#"{"paths": {"/version": {}}}"#).unwrap_err();
        assert!(format!("{error:#}").contains("GET /version"), "{error:#}");
        let known = [BTreeMap::from([("size".to_owned(), serde_json::json!({"type": "string"}))])];
        assert!(field(&known, "sise").is_err());
        assert_eq!(field(&known, "size").unwrap(), "\n        size \"size\" 804: String;");
    }
}
