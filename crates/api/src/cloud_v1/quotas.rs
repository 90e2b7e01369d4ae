//! What the team may have, and what it has.

use crate::Api;
use crate::edge::{Authenticated, Json, Result};
use axum::extract::State;
use wire::cloud::{QuotaAmounts, QuotaResponse};

/// Show the team's quota and what is used of it
#[utoipa::path(get, path = "/cloud/v1/quotas", operation_id = "quotas_get", tag = "Quotas",
    security(("bearer_auth" = ["account:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "Limits and use.", body = QuotaResponse)))]
pub(super) async fn show(State(api): State<Api>, Authenticated(caller): Authenticated) -> Result<Json<QuotaResponse>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let quota = store::quota::of(&mut tx, caller.team).await?;
    let ssh_keys = store::keys::count(&mut tx, caller.team).await?;
    let limits = QuotaAmounts {
        servers: quota.servers.0,
        vcpus: quota.vcpus.0,
        memory_mib: quota.memory_mib.0,
        disk_gb: quota.disk_gb.0,
        snapshots: quota.snapshots,
        ssh_keys: quota.ssh_keys,
    };
    let used = QuotaAmounts {
        servers: quota.servers.1,
        vcpus: quota.vcpus.1,
        memory_mib: quota.memory_mib.1,
        disk_gb: quota.disk_gb.1,
        snapshots: store::tenancy::count_snapshots(&mut tx, caller.team).await?,
        ssh_keys,
    };
    Ok(Json(QuotaResponse { limits, used }))
}
