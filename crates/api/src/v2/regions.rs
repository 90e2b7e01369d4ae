//! Regions.

use crate::Api;
use crate::edge::{Authenticated, Json, PageParameters, Paging, Result};
use axum::extract::State;
use wire::region::{Region, RegionList};

/// List the regions
#[utoipa::path(get, path = "/v2/regions", operation_id = "regions_list", tag = "Regions", params(PageParameters),
    security(("bearer_auth" = ["regions:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of regions, in the operator's order.", body = RegionList)))]
pub(super) async fn list(State(api): State<Api>, _: Authenticated, paging: Paging) -> Result<Json<RegionList>> {
    let regions = store::catalogue::regions(api.store()).await?;
    let regions: Vec<_> = regions
        .into_iter()
        .map(|region| Region {
            name: region.name,
            slug: region.slug,
            features: region.features,
            available: region.available,
            sizes: region.sizes,
        })
        .collect();
    Ok(paging.cut(&api, &regions))
}
