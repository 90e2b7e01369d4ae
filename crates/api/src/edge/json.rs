//! Reading a JSON body: bounded, and with an answer that names what is wrong.

use super::Problem;
use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_LENGTH;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use model::refusal::{Code, Refusal};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// The largest body that is read.
pub const LARGEST_BODY: usize = 1024 * 1024;

/// How long a client may take to send its body.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest sentence about a wrong value; some of these repeat what the client sent.
const LONGEST_SENTENCE: usize = 300;

/// A JSON object from the body, whatever the content type says (some clients send none); no body reads as `{}`.
///
/// | what came | what is answered |
/// |---|---|
/// | more than [`LARGEST_BODY`] bytes | 413, before they are read where the length is announced |
/// | not UTF-8, not JSON, nested deeper than 128 | 400 `bad_request` |
/// | a wrong or missing value | 422 `unprocessable_entity`, with the path of the field |
/// | unknown fields, a field twice | ignored (refused in requests of operators); of two the last counts |
///
/// As an answer it is the value as `application/json`.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        let value = parse(&bytes)?;
        convert(value).map(Self)
    }
}

/// The same, with the object as it came: for what is hashed (idempotency) or picked apart by hand.
#[derive(Clone, Debug)]
pub struct RawJson<T> {
    /// The body as it was sent.
    pub bytes: Vec<u8>,
    /// The body as it was understood.
    pub value: T,
}

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for RawJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read(request).await?;
        let value = convert(parse(&bytes)?)?;
        Ok(Self { bytes, value })
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

async fn read(request: Request) -> Result<Vec<u8>, Problem> {
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(too_large());
    }
    tokio::time::timeout(BODY_TIMEOUT, collect(request.into_body()))
        .await
        .unwrap_or_else(|_| Err(Problem::new(Code::BadRequest, "The body of the request did not arrive in time.")))
}

async fn collect(body: Body) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::new(Code::BadRequest, "The body of the request broke off."))?;
        if bytes.len() + chunk.len() > LARGEST_BODY {
            return Err(too_large());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn too_large() -> Problem {
    Problem::new(Code::PayloadTooLarge, format!("The body of a request may have at most {LARGEST_BODY} bytes."))
}

fn parse(bytes: &[u8]) -> Result<Value, Problem> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Problem::new(Code::BadRequest, format!("The body is not valid UTF-8: {error}.")))?;
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    let value: Value = serde_json::from_str(text)
        .map_err(|error| Problem::new(Code::BadRequest, format!("The body is not valid JSON: {error}.")))?;
    if !value.is_object() {
        return Err(Problem::new(Code::UnprocessableEntity, "The body must be a JSON object."));
    }
    // PostgreSQL cannot store the character U+0000 in a text, and no field of ours has a use for it.
    if holds_nul(&value) {
        return Err(Problem::new(Code::UnprocessableEntity, "The character U+0000 is not accepted in any field."));
    }
    Ok(value)
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(holds_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        _ => false,
    }
}

fn convert<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let said = error.into_inner().to_string();
        let path = if path == "." { String::new() } else { path };
        let Some(field) = missing(&said) else {
            let refusal = Refusal::new(Code::UnprocessableEntity, sentence(&said));
            return if path.is_empty() { refusal.into() } else { refusal.at(path).into() };
        };
        // serde says where the object is in which the field is missing; who sent it wants to know which field.
        let field = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
        Refusal::field(field, "is missing.").into()
    })
}

/// The field that serde did not find.
fn missing(said: &str) -> Option<&str> {
    said.strip_prefix("missing field `")?.strip_suffix('`')
}

/// serde's words without the names of our types, and not longer than anyone would read.
fn sentence(message: &str) -> String {
    let message = match message.split_once("expected struct ") {
        Some((before, _)) => format!("{before}expected an object"),
        None => message.to_owned(),
    };
    let mut message: String = match message.char_indices().nth(LONGEST_SENTENCE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    };
    message.push('.');
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only the reading of them is of interest")]
    struct Outer {
        name: String,
        #[serde(default)]
        inner: Vec<Inner>,
    }

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code, reason = "only the reading of them is of interest")]
    struct Inner {
        size: u8,
    }

    fn refuse(body: &[u8]) -> Refusal {
        let problem = parse(body).and_then(convert::<Outer>).map(|_| ()).unwrap_err();
        problem.refusal().clone()
    }

    #[test]
    fn a_wrong_value_is_named_by_its_path() {
        assert_eq!(refuse(br#"{"name":5}"#).field.as_deref(), Some("name"));
        assert_eq!(
            refuse(br#"{"name":"a","inner":[{"size":1},{"size":300}]}"#).field.as_deref(),
            Some("inner[1].size")
        );
        assert_eq!(refuse(b"{}"), Refusal::field("name", "is missing."));
        assert_eq!(refuse(br#"{"name":"a","inner":[{}]}"#).field.as_deref(), Some("inner[0].size"));
        assert_eq!(refuse(br#"{"name":"a","inner":["x"]}"#).message, "invalid type: string \"x\", expected an object.");
    }

    #[test]
    fn what_is_not_json_is_a_bad_request() {
        for body in [&b"{"[..], b"{\"name\":\"\xff\"}", b"{}{}", b"{\"name\":\"\\ud800\"}", &b"[".repeat(200_000)] {
            assert_eq!(refuse(body).code, Code::BadRequest);
        }
        for body in [
            &b"[]"[..],
            b"null",
            b"5",
            br#"{"name":"a\u0000b"}"#,
            br#"{"x":[{"y":"\u0000"}]}"#,
            br#"{"x\u0000":1}"#,
            b"",
            b"  ",
        ] {
            assert_eq!(refuse(body).code, Code::UnprocessableEntity);
        }
    }

    #[test]
    fn the_unknown_and_the_repeated_are_ignored() {
        let value =
            parse(br#"{"name":"first","x":{"y":[1]},"name":"last \\u0000"}"#).and_then(convert::<Outer>).unwrap();
        assert_eq!(value.name, "last \\u0000");
        let long = format!(r#"{{"name":{{"{}":1}}}}"#, "x".repeat(100_000));
        assert!(refuse(long.as_bytes()).message.len() < 1000);
    }
}
