//! Reading answers: Perl's scalars come as numbers, strings or booleans as they please, so every reading is lenient.

use serde_json::Value;

/// Reads fields of an answer.
pub(crate) trait Lenient {
    /// A field as text.
    fn text(&self, name: &str) -> Option<String>;
    /// A field as a whole number; a fraction is cut off.
    fn number(&self, name: &str) -> Option<u64>;
    /// A field as yes or no; absent is no.
    fn flag(&self, name: &str) -> bool;
    /// The rows of a list; none when it is no list.
    fn rows(&self) -> &[Value];
}

impl Lenient for Value {
    fn text(&self, name: &str) -> Option<String> {
        plain(self.get(name)?)
    }

    fn number(&self, name: &str) -> Option<u64> {
        match self.get(name)? {
            Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(whole)),
            Value::String(text) => text.trim().parse().ok().or_else(|| text.trim().parse().ok().and_then(whole)),
            Value::Bool(flag) => Some(u64::from(*flag)),
            _ => None,
        }
    }

    fn flag(&self, name: &str) -> bool {
        match self.get(name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
            Some(Value::String(text)) => !matches!(text.as_str(), "" | "0" | "false" | "no" | "off"),
            _ => false,
        }
    }

    fn rows(&self) -> &[Value] {
        self.as_array().map_or(&[], Vec::as_slice)
    }
}

/// A scalar as text.
pub(crate) fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        _ => None,
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just before")]
fn whole(number: f64) -> Option<u64> {
    (number.is_finite() && (0.0..9.0e15).contains(&number)).then_some(number as u64)
}

/// A number that has to fit into 32 bits; what does not is as large as can be.
pub(crate) fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_perl_sends_is_read() {
        let value = serde_json::json!({
            "a": 1, "b": "1", "c": true, "d": "0", "e": 0, "f": "512", "g": 2.9, "h": null, "i": "", "j": [1], "k": "1.5"
        });
        for yes in ["a", "b", "c", "f", "g"] {
            assert!(value.flag(yes), "{yes}");
        }
        for no in ["d", "e", "h", "i", "j", "z"] {
            assert!(!value.flag(no), "{no}");
        }
        assert_eq!(["a", "b", "c", "f", "g", "k"].map(|name| value.number(name)), [1, 1, 1, 512, 2, 1].map(Some));
        assert_eq!((value.number("h"), value.number("i"), value.number("j")), (None, None, None));
        assert_eq!((value.text("a"), value.text("f"), value.text("j")), (Some("1".into()), Some("512".into()), None));
        assert_eq!(value.rows().len(), 0);
    }
}
