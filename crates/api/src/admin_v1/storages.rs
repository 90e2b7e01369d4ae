//! Storages, and the templates that servers are copied from.

use super::OfRegion;
use crate::Api;
use crate::edge::{AsOperator, Json, PageParameters, Paging, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use model::ids::RegionSlug;
use wire::admin::{Storage, StorageList, Template, TemplateFetch, TemplateFetching, TemplateList};

/// List the storages
#[utoipa::path(get, path = "/admin/v1/storages", operation_id = "admin_storages_list", tag = "Admin",
    params(PageParameters, OfRegion),
    security(("operator_auth" = ["storage:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of storages as they were last seen.", body = StorageList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(of): Query<OfRegion>,
) -> Result<Json<StorageList>> {
    let (storages, total) =
        store::storages::list(api.store(), of.slug().as_ref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, storages.into_iter().map(storage).collect(), total))
}

fn storage(storage: store::storages::Storage) -> Storage {
    Storage {
        region: storage.region.0,
        name: storage.name,
        host: storage.host,
        technique: storage.technique,
        content: storage.content,
        total_bytes: storage.total_bytes,
        used_bytes: storage.used_bytes,
        online: storage.online,
        used_for_guests: storage.used_for_guests,
        seen_at: storage.seen_at.into(),
    }
}

/// List the templates
///
/// Every image of the catalogue in every region that can have it, and whether its bytes are there.
#[utoipa::path(get, path = "/admin/v1/templates", operation_id = "admin_templates_list", tag = "Admin",
    params(PageParameters, OfRegion),
    security(("operator_auth" = ["template:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of templates, by region and image.", body = TemplateList)))]
pub(super) async fn templates(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(of): Query<OfRegion>,
) -> Result<Json<TemplateList>> {
    let (templates, total) =
        store::templates::list(api.store(), of.slug().as_ref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, templates.into_iter().map(template).collect(), total))
}

fn template(template: store::templates::Template) -> Template {
    Template {
        region: template.region.0,
        image_id: template.image,
        slug: template.slug,
        name: template.name,
        distribution: template.distribution,
        status: template.status,
        at_hand: template.at_hand,
        stored_bytes: template.stored_bytes,
        seen_at: template.seen_at.map(Into::into),
    }
}

/// Fetch a template
///
/// Brings an image's bytes to a region before the first server needs them.
#[utoipa::path(post, path = "/admin/v1/templates", operation_id = "admin_templates_fetch", tag = "Admin",
    request_body = TemplateFetch,
    security(("operator_auth" = ["template:create"])),
    extensions(("x-cairn" = json!({"audit": "template.fetch", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.", body = TemplateFetching)))]
pub(super) async fn fetch_template(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Json(body): Json<TemplateFetch>,
) -> Result<(StatusCode, Json<TemplateFetching>)> {
    let region = RegionSlug(body.region);
    let workflow = cloud::template::fetch(api.store(), &operator, &region, body.image_id).await?;
    Ok((StatusCode::ACCEPTED, Json(TemplateFetching { workflow_id: workflow.0 })))
}
