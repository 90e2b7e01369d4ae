//! The copies of a server's disk: its snapshots and backups, and destroying it together with them.

use super::servers::exists;
use super::shapes::gigabytes;
use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use cloud::server::destroy;
use model::ids::{ImageId, ServerId};
use model::refusal::{Code, Refusal};
use model::states::{ImageKind, ImageStatus};
use store::images::{Entry, Filter, Whose};
use store::servers::Going;
use wire::server_destroy::{
    AssociatedResource, AssociatedResources, AssociatedSelection, DestroyStatus, DestroyedResource, DestroyedResources,
};
use wire::snapshot::{ServerBackupList, ServerSnapshot, ServerSnapshotKind, ServerSnapshotList};

fn wire(image: Entry, kind: ServerSnapshotKind) -> ServerSnapshot {
    ServerSnapshot {
        id: image.id,
        name: image.name,
        created_at: image.created_at.into(),
        regions: image.regions,
        min_disk_size: i64::from(image.min_disk_gb),
        size_gigabytes: image.stored_bytes.map_or(0.0, gigabytes),
        kind,
        distribution: Some(image.distribution),
        slug: image.slug,
        public: false,
    }
}

async fn copies(
    api: &Api,
    caller: &cloud::Caller,
    server: ServerId,
    kind: ImageKind,
    paging: &Paging,
) -> Result<(Vec<Entry>, i64)> {
    exists(api, caller, server).await?;
    let filter = Filter {
        whose: Whose::Own,
        kind: Some(kind),
        status: Some(ImageStatus::Available),
        server: Some(server),
        ..Filter::default()
    };
    let mut tx = api.store().tenant(caller.team).await?;
    Ok(store::images::list(&mut tx, caller.team, &filter, paging.limit(), paging.offset()).await?)
}

/// List a server's snapshots
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/snapshots", operation_id = "droplets_list_snapshots", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server."), PageParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of snapshots, the oldest first.", body = ServerSnapshotList)))]
pub(super) async fn snapshots(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    paging: Paging,
) -> Result<Json<ServerSnapshotList>> {
    let (images, total) = copies(&api, &caller, id, ImageKind::Snapshot, &paging).await?;
    let images = images.into_iter().map(|image| wire(image, ServerSnapshotKind::Snapshot)).collect();
    Ok(paging.answer(&api, images, total))
}

/// List a server's backups
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/backups", operation_id = "droplets_list_backups", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server."), PageParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of backups, the oldest first.", body = ServerBackupList)))]
pub(super) async fn backups(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    paging: Paging,
) -> Result<Json<ServerBackupList>> {
    let (images, total) = copies(&api, &caller, id, ImageKind::Backup, &paging).await?;
    let images = images.into_iter().map(|image| wire(image, ServerSnapshotKind::Backup)).collect();
    Ok(paging.answer(&api, images, total))
}

/// List what hangs on a server
///
/// What could be destroyed together with it: its snapshots.
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/destroy_with_associated_resources",
    operation_id = "droplets_list_associatedResources", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "What there is.", body = AssociatedResources)))]
pub(super) async fn associated(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<AssociatedResources>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let server = store::servers::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    let filter = Filter { whose: Whose::Own, kind: Some(ImageKind::Snapshot), server: Some(id), ..Filter::default() };
    let most = i64::try_from(server.snapshots.len()).unwrap_or(i64::MAX);
    let (images, _) = store::images::list(&mut tx, caller.team, &filter, most, 0).await?;
    let snapshots = images
        .into_iter()
        // Keeping snapshots costs nothing extra here; clients show the word.
        .map(|image| AssociatedResource { id: image.id.to_string(), name: image.name, cost: "0.00".to_owned() })
        .collect();
    Ok(Json(AssociatedResources { snapshots, ..AssociatedResources::default() }))
}

/// Destroy a server and some of what hangs on it
#[utoipa::path(delete, path = "/v2/droplets/{droplet_id}/destroy_with_associated_resources/selective",
    operation_id = "droplets_destroy_withAssociatedResourcesSelective", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")), request_body = AssociatedSelection,
    security(("bearer_auth" = ["droplet:delete"])),
    extensions(("x-cairn" = json!({"audit": "droplets_destroy_withAssociatedResourcesSelective", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.")))]
pub(super) async fn destroy_selected(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    Json(body): Json<AssociatedSelection>,
) -> Result<StatusCode> {
    let none_of_these = [
        ("volumes", &body.volumes),
        ("volume_snapshots", &body.volume_snapshots),
        ("reserved_ips", &body.reserved_ips),
        ("floating_ips", &body.floating_ips),
    ];
    for (field, named) in none_of_these {
        if named.as_ref().is_some_and(|named| !named.is_empty()) {
            return Err(Refusal::field(field, "Nothing of this kind hangs on the server. Leave it out.").into());
        }
    }
    let mut chosen = Vec::new();
    for text in body.snapshots.unwrap_or_default() {
        let id: ImageId =
            text.parse().map_err(|_| Refusal::field("snapshots", "A snapshot is named by its number."))?;
        chosen.push(id);
    }
    let operation = "droplets_destroy_withAssociatedResourcesSelective";
    destroy::destroy_with(api.store(), &caller, id, Some(&chosen), operation).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Destroy a server and all that hangs on it
///
/// Wants the header `X-Dangerous: true`.
#[utoipa::path(delete, path = "/v2/droplets/{droplet_id}/destroy_with_associated_resources/dangerous",
    operation_id = "droplets_destroy_withAssociatedResourcesDangerous", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server."), ("x-dangerous" = Option<bool>, Header, description = "Has to be `true`.")),
    security(("bearer_auth" = ["droplet:delete"])),
    extensions(("x-cairn" = json!({"audit": "droplets_destroy_withAssociatedResourcesDangerous", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.")))]
pub(super) async fn destroy_all(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    headers: HeaderMap,
) -> Result<StatusCode> {
    if headers.get("x-dangerous").is_none_or(|value| value != "true") {
        let message =
            "This deletes the server and every snapshot of it. Send the header X-Dangerous: true if you mean it.";
        return Err(Refusal::new(Code::BadRequest, message).at("X-Dangerous").into());
    }
    let operation = "droplets_destroy_withAssociatedResourcesDangerous";
    destroy::destroy_with(api.store(), &caller, id, None, operation).await?;
    Ok(StatusCode::ACCEPTED)
}

fn going(going: Going) -> DestroyedResource {
    DestroyedResource {
        id: going.id.to_string(),
        name: going.name,
        destroyed_at: going.gone_at.map(Into::into),
        error_message: None,
    }
}

/// Show how far such a destruction is
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/destroy_with_associated_resources/status",
    operation_id = "droplets_get_DestroyAssociatedResourcesStatus", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:delete"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "How far it is.", body = DestroyStatus)))]
pub(super) async fn destroy_status(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<DestroyStatus>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let order = store::servers::destroy_order(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(DestroyStatus {
        completed_at: order.completed_at().map(Into::into),
        server: going(order.server),
        resources: DestroyedResources {
            snapshots: order.snapshots.into_iter().map(going).collect(),
            ..DestroyedResources::default()
        },
        // What cannot be deleted yet is tried again for ever; nothing is given up.
        failures: 0,
    }))
}

/// Try such a destruction again
#[utoipa::path(post, path = "/v2/droplets/{droplet_id}/destroy_with_associated_resources/retry",
    operation_id = "droplets_destroy_retryWithAssociatedResources", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:delete"])),
    extensions(("x-cairn" = json!({"audit": "droplets_destroy_retryWithAssociatedResources", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.")))]
pub(super) async fn destroy_again(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<StatusCode> {
    destroy::retry(api.store(), &caller, id).await?;
    Ok(StatusCode::ACCEPTED)
}
