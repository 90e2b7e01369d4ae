//! What is asked of servers that exist, and how far it is.

use super::servers::{TagParameter, backup_policy, exists, image_choice, tag};
use super::shapes::Shapes;
use crate::Api;
use crate::edge::{Authenticated, Id, Ids, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::server::wishes::{self, Wish};
use model::ids::{ActionId, ServerId};
use model::refusal::Refusal;
use store::actions::{ResourceType, Scope};
use wire::action::{ActionList, ActionResponse, StartedActions};
use wire::server_action::{DiskOnResize, ServerActionRequest, ServerWish};

fn wish(asked: ServerWish, seed: u64) -> Result<Wish> {
    Ok(match asked {
        ServerWish::EnableBackups(policy) => Wish::EnableBackups(backup_policy(policy, seed)?),
        ServerWish::DisableBackups => Wish::DisableBackups,
        ServerWish::ChangeBackupPolicy(policy) => Wish::ChangeBackupPolicy(backup_policy(Some(policy), seed)?),
        ServerWish::Reboot => Wish::Reboot,
        ServerWish::PowerCycle => Wish::PowerCycle,
        ServerWish::Shutdown => Wish::Shutdown,
        ServerWish::PowerOff => Wish::PowerOff,
        ServerWish::PowerOn => Wish::PowerOn,
        ServerWish::Restore(image) => Wish::Restore(image),
        ServerWish::PasswordReset => Wish::PasswordReset,
        ServerWish::Resize { size, disk } => Wish::Resize { size, grow_disk: disk == DiskOnResize::Grow },
        ServerWish::Rebuild(image) => Wish::Rebuild(image_choice(image)?),
        ServerWish::Rename(name) => Wish::Rename(name),
        ServerWish::ChangeKernel(_) => Wish::ChangeKernel,
        ServerWish::EnableIpv6 => Wish::EnableIpv6,
        ServerWish::Snapshot(name) => Wish::Snapshot(name),
    })
}

/// Ask something of a server
///
/// `shutdown` asks the guest and cuts the power when it has not obeyed within a minute.
#[utoipa::path(post, path = "/v2/droplets/{droplet_id}/actions", operation_id = "dropletActions_post", tag = "Droplet Actions",
    params(("droplet_id" = i32, Path, description = "The server.")),
    request_body = ServerActionRequest,
    security(("bearer_auth" = ["droplet:update"])),
    extensions(("x-cairn" = json!({"audit": "dropletActions_post", "rate": "standard"}))),
    responses((status = 201, description = "The action.", body = ActionResponse)))]
pub(super) async fn ask(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    Json(body): Json<ServerActionRequest>,
) -> Result<(StatusCode, Json<ActionResponse>)> {
    let wish = wish(body.wish()?, u64::from(id.0.unsigned_abs()))?;
    let action = wishes::ask(api.store(), &caller, id, &wish).await?;
    let shapes = Shapes::of(&api).await?;
    Ok((StatusCode::CREATED, Json(ActionResponse { action: shapes.action(action) })))
}

/// Ask something of all servers with a tag
///
/// Of all of them, or, when one cannot, of none.
#[utoipa::path(post, path = "/v2/droplets/actions", operation_id = "dropletActions_post_byTag", tag = "Droplet Actions",
    params(TagParameter), request_body = ServerActionRequest,
    security(("bearer_auth" = ["droplet:update"])),
    extensions(("x-cairn" = json!({"audit": "dropletActions_post_byTag", "rate": "standard"}))),
    responses((status = 201, description = "The actions.", body = StartedActions)))]
pub(super) async fn ask_tagged(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<TagParameter>,
    Json(body): Json<ServerActionRequest>,
) -> Result<(StatusCode, Json<StartedActions>)> {
    let tag = tag(asked)?;
    if !body.kind.allowed_by_tag() {
        let message = format!("`{}` is asked of one server at a time.", body.kind);
        return Err(Refusal::field("type", message).into());
    }
    let wish = wish(body.wish()?, tag.len() as u64)?;
    let actions = wishes::ask_tagged(api.store(), &caller, &tag, &wish).await?;
    let shapes = Shapes::of(&api).await?;
    let actions = actions.into_iter().map(|action| shapes.action(action)).collect();
    Ok((StatusCode::CREATED, Json(StartedActions { actions })))
}

/// List a server's actions
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/actions", operation_id = "dropletActions_list", tag = "Droplet Actions",
    params(("droplet_id" = i32, Path, description = "The server."), PageParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of actions, the newest first.", body = ActionList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    paging: Paging,
) -> Result<Json<ActionList>> {
    exists(&api, &caller, id).await?;
    let shapes = Shapes::of(&api).await?;
    let scope = Scope::Resource(ResourceType::Server, id.0);
    let mut tx = api.store().tenant(caller.team).await?;
    let (actions, total) = store::actions::list(&mut tx, caller.team, scope, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, actions.into_iter().map(|action| shapes.action(action)).collect(), total))
}

/// Show an action of a server
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/actions/{action_id}", operation_id = "dropletActions_get",
    tag = "Droplet Actions",
    params(("droplet_id" = i32, Path, description = "The server."), ("action_id" = i32, Path, description = "The action.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The action.", body = ActionResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Ids(server, id): Ids<ServerId, ActionId>,
) -> Result<Json<ActionResponse>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let action = store::actions::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    if action.resource_type != ResourceType::Server.as_str() || action.resource_id != server.0 {
        return Err(Problem::not_found());
    }
    Ok(Json(ActionResponse { action: shapes.action(action) }))
}
