//! Images: the operator's, and what teams keep or bring.

use super::shapes::gigabytes;
use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::image::verbs::{BringImage, ChangeImage};
use model::ids::ImageId;
use serde::Deserialize;
use store::images::{Entry, Filter, Whose};
use store::servers::ImageChoice;
use utoipa::{IntoParams, ToSchema};
use wire::image::{Image, ImageCreate, ImageList, ImageResponse, ImageUpdate};
use wire::reference::IdOrSlug;

pub(super) fn wire(image: Entry) -> Image {
    Image {
        id: image.id,
        name: image.name,
        kind: image.kind,
        distribution: image.distribution,
        slug: image.slug,
        public: image.public,
        regions: image.regions,
        created_at: image.created_at.into(),
        min_disk_size: Some(i64::from(image.min_disk_gb)),
        size_gigabytes: image.stored_bytes.map(gigabytes),
        description: image.description,
        tags: image.tags,
        status: image.status,
        error_message: image.error,
    }
}

/// What the parameter `type` can be; it is not the `type` of an image.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Shelf {
    /// Images with an application installed. There are none.
    Application,
    /// Operating systems of the operator's catalogue.
    Distribution,
}

/// Narrows a list of images.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only what stands on this shelf of the catalogue.
    #[serde(rename = "type")]
    #[param(inline)]
    shelf: Option<Shelf>,
    /// `true`: only the team's own.
    private: Option<bool>,
    /// Only those with this tag.
    tag_name: Option<String>,
}

impl ListParameters {
    /// `None`: nothing can match.
    fn filter(self) -> Option<Filter> {
        let private = self.private.unwrap_or(false);
        let whose = match (self.shelf, private) {
            (Some(Shelf::Application), _) | (Some(Shelf::Distribution), true) => return None,
            (Some(Shelf::Distribution), false) => Whose::Public,
            (None, true) => Whose::Own,
            (None, false) => Whose::All,
        };
        Some(Filter { whose, tag: self.tag_name, ..Filter::default() })
    }
}

/// List the images
#[utoipa::path(get, path = "/v2/images", operation_id = "images_list", tag = "Images",
    params(ListParameters, PageParameters),
    security(("bearer_auth" = ["image:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of images, the oldest first.", body = ImageList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<ListParameters>,
    paging: Paging,
) -> Result<Json<ImageList>> {
    let Some(filter) = asked.filter() else { return Ok(paging.answer(&api, Vec::new(), 0)) };
    let mut tx = api.store().tenant(caller.team).await?;
    let (images, total) = store::images::list(&mut tx, caller.team, &filter, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, images.into_iter().map(wire).collect(), total))
}

/// Bring an image
///
/// Its bytes are fetched after the answer, once, over https and from the public internet only; the `status` says when it
/// can be used, and where it cannot be, `error_message` says why.
#[utoipa::path(post, path = "/v2/images", operation_id = "images_create_custom", tag = "Images",
    request_body = ImageCreate,
    security(("bearer_auth" = ["image:create"])),
    extensions(("x-cairn" = json!({"audit": "image.create", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.", body = ImageResponse)))]
pub(super) async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Json(body): Json<ImageCreate>,
) -> Result<(StatusCode, Json<ImageResponse>)> {
    let request = BringImage {
        name: body.name,
        url: body.url,
        region: body.region,
        distribution: body.distribution,
        description: body.description,
        tags: body.tags.unwrap_or_default(),
    };
    let image = cloud::image::verbs::bring(api.store(), &caller, &request, api.options().image_reach).await?;
    Ok((StatusCode::ACCEPTED, Json(ImageResponse { image: wire(image) })))
}

/// Show an image
#[utoipa::path(get, path = "/v2/images/{image_id}", operation_id = "images_get", tag = "Images",
    params(("image_id" = IdOrSlug, Path, description = "Id, or slug of a public image.")),
    security(("bearer_auth" = ["image:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The image.", body = ImageResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(reference): Id<IdOrSlug>,
) -> Result<Json<ImageResponse>> {
    let choice = match reference {
        IdOrSlug::Id(id) => ImageChoice::Id(ImageId(i32::try_from(id).map_err(|_| Problem::not_found())?)),
        IdOrSlug::Slug(slug) => ImageChoice::Slug(slug),
    };
    let mut tx = api.store().tenant(caller.team).await?;
    let image = store::images::get(&mut tx, caller.team, &choice).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(ImageResponse { image: wire(image) }))
}

/// Change what an image says of itself
#[utoipa::path(put, path = "/v2/images/{image_id}", operation_id = "images_update", tag = "Images",
    params(("image_id" = i32, Path, description = "The image.")), request_body = ImageUpdate,
    security(("bearer_auth" = ["image:update"])),
    extensions(("x-cairn" = json!({"audit": "image.update", "rate": "standard"}))),
    responses((status = 200, description = "The image.", body = ImageResponse)))]
pub(super) async fn update(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ImageId>,
    Json(body): Json<ImageUpdate>,
) -> Result<Json<ImageResponse>> {
    let change = ChangeImage { name: body.name, description: body.description, distribution: body.distribution };
    let image = cloud::image::verbs::change(api.store(), &caller, id, &change).await?;
    Ok(Json(ImageResponse { image: wire(image) }))
}

/// Delete an image
///
/// Not listed any more from this moment on. Servers that were made from it are not touched.
#[utoipa::path(delete, path = "/v2/images/{image_id}", operation_id = "images_delete", tag = "Images",
    params(("image_id" = i32, Path, description = "The image.")),
    security(("bearer_auth" = ["image:delete"])),
    extensions(("x-cairn" = json!({"audit": "image.delete", "rate": "standard"}))),
    responses((status = 204, description = "It is deleted.")))]
pub(super) async fn delete(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ImageId>,
) -> Result<StatusCode> {
    cloud::image::verbs::delete(api.store(), &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
