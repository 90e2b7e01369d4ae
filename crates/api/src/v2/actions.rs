//! The team's actions, whatever they are about.

use super::shapes::Shapes;
use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use model::ids::ActionId;
use store::actions::Scope;
use wire::action::{ActionList, ActionResponse};

/// List the actions
#[utoipa::path(get, path = "/v2/actions", operation_id = "actions_list", tag = "Actions", params(PageParameters),
    security(("bearer_auth" = ["actions:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of actions, the newest first.", body = ActionList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    paging: Paging,
) -> Result<Json<ActionList>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let (actions, total) =
        store::actions::list(&mut tx, caller.team, Scope::Team, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, actions.into_iter().map(|action| shapes.action(action)).collect(), total))
}

/// Show an action
#[utoipa::path(get, path = "/v2/actions/{action_id}", operation_id = "actions_get", tag = "Actions",
    params(("action_id" = i32, Path, description = "The action.")),
    security(("bearer_auth" = ["actions:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The action.", body = ActionResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ActionId>,
) -> Result<Json<ActionResponse>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let action = store::actions::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(ActionResponse { action: shapes.action(action) }))
}
