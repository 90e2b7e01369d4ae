//! Times on the wire.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::{fmt, str::FromStr};
use utoipa::openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

/// A moment in whole seconds, written `2026-01-02T15:04:05Z`.
///
/// Clients parse with exactly that layout, so a fraction is never written; one that is read is dropped. Two
/// moments that print the same are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WireTime(Timestamp);

impl WireTime {
    /// The moment, without the fraction of a second.
    pub const fn timestamp(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for WireTime {
    fn from(moment: Timestamp) -> Self {
        // The whole second of a moment that exists also exists, so the fallback is never taken.
        Self(Timestamp::from_second(moment.as_second()).unwrap_or(moment))
    }
}

impl From<WireTime> for Timestamp {
    fn from(time: WireTime) -> Self {
        time.0
    }
}

impl fmt::Display for WireTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Timestamp prints a fraction only where there is one.
        self.0.fmt(f)
    }
}

impl FromStr for WireTime {
    type Err = jiff::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(Self::from)
    }
}

impl Serialize for WireTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WireTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &"a time like 2026-01-02T15:04:05Z"))
    }
}

impl PartialSchema for WireTime {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
            .description(Some("A moment in UTC, in whole seconds."))
            .examples([serde_json::json!("2026-01-02T15:04:05Z")])
            .into()
    }
}

impl ToSchema for WireTime {
    fn name() -> std::borrow::Cow<'static, str> {
        "Time".into()
    }
}
