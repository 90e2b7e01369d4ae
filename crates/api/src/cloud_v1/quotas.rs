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
    let used = model::quota::Usage {
        snapshots: store::images::count_kept(&mut tx, caller.team).await?,
        ssh_keys: store::keys::count(&mut tx, caller.team).await?,
        ..quota.used
    };
    Ok(Json(QuotaResponse { limits: wire(quota.limits), used: wire(used) }))
}

fn wire(amounts: model::quota::Amounts) -> QuotaAmounts {
    QuotaAmounts {
        servers: amounts.servers,
        vcpus: amounts.vcpus,
        memory_mib: amounts.memory_mib,
        disk_gb: amounts.disk_gb,
        snapshots: amounts.snapshots,
        ssh_keys: amounts.ssh_keys,
    }
}
