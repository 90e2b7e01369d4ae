//! What tenants have beyond `/v2`, with the same envelopes, errors and paging.

mod events;
mod quotas;

pub(crate) use events::Streams;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events::stream)).routes(routes!(quotas::show))
}
