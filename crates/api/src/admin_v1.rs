//! What operators see and ask for. The same envelopes, errors and paging as elsewhere, behind tokens of another kind.

mod alerts;
mod guests;
mod hosts;
mod migrations;
mod operator;
mod policy;
mod regions;
mod servers;
mod setup;
mod storages;
mod teams;

use crate::Api;
use crate::edge::{Problem, Result};
use cloud::secrets::Key;
use model::ids::RegionSlug;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(operator::show))
        .routes(routes!(setup::show))
        .routes(routes!(regions::list, regions::create))
        .routes(routes!(regions::show, regions::update, regions::remove))
        .routes(routes!(regions::test))
        .routes(routes!(regions::probe))
        .routes(routes!(hosts::list))
        .routes(routes!(hosts::show, hosts::update))
        .routes(routes!(hosts::drain))
        .routes(routes!(storages::list))
        .routes(routes!(storages::templates, storages::fetch_template))
        .routes(routes!(guests::list))
        .routes(routes!(guests::adopt))
        .routes(routes!(guests::adoption))
        .routes(routes!(migrations::list, migrations::start))
        .routes(routes!(migrations::show))
        .routes(routes!(alerts::list))
        .routes(routes!(alerts::acknowledge))
        .routes(routes!(servers::list))
        .routes(routes!(teams::list))
}

/// What a list can be narrowed to.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfRegion {
    /// Only what is in this region.
    region: Option<String>,
}

impl OfRegion {
    fn slug(&self) -> Option<RegionSlug> {
        self.region.as_deref().map(RegionSlug::from)
    }
}

/// The key that secrets are sealed with; a process without one can connect nothing.
fn key(api: &Api) -> Result<&Key> {
    let key = api.options().secrets.as_deref();
    key.ok_or_else(|| Problem::internal("this process has no key to seal secrets with, so it cannot take any"))
}
