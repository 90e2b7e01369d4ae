//! Tags, and what they are on.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use axum::http::StatusCode;
use store::tags::Resource;
use wire::tag::{Tag, TagCount, TagCreate, TagList, TagResources, TagResponse, TaggedResources};

fn wire(api: &Api, tag: store::tags::Tag) -> Tag {
    let mut resources = TaggedResources::default();
    let newest = tag.counts.iter().max_by_key(|count| count.last_at);
    resources.last_tagged_uri = newest.map(|count| address(api, &count.resource_type, &count.last));
    for count in tag.counts {
        resources.count += count.count;
        let one =
            TagCount { count: count.count, last_tagged_uri: Some(address(api, &count.resource_type, &count.last)) };
        match count.resource_type.as_str() {
            "droplet" => resources.servers = one,
            "image" => resources.images = one,
            "volume" => resources.volumes = one,
            "volume_snapshot" => resources.volume_snapshots = one,
            _ => resources.databases = one,
        }
    }
    Tag { name: tag.name, resources }
}

fn address(api: &Api, resource_type: &str, id: &str) -> String {
    let collection = match resource_type {
        "droplet" => "droplets",
        "image" => "images",
        "volume" => "volumes",
        "volume_snapshot" => "snapshots",
        _ => "databases",
    };
    api.href(&format!("/v2/{collection}/{id}"))
}

fn resources(body: TagResources) -> Vec<Resource> {
    let one = |named: wire::tag::TagResource| Resource {
        resource_type: named.resource_type.as_str(),
        id: named.resource_id.to_string(),
    };
    body.resources.into_iter().map(one).collect()
}

/// List the tags
#[utoipa::path(get, path = "/v2/tags", operation_id = "tags_list", tag = "Tags", params(PageParameters),
    security(("bearer_auth" = ["tag:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of tags by name.", body = TagList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    paging: Paging,
) -> Result<Json<TagList>> {
    let (tags, total) = store::tags::list(api.store(), caller.team, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, tags.into_iter().map(|tag| wire(&api, tag)).collect(), total))
}

/// Make a tag
///
/// Making one that is there already is no mistake. Capitals make no difference; the first way of writing it stays.
#[utoipa::path(post, path = "/v2/tags", operation_id = "tags_create", tag = "Tags", request_body = TagCreate,
    security(("bearer_auth" = ["tag:create"])),
    extensions(("x-cairn" = json!({"audit": "tag.create", "rate": "standard"}))),
    responses((status = 201, description = "The tag.", body = TagResponse)))]
pub(super) async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Json(body): Json<TagCreate>,
) -> Result<(StatusCode, Json<TagResponse>)> {
    let tag = cloud::tag::verbs::create(api.store(), &caller, &body.name).await?;
    Ok((StatusCode::CREATED, Json(TagResponse { tag: wire(&api, tag) })))
}

/// Show a tag
#[utoipa::path(get, path = "/v2/tags/{tag_id}", operation_id = "tags_get", tag = "Tags",
    params(("tag_id" = String, Path, description = "The tag.")),
    security(("bearer_auth" = ["tag:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The tag.", body = TagResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(name): Id<String>,
) -> Result<Json<TagResponse>> {
    let tag = store::tags::find(api.store(), caller.team, &name).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(TagResponse { tag: wire(&api, tag) }))
}

/// Remove a tag from everything
#[utoipa::path(delete, path = "/v2/tags/{tag_id}", operation_id = "tags_delete", tag = "Tags",
    params(("tag_id" = String, Path, description = "The tag.")),
    security(("bearer_auth" = ["tag:delete"])),
    extensions(("x-cairn" = json!({"audit": "tag.delete", "rate": "standard"}))),
    responses((status = 204, description = "Nothing has it any more.")))]
pub(super) async fn delete(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(name): Id<String>,
) -> Result<StatusCode> {
    cloud::tag::verbs::delete(api.store(), &caller, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Put a tag on resources
///
/// On all of them or on none. The tag has to be there: 404 says that it is not.
#[utoipa::path(post, path = "/v2/tags/{tag_id}/resources", operation_id = "tags_assign_resources", tag = "Tags",
    params(("tag_id" = String, Path, description = "The tag.")), request_body = TagResources,
    security(("bearer_auth" = ["tag:create"])),
    extensions(("x-cairn" = json!({"audit": "tag.assign", "rate": "standard"}))),
    responses((status = 204, description = "They have it.")))]
pub(super) async fn assign(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(name): Id<String>,
    Json(body): Json<TagResources>,
) -> Result<StatusCode> {
    cloud::tag::verbs::assign(api.store(), &caller, &name, &resources(body)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Take a tag off resources
#[utoipa::path(delete, path = "/v2/tags/{tag_id}/resources", operation_id = "tags_unassign_resources", tag = "Tags",
    params(("tag_id" = String, Path, description = "The tag.")), request_body = TagResources,
    security(("bearer_auth" = ["tag:delete"])),
    extensions(("x-cairn" = json!({"audit": "tag.unassign", "rate": "standard"}))),
    responses((status = 204, description = "They do not have it.")))]
pub(super) async fn unassign(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(name): Id<String>,
    Json(body): Json<TagResources>,
) -> Result<StatusCode> {
    cloud::tag::verbs::unassign(api.store(), &caller, &name, &resources(body)).await?;
    Ok(StatusCode::NO_CONTENT)
}
