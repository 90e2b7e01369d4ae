//! HTTP: the API of tenants (`/v2`, `/cloud/v1`) and that of operators (`/admin/v1`). A handler reads its arguments
//! with the extractors of [`edge`], calls one read of `store` or one verb of `cloud`, and turns what comes back into a
//! shape of `wire`. It holds an [`Api`] and nothing else, so it cannot reach a provider.
//!
//! Every endpoint is declared once, by `#[utoipa::path]` on its handler: path, operation id (DigitalOcean's where it
//! has one), scope (`security`), and `x-cairn` with the `audit` operation it writes and its `rate` class. The OpenAPI
//! document is generated from that, and the edge enforces what the document says.

mod admin_v1;
mod cloud_v1;
mod document;
pub mod edge;
mod health;
mod oauth;
mod options;
mod reference;
mod v2;

pub use document::document;
pub use options::{Limits, Options, RenderMetrics, SetupScript, SetupWish};

use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use cloud::server::group::Groups;
use edge::{Feed, Guard, Problem, Proxies, Rates, Tokens};
use model::refusal::Code;
use std::any::Any;
use std::sync::Arc;
use store::Store;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;

/// What every handler holds: the database, what was fixed at the start, and where creates wait for company. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Api {
    store: Store,
    options: Arc<Options>,
    groups: Groups,
}

impl Api {
    /// The database.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What was fixed at the start.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where requests for servers are accepted together.
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The absolute address of a path on our own public host.
    pub fn href(&self, path: &str) -> String {
        format!("{}{path}", self.options.public_url.trim_end_matches('/'))
    }
}

/// The whole service. Must be called within a runtime: it starts one task that listens to the database and ends
/// with the router.
pub fn router(store: Store, options: Options) -> Router {
    let document = document();
    let (routes, _) = routes().split_for_parts();
    guarded(store, options, &document, routes.merge(reference::routes(&document)))
}

/// Health and figures alone, for a process that serves nothing else; asked as they are of [`router`], by whom they may be
/// asked there.
pub fn health_router(store: Store, options: Options) -> Router {
    let (routes, _) = health::routes().split_for_parts();
    guarded(store, options, &document(), routes)
}

/// These routes, behind what is declared of them.
fn guarded(store: Store, options: Options, document: &serde_json::Value, routes: Router<Api>) -> Router {
    let api = Api { store: store.clone(), options: Arc::new(options), groups: Groups::default() };
    let tokens = Arc::new(Tokens::new(store.clone(), api.options.token_cache));
    let feed = Feed::start(store, Arc::clone(&tokens));
    let guard = Guard {
        store: api.store.clone(),
        operations: Arc::new(edge::operations::Table::new(edge::operations::enumerate(document))),
        tokens,
        rates: Arc::new(Rates::new(api.options.limits)),
        proxies: Arc::new(Proxies::new(api.options.trusted_proxies.clone())),
        feed,
    };
    routes
        .fallback(nowhere)
        .layer(Extension(guard.feed.clone()))
        .layer(Extension(Arc::clone(&guard.tokens)))
        .layer(Extension(cloud_v1::Streams::default()))
        .layer(from_fn_with_state(guard, edge::check))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(api.clone(), edge::envelope))
        .with_state(api)
}

/// Every declared endpoint.
fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(v2::routes())
        .merge(cloud_v1::routes())
        .merge(admin_v1::routes())
        .merge(oauth::routes())
        .merge(health::routes())
}

async fn nowhere() -> Problem {
    Problem::new(Code::NotFound, "There is nothing under this path; /reference lists what there is.")
}

/// A panic is a fault of ours and of one request; the others go on.
fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str).or_else(|| cause.downcast_ref::<&str>().copied());
    Problem::internal(format!("BUG: a handler panicked: {}", text.unwrap_or("no words"))).into_response()
}
