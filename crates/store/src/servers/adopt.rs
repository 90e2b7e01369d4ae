//! A guest that was at its provider before it was ours becomes a team's server.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use model::ids::{HostId, RegionSlug, ServerId, SizeSlug, TeamId, VpcId, WorkflowId};
use model::states::GuestKind;
use sqlx::{PgConnection, Row as _};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// What is written of it.
#[derive(Clone, Debug)]
pub struct Adopted<'a> {
    /// Its id, from [`draw_id`].
    pub id: ServerId,
    /// Whose it becomes.
    pub team: TeamId,
    /// Its name from now on.
    pub name: &'a str,
    /// Where it is.
    pub region: &'a RegionSlug,
    /// The host that it is on.
    pub host: HostId,
    /// The size that it is billed as.
    pub size: &'a SizeSlug,
    /// vCPUs, as seen.
    pub vcpus: i32,
    /// MiB, as seen.
    pub memory_mib: i32,
    /// GB, as seen.
    pub disk_gb: i32,
    /// What it is.
    pub guest: GuestKind,
    /// The private network that it is counted to.
    pub vpc: VpcId,
    /// Power as seen.
    pub running: bool,
    /// The workflow of its life.
    pub workflow: WorkflowId,
}

/// Writes the server, its reservation on the host where it is, and its `create` action. Its disk was made from no image of
/// ours: all such servers share one that nobody can choose.
pub async fn adopt(tx: &mut Tx, new: &Adopted<'_>) -> Result<()> {
    sqlx::query(
        "INSERT INTO images (name, description, distribution, kind, status, source, min_disk_gb, guest)
         SELECT 'Adopted', 'The disk of a server that was made elsewhere', 'Unknown', 'base', 'retired', '\"snapshot\"', 0, $1
         WHERE NOT EXISTS (SELECT FROM images WHERE team_id IS NULL AND slug IS NULL AND name = 'Adopted' AND guest = $1)",
    )
    .bind(new.guest.as_str())
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "WITH server AS (
             INSERT INTO servers (id, team_id, name, region, size, image_id, vpc_id, vcpus, memory_mib, disk_gb, wanted_power,
                                  public_networking, host_id, adopted, workflow_id)
             SELECT $12, $1, $2, $3, $4, i.id, $5, $6, $7, $8, CASE WHEN $9 THEN 'on' ELSE 'off' END, false, $10, true, $11
             FROM images i WHERE i.team_id IS NULL AND i.slug IS NULL AND i.name = 'Adopted' AND i.guest = $13
             ORDER BY i.id LIMIT 1
             RETURNING id
         ), reserved AS (
             INSERT INTO reservations (server_id, team_id, host_id, vcpus, memory_mib, disk_gb)
             SELECT id, $1, $10, $6, $7, $8 FROM server
         ), action AS (
             INSERT INTO actions (team_id, workflow_id, kind, resource_type, resource_id, region)
             SELECT $1, $11, 'create', 'droplet', id, $3 FROM server
         )
         SELECT 1",
    )
    .bind(new.team.0)
    .bind(new.name)
    .bind(new.region.as_str())
    .bind(new.size.as_str())
    .bind(new.vpc.0)
    .bind(new.vcpus)
    .bind(new.memory_mib)
    .bind(new.disk_gb)
    .bind(new.running)
    .bind(new.host.0)
    .bind(new.workflow.0)
    .bind(new.id.0)
    .bind(new.guest.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// An id for a server that is about to be written.
pub async fn draw_id(tx: &mut Tx) -> Result<ServerId> {
    Ok(ServerId(sqlx::query_scalar("SELECT nextval('servers_id_seq')::int").fetch_one(&mut **tx).await?))
}

/// The size that a guest of these amounts is billed as: the one named, or the smallest of the region that holds it. None
/// with GPUs: which devices it has is not taken over.
pub async fn fitting_size(
    tx: &mut Tx,
    region: &RegionSlug,
    named: Option<&str>,
    (vcpus, memory_mib, disk_gb): (i32, i32, i32),
) -> Result<Option<SizeSlug>> {
    let slug: Option<String> = sqlx::query_scalar(
        "SELECT slug FROM sizes
         WHERE CASE WHEN $2::text IS NULL THEN available AND vcpus >= $3 AND memory_mib >= $4 AND disk_gb >= $5
                    ELSE slug = $2 END
           AND (regions IS NULL OR $1 = ANY (regions)) AND gpu IS NULL
         ORDER BY price_hourly, vcpus, memory_mib, slug LIMIT 1",
    )
    .bind(region.as_str())
    .bind(named)
    .bind(vcpus)
    .bind(memory_mib)
    .bind(disk_gb)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(slug.map(SizeSlug))
}

/// What a guest is adopted into.
#[derive(Clone, Debug)]
pub struct Home {
    /// The range from which teams' own networks are cut.
    pub vpc_range: ipnet::Ipv4Net,
    /// What the region's provider can do.
    pub capabilities: serde_json::Value,
    /// The team is one.
    pub team_exists: bool,
}

/// Looks up region and team. `None`: there is no such region.
pub async fn home(tx: &mut Tx, region: &RegionSlug, team: TeamId) -> Result<Option<Home>> {
    let row = sqlx::query(
        "SELECT vpc_range, capabilities, EXISTS (SELECT FROM teams WHERE id = $2) AS team_exists
         FROM regions WHERE slug = $1 AND removed_at IS NULL",
    )
    .bind(region.as_str())
    .bind(team.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Home {
        vpc_range: row.range("vpc_range")?,
        capabilities: row.try_get("capabilities")?,
        team_exists: row.try_get("team_exists")?,
    }))
}

/// What stands against giving an adopted server the addresses that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// Another server of ours has this one.
    Taken(Ipv4Addr, ServerId),
    /// It has another address of this pool, and a server has one of each.
    Second(Ipv4Addr, String),
}

/// The addresses that are written down for an adopted server: those of pools, and those of none.
pub async fn known_addresses(connection: &mut PgConnection, server: ServerId) -> Result<Vec<Ipv4Addr>> {
    let rows = sqlx::query(
        "SELECT a.address FROM addresses a WHERE a.server_id = $1
         UNION SELECT unnest(s.own_addresses) FROM servers s WHERE s.id = $1",
    )
    .bind(server.0)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| row.address("address")).collect()
}

/// Writes down the addresses that an adopted server has: one that a public pool of the region would give is claimed there,
/// any other one is only noted. `Some`: what stands against it; the caller then gives up.
pub async fn claim_addresses(
    tx: &mut Tx,
    region: &RegionSlug,
    team: TeamId,
    server: ServerId,
    addresses: &[Ipv4Addr],
) -> Result<Option<Unclaimed>> {
    let mut noted = Vec::new();
    for address in addresses {
        let wanted = std::net::IpAddr::V4(*address);
        let pool: Option<(Uuid, String)> = sqlx::query_as(
            "SELECT id, name FROM address_pools
             WHERE region = $1 AND vpc_id IS NULL AND $2 BETWEEN first AND last ORDER BY name LIMIT 1",
        )
        .bind(region.as_str())
        .bind(wanted)
        .fetch_optional(&mut **tx)
        .await?;
        let Some((pool, name)) = pool else {
            noted.push(wanted);
            continue;
        };
        let other: Option<std::net::IpAddr> =
            sqlx::query_scalar("SELECT address FROM addresses WHERE server_id = $1 AND pool_id = $2 AND address <> $3")
                .bind(server.0)
                .bind(pool)
                .bind(wanted)
                .fetch_optional(&mut **tx)
                .await?;
        if other.is_some() {
            return Ok(Some(Unclaimed::Second(*address, name)));
        }
        let owner: i32 = sqlx::query_scalar(
            "INSERT INTO addresses AS a (pool_id, address, team_id, server_id, claimed_at) VALUES ($1, $2, $3, $4, now())
             ON CONFLICT (pool_id, address) DO UPDATE SET server_id = coalesce(a.server_id, $4),
                 team_id = coalesce(a.team_id, $3), claimed_at = coalesce(a.claimed_at, now())
             RETURNING server_id",
        )
        .bind(pool)
        .bind(wanted)
        .bind(team.0)
        .bind(server.0)
        .fetch_one(&mut **tx)
        .await?;
        if owner != server.0 {
            return Ok(Some(Unclaimed::Taken(*address, ServerId(owner))));
        }
    }
    sqlx::query("UPDATE servers SET own_addresses = $2 WHERE id = $1")
        .bind(server.0)
        .bind(noted)
        .execute(&mut **tx)
        .await?;
    Ok(None)
}

/// An adoption that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// The server that the guest becomes.
    pub server: ServerId,
    /// Where the guest is.
    pub region: RegionSlug,
    /// Its number at the provider.
    pub guest: String,
    /// It has ended, well or not.
    pub over: bool,
    /// What its team was told when it ended badly.
    pub error: Option<String>,
    /// What it waits for; forgotten some time after its end, like `last_error`.
    pub waiting_for: Option<String>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// When it was asked for.
    pub started_at: Timestamp,
}

/// The adoption that this workflow carries out.
pub async fn adoption(store: &Store, workflow: WorkflowId) -> Result<Option<Adoption>> {
    let row = sqlx::query(
        "SELECT s.id, s.region, o.detail ->> 'guest' AS guest, a.completed_at IS NOT NULL AS over, a.error, w.waiting_for,
                w.last_error, a.started_at
         FROM actions a JOIN servers s ON s.id = a.resource_id
         JOIN operator_audit o ON o.operation = 'guest.adopt' AND o.subject = 'server:' || s.id
         LEFT JOIN workflows w ON w.id = a.workflow_id
         WHERE a.workflow_id = $1 AND a.resource_type = 'droplet' AND a.kind = 'create' AND s.adopted
         ORDER BY o.id LIMIT 1",
    )
    .bind(workflow.0)
    .fetch_optional(store.pool())
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Adoption {
        server: ServerId(row.try_get("id")?),
        region: RegionSlug(row.try_get("region")?),
        guest: row.try_get::<Option<String>, _>("guest")?.unwrap_or_default(),
        over: row.try_get("over")?,
        error: row.try_get("error")?,
        waiting_for: row.try_get("waiting_for")?,
        last_error: row.try_get("last_error")?,
        started_at: row.time("started_at")?,
    }))
}
