//! The API that is compatible with DigitalOcean's. One file per resource.

mod account;

use crate::Api;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(account::show))
}
