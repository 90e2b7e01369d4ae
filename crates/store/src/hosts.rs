//! Hosts: as their providers describe them, and as operators keep them.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use model::ids::{HostId, RegionSlug, ServerId};
use serde::Deserialize;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

/// A host as it is to be recorded: what may be sold of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name at the provider.
    pub name: String,
    /// vCPUs for sale.
    pub vcpus: i32,
    /// MiB for sale.
    pub memory_mib: i64,
    /// GB for sale.
    pub disk_gb: i64,
    /// It answers.
    pub online: bool,
    /// The software on it.
    pub version: Option<String>,
    /// Its processors' architecture.
    pub architecture: Option<String>,
    /// GPUs: what the provider calls the kind, and how many.
    pub gpus: Vec<(String, i32)>,
}

/// Writes a region's hosts down. A host in maintenance stays there; one that is no longer listed is gone.
pub async fn record(tx: &mut Tx, region: &RegionSlug, hosts: &[Host]) -> Result<()> {
    let column = |each: fn(&Host) -> i64| hosts.iter().map(each).collect::<Vec<i64>>();
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    sqlx::query(
        "INSERT INTO hosts (id, region, name, vcpus, memory_mib, disk_gb, version, architecture, state, seen_at)
         SELECT n.id, $1, n.name, n.vcpus, n.memory_mib, n.disk_gb, n.version, n.architecture,
                CASE WHEN n.online THEN 'up' ELSE 'gone' END, clock_timestamp()
         FROM unnest($2::uuid[], $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bool[], $8::text[], $9::text[])
              AS n (id, name, vcpus, memory_mib, disk_gb, online, version, architecture)
         ORDER BY n.name
         ON CONFLICT (region, name) DO UPDATE SET vcpus = excluded.vcpus, memory_mib = excluded.memory_mib,
             disk_gb = excluded.disk_gb, version = excluded.version, architecture = excluded.architecture,
             seen_at = CASE WHEN excluded.state = 'up' THEN excluded.seen_at ELSE hosts.seen_at END,
             state = CASE WHEN hosts.state = 'maintenance' THEN 'maintenance' ELSE excluded.state END",
    )
    .bind(region.as_str())
    .bind(hosts.iter().map(|_| Uuid::now_v7()).collect::<Vec<_>>())
    .bind(&names)
    .bind(hosts.iter().map(|host| host.vcpus).collect::<Vec<_>>())
    .bind(column(|host| host.memory_mib))
    .bind(column(|host| host.disk_gb))
    .bind(hosts.iter().map(|host| host.online).collect::<Vec<_>>())
    .bind(hosts.iter().map(|host| host.version.as_deref()).collect::<Vec<_>>())
    .bind(hosts.iter().map(|host| host.architecture.as_deref()).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "UPDATE hosts SET state = 'gone', draining = false WHERE region = $1 AND name <> ALL ($2) AND state <> 'gone'",
    )
    .bind(region.as_str())
    .bind(names)
    .execute(&mut **tx)
    .await?;
    record_gpus(tx, region, hosts).await
}

/// GPUs that are no longer there are not sold again; those who have them keep them.
async fn record_gpus(tx: &mut Tx, region: &RegionSlug, hosts: &[Host]) -> Result<()> {
    let all = || hosts.iter().flat_map(|host| host.gpus.iter().map(move |(kind, count)| (&host.name, kind, *count)));
    sqlx::query(
        "WITH seen AS (
             SELECT h.id, n.mapping, n.count FROM unnest($2::text[], $3::text[], $4::int[]) AS n (host, mapping, count)
             JOIN hosts h ON h.region = $1 AND h.name = n.host
         ), gone AS (
             DELETE FROM host_gpus g USING hosts h WHERE h.id = g.host_id AND h.region = $1
               AND NOT EXISTS (SELECT FROM seen WHERE seen.id = g.host_id AND seen.mapping = g.mapping))
         INSERT INTO host_gpus AS g (host_id, mapping, count) SELECT id, mapping, count FROM seen ORDER BY id, mapping
         ON CONFLICT (host_id, mapping) DO UPDATE SET count = excluded.count WHERE g.count <> excluded.count",
    )
    .bind(region.as_str())
    .bind(all().map(|(host, ..)| host.as_str()).collect::<Vec<_>>())
    .bind(all().map(|(_, kind, _)| kind.as_str()).collect::<Vec<_>>())
    .bind(all().map(|(.., count)| count).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes down what the region's provider can do.
pub async fn record_capabilities(tx: &mut Tx, region: &RegionSlug, capabilities: &serde_json::Value) -> Result<()> {
    sqlx::query("UPDATE regions SET capabilities = $2 WHERE slug = $1 AND capabilities IS DISTINCT FROM $2")
        .bind(region.as_str())
        .bind(capabilities)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The region's policy as the operator wrote it.
pub async fn settings(tx: &mut Tx, region: &RegionSlug) -> Result<Option<serde_json::Value>> {
    Ok(sqlx::query_scalar("SELECT settings FROM regions WHERE slug = $1")
        .bind(region.as_str())
        .fetch_optional(&mut **tx)
        .await?)
}

/// vCPUs, MiB and GB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// vCPUs.
    pub vcpus: i64,
    /// MiB.
    pub memory_mib: i64,
    /// GB.
    pub disk_gb: i64,
}

/// GPUs of one kind on a host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct HostGpus {
    /// What the provider calls the kind.
    pub mapping: String,
    /// How many there are.
    pub total: i64,
    /// How many of them are reserved.
    pub reserved: i64,
}

/// A host as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostDetail {
    /// Its id.
    pub id: HostId,
    /// Where.
    pub region: RegionSlug,
    /// Its name at the provider.
    pub name: String,
    /// `up`, `maintenance` or `gone`.
    pub state: String,
    /// It is being emptied.
    pub draining: bool,
    /// The operator's words.
    pub tags: Vec<String>,
    /// The software on it.
    pub version: Option<String>,
    /// Its processors' architecture.
    pub architecture: Option<String>,
    /// What may be sold of it.
    pub capacity: Amounts,
    /// What is reserved on it, by what stands there and by what is coming.
    pub reserved: Amounts,
    /// Its GPUs, by kind.
    pub gpus: Vec<HostGpus>,
    /// How many servers stand on it.
    pub servers: i64,
    /// When it last answered.
    pub seen_at: Option<Timestamp>,
}

const SELECT: &str = "
    SELECT h.id, h.region, h.name, h.state, h.draining, h.tags, h.version, h.architecture, h.vcpus::bigint AS vcpus,
           h.memory_mib, h.disk_gb, h.seen_at,
           (SELECT jsonb_agg(jsonb_build_object('mapping', g.mapping, 'total', g.count, 'reserved', (
                SELECT coalesce(sum(a.gpu_count), 0) FROM reservations a
                WHERE a.host_id = h.id AND a.gpu_mapping = g.mapping)) ORDER BY g.mapping)
            FROM host_gpus g WHERE g.host_id = h.id) AS gpus,
           r.servers, r.used_vcpus, r.used_memory, r.used_disk
    FROM hosts h CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE purpose = 'home') AS servers, coalesce(sum(vcpus), 0)::bigint AS used_vcpus,
               coalesce(sum(memory_mib), 0)::bigint AS used_memory, coalesce(sum(disk_gb), 0)::bigint AS used_disk
        FROM reservations WHERE host_id = h.id) r ";

fn read(row: &PgRow) -> Result<HostDetail> {
    let amounts = |vcpus: &str, memory: &str, disk: &str| -> Result<Amounts> {
        Ok(Amounts { vcpus: row.try_get(vcpus)?, memory_mib: row.try_get(memory)?, disk_gb: row.try_get(disk)? })
    };
    Ok(HostDetail {
        id: HostId(row.try_get("id")?),
        region: RegionSlug(row.try_get("region")?),
        name: row.try_get("name")?,
        state: row.try_get("state")?,
        draining: row.try_get("draining")?,
        tags: row.try_get("tags")?,
        version: row.try_get("version")?,
        architecture: row.try_get("architecture")?,
        capacity: amounts("vcpus", "memory_mib", "disk_gb")?,
        reserved: amounts("used_vcpus", "used_memory", "used_disk")?,
        gpus: row.json_or_null("gpus")?.unwrap_or_default(),
        servers: row.try_get("servers")?,
        seen_at: row.time_or_null("seen_at")?,
    })
}

/// One page, by region and name, and the count of all.
pub async fn list(
    store: &Store,
    region: Option<&RegionSlug>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<HostDetail>, i64)> {
    let statement = format!(
        "{SELECT} WHERE EXISTS (SELECT FROM regions g WHERE g.slug = h.region AND g.removed_at IS NULL)
           AND ($1::text IS NULL OR h.region = $1) ORDER BY h.region, h.name LIMIT $2 OFFSET $3"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(region.map(RegionSlug::as_str))
        .bind(limit)
        .bind(offset)
        .fetch_all(store.pool())
        .await?;
    let total = sqlx::query_scalar(
        "SELECT count(*) FROM hosts h JOIN regions g ON g.slug = h.region AND g.removed_at IS NULL
         WHERE $1::text IS NULL OR h.region = $1",
    )
    .bind(region.map(RegionSlug::as_str))
    .fetch_one(store.pool())
    .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One host.
pub async fn get(store: &Store, id: HostId) -> Result<Option<HostDetail>> {
    let statement = format!("{SELECT} WHERE h.id = $1");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id.0).fetch_optional(store.pool()).await?;
    row.as_ref().map(read).transpose()
}

/// One host, by its name at the provider.
pub async fn find(store: &Store, region: &RegionSlug, name: &str) -> Result<Option<HostDetail>> {
    let statement = format!("{SELECT} WHERE h.region = $1 AND h.name = $2");
    let row =
        sqlx::query(AssertSqlSafe(statement)).bind(region.as_str()).bind(name).fetch_optional(store.pool()).await?;
    row.as_ref().map(read).transpose()
}

/// How an operator keeps a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It takes servers.
    Open,
    /// It takes none; those on it stay.
    Closed,
    /// It takes none, and those on it are moved elsewhere.
    Draining,
}

/// Opens, closes or drains a host. `false`: there is none. A host that is opened is up when it is next seen, not before.
pub async fn keep(tx: &mut Tx, id: HostId, keeping: Keeping) -> Result<bool> {
    let (state, draining) = match keeping {
        Keeping::Open => ("up", false),
        Keeping::Closed => ("maintenance", false),
        Keeping::Draining => ("maintenance", true),
    };
    // One that has not answered for a while is gone rather than up.
    let done = sqlx::query(
        "UPDATE hosts SET draining = $3,
             state = CASE WHEN $2 = 'up' AND (state = 'gone' OR seen_at < clock_timestamp() - interval '2 minutes')
                          THEN 'gone' ELSE $2 END
         WHERE id = $1",
    )
    .bind(id.0)
    .bind(state)
    .bind(draining)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// The operator's words for a host. `false`: there is none.
pub async fn set_tags(tx: &mut Tx, id: HostId, tags: &[String]) -> Result<bool> {
    let done = sqlx::query("UPDATE hosts SET tags = $2 WHERE id = $1").bind(id.0).bind(tags).execute(&mut **tx).await?;
    Ok(done.rows_affected() == 1)
}

/// Every host that is being emptied.
pub async fn draining(store: &Store) -> Result<Vec<HostId>> {
    let ids: Vec<Uuid> =
        sqlx::query_scalar("SELECT id FROM hosts WHERE draining ORDER BY id").fetch_all(store.pool()).await?;
    Ok(ids.into_iter().map(HostId).collect())
}

/// What stands on a host that is being emptied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToMove {
    /// Servers that can be asked to move now, smallest id first.
    pub ready: Vec<ServerId>,
    /// How many are on their way.
    pub moving: i64,
    /// How many have to wait: busy with something else, still being made, or not to be moved a short while ago.
    pub waiting: i64,
}

/// Looks what is left on a host. A server whose move failed within `patience` seconds waits.
pub async fn left_on(store: &Store, host: HostId, patience: i64) -> Result<ToMove> {
    let rows: Vec<(i32, bool, bool)> = sqlx::query_as(
        "SELECT s.id,
                EXISTS (SELECT FROM server_migrations m WHERE m.server_id = s.id AND m.state = 'running') AS moving,
                s.answered_at IS NULL
                OR EXISTS (SELECT FROM actions a WHERE a.resource_type = 'droplet' AND a.resource_id = s.id
                           AND a.completed_at IS NULL)
                OR EXISTS (SELECT FROM server_migrations m WHERE m.server_id = s.id AND m.from_host = $1
                           AND m.state = 'failed' AND m.finished_at > now() - make_interval(secs => $2)) AS waits
         FROM servers s WHERE s.host_id = $1 AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL ORDER BY s.id",
    )
    .bind(host.0)
    .bind(f64::from(i32::try_from(patience).unwrap_or(i32::MAX)))
    .fetch_all(store.pool())
    .await?;
    let mut left = ToMove::default();
    for (server, moving, waits) in rows {
        match (moving, waits) {
            (true, _) => left.moving += 1,
            (false, true) => left.waiting += 1,
            (false, false) => left.ready.push(ServerId(server)),
        }
    }
    Ok(left)
}

/// A host that was emptied stays closed and is no longer being emptied.
pub async fn drained(tx: &mut Tx, host: HostId) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE hosts h SET draining = false WHERE h.id = $1 AND h.draining
           AND NOT EXISTS (SELECT FROM reservations r WHERE r.host_id = h.id)",
    )
    .bind(host.0)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A host, as the observer tells operators of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its id.
    pub id: HostId,
    /// Its name at the provider.
    pub name: String,
    /// It has not answered, and nobody keeps it closed.
    pub gone: bool,
    /// Servers stand on it.
    pub servers: i64,
}

/// The hosts of a region, after they were recorded.
pub async fn standing(tx: &mut Tx, region: &RegionSlug) -> Result<Vec<Standing>> {
    let rows = sqlx::query(
        "SELECT h.id, h.name, h.state = 'gone' AS gone,
                (SELECT count(*) FROM reservations r WHERE r.host_id = h.id AND r.purpose = 'home') AS servers
         FROM hosts h WHERE h.region = $1",
    )
    .bind(region.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Standing {
                id: HostId(row.try_get("id")?),
                name: row.try_get("name")?,
                gone: row.try_get("gone")?,
                servers: row.try_get("servers")?,
            })
        })
        .collect()
}
