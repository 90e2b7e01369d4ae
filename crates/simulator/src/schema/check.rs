//! Validation: an unknown, a missing or a wrong parameter is a 400 with a map of errors.

use super::{Errors, Route, Spec, Version, formats, since};
use crate::refusal::{Refusal, Served};
use crate::transport::Parameters;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Checks every parameter of a call. A list that came as an array is joined, as PVE does.
pub(crate) fn check(route: &Route, parameters: &mut Parameters, version: &Version) -> Served<()> {
    let mut errors = Errors::new();
    for (name, values) in &mut parameters.0 {
        let spec = route.parameter(name).filter(|_| since::has_parameter(version, &route.path, name));
        let Some(spec) = spec else {
            errors.insert(name.clone(), Value::from(UNKNOWN));
            continue;
        };
        if values.len() > 1 && spec.format.as_deref().is_some_and(|format| format.ends_with("-list")) {
            *values = vec![values.join(",")];
        }
        if let Some(message) = wrong(name, spec, values) {
            errors.insert(name.clone(), Value::from(message));
        }
    }
    for name in route.required().filter(|name| !parameters.has(name)) {
        errors.insert(name.to_owned(), Value::from("property is missing and it is not optional"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Refusal::parameters(errors)) }
}

const UNKNOWN: &str = "property is not defined in schema and the schema does not allow additional properties";

fn wrong(name: &str, spec: &Spec, values: &[String]) -> Option<String> {
    if spec.kind.as_deref() == Some("array") {
        let items = spec.items.as_deref()?;
        return values.iter().find_map(|value| wrong_value(name, items, value));
    }
    match values {
        [value] => wrong_value(name, spec, value),
        _ => Some(format!("type check ('{}') failed - got ARRAY", spec.kind.as_deref().unwrap_or("string"))),
    }
}

fn wrong_value(name: &str, spec: &Spec, value: &str) -> Option<String> {
    let kind = spec.kind.as_deref().unwrap_or("string");
    let right_type = match kind {
        "integer" => {
            value.strip_prefix(['-', '+']).unwrap_or(value).bytes().all(|digit| digit.is_ascii_digit())
                && value.parse::<i64>().is_ok()
        }
        "number" => value.parse::<f64>().is_ok(),
        "boolean" => value == "0" || value == "1",
        _ => true,
    };
    if !right_type {
        return Some(format!("type check ('{kind}') failed - got '{value}'"));
    }
    let too_long = spec.max_length.filter(|most| value.chars().count() > *most);
    if let Some(most) = too_long {
        return Some(format!("value may only be {most} characters long"));
    }
    if let Some(least) = spec.min_length.filter(|least| value.chars().count() < *least) {
        return Some(format!("value must be at least {least} characters long"));
    }
    if let Some(message) = out_of_range(spec, value) {
        return Some(message);
    }
    if let Some(values) = &spec.values {
        let texts: Vec<String> =
            values.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
        if !texts.iter().any(|one| one == value) {
            return Some(format!("value '{value}' does not have a value in the enumeration '{}'", texts.join(", ")));
        }
    }
    if spec.expression.as_ref().is_some_and(|expression| !expression.is_match(value)) {
        return Some("value does not match the regex pattern".to_owned());
    }
    if let Some(properties) = &spec.properties {
        return wrong_properties(name, properties, value);
    }
    let format = spec.format.as_deref()?;
    formats::wrong(format, value).map(|message| format!("invalid format - {message}\n"))
}

fn out_of_range(spec: &Spec, value: &str) -> Option<String> {
    if !matches!(spec.kind.as_deref(), Some("integer" | "number")) {
        return None;
    }
    let number: f64 = value.parse().ok()?;
    // The one id that PVE checks by a format, which the schema shows as a range.
    if spec.format.as_deref() == Some("pve-vmid") && !(100.0..1e9).contains(&number) {
        return Some("invalid format - value does not look like a valid VM ID\n".to_owned());
    }
    if let Some(least) = spec.minimum.filter(|least| number < *least) {
        return Some(format!("value must have a minimum value of {least}"));
    }
    spec.maximum.filter(|most| number > *most).map(|most| format!("value must have a maximum value of {most}"))
}

/// A property string, as in `virtio=BC:…,bridge=vmbr0`.
fn wrong_properties(name: &str, properties: &BTreeMap<String, Spec>, value: &str) -> Option<String> {
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let mut errors = String::new();
    for part in value.split(',').filter(|part| !part.is_empty()) {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) if properties.contains_key(key) || !part.contains(':') => (key, value),
            _ => match properties.iter().find(|(_, spec)| spec.is_default_key) {
                Some((key, _)) => (key.as_str(), part),
                None => {
                    return Some(
                        "invalid format - value without key, but schema does not define a default key\n".to_owned(),
                    );
                }
            },
        };
        let Some(spec) = properties.get(key) else {
            let _ = writeln!(errors, "{name}.{key}: {UNKNOWN}");
            continue;
        };
        if let Some(alias) = &spec.key_alias {
            found.insert(alias, key.to_owned());
        }
        found.insert(spec.alias.as_deref().unwrap_or(key), value.to_owned());
    }
    for (key, value) in &found {
        let message = properties.get(*key).and_then(|spec| wrong_value(key, spec, value));
        if let Some(message) = message {
            let _ = writeln!(errors, "{name}.{key}: {}", message.trim_end());
        }
    }
    for (key, spec) in properties {
        let written = spec.alias.is_none() && spec.key_alias.is_none() && spec.kind.is_some();
        if written && !spec.optional && !found.contains_key(key.as_str()) {
            let _ = writeln!(errors, "{name}.{key}: property is missing and it is not optional");
        }
    }
    (!errors.is_empty()).then(|| format!("invalid format - format error\n{errors}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(method: &str, path: &str, form: &str) -> Errors {
        let version = Version::parse("9.2.3");
        let found = super::super::find(method, path, &version).unwrap();
        let mut parameters = found.parameters;
        parameters.0.extend(Parameters::form(form).0);
        check(found.route, &mut parameters, &version).map_or_else(|refusal| refusal.errors, |()| Errors::new())
    }

    #[test]
    fn errors_are_those_of_the_daemon() {
        let errors = errors("POST", "/nodes/pve1/qemu", "vmid=5&memory=abc&foo=bar&name=bad_name");
        let text = |name: &str| errors[name].as_str().unwrap().to_owned();
        assert_eq!(text("vmid"), "invalid format - value does not look like a valid VM ID\n");
        assert_eq!(text("foo"), UNKNOWN);
        assert_eq!(
            text("memory"),
            "invalid format - format error\nmemory.current: type check ('integer') failed - got 'abc'\n"
        );
        assert_eq!(text("name"), "invalid format - value does not look like a valid DNS name\n");
    }

    #[test]
    fn a_network_card_may_be_named_by_its_model() {
        assert_eq!(errors("POST", "/nodes/pve1/qemu", "vmid=100&net0=virtio,bridge=vmbr0,firewall=1"), Errors::new());
        assert_eq!(
            errors("POST", "/nodes/pve1/qemu", "vmid=100&net0=virtio=BC:24:11:00:00:01,bridge=vmbr0"),
            Errors::new()
        );
        assert!(errors("POST", "/nodes/pve1/qemu", "vmid=100&net0=virtio,bridgge=vmbr0").contains_key("net0"));
        assert_eq!(
            errors("POST", "/nodes/pve1/qemu", "vmid=100&scsi0=local:0,import-from=local:import/x.qcow2,size=3G"),
            Errors::new()
        );
    }

    #[test]
    fn a_switch_is_one_or_nought() {
        let errors = errors("PUT", "/nodes/pve1/qemu/100/config", "onboot=yes");
        assert_eq!(errors["onboot"], "type check ('boolean') failed - got 'yes'");
    }
}
