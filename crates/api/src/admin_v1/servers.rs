//! Servers of all teams.

use crate::Api;
use crate::edge::{AsOperator, Json, PageParameters, Paging, Query, Result};
use crate::v2::shapes;
use axum::extract::State;
use model::ids::{HostId, RegionSlug, TeamId};
use store::servers::{Placed, Where};
use utoipa::IntoParams;
use uuid::Uuid;
use wire::admin::{PlacedServer, PlacedServerList};

/// What the list can be narrowed to; all that is given has to fit.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Narrow {
    /// Only those in this region.
    region: Option<String>,
    /// Only those on this host.
    host_id: Option<Uuid>,
    /// Only those of this team.
    team_id: Option<Uuid>,
}

/// List the servers of all teams
#[utoipa::path(get, path = "/admin/v1/servers", operation_id = "admin_servers_list", tag = "Admin",
    params(PageParameters, Narrow),
    security(("operator_auth" = ["server:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of servers, the oldest first.", body = PlacedServerList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(narrow): Query<Narrow>,
) -> Result<Json<PlacedServerList>> {
    let narrow = Where {
        region: narrow.region.map(RegionSlug::from),
        host: narrow.host_id.map(HostId),
        team: narrow.team_id.map(TeamId),
    };
    let (servers, total) = store::servers::everywhere(api.store(), &narrow, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, servers.into_iter().map(wire).collect(), total))
}

fn wire(server: Placed) -> PlacedServer {
    PlacedServer {
        status: status(&server).to_owned(),
        id: server.id,
        name: server.name,
        team_id: server.team.0,
        team: server.team_name,
        region: server.region.0,
        host: server.host,
        size: server.size.0,
        vcpus: i64::from(server.vcpus),
        memory_mib: i64::from(server.memory_mib),
        disk_gb: i64::from(server.disk_gb),
        address: server.address,
        created_at: server.created_at.into(),
    }
}

/// The tenant's word for it, unless its deletion was asked for: then its tenant is shown nothing any more.
fn status(server: &Placed) -> &'static str {
    if server.leaving { "deleting" } else { shapes::status(server.answered, server.seen_power).as_str() }
}
