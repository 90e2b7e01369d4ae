//! What is asked of an image that exists.

use super::shapes::Shapes;
use crate::Api;
use crate::edge::{Authenticated, Id, Ids, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::image::wishes::Wish;
use model::ids::{ActionId, ImageId};
use store::actions::{ResourceType, Scope};
use store::servers::ImageChoice;
use wire::action::{ActionList, ActionResponse};
use wire::image_action::{ImageActionRequest, ImageWish};

/// 404 for an image that the team may not see. What it may see but is not its own has no actions of it.
async fn exists(api: &Api, caller: &cloud::Caller, image: ImageId) -> Result<store::Tx> {
    let mut tx = api.store().tenant(caller.team).await?;
    store::images::get(&mut tx, caller.team, &ImageChoice::Id(image)).await?.ok_or_else(Problem::not_found)?;
    Ok(tx)
}

/// List the actions of an image
#[utoipa::path(get, path = "/v2/images/{image_id}/actions", operation_id = "imageActions_list", tag = "Image Actions",
    params(("image_id" = i32, Path, description = "The image."), PageParameters),
    security(("bearer_auth" = ["image:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of actions, the newest first.", body = ActionList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    paging: Paging,
) -> Result<Json<ActionList>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = exists(&api, &caller, image).await?;
    let scope = Scope::Resource(ResourceType::Image, image.0);
    let (actions, total) = store::actions::list(&mut tx, caller.team, scope, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, actions.into_iter().map(|action| shapes.action(action)).collect(), total))
}

/// Ask something of an image
///
/// `convert` makes a snapshot of a backup. `transfer` sees to it that the image is in a region; where it is not, it is
/// refused, because images are not copied between regions yet.
#[utoipa::path(post, path = "/v2/images/{image_id}/actions", operation_id = "imageActions_post", tag = "Image Actions",
    params(("image_id" = i32, Path, description = "The image.")), request_body = ImageActionRequest,
    security(("bearer_auth" = ["image:update"])),
    extensions(("x-cairn" = json!({"audit": "image.action", "rate": "standard"}))),
    responses((status = 201, description = "The action.", body = ActionResponse)))]
pub(super) async fn ask(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    Json(body): Json<ImageActionRequest>,
) -> Result<(StatusCode, Json<ActionResponse>)> {
    let wish = match body.wish()? {
        ImageWish::Convert => Wish::Convert,
        ImageWish::Transfer(region) => Wish::Transfer(region),
    };
    let action = cloud::image::wishes::ask(api.store(), &caller, image, &wish).await?;
    let shapes = Shapes::of(&api).await?;
    Ok((StatusCode::CREATED, Json(ActionResponse { action: shapes.action(action) })))
}

/// Show an action of an image
#[utoipa::path(get, path = "/v2/images/{image_id}/actions/{action_id}", operation_id = "imageActions_get",
    tag = "Image Actions",
    params(("image_id" = i32, Path, description = "The image."),
           ("action_id" = i32, Path, description = "The action.")),
    security(("bearer_auth" = ["image:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The action.", body = ActionResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Ids(image, id): Ids<ImageId, ActionId>,
) -> Result<Json<ActionResponse>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = exists(&api, &caller, image).await?;
    let action = store::actions::get(&mut tx, caller.team, id).await?;
    let of_this = |action: &store::actions::Action| {
        action.resource_type == ResourceType::Image.as_str() && action.resource_id == image.0
    };
    let action = action.filter(of_this).ok_or_else(Problem::not_found)?;
    Ok(Json(ActionResponse { action: shapes.action(action) }))
}
