//! Teams: whose servers there are.

use crate::Api;
use crate::edge::{AsOperator, Json, PageParameters, Paging, Query, Result};
use axum::extract::State;
use utoipa::IntoParams;
use wire::admin::{Team, TeamAmount, TeamList};

/// What the list can be narrowed to.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Narrow {
    /// Only those of this name.
    name: Option<String>,
}

/// List the teams
#[utoipa::path(get, path = "/admin/v1/teams", operation_id = "admin_teams_list", tag = "Admin",
    params(PageParameters, Narrow),
    security(("operator_auth" = ["team:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of teams, by name.", body = TeamList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(narrow): Query<Narrow>,
) -> Result<Json<TeamList>> {
    let (teams, total) =
        store::teams::list(api.store(), narrow.name.as_deref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, teams.into_iter().map(wire).collect(), total))
}

fn wire(team: store::teams::Team) -> Team {
    let amount = |(used, limit): (i64, i64)| TeamAmount { used, limit };
    Team {
        id: team.id.0,
        name: team.name,
        email: team.email,
        organization_id: team.organization.0,
        organization: team.organization_name,
        servers: amount(team.servers),
        vcpus: amount(team.vcpus),
        memory_mib: amount(team.memory_mib),
        disk_gb: amount(team.disk_gb),
        created_at: team.created_at.into(),
    }
}
