//! Servers of all teams, for operators: where they stand and whose they are, nothing of what is in them.

use crate::rows::Columns as _;
use crate::{Result, Store};
use jiff::Timestamp;
use model::ids::{HostId, RegionSlug, ServerId, SizeSlug, TeamId};
use model::states::Power;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use std::net::Ipv4Addr;

/// A server, where it stands and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub team: TeamId,
    /// That team's name.
    pub team_name: String,
    /// Where.
    pub region: RegionSlug,
    /// The host's name, once placed.
    pub host: Option<String>,
    /// Its size.
    pub size: SizeSlug,
    /// vCPUs.
    pub vcpus: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Disk in GB.
    pub disk_gb: i32,
    /// It has answered once.
    pub answered: bool,
    /// Its deletion was asked for.
    pub leaving: bool,
    /// Power as last seen.
    pub seen_power: Option<Power>,
    /// Public address; of an adopted server in none of our networks, the one that it came with.
    pub address: Option<Ipv4Addr>,
    /// When it was ordered.
    pub created_at: Timestamp,
}

/// What the list is narrowed to; all that is given has to fit.
#[derive(Clone, Debug, Default)]
pub struct Where {
    /// In this region.
    pub region: Option<RegionSlug>,
    /// On this host.
    pub host: Option<HostId>,
    /// Of this team.
    pub team: Option<TeamId>,
}

/// One page of all servers that are not gone, in the order of their creation, and the count of all that match.
pub async fn everywhere(store: &Store, narrow: &Where, limit: i64, offset: i64) -> Result<(Vec<Placed>, i64)> {
    let (region, host) = (narrow.region.as_ref().map(RegionSlug::as_str), narrow.host.map(|host| host.0));
    let team = narrow.team.map(|team| team.0);
    let rows = sqlx::query(
        "SELECT s.id, s.name, s.team_id, t.name AS team_name, s.region, h.name AS host, s.size, s.vcpus, s.memory_mib,
                s.disk_gb, s.answered_at IS NOT NULL AS answered, s.destroy_requested_at IS NOT NULL AS leaving,
                s.seen_power, s.created_at,
                coalesce((SELECT a.address FROM addresses a JOIN address_pools p ON p.id = a.pool_id
                          WHERE a.server_id = s.id AND p.vpc_id IS NULL LIMIT 1), s.own_addresses[1]) AS address
         FROM servers s JOIN teams t ON t.id = s.team_id LEFT JOIN hosts h ON h.id = s.host_id
         WHERE s.deleted_at IS NULL AND ($1::text IS NULL OR s.region = $1) AND ($2::uuid IS NULL OR s.host_id = $2)
           AND ($3::uuid IS NULL OR s.team_id = $3)
         ORDER BY s.id LIMIT $4 OFFSET $5",
    )
    .bind(region)
    .bind(host)
    .bind(team)
    .bind(limit)
    .bind(offset)
    .fetch_all(store.pool())
    .await?;
    let total = sqlx::query_scalar(
        "SELECT count(*) FROM servers s
         WHERE s.deleted_at IS NULL AND ($1::text IS NULL OR s.region = $1) AND ($2::uuid IS NULL OR s.host_id = $2)
           AND ($3::uuid IS NULL OR s.team_id = $3)",
    )
    .bind(region)
    .bind(host)
    .bind(team)
    .fetch_one(store.pool())
    .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

fn read(row: &PgRow) -> Result<Placed> {
    Ok(Placed {
        id: ServerId(row.try_get("id")?),
        name: row.try_get("name")?,
        team: TeamId(row.try_get("team_id")?),
        team_name: row.try_get("team_name")?,
        region: RegionSlug(row.try_get("region")?),
        host: row.try_get("host")?,
        size: SizeSlug(row.try_get("size")?),
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        disk_gb: row.try_get("disk_gb")?,
        answered: row.try_get("answered")?,
        leaving: row.try_get("leaving")?,
        seen_power: row.word_or_null("seen_power")?,
        address: row.address_or_null("address")?,
        created_at: row.time("created_at")?,
    })
}
