//! Writes `data/schema.json` from the published API schema: names, types, ranges and permissions, and no prose.
//!
//! ```text
//! cargo run -p simulator --example compact_schema -- ../shared/contracts/proxmox/pve-9.2-api.json \
//!     > crates/simulator/data/schema.json
//! ```
//!
//! The shape is described at `simulator::schema`. Equal parameters are written once and named by their number.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::Write;

/// What a parameter keeps; everything else is prose or decoration.
const KEPT: &[&str] = &[
    "type",
    "optional",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "enum",
    "pattern",
    "default_key",
    "alias",
    "keyAlias",
];
/// What is a number, and stands as a text in places.
const NUMBERS: &[&str] = &["optional", "minimum", "maximum", "minLength", "maxLength"];

fn main() -> anyhow::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| anyhow::anyhow!("usage: compact_schema PATH"))?;
    let schema: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let mut specs = Specs::default();
    let mut routes = Vec::new();
    for (path, methods) in schema["paths"].as_object().into_iter().flatten() {
        for (method, endpoint) in methods.as_object().into_iter().flatten() {
            routes.push(route(path, method, endpoint, &mut specs));
        }
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{\"pve\":{},\"specs\":[", schema["meta"]["pve_manager"])?;
    write_lines(&mut out, &specs.list)?;
    writeln!(out, "],\"routes\":[")?;
    write_lines(&mut out, &routes)?;
    writeln!(out, "]}}")?;
    Ok(())
}

fn write_lines(out: &mut impl Write, values: &[Value]) -> anyhow::Result<()> {
    for (index, value) in values.iter().enumerate() {
        writeln!(out, "{value}{}", if index + 1 < values.len() { "," } else { "" })?;
    }
    Ok(())
}

/// The parameters seen so far.
#[derive(Default)]
struct Specs {
    list: Vec<Value>,
    known: HashMap<String, usize>,
}

impl Specs {
    fn number(&mut self, spec: Value) -> usize {
        let next = self.list.len();
        let number = *self.known.entry(spec.to_string()).or_insert(next);
        if number == next {
            self.list.push(spec);
        }
        number
    }
}

fn route(path: &str, method: &str, endpoint: &Value, specs: &mut Specs) -> Value {
    let parameters = &endpoint["parameters"]["properties"];
    let parameters: Map<String, Value> = parameters
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, spec)| (name.clone(), json!(specs.number(parameter(spec)))))
        .collect();
    let mut route = json!({
        "path": path,
        "method": method,
        "parameters": parameters,
        "returns": endpoint["returns"]["type"],
    });
    let permissions = &endpoint["permissions"];
    if let Some(check) = permissions.get("check") {
        route["check"] = check.clone();
    } else if let Some(user) = permissions.get("user") {
        route["user"] = user.clone();
    }
    for (key, from) in [("node", "proxyto"), ("protected", "protected")] {
        if endpoint.get(from).is_some_and(|value| *value == "node" || *value == 1) {
            route[key] = json!(1);
        }
    }
    if endpoint["allowtoken"] == 0 {
        route["ticket_only"] = json!(1);
    }
    route
}

fn parameter(spec: &Value) -> Value {
    let mut kept = Map::new();
    for (key, value) in spec.as_object().into_iter().flatten() {
        if !KEPT.contains(&key.as_str()) || value.is_null() {
            continue;
        }
        let number =
            value.as_str().filter(|_| NUMBERS.contains(&key.as_str())).and_then(|text| text.parse::<i64>().ok());
        kept.insert(key.clone(), number.map_or_else(|| value.clone(), Value::from));
    }
    match &spec["format"] {
        Value::String(name) => {
            kept.insert("format".to_owned(), json!(name));
        }
        Value::Object(inline) => {
            let inline: Map<String, Value> =
                inline.iter().map(|(name, spec)| (name.clone(), parameter(spec))).collect();
            kept.insert("properties".to_owned(), Value::Object(inline));
        }
        _ => {}
    }
    if spec["items"].is_object() {
        kept.insert("items".to_owned(), parameter(&spec["items"]));
    }
    Value::Object(kept)
}
