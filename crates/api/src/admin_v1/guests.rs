//! Guests that are not ours, and making them a team's.

use super::OfRegion;
use crate::Api;
use crate::edge::{AsOperator, Id, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::adoption::{Adopt, Quota};
use model::ids::{RegionSlug, TeamId, WorkflowId};
use store::strangers::Stranger;
use wire::admin::{
    AdoptedGuest, Adoption, AdoptionResponse, AdoptionState, Guest, GuestAdopt, GuestKind, GuestList, GuestPower,
};

/// List the guests that are not ours
#[utoipa::path(get, path = "/admin/v1/guests", operation_id = "admin_guests_list", tag = "Admin",
    params(PageParameters, OfRegion),
    security(("operator_auth" = ["guest:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of guests as they were last seen.", body = GuestList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(of): Query<OfRegion>,
) -> Result<Json<GuestList>> {
    let (guests, total) =
        store::strangers::list(api.store(), of.slug().as_ref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, guests.into_iter().map(wire).collect(), total))
}

/// Adopt a guest
///
/// It becomes a server of the team: it gets our mark, counts against the team's quota and is metered from then on. It
/// is neither stopped nor changed. Addresses that it has of the region's pools become its own there; where one is
/// somebody else's, nothing is adopted and an alert says so.
#[utoipa::path(post, path = "/admin/v1/guests/adopt", operation_id = "admin_guests_adopt", tag = "Admin",
    request_body = GuestAdopt,
    security(("operator_auth" = ["guest:adopt"])),
    extensions(("x-cairn" = json!({"audit": "guest.adopt", "rate": "standard"}))),
    responses((status = 202, description = "What it becomes.", body = AdoptedGuest)))]
pub(super) async fn adopt(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Json(body): Json<GuestAdopt>,
) -> Result<(StatusCode, Json<AdoptedGuest>)> {
    let adopt = Adopt {
        region: RegionSlug(body.region),
        name: body.guest,
        team: TeamId(body.team_id),
        server_name: body.name,
        size: body.size,
        quota: if body.over_quota == Some(true) { Quota::Overrun } else { Quota::Kept },
    };
    let (server, workflow) = cloud::adoption::adopt(api.store(), &operator, &adopt).await?;
    Ok((StatusCode::ACCEPTED, Json(AdoptedGuest { server_id: server, workflow_id: workflow.0 })))
}

/// Show how an adoption stands
///
/// Where the guest was not adopted, with what stands against it: which privilege on which path, whose address.
#[utoipa::path(get, path = "/admin/v1/guests/adoptions/{workflow_id}", operation_id = "admin_guests_adoption",
    tag = "Admin", params(("workflow_id" = uuid::Uuid, Path, description = "The workflow, as adopting answered.")),
    security(("operator_auth" = ["guest:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The adoption.", body = AdoptionResponse)))]
pub(super) async fn adoption(
    State(api): State<Api>,
    _: AsOperator,
    Id(workflow): Id<WorkflowId>,
) -> Result<Json<AdoptionResponse>> {
    let standing = cloud::adoption::standing(api.store(), workflow).await?.ok_or_else(Problem::not_found)?;
    let adoption = Adoption {
        workflow_id: workflow.0,
        server_id: standing.server,
        region: standing.region.0,
        guest: standing.guest,
        state: match standing.state {
            cloud::adoption::State::Running => AdoptionState::Running,
            cloud::adoption::State::Completed => AdoptionState::Completed,
            cloud::adoption::State::Failed => AdoptionState::Failed,
        },
        sentence: standing.sentence,
        started_at: standing.started_at.into(),
    };
    Ok(Json(AdoptionResponse { adoption }))
}

fn wire(guest: Stranger) -> Guest {
    Guest {
        region: guest.region.0,
        host: guest.host,
        name: guest.name,
        kind: match guest.kind.as_str() {
            "machine" => GuestKind::Machine,
            "container" => GuestKind::Container,
            _ => GuestKind::Unknown,
        },
        title: guest.title,
        power: guest.power.map(|power| match power.as_str() {
            "running" => GuestPower::Running,
            "stopped" => GuestPower::Stopped,
            _ => GuestPower::Unknown,
        }),
        vcpus: guest.vcpus.into(),
        memory_mib: guest.memory_mib.into(),
        disk_gb: guest.disk_gb.into(),
        owner: guest.owner,
        seen_at: guest.seen_at.into(),
    }
}
