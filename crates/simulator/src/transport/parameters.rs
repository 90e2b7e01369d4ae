//! Parameters, as a form, a query or a JSON object carries them.

use percent_encoding::percent_decode_str;
use serde_json::Value;
use std::collections::BTreeMap;

/// Values by name. A repeated key and a JSON array have several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameters(pub(crate) BTreeMap<String, Vec<String>>);

impl Parameters {
    /// A form or a query: split at `&` and at `;`, as PVE does, so that a raw `;` in a value ends it.
    pub(crate) fn form(text: &str) -> Self {
        let mut parameters = Self::default();
        for pair in text.split(['&', ';']).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.0.entry(decode(name)).or_default().push(decode(value));
        }
        parameters.0.remove("_dc");
        parameters
    }

    /// A JSON object; true and false become 1 and 0. `None`: it is none.
    pub(crate) fn json(bytes: &[u8]) -> Option<Self> {
        let Value::Object(members) = serde_json::from_slice(bytes).ok()? else { return None };
        let mut parameters = Self::default();
        for (name, value) in members {
            let values = match value {
                Value::Null => continue,
                Value::Array(values) => values.iter().map(plain).collect(),
                value => vec![plain(&value)],
            };
            parameters.0.insert(name, values);
        }
        Some(parameters)
    }

    /// The value, or the last of several.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).and_then(|values| values.last()).map(String::as_str)
    }

    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a switch is on.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    pub(crate) fn vmid(&self, name: &str) -> Option<u32> {
        self.get(name).and_then(|value| value.parse().ok())
    }

    /// The text, or nothing.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }

    /// The items of a list, however it is separated.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        self.all(name).iter().flat_map(|value| items(value)).map(str::to_owned).collect()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), vec![value.into()]);
    }
}

/// The items of a list in one value.
pub(crate) fn items(value: &str) -> impl Iterator<Item = &str> {
    value.split([',', ';', ' ', '\0']).filter(|item| !item.is_empty())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Bool(truth) => u8::from(*truth).to_string(),
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// Percent-decoded, with `+` as a space.
fn decode(text: &str) -> String {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_semicolon_ends_a_value() {
        let parameters = Parameters::form("tags=a;b&size=%2B1G&x=+1G&tags=c");
        assert_eq!(parameters.all("tags"), ["a", "c"]);
        assert!(parameters.has("b"));
        assert_eq!((parameters.get("size"), parameters.get("x")), (Some("+1G"), Some(" 1G")));
    }

    #[test]
    fn json_is_read_as_a_form_would_be() {
        let parameters = Parameters::json(br#"{"onboot":false,"cores":2,"tags":["a","b"],"name":"x"}"#).unwrap();
        assert_eq!((parameters.get("onboot"), parameters.get("cores")), (Some("0"), Some("2")));
        assert_eq!(parameters.list("tags"), ["a", "b"]);
        assert_eq!(Parameters::json(b"[1]"), None);
    }
}
