//! The OpenAPI document, and a page to read it with. All of it comes out of this binary: a cloud behind closed doors
//! has no content network to load a script from.

use crate::Api;
use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::Html;
use axum::routing::get;
use bytes::Bytes;
use serde_json::Value;

/// Redoc 2.5.4 (MIT), its `bundles/redoc.standalone.js`, gzip'ed. See `reference/README.md`.
static REDOC: &[u8] = include_bytes!("reference/redoc.standalone.js.gz");

const PAGE: &str = include_str!("reference/page.html");

pub(crate) fn routes(document: &Value) -> Router<Api> {
    let document = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    Router::new()
        .route("/openapi.json", get(async move || ([(CONTENT_TYPE, "application/json")], document.clone())))
        .route(
            "/reference",
            get(async || {
                let policy = "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'; \
                          img-src 'self' data:; worker-src blob:";
                ([(CONTENT_SECURITY_POLICY, policy)], Html(PAGE))
            }),
        )
        .route(
            "/reference/redoc.js",
            get(async || {
                let headers = [
                    (CONTENT_TYPE, "text/javascript"),
                    // Every browser takes it; there is no other form of it here.
                    (CONTENT_ENCODING, "gzip"),
                    (CACHE_CONTROL, "public, max-age=86400"),
                ];
                (headers, REDOC)
            }),
        )
}
