//! What the API sent, kept as it was sent: a field that this client does not know is still printed by `-o json`.

use crate::failure::{Ending, Failure, Result};
use serde::de::DeserializeOwned;
use serde::ser::{Error as _, Serialize, Serializer};
use serde_json::value::RawValue;
use std::collections::HashMap;

/// One object of the API, as it came and as this client understands it.
#[derive(Clone, Debug)]
pub(crate) struct Document<T> {
    /// As understood.
    pub(crate) value: T,
    raw: Box<RawValue>,
}

impl<T: DeserializeOwned> Document<T> {
    /// Reads one.
    pub(crate) fn read(raw: Box<RawValue>) -> Result<Self> {
        let value = serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
        Ok(Self { value, raw })
    }
}

impl<T: Serialize> Document<T> {
    /// One that this client made itself.
    pub(crate) fn of(value: T) -> Result<Self> {
        let raw = serde_json::value::to_raw_value(&value).map_err(|error| unreadable(&error))?;
        Ok(Self { value, raw })
    }
}

impl<T> Serialize for Document<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut reader = serde_json::Deserializer::from_str(self.raw.get());
        serde_transcode::transcode(&mut reader, serializer).map_err(S::Error::custom)
    }
}

/// The fields of the object that surrounds everything the API sends.
#[derive(Debug, Default)]
pub(crate) struct Envelope(HashMap<String, Box<RawValue>>);

impl Envelope {
    /// Reads the body of an answer; an empty one has no fields.
    pub(crate) fn read(body: &str) -> Result<Self> {
        if body.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_str(body).map(Self).map_err(|error| unreadable(&error))
    }

    /// Takes a field that has to be there.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, field: &str) -> Result<Document<T>> {
        self.take_if_there(field)?.ok_or_else(|| unreadable(&format!("there is no `{field}` in it")))
    }

    /// Takes a field that may be there.
    pub(crate) fn take_if_there<T: DeserializeOwned>(&mut self, field: &str) -> Result<Option<Document<T>>> {
        self.0.remove(field).map(Document::read).transpose()
    }

    /// Takes a list; what is not there is empty.
    pub(crate) fn take_list<T: DeserializeOwned>(&mut self, field: &str) -> Result<Vec<Document<T>>> {
        let Some(raw) = self.0.remove(field) else { return Ok(Vec::new()) };
        let items: Option<Vec<Box<RawValue>>> = serde_json::from_str(raw.get()).map_err(|error| unreadable(&error))?;
        items.unwrap_or_default().into_iter().map(Document::read).collect()
    }
}

fn unreadable(why: &impl std::fmt::Display) -> Failure {
    let sentence = format!("the server's answer could not be understood: {why}");
    Failure::new(Ending::Broken, sentence)
        .suggest("check that the URL is that of a Cairn installation, and of this version")
}
