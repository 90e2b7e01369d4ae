//! The API that is compatible with DigitalOcean's. One file per resource.

mod account;
mod keys;
mod regions;
mod sizes;
mod tags;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(account::show))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::show, keys::update, keys::delete))
        .routes(routes!(regions::list))
        .routes(routes!(sizes::list))
        .routes(routes!(tags::list, tags::create))
        .routes(routes!(tags::show, tags::delete))
        .routes(routes!(tags::assign, tags::unassign))
}
