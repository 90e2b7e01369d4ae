//! Storages and strangers: what was last seen in a region beside hosts and guests of ours. Each look replaces the last.

use crate::rows::Columns as _;
use crate::{Error, Result, Store, Tx};
use jiff::Timestamp;
use model::ids::RegionSlug;
use serde::Serialize;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A storage as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageSeen {
    /// Its name.
    pub name: String,
    /// Its host; `None`: every host sees the same one.
    pub host: Option<String>,
    /// Its technique.
    pub technique: String,
    /// What may be kept on it.
    pub content: Vec<String>,
    /// Bytes in all.
    pub total_bytes: i64,
    /// Bytes in use.
    pub used_bytes: i64,
    /// It answers.
    pub online: bool,
    /// New guests' disks go there.
    pub used_for_guests: bool,
}

/// A storage as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Where.
    pub region: RegionSlug,
    /// Its name.
    pub name: String,
    /// Its host; `None`: every host sees the same one.
    pub host: Option<String>,
    /// Its technique.
    pub technique: String,
    /// What may be kept on it.
    pub content: Vec<String>,
    /// Bytes in all.
    pub total_bytes: i64,
    /// Bytes in use.
    pub used_bytes: i64,
    /// It answers.
    pub online: bool,
    /// New guests' disks go there.
    pub used_for_guests: bool,
    /// When it was seen so.
    pub seen_at: Timestamp,
}

fn written<T: Serialize>(rows: &[T]) -> Result<serde_json::Value> {
    serde_json::to_value(rows).map_err(|error| Error::Corrupt(error.to_string()))
}

/// Writes a region's storages down.
pub async fn record(tx: &mut Tx, region: &RegionSlug, storages: &[StorageSeen]) -> Result<()> {
    sqlx::query(
        "WITH new AS MATERIALIZED (
             SELECT * FROM jsonb_to_recordset($2) AS n (name text, host text, technique text, content text[],
                 total_bytes bigint, used_bytes bigint, online boolean, used_for_guests boolean)
         ), gone AS (
             DELETE FROM storages s WHERE s.region = $1 AND NOT EXISTS (
                 SELECT FROM new WHERE new.name = s.name AND new.host IS NOT DISTINCT FROM s.host)
         )
         INSERT INTO storages (region, name, host, technique, content, total_bytes, used_bytes, online, used_for_guests, seen_at)
         SELECT $1, name, host, technique, content, total_bytes, used_bytes, online, used_for_guests, clock_timestamp()
         FROM new
         ON CONFLICT (region, name, coalesce(host, '')) DO UPDATE SET technique = excluded.technique,
             content = excluded.content, total_bytes = excluded.total_bytes, used_bytes = excluded.used_bytes,
             online = excluded.online, used_for_guests = excluded.used_for_guests, seen_at = excluded.seen_at",
    )
    .bind(region.as_str())
    .bind(written(storages)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// One page, by region and name, and the count of all.
pub async fn list(store: &Store, region: Option<&RegionSlug>, limit: i64, offset: i64) -> Result<(Vec<Storage>, i64)> {
    let rows = sqlx::query(
        "SELECT * FROM storages WHERE $1::text IS NULL OR region = $1
         ORDER BY region, name, host NULLS FIRST LIMIT $2 OFFSET $3",
    )
    .bind(region.map(RegionSlug::as_str))
    .bind(limit)
    .bind(offset)
    .fetch_all(store.pool())
    .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM storages WHERE $1::text IS NULL OR region = $1")
        .bind(region.map(RegionSlug::as_str))
        .fetch_one(store.pool())
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

fn read(row: &PgRow) -> Result<Storage> {
    Ok(Storage {
        region: RegionSlug(row.try_get("region")?),
        name: row.try_get("name")?,
        host: row.try_get("host")?,
        technique: row.try_get("technique")?,
        content: row.try_get("content")?,
        total_bytes: row.try_get("total_bytes")?,
        used_bytes: row.try_get("used_bytes")?,
        online: row.try_get("online")?,
        used_for_guests: row.try_get("used_for_guests")?,
        seen_at: row.time("seen_at")?,
    })
}
