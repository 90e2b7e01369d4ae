//! What the observer compares a region with, in one statement for all of it.

use crate::rows::Columns as _;
use crate::{Result, Tx};
use model::ids::{HostId, RegionSlug, ServerId, TeamId};
use model::states::Power;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::Seen;

/// A placed, living server, as far as the observer has to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Its id.
    pub id: ServerId,
    /// Whose.
    pub team: TeamId,
    /// The host that it stands on, and its name.
    pub host: (HostId, String),
    /// The guest's number, where the region's provider numbers guests.
    pub number: Option<i64>,
    /// vCPUs that it should have.
    pub vcpus: u32,
    /// MiB that it should have.
    pub memory_mib: u32,
    /// GB that it should have.
    pub disk_gb: u32,
    /// Power as wanted.
    pub wanted_power: Power,
    /// What was seen last.
    pub seen: Seen,
    /// It has answered once.
    pub answered: bool,
    /// It is on its way out.
    pub leaving: bool,
    /// Something is being done with it.
    pub busy: bool,
    /// Room is held for it on another host.
    pub moving: bool,
}

/// Every placed, living server of a region.
pub async fn watched(tx: &mut Tx, region: &RegionSlug) -> Result<Vec<Watched>> {
    let rows = sqlx::query(
        "SELECT s.id, s.team_id, s.host_id, h.name AS host_name, n.number, s.vcpus, s.memory_mib, s.disk_gb, s.wanted_power,
                s.seen_power, s.seen_ssh_host, s.seen_ssh_port, s.answered_at IS NOT NULL AS answered,
                s.destroy_requested_at IS NOT NULL AS leaving, a.id IS NOT NULL AS busy, t.server_id IS NOT NULL AS moving
         FROM servers s JOIN hosts h ON h.id = s.host_id
         LEFT JOIN guest_numbers n ON n.server_id = s.id AND n.freed_at IS NULL
         LEFT JOIN actions a ON a.resource_type = 'droplet' AND a.resource_id = s.id AND a.completed_at IS NULL
              AND a.kind <> 'destroy'
         LEFT JOIN reservations t ON t.server_id = s.id AND t.purpose = 'target'
         WHERE s.region = $1 AND s.deleted_at IS NULL ORDER BY s.id",
    )
    .bind(region.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &PgRow) -> Result<Watched> {
    let amount = |column: &str| -> Result<u32> {
        let value: i32 = row.try_get(column)?;
        u32::try_from(value).map_err(|_| crate::Error::Corrupt(format!("column {column} holds {value}")))
    };
    let ssh_host: Option<String> = row.try_get("seen_ssh_host")?;
    let ssh_port: Option<i32> = row.try_get("seen_ssh_port")?;
    Ok(Watched {
        id: ServerId(row.try_get("id")?),
        team: TeamId(row.try_get("team_id")?),
        host: (HostId(row.try_get("host_id")?), row.try_get("host_name")?),
        number: row.try_get("number")?,
        vcpus: amount("vcpus")?,
        memory_mib: amount("memory_mib")?,
        disk_gb: amount("disk_gb")?,
        wanted_power: row.word("wanted_power")?,
        seen: Seen {
            power: row.word_or_null("seen_power")?,
            ssh: ssh_host.zip(ssh_port.and_then(|port| u16::try_from(port).ok())),
        },
        answered: row.try_get("answered")?,
        leaving: row.try_get("leaving")?,
        busy: row.try_get("busy")?,
        moving: row.try_get("moving")?,
    })
}

/// Notes that a look found these servers as they were seen before. Those that somebody is writing at this moment are left
/// out: what is being written is newer.
pub async fn touch_seen(tx: &mut Tx, servers: &[ServerId], generation: i64) -> Result<u64> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let done = sqlx::query(
        "WITH free AS MATERIALIZED (
             SELECT id FROM servers WHERE id = ANY (SELECT unnest($1::int[])) AND seen_generation < $2
             ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
         )
         UPDATE servers s SET seen_generation = $2, seen_at = clock_timestamp() FROM free WHERE s.id = free.id",
    )
    .bind(ids)
    .bind(generation)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected())
}

/// Another region in which one of these servers stands.
pub async fn elsewhere(tx: &mut Tx, region: &RegionSlug, servers: &[ServerId]) -> Result<Option<RegionSlug>> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let other: Option<String> = sqlx::query_scalar(
        "SELECT region FROM servers WHERE id = ANY ($1) AND region <> $2 AND deleted_at IS NULL ORDER BY id LIMIT 1",
    )
    .bind(ids)
    .bind(region.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    Ok(other.map(RegionSlug))
}

/// Which of these servers are not gone.
pub async fn living(tx: &mut Tx, servers: &[ServerId]) -> Result<Vec<ServerId>> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let living: Vec<i32> = sqlx::query_scalar("SELECT id FROM servers WHERE id = ANY ($1) AND deleted_at IS NULL")
        .bind(ids)
        .fetch_all(&mut **tx)
        .await?;
    Ok(living.into_iter().map(ServerId).collect())
}

/// Whether the server's host did not answer at some time since the server was last seen there.
pub async fn was_out_of_reach(tx: &mut Tx, server: ServerId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM servers s JOIN alerts a ON a.kind = 'host_offline' AND a.subject = 'host:' || s.host_id
             WHERE s.id = $1 AND (a.resolved_at IS NULL OR a.resolved_at > s.seen_at))",
    )
    .bind(server.0)
    .fetch_one(&mut **tx)
    .await?)
}
