//! Registered SSH keys, by id or by fingerprint.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use axum::http::StatusCode;
use model::ids::SshKeyId;
use store::keys::{Key, Which};
use wire::key::{SshKey, SshKeyCreate, SshKeyList, SshKeyResponse, SshKeyUpdate};
use wire::reference::KeyReference;

fn wire(key: Key) -> SshKey {
    SshKey { id: key.id, fingerprint: key.fingerprint, public_key: key.public_key, name: key.name }
}

/// No key has a number that its column cannot hold.
fn which(reference: &KeyReference) -> Result<Which<'_>> {
    match reference {
        KeyReference::Id(id) => i32::try_from(*id).map(|id| Which::Id(SshKeyId(id))).map_err(|_| Problem::not_found()),
        KeyReference::Fingerprint(text) => Ok(Which::Fingerprint(text)),
    }
}

/// List the SSH keys
#[utoipa::path(get, path = "/v2/account/keys", operation_id = "sshKeys_list", tag = "SSH Keys", params(PageParameters),
    security(("bearer_auth" = ["ssh_key:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of keys, the oldest first.", body = SshKeyList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    paging: Paging,
) -> Result<Json<SshKeyList>> {
    let (keys, total) = store::keys::list(api.store(), caller.team, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, keys.into_iter().map(wire).collect(), total))
}

/// Register an SSH key
#[utoipa::path(post, path = "/v2/account/keys", operation_id = "sshKeys_create", tag = "SSH Keys",
    request_body = SshKeyCreate,
    security(("bearer_auth" = ["ssh_key:create"])),
    extensions(("x-cairn" = json!({"audit": "ssh_key.create", "rate": "standard"}))),
    responses((status = 201, description = "The key.", body = SshKeyResponse)))]
pub(super) async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Json(body): Json<SshKeyCreate>,
) -> Result<(StatusCode, Json<SshKeyResponse>)> {
    let key = cloud::key::verbs::create(api.store(), &caller, &body.name, &body.public_key).await?;
    Ok((StatusCode::CREATED, Json(SshKeyResponse { ssh_key: wire(key) })))
}

/// Show an SSH key
#[utoipa::path(get, path = "/v2/account/keys/{ssh_key_identifier}", operation_id = "sshKeys_get", tag = "SSH Keys",
    params(("ssh_key_identifier" = KeyReference, Path, description = "Id or MD5 fingerprint.")),
    security(("bearer_auth" = ["ssh_key:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The key.", body = SshKeyResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(reference): Id<KeyReference>,
) -> Result<Json<SshKeyResponse>> {
    let key = store::keys::find(api.store(), caller.team, which(&reference)?).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(SshKeyResponse { ssh_key: wire(key) }))
}

/// Rename an SSH key
#[utoipa::path(put, path = "/v2/account/keys/{ssh_key_identifier}", operation_id = "sshKeys_update", tag = "SSH Keys",
    params(("ssh_key_identifier" = KeyReference, Path, description = "Id or MD5 fingerprint.")),
    request_body = SshKeyUpdate,
    security(("bearer_auth" = ["ssh_key:update"])),
    extensions(("x-cairn" = json!({"audit": "ssh_key.update", "rate": "standard"}))),
    responses((status = 200, description = "The key.", body = SshKeyResponse)))]
pub(super) async fn update(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(reference): Id<KeyReference>,
    Json(body): Json<SshKeyUpdate>,
) -> Result<Json<SshKeyResponse>> {
    let which = which(&reference)?;
    let key = cloud::key::verbs::rename(api.store(), &caller, which, body.name.as_deref()).await?;
    Ok(Json(SshKeyResponse { ssh_key: wire(key) }))
}

/// Remove an SSH key
///
/// Servers that were given it keep it.
#[utoipa::path(delete, path = "/v2/account/keys/{ssh_key_identifier}", operation_id = "sshKeys_delete", tag = "SSH Keys",
    params(("ssh_key_identifier" = KeyReference, Path, description = "Id or MD5 fingerprint.")),
    security(("bearer_auth" = ["ssh_key:delete"])),
    extensions(("x-cairn" = json!({"audit": "ssh_key.delete", "rate": "standard"}))),
    responses((status = 204, description = "It is not registered any more.")))]
pub(super) async fn delete(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(reference): Id<KeyReference>,
) -> Result<StatusCode> {
    cloud::key::verbs::delete(api.store(), &caller, which(&reference)?).await?;
    Ok(StatusCode::NO_CONTENT)
}
