//! What a request gets when it does not get what it asked for: `{id, message, request_id}`.

use super::request_id::RequestId;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use model::refusal::{Code, Refusal};
use std::sync::Arc;
use wire::error::ErrorBody;

/// An answer that is not a success. It becomes bytes only in the outermost layer, which knows the request id
/// and writes `cause` to the log; nothing of `cause` ever reaches the client.
#[derive(Clone, Debug)]
pub struct Problem {
    refusal: Refusal,
    cause: Option<Arc<str>>,
    retry_after: Option<u64>,
}

/// The result of a handler.
pub type Result<T> = std::result::Result<T, Problem>;

impl Problem {
    /// A problem with a code and a sentence.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Refusal::new(code, message).into()
    }

    /// Something broke on our side; `cause` goes to the log alone.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let cause = Some(cause.to_string().into());
        Self { refusal: Refusal::server_error(), cause, retry_after: None }
    }

    /// 404, the same whether it never was or belongs to another team.
    pub fn not_found() -> Self {
        Refusal::not_found().into()
    }

    /// Adds a `Retry-After` header, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// What the client is told.
    pub fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// For an answer that a layer below made without words (an unknown path, a wrong method).
    pub(super) fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => Self::new(
                Code::MethodNotAllowed,
                "This path does not answer to that method; the Allow header says which it does.",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(Code::PayloadTooLarge, "The body of the request is too large."),
            StatusCode::UNAUTHORIZED => Refusal::unauthorized().into(),
            status if status.is_client_error() => Self::new(Code::BadRequest, "The request could not be read."),
            status => Self::internal(format!("a layer answered {status}")),
        }
    }

    /// Writes the answer and the log line.
    pub(super) fn render(&self, id: RequestId, mut response: Response) -> Response {
        let status = self.status();
        match &self.cause {
            Some(cause) => tracing::error!(request_id = %id, %cause, "the request failed"),
            None => tracing::debug!(request_id = %id, status = status.as_u16(), refusal = %self.refusal, "refused"),
        }
        let body = ErrorBody::new(&self.refusal, id.to_string());
        *response.status_mut() = status;
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // A struct of strings always serialises; the empty body is what is left if that were ever untrue.
        *response.body_mut() = serde_json::to_vec(&body).unwrap_or_default().into();
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, cause: None, retry_after: None }
    }
}

impl From<cloud::Error> for Problem {
    fn from(error: cloud::Error) -> Self {
        match error {
            cloud::Error::Refused(refusal) => refusal.into(),
            other => Self::internal(chain(&other)),
        }
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::internal(chain(&error))
    }
}

/// An error and everything it came from, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
