//! Room on hosts. A candidate is chosen outside the database (`model::placement`) and confirmed inside it, under the
//! host's row lock.

use crate::{Result, Tx};
use model::ids::{HostId, RegionSlug, ServerId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A host with what of it may be sold and what is reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The host.
    pub id: HostId,
    /// Its name.
    pub name: String,
    /// The operator's words for it.
    pub tags: Vec<String>,
    /// Its processors' architecture, where that is known.
    pub architecture: Option<String>,
    /// It takes new guests.
    pub up: bool,
    /// Capacity: vCPUs, MiB, GB.
    pub capacity: (i64, i64, i64),
    /// Reserved: vCPUs, MiB, GB.
    pub reserved: (i64, i64, i64),
    /// How many servers it carries.
    pub servers: i64,
    /// Where the disks of guests go, if the provider has named storages and this one answers.
    pub storage: Option<GuestStorage>,
    /// Other members of the server's group that it carries, or is to carry.
    pub company: i64,
    /// GPUs of the kind that the server gets and that no other server has; `None`: it gets none, or there are none.
    pub free_gpus: Option<i64>,
}

/// The storage of guests' disks, as one host reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestStorage {
    /// Its name.
    pub name: String,
    /// Its technique.
    pub technique: String,
    /// What may be kept on it.
    pub content: Vec<String>,
    /// All hosts of the region reach the same one.
    pub shared: bool,
    /// GB that are reserved on it, without the server's own where it is shared.
    pub reserved_gb: i64,
}

/// The region's hosts, as a server that is to be placed finds them.
pub async fn candidates(tx: &mut Tx, region: &RegionSlug, server: ServerId) -> Result<Vec<Candidate>> {
    let rows = sqlx::query(
        "SELECT h.id, h.name, h.tags, h.architecture, h.state = 'up' AS up, h.vcpus::bigint AS vcpus, h.memory_mib, h.disk_gb,
                r.servers, r.vcpus AS used_vcpus, r.memory_mib AS used_memory, r.disk_gb AS used_disk,
                d.name AS storage, d.technique, d.content, d.shared,
                CASE WHEN d.shared THEN (
                    SELECT coalesce(sum(a.disk_gb), 0)::bigint FROM reservations a JOIN hosts o ON o.id = a.host_id
                    WHERE o.region = $1 AND a.purpose = 'home' AND a.server_id <> $2)
                ELSE r.disk_gb END AS used_storage,
                CASE WHEN s.group_name IS NULL THEN 0 ELSE (
                    SELECT count(DISTINCT m.id) FROM servers m JOIN reservations a ON a.server_id = m.id AND a.host_id = h.id
                    WHERE m.team_id = s.team_id AND m.group_name = s.group_name AND m.id <> s.id AND m.deleted_at IS NULL)
                END AS company,
                CASE WHEN s.gpu IS NOT NULL THEN (
                    SELECT greatest(g.count - (SELECT coalesce(sum(a.gpu_count), 0) FROM reservations a
                                               WHERE a.host_id = h.id AND a.gpu_mapping = g.mapping AND a.server_id <> $2), 0)::bigint
                    FROM host_gpus g WHERE g.host_id = h.id AND g.mapping = s.gpu ->> 'mapping')
                END AS free_gpus
         FROM hosts h LEFT JOIN servers s ON s.id = $2
         LEFT JOIN LATERAL (
             SELECT t.name, t.technique, t.content, t.host IS NULL AS shared FROM storages t
             WHERE t.region = h.region AND t.used_for_guests AND t.online AND (t.host IS NULL OR t.host = h.name)
             ORDER BY t.name LIMIT 1) d ON true
         CROSS JOIN LATERAL (
             SELECT count(*) FILTER (WHERE purpose = 'home') AS servers, coalesce(sum(vcpus), 0)::bigint AS vcpus,
                    coalesce(sum(memory_mib), 0)::bigint AS memory_mib, coalesce(sum(disk_gb), 0)::bigint AS disk_gb
             FROM reservations WHERE host_id = h.id) r
         WHERE h.region = $1 ORDER BY h.name",
    )
    .bind(region.as_str())
    .bind(server.0)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Candidate {
                id: HostId(row.try_get("id")?),
                name: row.try_get("name")?,
                tags: row.try_get("tags")?,
                architecture: row.try_get("architecture")?,
                up: row.try_get("up")?,
                capacity: (row.try_get("vcpus")?, row.try_get("memory_mib")?, row.try_get("disk_gb")?),
                reserved: (row.try_get("used_vcpus")?, row.try_get("used_memory")?, row.try_get("used_disk")?),
                servers: row.try_get("servers")?,
                storage: storage(row)?,
                company: row.try_get("company")?,
                free_gpus: row.try_get("free_gpus")?,
            })
        })
        .collect()
}

fn storage(row: &PgRow) -> Result<Option<GuestStorage>> {
    let Some(name) = row.try_get("storage")? else { return Ok(None) };
    Ok(Some(GuestStorage {
        name,
        technique: row.try_get("technique")?,
        content: row.try_get("content")?,
        shared: row.try_get("shared")?,
        reserved_gb: row.try_get("used_storage")?,
    }))
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

/// Gives the room back, on the host and in the quota, and with it the guest's number.
pub async fn unplace(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query(
        "WITH gone AS (DELETE FROM reservations WHERE server_id = $1), number AS (
             UPDATE guest_numbers SET freed_at = now() WHERE server_id = $1 AND freed_at IS NULL)
         UPDATE servers SET host_id = NULL WHERE id = $1",
    )
    .bind(server.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Reserves room on another host for a server that is to move there. `false`: no room there.
pub async fn reserve_target(tx: &mut Tx, server: ServerId, host: HostId) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT reserve_target($1, $2)").bind(server.0).bind(host.0).fetch_one(&mut **tx).await?)
}

/// The host on which room is reserved for a server that is to move there.
pub async fn target(tx: &mut Tx, server: ServerId) -> Result<Option<(HostId, String)>> {
    let row: Option<(uuid::Uuid, String)> = sqlx::query_as(
        "SELECT h.id, h.name FROM reservations r JOIN hosts h ON h.id = r.host_id
         WHERE r.server_id = $1 AND r.purpose = 'target'",
    )
    .bind(server.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|(id, name)| (HostId(id), name)))
}

/// Gives back the room where a server was to move. Giving back nothing is fine.
pub async fn release_target(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query("DELETE FROM reservations WHERE server_id = $1 AND purpose = 'target'")
        .bind(server.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes down on which of its region's hosts a server stands, with its reservation, whether there is room or not: it is
/// there. `None`: there is no host of that name. The host's id otherwise.
pub async fn stands_on(tx: &mut Tx, server: ServerId, host: &str) -> Result<Option<HostId>> {
    let found: Option<uuid::Uuid> = sqlx::query_scalar(
        "WITH host AS (
             SELECT h.id FROM hosts h JOIN servers s ON s.region = h.region WHERE s.id = $1 AND h.name = $2
         ), room AS (
             UPDATE reservations r SET host_id = host.id FROM host WHERE r.server_id = $1 AND r.purpose = 'home'
         )
         UPDATE servers s SET host_id = host.id FROM host WHERE s.id = $1 RETURNING host.id",
    )
    .bind(server.0)
    .bind(host)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(found.map(HostId))
}

/// The same for a server that was found elsewhere than on `from`, unless it has been moved by us meanwhile, or is about to
/// be.
pub async fn follow(tx: &mut Tx, server: ServerId, from: HostId, host: &str) -> Result<Option<HostId>> {
    let still: Option<i32> = sqlx::query_scalar(
        "SELECT s.id FROM servers s WHERE s.id = $1 AND s.host_id = $2 AND s.deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM reservations r WHERE r.server_id = s.id AND r.purpose = 'target')
         FOR NO KEY UPDATE",
    )
    .bind(server.0)
    .bind(from.0)
    .fetch_optional(&mut **tx)
    .await?;
    match still {
        Some(_) => stands_on(tx, server, host).await,
        None => Ok(None),
    }
}
