//! The shapes, held against samples of our own and against the specification's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should be loud")]

#[path = "all/openapi.rs"]
mod openapi;
#[path = "all/requests.rs"]
mod requests;
#[path = "all/responses.rs"]
mod responses;
#[path = "all/specification.rs"]
mod specification;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// Reads a value into a shape as the API does, and writes it again.
fn through<T: Serialize + DeserializeOwned>(value: &Value) -> Result<Value, String> {
    let shape: T = read(value)?;
    serde_json::to_value(shape).map_err(|error| error.to_string())
}

/// Reads from text, because that is what the API gets.
fn read<T: DeserializeOwned>(value: &Value) -> Result<T, String> {
    let text = value.to_string();
    serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(&text)).map_err(|error| error.to_string())
}
