//! What tenants have beyond `/v2`, with the same envelopes, errors and paging.

mod actions;
mod events;
mod quotas;
mod servers;

pub(crate) use events::Streams;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(actions::show))
        .routes(routes!(servers::console_log))
        .routes(routes!(servers::screenshot))
        .routes(routes!(events::stream))
        .routes(routes!(quotas::show))
}
