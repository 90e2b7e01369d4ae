//! OpenAPI 3.0 schemas as JSON Schema 2020-12.
//!
//! The differences, all of them: `nullable`; `exclusiveMinimum` and its twin are flags; what stands beside a
//! `$ref` does not count; `discriminator` with alternatives chooses one by name; `readOnly` properties are not
//! required in requests nor `writeOnly` ones in responses; a nullable object titled `null` is null; `example` and other annotations are dropped. References
//! become shared definitions, each converted once, so recursive schemas end.

use super::relaxations::relaxed;
use serde_json::{Map, Value, json};

/// Who sends the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Request,
    Response,
}

/// Keywords whose meaning is the same on both sides and whose values hold no schema.
const PLAIN: [&str; 16] = [
    "type",
    "enum",
    "const",
    "required",
    "format",
    "pattern",
    "multipleOf",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

/// `schema` of `document`, self-contained: what it refers to stands under `$defs`.
pub(super) fn convert(document: &Value, schema: &Value, direction: Direction) -> Value {
    let mut conversion = Conversion { document, direction, definitions: Map::new(), pending: Vec::new() };
    let mut root = conversion.schema(schema, &[]);
    while let Some(pointer) = conversion.pending.pop() {
        let target =
            document.pointer(&pointer).unwrap_or_else(|| panic!("the specification refers to nothing: {pointer}"));
        let place: Vec<&str> = pointer.split('/').skip(1).collect();
        let converted = conversion.schema(target, &place);
        conversion.definitions.insert(definition(&pointer), converted);
    }
    if let Value::Object(root) = &mut root {
        root.insert("$defs".to_owned(), Value::Object(conversion.definitions));
    }
    root
}

/// What is behind a `$ref` of `document`, or the value itself.
pub(super) fn followed<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    while let Some(reference) = value.get("$ref").and_then(Value::as_str) {
        value = document
            .pointer(reference.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("the specification refers to nothing: {reference}"));
    }
    value
}

/// One segment of a JSON pointer.
pub(super) fn escaped(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

/// A pointer as the name of a definition; no character of it needs escaping in a reference.
fn definition(pointer: &str) -> String {
    let keep = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '.' };
    pointer.trim_start_matches('/').chars().map(keep).collect()
}

struct Conversion<'a> {
    document: &'a Value,
    direction: Direction,
    definitions: Map<String, Value>,
    pending: Vec<String>,
}

impl Conversion<'_> {
    fn reference(&mut self, reference: &str) -> Value {
        let pointer = reference.trim_start_matches('#');
        let name = definition(pointer);
        let to = json!({ "$ref": format!("#/$defs/{name}") });
        if !self.definitions.contains_key(&name) {
            self.definitions.insert(name, Value::Bool(true)); // its place; filled from `pending`
            self.pending.push(pointer.to_owned());
        }
        to
    }

    /// `place` is where `schema` stands in the document, for the relaxations; it is known for shared schemas only.
    fn schema(&mut self, schema: &Value, place: &[&str]) -> Value {
        let Some(given) = schema.as_object() else { return schema.clone() };
        if let Some(reference) = given.get("$ref").and_then(Value::as_str) {
            return self.reference(reference);
        }
        if is_null(given) {
            return json!({ "type": "null" });
        }
        let mut out = Map::new();
        for keyword in PLAIN {
            if let Some(value) = given.get(keyword)
                && !relaxed(place, keyword)
            {
                out.insert(keyword.to_owned(), value.clone());
            }
        }
        self.parts(given, place, &mut out);
        self.alternatives(given, place, &mut out);
        exclusive(given, "exclusiveMinimum", "minimum", &mut out);
        exclusive(given, "exclusiveMaximum", "maximum", &mut out);
        self.required(given, &mut out);
        if given.get("nullable") == Some(&Value::Bool(true)) { nullable(out) } else { Value::Object(out) }
    }

    fn parts(&mut self, given: &Map<String, Value>, place: &[&str], out: &mut Map<String, Value>) {
        if let Some(properties) = given.get("properties").and_then(Value::as_object) {
            let converted = properties
                .iter()
                .map(|(name, property)| {
                    let below = [place, &["properties", name]].concat();
                    (name.clone(), self.schema(property, &below))
                })
                .collect();
            out.insert("properties".to_owned(), Value::Object(converted));
        }
        for keyword in ["items", "not", "additionalProperties"] {
            if let Some(part) = given.get(keyword) {
                let below = [place, &[keyword]].concat();
                let converted = self.schema(part, &below);
                out.insert(keyword.to_owned(), converted);
            }
        }
    }

    fn alternatives(&mut self, given: &Map<String, Value>, place: &[&str], out: &mut Map<String, Value>) {
        let chosen = self.discriminated(given);
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let Some(parts) = given.get(keyword).and_then(Value::as_array) else { continue };
            if keyword != "allOf" && chosen.is_some() {
                continue;
            }
            let below = [place, &[keyword]].concat();
            let converted: Vec<Value> = parts.iter().map(|part| self.schema(part, &below)).collect();
            out.insert(keyword.to_owned(), Value::Array(converted));
        }
        if let Some(chosen) = chosen {
            let mut all = out.remove("allOf").and_then(|all| all.as_array().cloned()).unwrap_or_default();
            all.extend(chosen);
            out.insert("allOf".to_owned(), Value::Array(all));
        }
    }

    /// Alternatives that a property chooses by name, as conditions. A base schema that carries the mapping for its
    /// children has no alternatives beside it, and nothing to choose.
    fn discriminated(&mut self, given: &Map<String, Value>) -> Option<Vec<Value>> {
        if !given.contains_key("anyOf") && !given.contains_key("oneOf") {
            return None;
        }
        let discriminator = given.get("discriminator")?;
        let property = discriminator["propertyName"].as_str()?.to_owned();
        let mapping = discriminator["mapping"].as_object()?.clone();
        let names: Vec<&String> = mapping.keys().collect();
        let mut all = vec![json!({ "required": [property], "properties": { &property: { "enum": names } } })];
        for (name, target) in &mapping {
            let target = self.reference(target.as_str()?);
            let is_it = json!({ "required": [property], "properties": { &property: { "const": name } } });
            all.push(json!({ "if": is_it, "then": target }));
        }
        Some(all)
    }

    /// Drops from `required` what the sender may not give.
    fn required(&self, given: &Map<String, Value>, out: &mut Map<String, Value>) {
        let mark = if self.direction == Direction::Request { "readOnly" } else { "writeOnly" };
        let marked = |name: &Value| {
            let property = name.as_str().and_then(|name| given.get("properties")?.get(name));
            property.is_some_and(|property| followed(self.document, property).get(mark) == Some(&Value::Bool(true)))
        };
        if let Some(Value::Array(required)) = out.get_mut("required") {
            required.retain(|name| !marked(name));
        }
    }
}

/// OpenAPI 3.0 has no type `null`. The specification writes a nullable object of that title where it means just
/// that, as one of several alternatives; taken literally, any object would do, and the others would mean nothing.
fn is_null(given: &Map<String, Value>) -> bool {
    let bare = !given.contains_key("properties") && !given.contains_key("allOf");
    bare && given.get("title").is_some_and(|title| title == "null") && given.get("nullable") == Some(&Value::Bool(true))
}

fn exclusive(given: &Map<String, Value>, flag: &str, bound: &str, out: &mut Map<String, Value>) {
    match given.get(flag) {
        Some(Value::Bool(true)) => {
            if let Some(value) = out.remove(bound) {
                out.insert(flag.to_owned(), value);
            }
        }
        Some(number @ Value::Number(_)) => {
            out.insert(flag.to_owned(), number.clone());
        }
        _ => {}
    }
}

fn nullable(mut schema: Map<String, Value>) -> Value {
    let plain = !["allOf", "anyOf", "oneOf", "not"].iter().any(|keyword| schema.contains_key(*keyword));
    if plain && let Some(Value::String(kind)) = schema.get("type").cloned() {
        schema.insert("type".to_owned(), json!([kind, "null"]));
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.push(Value::Null);
        }
        return Value::Object(schema);
    }
    json!({ "anyOf": [{ "type": "null" }, Value::Object(schema)] })
}
