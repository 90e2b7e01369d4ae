//! Snapshots, whatever they are of. So far they are of servers only.

use super::shapes::gigabytes;
use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use model::ids::ImageId;
use model::states::{ImageKind, ImageStatus};
use serde::Deserialize;
use store::images::{Entry, Filter, Whose};
use store::servers::ImageChoice;
use utoipa::IntoParams;
use wire::snapshot::{Snapshot, SnapshotList, SnapshotResource, SnapshotResponse};

fn wire(image: Entry) -> Snapshot {
    Snapshot {
        id: image.id.to_string(),
        name: image.name,
        created_at: image.created_at.into(),
        regions: image.regions,
        min_disk_size: i64::from(image.min_disk_gb),
        size_gigabytes: image.stored_bytes.map_or(0.0, gigabytes),
        resource_id: image.server.map(|server| server.to_string()).unwrap_or_default(),
        resource_type: SnapshotResource::Server,
        tags: image.tags,
    }
}

/// Narrows a list of snapshots.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only those of servers, or of volumes.
    #[param(inline)]
    resource_type: Option<SnapshotResource>,
}

/// List the snapshots
///
/// Those that can be used. Of one that is being made, `GET /v2/images` says how it stands.
#[utoipa::path(get, path = "/v2/snapshots", operation_id = "snapshots_list", tag = "Snapshots",
    params(PageParameters, ListParameters),
    security(("bearer_auth" = ["snapshot:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of snapshots, the oldest first.", body = SnapshotList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<ListParameters>,
    paging: Paging,
) -> Result<Json<SnapshotList>> {
    if asked.resource_type == Some(SnapshotResource::Volume) {
        return Ok(paging.answer(&api, Vec::new(), 0));
    }
    let filter = Filter {
        whose: Whose::Own,
        kind: Some(ImageKind::Snapshot),
        status: Some(ImageStatus::Available),
        ..Filter::default()
    };
    let mut tx = api.store().tenant(caller.team).await?;
    let (images, total) = store::images::list(&mut tx, caller.team, &filter, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, images.into_iter().map(wire).collect(), total))
}

/// Show a snapshot
#[utoipa::path(get, path = "/v2/snapshots/{snapshot_id}", operation_id = "snapshots_get", tag = "Snapshots",
    params(("snapshot_id" = String, Path, description = "The snapshot.")),
    security(("bearer_auth" = ["snapshot:read", "block_storage_snapshot:read"])),
    extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The snapshot.", body = SnapshotResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ImageId>,
) -> Result<Json<SnapshotResponse>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let image = store::images::get(&mut tx, caller.team, &ImageChoice::Id(id)).await?;
    let image = cloud::image::verbs::snapshot(image.ok_or_else(Problem::not_found)?)?;
    Ok(Json(SnapshotResponse { snapshot: wire(image) }))
}

/// Delete a snapshot
#[utoipa::path(delete, path = "/v2/snapshots/{snapshot_id}", operation_id = "snapshots_delete", tag = "Snapshots",
    params(("snapshot_id" = String, Path, description = "The snapshot.")),
    security(("bearer_auth" = ["image:delete", "snapshot:delete"])),
    extensions(("x-cairn" = json!({"audit": "snapshot.delete", "rate": "standard"}))),
    responses((status = 204, description = "It is deleted.")))]
pub(super) async fn delete(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ImageId>,
) -> Result<StatusCode> {
    cloud::image::verbs::delete_snapshot(api.store(), &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
