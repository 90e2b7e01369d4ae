//! Hosts: what they carry, keeping new servers off them, and emptying them.

use super::OfRegion;
use crate::Api;
use crate::edge::{AsOperator, Id, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::host::Maintenance;
use model::ids::HostId;
use store::hosts::{Amounts, HostDetail};
use wire::admin::{Host, HostAmounts, HostDrain, HostGpus, HostList, HostResponse, HostState, HostUpdate};

/// List the hosts
#[utoipa::path(get, path = "/admin/v1/hosts", operation_id = "admin_hosts_list", tag = "Admin",
    params(PageParameters, OfRegion),
    security(("operator_auth" = ["host:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of hosts, by region and name.", body = HostList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(of): Query<OfRegion>,
) -> Result<Json<HostList>> {
    let (hosts, total) = store::hosts::list(api.store(), of.slug().as_ref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, hosts.into_iter().map(wire).collect(), total))
}

/// Show a host
#[utoipa::path(get, path = "/admin/v1/hosts/{host_id}", operation_id = "admin_hosts_get", tag = "Admin",
    params(("host_id" = uuid::Uuid, Path, description = "The host.")),
    security(("operator_auth" = ["host:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The host.", body = HostResponse)))]
pub(super) async fn show(State(api): State<Api>, _: AsOperator, Id(id): Id<HostId>) -> Result<Json<HostResponse>> {
    found(&api, id).await
}

async fn found(api: &Api, id: HostId) -> Result<Json<HostResponse>> {
    let host = store::hosts::get(api.store(), id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(HostResponse { host: wire(host) }))
}

/// Change a host
///
/// In maintenance it keeps the servers that it has and takes no new ones. Ending maintenance ends emptying it, too.
#[utoipa::path(put, path = "/admin/v1/hosts/{host_id}", operation_id = "admin_hosts_update", tag = "Admin",
    params(("host_id" = uuid::Uuid, Path, description = "The host.")), request_body = HostUpdate,
    security(("operator_auth" = ["host:update"])),
    extensions(("x-cairn" = json!({"audit": "host.update", "rate": "standard"}))),
    responses((status = 200, description = "The host.", body = HostResponse)))]
pub(super) async fn update(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(id): Id<HostId>,
    Json(body): Json<HostUpdate>,
) -> Result<Json<HostResponse>> {
    if let Some(tags) = &body.tags {
        cloud::host::set_tags(api.store(), &operator, id, tags).await?;
    }
    if let Some(wanted) = body.maintenance {
        let maintenance = if wanted { Maintenance::On } else { Maintenance::Off };
        cloud::host::set_maintenance(api.store(), &operator, id, maintenance).await?;
    }
    found(&api, id).await
}

/// Empty a host
///
/// It takes no new servers, and each that it has moves to a host that has room.
#[utoipa::path(post, path = "/admin/v1/hosts/{host_id}/drain", operation_id = "admin_hosts_drain", tag = "Admin",
    params(("host_id" = uuid::Uuid, Path, description = "The host.")),
    security(("operator_auth" = ["host:update"])),
    extensions(("x-cairn" = json!({"audit": "host.drain", "rate": "standard"}))),
    responses((status = 202, description = "What has begun.", body = HostDrain)))]
pub(super) async fn drain(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(id): Id<HostId>,
) -> Result<(StatusCode, Json<HostDrain>)> {
    let drained = cloud::host::drain(api.store(), &operator, id).await?;
    let Json(HostResponse { host }) = found(&api, id).await?;
    let migrations = drained.begun.into_iter().map(|migration| migration.0).collect();
    Ok((StatusCode::ACCEPTED, Json(HostDrain { host, migrations, waiting: drained.waiting })))
}

fn wire(host: HostDetail) -> Host {
    Host {
        id: host.id.0,
        region: host.region.0,
        name: host.name,
        state: match host.state.as_str() {
            "up" => HostState::Up,
            "maintenance" => HostState::Maintenance,
            "gone" => HostState::Gone,
            _ => HostState::Unknown,
        },
        draining: host.draining,
        tags: host.tags,
        version: host.version,
        architecture: host.architecture,
        capacity: amounts(host.capacity),
        reserved: amounts(host.reserved),
        gpus: host.gpus.into_iter().map(gpus).collect(),
        servers: host.servers,
        seen_at: host.seen_at.map(Into::into),
    }
}

fn gpus(of: store::hosts::HostGpus) -> HostGpus {
    HostGpus { mapping: of.mapping, total: of.total, reserved: of.reserved }
}

fn amounts(amounts: Amounts) -> HostAmounts {
    HostAmounts { vcpus: amounts.vcpus, memory_mib: amounts.memory_mib, disk_gb: amounts.disk_gb }
}
