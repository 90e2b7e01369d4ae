//! The envelope.

use super::serve::Keep;
use crate::refusal::Refusal;
use bytes::Bytes;
use http_body_util::Full;
use hyper::ext::ReasonPhrase;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, EXPIRES, HeaderValue, PRAGMA, SERVER};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

/// What a method gives back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) data: Data,
    /// Stands beside the data, for pages.
    pub(crate) total: Option<usize>,
}

/// The data of an answer.
#[derive(Clone, Debug)]
pub(crate) enum Data {
    Value(Value),
    /// JSON that is written already: long lists are not built as a tree first.
    Written(String),
}

impl Default for Data {
    fn default() -> Self {
        Self::Value(Value::Null)
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self { data: Data::Value(value), total: None }
    }
}

impl Reply {
    /// `{"data":null}`
    pub(crate) fn null() -> Self {
        Self::default()
    }

    pub(crate) fn written(json: String) -> Self {
        Self { data: Data::Written(json), total: None }
    }

    pub(crate) fn of(mut self, total: usize) -> Self {
        self.total = Some(total);
        self
    }

    fn body(&self, extjs: bool) -> String {
        let data = match &self.data {
            Data::Value(value) => value.to_string(),
            Data::Written(json) => json.clone(),
        };
        let total = self.total.map(|total| format!(",\"total\":{total}")).unwrap_or_default();
        let success = if extjs { ",\"success\":1" } else { "" };
        format!("{{\"data\":{data}{total}{success}}}")
    }
}

pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) fn ok(reply: &Reply, keep: Keep, extjs: bool) -> Answer {
    envelope(200, "OK", reply.body(extjs), keep)
}

pub(crate) fn refused(refusal: &Refusal, extjs: bool) -> Answer {
    if extjs && !refusal.bare {
        return envelope(200, "OK", extjs_body(refusal), Keep::Alive);
    }
    let body = if refusal.bare { String::new() } else { body(refusal) };
    envelope(refusal.status, refusal.reason(), body, Keep::Close)
}

fn body(refusal: &Refusal) -> String {
    let mut members = Map::new();
    members.insert("data".to_owned(), Value::Null);
    members.insert("message".to_owned(), json!(refusal.message));
    if !refusal.errors.is_empty() {
        members.insert("errors".to_owned(), Value::Object(refusal.errors.clone()));
    }
    Value::Object(members).to_string()
}

/// Its status is a number for a 500 and a text for a 400.
fn extjs_body(refusal: &Refusal) -> String {
    let status = if refusal.status == 400 { json!("400") } else { json!(refusal.status) };
    let mut members = Map::new();
    members.insert("data".to_owned(), Value::Null);
    members.insert("success".to_owned(), json!(0));
    members.insert("status".to_owned(), status);
    members.insert("message".to_owned(), json!(refusal.message));
    if !refusal.errors.is_empty() {
        members.insert("errors".to_owned(), Value::Object(refusal.errors.clone()));
    }
    Value::Object(members).to_string()
}

fn envelope(status: u16, reason: &str, body: String, keep: Keep) -> Answer {
    let written = !body.is_empty();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let phrase: Vec<u8> = reason.bytes().map(|byte| if byte < b' ' && byte != b'\t' { b' ' } else { byte }).collect();
    if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
        answer.extensions_mut().insert(phrase);
    }
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&jiff::Timestamp::now());
    if let Ok(Ok(date)) = date.map(|date| HeaderValue::from_str(&date)) {
        headers.insert(EXPIRES, date);
    }
    if written {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    }
    let connection = if keep == Keep::Close { "close" } else { "Keep-Alive" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    answer
}
