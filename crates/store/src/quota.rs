//! What a team may have and what it has reserved, read under the lock that orders its creates.

use crate::{Result, Tx};
use model::ids::{ServerId, TeamId};
use model::quota::{Limits, Usage};
use sqlx::Row as _;
use uuid::Uuid;

/// A team's limits and what its servers have reserved. Snapshots and keys are counted by their own aggregates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The most that it may have.
    pub limits: Limits,
    /// What it has.
    pub used: Usage,
}

fn read(row: &sqlx::postgres::PgRow) -> Result<Quota> {
    let small = |column: &str| -> Result<i64> { Ok(i64::from(row.try_get::<i32, _>(column)?)) };
    Ok(Quota {
        limits: Limits {
            servers: small("servers")?,
            vcpus: small("vcpus")?,
            memory_mib: row.try_get("memory_mib")?,
            disk_gb: row.try_get("disk_gb")?,
            snapshots: small("snapshots")?,
            ssh_keys: small("ssh_keys")?,
        },
        used: Usage {
            servers: row.try_get("used_servers")?,
            vcpus: row.try_get("used_vcpus")?,
            memory_mib: row.try_get("used_memory_mib")?,
            disk_gb: row.try_get("used_disk_gb")?,
            ..Usage::default()
        },
    })
}

/// Locks the quota of the transaction's team and sums its reservations; one round trip, two snapshots.
pub async fn lock(tx: &mut Tx) -> Result<Quota> {
    read(&sqlx::query("SELECT * FROM lock_quota()").fetch_one(&mut **tx).await?)
}

/// The same for a team that an operator names, in a transaction of no team.
pub async fn lock_of(tx: &mut Tx, team: TeamId) -> Result<Quota> {
    sqlx::query("SELECT set_config('cairn.team', $1, true)").bind(team.to_string()).execute(&mut **tx).await?;
    lock(tx).await
}

/// Claims one address of each of `pools` for each of `servers`, then locks the quota as [`lock`] does; one round trip.
/// Also how many addresses were missing, because the pools are exhausted; the caller then gives up and rolls back.
pub async fn claim_and_lock(tx: &mut Tx, team: TeamId, servers: &[ServerId], pools: &[Uuid]) -> Result<(i64, Quota)> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let row = sqlx::query("SELECT * FROM claim_and_lock($1, $2, $3)")
        .bind(team.0)
        .bind(ids)
        .bind(pools)
        .fetch_one(&mut **tx)
        .await?;
    Ok((row.try_get("missing")?, read(&row)?))
}

/// The same without the lock, for showing.
pub async fn of(tx: &mut Tx, team: TeamId) -> Result<Quota> {
    read(
        &sqlx::query(
            "SELECT q.servers, q.vcpus, q.memory_mib, q.disk_gb, q.snapshots, q.ssh_keys,
                    count(r.server_id) AS used_servers, coalesce(sum(r.vcpus), 0)::bigint AS used_vcpus,
                    coalesce(sum(r.memory_mib), 0)::bigint AS used_memory_mib,
                    coalesce(sum(r.disk_gb), 0)::bigint AS used_disk_gb
             FROM quotas q LEFT JOIN reservations r ON r.team_id = q.team_id AND r.purpose = 'home'
             WHERE q.team_id = $1 GROUP BY q.team_id",
        )
        .bind(team.0)
        .fetch_one(&mut **tx)
        .await?,
    )
}
