//! Room on hosts. A candidate is chosen outside the database (`model::placement`) and confirmed inside it, under the
//! host's row lock.

use crate::{Result, Tx};
use model::ids::{HostId, RegionSlug, ServerId};
use sqlx::Row as _;

/// A host with what of it may be sold and what is reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// It takes new guests.
    pub up: bool,
    /// Capacity: vCPUs, MiB, GB.
    pub capacity: (i64, i64, i64),
    /// Reserved: vCPUs, MiB, GB.
    pub reserved: (i64, i64, i64),
    /// How many servers it carries.
    pub servers: i64,
}

/// The region's hosts.
pub async fn candidates(tx: &mut Tx, region: &RegionSlug) -> Result<Vec<Candidate>> {
    let rows = sqlx::query(
        "SELECT h.id, h.name, h.state = 'up' AS up, h.vcpus::bigint AS vcpus, h.memory_mib, h.disk_gb,
                r.servers, r.vcpus AS used_vcpus, r.memory_mib AS used_memory, r.disk_gb AS used_disk
         FROM hosts h CROSS JOIN LATERAL (
             SELECT count(*) AS servers, coalesce(sum(vcpus), 0)::bigint AS vcpus,
                    coalesce(sum(memory_mib), 0)::bigint AS memory_mib, coalesce(sum(disk_gb), 0)::bigint AS disk_gb
             FROM reservations WHERE host_id = h.id) r
         WHERE h.region = $1 ORDER BY h.name",
    )
    .bind(region.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Candidate {
                id: HostId(row.try_get("id")?),
                name: row.try_get("name")?,
                up: row.try_get("up")?,
                capacity: (row.try_get("vcpus")?, row.try_get("memory_mib")?, row.try_get("disk_gb")?),
                reserved: (row.try_get("used_vcpus")?, row.try_get("used_memory")?, row.try_get("used_disk")?),
                servers: row.try_get("servers")?,
            })
        })
        .collect()
}

/// Reserves room on `host` and writes it on the server. `false`: no room there any more.
pub async fn place(tx: &mut Tx, server: ServerId, host: HostId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "WITH placed AS MATERIALIZED (SELECT place_server($1, $2) AS ok), written AS (
             UPDATE servers SET host_id = $2 FROM placed WHERE id = $1 AND placed.ok)
         SELECT ok FROM placed",
    )
    .bind(server.0)
    .bind(host.0)
    .fetch_one(&mut **tx)
    .await?)
}

/// Checks again that what the server reserves now fits on the host that it is on (after a growth). `false`: it does not.
pub async fn confirm(tx: &mut Tx, server: ServerId, host: HostId) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT place_server($1, $2)").bind(server.0).bind(host.0).fetch_one(&mut **tx).await?)
}

/// Gives the room back, on the host and in the quota.
pub async fn unplace(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query(
        "WITH gone AS (DELETE FROM reservations WHERE server_id = $1)
         UPDATE servers SET host_id = NULL WHERE id = $1",
    )
    .bind(server.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
