//! The outermost layer: a request id, a time limit, one log line, one set of figures, and errors in their envelope.

use super::Problem;
use crate::Api;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use model::refusal::Code;
use std::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

/// The id of a request: a version 7 UUID of ours. An id that the client sends is not taken over, because it
/// would let a client write another's id into our log.
#[derive(Clone, Copy, Debug)]
pub struct RequestId(pub Uuid);

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<S: Sync> FromRequestParts<S> for RequestId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| Problem::internal("BUG: a route outside of the edge"))
    }
}

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Wraps everything. Every answer, also of an unknown path, leaves through here.
pub(crate) async fn envelope(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = RequestId(Uuid::now_v7());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    // The template, never the path itself: a path carries ids of tenants and would make a series of each.
    let path = request.extensions().get::<MatchedPath>().map_or_else(|| "unmatched".into(), |p| p.as_str().to_owned());
    let span = tracing::info_span!("request", request_id = %id, %method, path);

    let answer = tokio::time::timeout(api.options().request_timeout, next.run(request)).instrument(span.clone()).await;
    let mut response = answer.unwrap_or_else(|_| {
        Problem::new(Code::ServiceUnavailable, "The request took too long and was given up; please send it again.")
            .retry_after(1)
            .into_response()
    });
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| wordless(&response));
    if let Some(problem) = problem {
        response = span.in_scope(|| problem.render(id, response));
    }
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(HEADER, value);
    }
    let status = response.status().as_u16();
    let seconds = began.elapsed().as_secs_f64();
    let milliseconds = seconds * 1000.0;
    // Asked every few seconds by whoever watches the process; what is not well says so itself.
    let watched = matches!(path.as_str(), "/healthz" | "/readyz");
    record(&method, path, status, seconds);
    span.in_scope(|| {
        if watched {
            tracing::debug!(status, milliseconds, "answered");
        } else {
            tracing::info!(status, milliseconds, "answered");
        }
    });
    response
}

/// An error that carries no JSON came from a layer that does not know our envelope.
fn wordless(response: &Response) -> Option<Problem> {
    let failed = response.status().is_client_error() || response.status().is_server_error();
    let json =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    (failed && !json).then(|| Problem::from_status(response.status()))
}

fn record(method: &Method, path: String, status: u16, seconds: f64) {
    // Any token is a valid method; a client must not be able to make a series of its own.
    let method = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let class = match status / 100 {
        1 | 2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("cairn_http_requests_total", "method" => method, "path" => path.clone(), "status" => class)
        .increment(1);
    metrics::histogram!("cairn_http_request_duration_seconds", "method" => method, "path" => path).record(seconds);
}
