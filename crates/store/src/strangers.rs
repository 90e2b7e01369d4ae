//! Guests at a provider that are not ours, as last seen: for operators to look at and to adopt. Each look replaces the
//! last.

use crate::rows::Columns as _;
use crate::{Error, Result, Store, Tx};
use jiff::Timestamp;
use model::ids::RegionSlug;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A stranger as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StrangerSeen {
    /// The host that it is on.
    pub host: String,
    /// Its number or name there.
    pub name: String,
    /// `machine` or `container`.
    pub kind: String,
    /// What people there call it.
    pub title: String,
    /// `running` or `stopped`; `None`: not known.
    pub power: Option<String>,
    /// vCPUs.
    pub vcpus: i32,
    /// MiB.
    pub memory_mib: i32,
    /// GB.
    pub disk_gb: i32,
    /// What says whose it is.
    pub owner: Option<String>,
}

/// A stranger as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stranger {
    /// Where.
    pub region: RegionSlug,
    /// The host that it is on.
    pub host: String,
    /// Its number or name there.
    pub name: String,
    /// `machine` or `container`.
    pub kind: String,
    /// What people there call it.
    pub title: String,
    /// `running` or `stopped`; `None`: not known.
    pub power: Option<String>,
    /// vCPUs.
    pub vcpus: i32,
    /// MiB.
    pub memory_mib: i32,
    /// GB.
    pub disk_gb: i32,
    /// What says whose it is.
    pub owner: Option<String>,
    /// When it was seen so.
    pub seen_at: Timestamp,
}

/// Writes a region's strangers down. Those that stay as they are cost no write, but once in five minutes.
pub async fn record(tx: &mut Tx, region: &RegionSlug, strangers: &[StrangerSeen]) -> Result<()> {
    let rows = serde_json::to_value(strangers).map_err(|error| Error::Corrupt(error.to_string()))?;
    sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT DISTINCT ON (name, host) * FROM jsonb_to_recordset($2) AS n (host text, name text, kind text, title text,
                 power text, vcpus integer, memory_mib integer, disk_gb integer, owner text)
         ), gone AS (
             DELETE FROM strangers s WHERE s.region = $1
                AND NOT EXISTS (SELECT FROM new WHERE new.name = s.name AND new.host = s.host)
         )
         INSERT INTO strangers AS s (region, name, host, kind, title, power, vcpus, memory_mib, disk_gb, owner, seen_at)
         SELECT $1, name, host, kind, title, power, vcpus, memory_mib, disk_gb, owner, clock_timestamp() FROM new
         ON CONFLICT (region, name, host) DO UPDATE SET kind = excluded.kind, title = excluded.title,
             power = excluded.power, vcpus = excluded.vcpus, memory_mib = excluded.memory_mib,
             disk_gb = excluded.disk_gb, owner = excluded.owner, seen_at = excluded.seen_at
             WHERE s.seen_at < clock_timestamp() - interval '5 minutes'
                OR (s.kind, s.title, s.power, s.vcpus, s.memory_mib, s.disk_gb, s.owner) IS DISTINCT FROM
                   (excluded.kind, excluded.title, excluded.power, excluded.vcpus, excluded.memory_mib, excluded.disk_gb,
                    excluded.owner)",
    )
    .bind(region.as_str())
    .bind(rows)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One page, by region and name, and the count of all.
pub async fn list(store: &Store, region: Option<&RegionSlug>, limit: i64, offset: i64) -> Result<(Vec<Stranger>, i64)> {
    let rows = sqlx::query(
        "SELECT * FROM strangers WHERE $1::text IS NULL OR region = $1 ORDER BY region, length(name), name LIMIT $2 OFFSET $3",
    )
    .bind(region.map(RegionSlug::as_str))
    .bind(limit)
    .bind(offset)
    .fetch_all(store.pool())
    .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM strangers WHERE $1::text IS NULL OR region = $1")
        .bind(region.map(RegionSlug::as_str))
        .fetch_one(store.pool())
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One stranger by its number, or what else its provider knows it by.
pub async fn find(tx: &mut Tx, region: &RegionSlug, name: &str) -> Result<Option<Stranger>> {
    let row = sqlx::query("SELECT * FROM strangers WHERE region = $1 AND name = $2 LIMIT 1")
        .bind(region.as_str())
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Strangers that people there call so: none, one or several.
pub async fn titled(tx: &mut Tx, region: &RegionSlug, title: &str) -> Result<Vec<Stranger>> {
    let rows =
        sqlx::query("SELECT * FROM strangers WHERE region = $1 AND title = $2 ORDER BY length(name), name, host")
            .bind(region.as_str())
            .bind(title)
            .fetch_all(&mut **tx)
            .await?;
    rows.iter().map(read).collect()
}

/// A stranger that was adopted is none any more.
pub async fn forget(tx: &mut Tx, region: &RegionSlug, name: &str) -> Result<()> {
    sqlx::query("DELETE FROM strangers WHERE region = $1 AND name = $2")
        .bind(region.as_str())
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn read(row: &PgRow) -> Result<Stranger> {
    Ok(Stranger {
        region: RegionSlug(row.try_get("region")?),
        host: row.try_get("host")?,
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        title: row.try_get("title")?,
        power: row.try_get("power")?,
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        disk_gb: row.try_get("disk_gb")?,
        owner: row.try_get("owner")?,
        seen_at: row.time("seen_at")?,
    })
}
