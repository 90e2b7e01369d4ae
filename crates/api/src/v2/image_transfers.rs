//! Snapshots that are given to another team.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::image::offers::{self, Offer};
use model::ids::ImageId;
use wire::image::{ImageTransferAccept, ImageTransferCreate, ImageTransferCreated, ImageTransferReference};

/// Offer a snapshot to another team
///
/// It stays with this team until the other one accepts. Whether there is such a team is not said.
#[utoipa::path(post, path = "/v2/images/{image_id}/account_transfer",
    operation_id = "images_post_account_transfer_create", tag = "Images",
    params(("image_id" = i32, Path, description = "The snapshot.")), request_body = ImageTransferCreate,
    security(("bearer_auth" = ["image:update", "image:delete"])),
    extensions(("x-cairn" = json!({"audit": "image_transfer.create", "rate": "standard"}))),
    responses((status = 201, description = "The offer.", body = ImageTransferCreated)))]
pub(super) async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    Json(body): Json<ImageTransferCreate>,
) -> Result<(StatusCode, Json<ImageTransferCreated>)> {
    let offer = Offer { email: body.recipient_email, team: body.recipient_uuid };
    let transfer = offers::offer(api.store(), &caller, image, &offer).await?;
    Ok((StatusCode::CREATED, Json(ImageTransferCreated { transfer_id: i64::from(transfer) })))
}

/// Take a snapshot that another team offers
///
/// It counts against this team's quota from here on.
#[utoipa::path(post, path = "/v2/images/{image_id}/account_transfer/accept",
    operation_id = "images_post_account_transfer_accept", tag = "Images",
    params(("image_id" = i32, Path, description = "The snapshot.")), request_body = ImageTransferAccept,
    security(("bearer_auth" = ["image:create"])),
    extensions(("x-cairn" = json!({"audit": "image_transfer.accept", "rate": "standard"}))),
    responses((status = 201, description = "It is this team's.")))]
pub(super) async fn accept(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    Json(body): Json<ImageTransferAccept>,
) -> Result<StatusCode> {
    offers::accept(api.store(), &caller, image, body.transfer_id, &body.recipient_uuid).await?;
    Ok(StatusCode::CREATED)
}

/// Take back an offer of this team
#[utoipa::path(post, path = "/v2/images/{image_id}/account_transfer/cancel",
    operation_id = "images_post_account_transfer_cancel", tag = "Images",
    params(("image_id" = i32, Path, description = "The snapshot.")), request_body = ImageTransferReference,
    security(("bearer_auth" = ["image:update"])),
    extensions(("x-cairn" = json!({"audit": "image_transfer.cancel", "rate": "standard"}))),
    responses((status = 204, description = "It is not on offer any more.")))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    Json(body): Json<ImageTransferReference>,
) -> Result<StatusCode> {
    offers::cancel(api.store(), &caller, image, body.transfer_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Decline an offer of another team
#[utoipa::path(post, path = "/v2/images/{image_id}/account_transfer/decline",
    operation_id = "images_post_account_transfer_decline", tag = "Images",
    params(("image_id" = i32, Path, description = "The snapshot.")), request_body = ImageTransferReference,
    security(("bearer_auth" = ["image:create"])),
    extensions(("x-cairn" = json!({"audit": "image_transfer.decline", "rate": "standard"}))),
    responses((status = 204, description = "It is not on offer any more.")))]
pub(super) async fn decline(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(image): Id<ImageId>,
    Json(body): Json<ImageTransferReference>,
) -> Result<StatusCode> {
    offers::decline(api.store(), &caller, image, body.transfer_id).await?;
    Ok(StatusCode::NO_CONTENT)
}
