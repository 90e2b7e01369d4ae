//! Brings the tables up to the operator's file. What is no longer in it is never deleted, because servers may use it: it
//! becomes unavailable, images become retired, and both come back with their entry.

use super::image;
use crate::{Error, Result, Store, Tx};
use model::catalogue::{Catalogue, Pool, PoolKind, Region, Size};
use model::ids::RegionSlug;
use serde_json::{Value, json};
use std::net::IpAddr;
use uuid::Uuid;

/// What came of it, for the operator's eyes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Applied {
    /// Pools (`region/name`) whose range stayed as it was, because addresses of it are rows already and the new range
    /// would not hold them all.
    pub kept_pools: Vec<String>,
    /// Images (slugs) whose checksum is still to be read from its list.
    pub unresolved_images: Vec<String>,
}

/// Applies the whole catalogue in one transaction. Doing it again changes nothing; two processes take turns.
pub async fn apply(store: &Store, catalogue: &Catalogue) -> Result<Applied> {
    let mut applied = Applied::default();
    let mut tx = store.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock(7233187002)").execute(&mut *tx).await?;
    for (place, region) in catalogue.regions.iter().enumerate() {
        put_region(&mut tx, position(place), region).await?;
        for pool in &region.pools {
            if !put_pool(&mut tx, &region.slug, pool).await? {
                applied.kept_pools.push(format!("{}/{}", region.slug, pool.name));
            }
        }
    }
    let regions: Vec<&str> = catalogue.regions.iter().map(|region| region.slug.as_str()).collect();
    // What operators have connected is theirs.
    sqlx::query("UPDATE regions SET available = false WHERE slug <> ALL ($1) AND available AND origin = 'catalogue'")
        .bind(regions)
        .execute(&mut *tx)
        .await?;
    for (place, size) in catalogue.sizes.iter().enumerate() {
        put_size(&mut tx, position(place), size).await?;
    }
    let sizes: Vec<&str> = catalogue.sizes.iter().map(|size| size.slug.as_str()).collect();
    sqlx::query("UPDATE sizes SET available = false WHERE slug <> ALL ($1) AND available")
        .bind(sizes)
        .execute(&mut *tx)
        .await?;
    for entry in &catalogue.images {
        if !image::put(&mut tx, entry).await? {
            applied.unresolved_images.push(entry.slug.to_string());
        }
    }
    let images: Vec<&str> = catalogue.images.iter().map(|image| image.slug.as_str()).collect();
    image::retire_others(&mut tx, &images).await?;
    tx.commit().await?;
    Ok(applied)
}

fn position(place: usize) -> i32 {
    i32::try_from(place).unwrap_or(i32::MAX)
}

/// A region that an operator has connected under the same slug stays the operator's.
async fn put_region(tx: &mut Tx, position: i32, region: &Region) -> Result<()> {
    let unreadable = |error: serde_json::Error| Error::Corrupt(format!("settings of region {}: {error}", region.slug));
    let overcommit = serde_json::to_value(region.overcommit).map_err(unreadable)?;
    let placement = serde_json::to_value(region.placement).map_err(unreadable)?;
    let heal = serde_json::to_value(region.heal).map_err(unreadable)?;
    let connection = serde_json::to_value(&region.settings).map_err(unreadable)?;
    let written = sqlx::query(
        "INSERT INTO regions AS r (slug, name, provider, settings, features, resolvers, vpc_range, available, position)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (slug) DO UPDATE SET name = $2, provider = $3, settings = $4, features = $5, resolvers = $6,
             vpc_range = $7, available = $8, position = $9, origin = 'catalogue', removed_at = NULL
             WHERE r.origin = 'catalogue' OR r.removed_at IS NOT NULL",
    )
    .bind(region.slug.as_str())
    .bind(&region.name)
    .bind(&region.provider)
    .bind(json!({ "overcommit": overcommit, "placement": placement, "heal": heal }))
    .bind(&region.features)
    .bind(&region.resolvers)
    .bind(ipnet::IpNet::V4(region.vpc_range.net()))
    .bind(region.available)
    .bind(position)
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == 0 {
        tracing::warn!(region = %region.slug, "the catalogue's region is left out: an operator has connected one of that name");
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO region_connections AS c (region, settings) VALUES ($1, $2)
         ON CONFLICT (region) DO UPDATE SET settings = $2, revision = c.revision + 1, state = 'new', last_error = NULL,
             failures = 0
             WHERE c.settings <> $2",
    )
    .bind(region.slug.as_str())
    .bind(connection)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// False: the pool keeps its range.
pub(crate) async fn put_pool(tx: &mut Tx, region: &RegionSlug, pool: &Pool) -> Result<bool> {
    let (first, last) = (IpAddr::V4(pool.first()), IpAddr::V4(pool.last()));
    let kind = match pool.kind {
        PoolKind::PublicNat => "public_nat",
        PoolKind::PublicBridged => "public_bridged",
    };
    // A range whose addresses are not rows yet may be replaced. Later it may only grow at its end: `next` goes forwards.
    let fits: bool = sqlx::query_scalar(
        "INSERT INTO address_pools (id, region, name, kind, range, gateway, first, last, next)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $7)
         ON CONFLICT (region, name) DO UPDATE SET
             kind = $4,
             gateway = CASE WHEN address_pools.range <<= $5 OR address_pools.next = address_pools.first
                            THEN $6 ELSE address_pools.gateway END,
             range = CASE WHEN address_pools.next = address_pools.first
                            OR ($5 >>= address_pools.range AND $7 = address_pools.first AND $8 >= address_pools.last)
                          THEN $5 ELSE address_pools.range END,
             last = CASE WHEN address_pools.next = address_pools.first
                            OR ($5 >>= address_pools.range AND $7 = address_pools.first AND $8 >= address_pools.last)
                         THEN $8 ELSE address_pools.last END,
             first = CASE WHEN address_pools.next = address_pools.first THEN $7 ELSE address_pools.first END,
             next = CASE WHEN address_pools.next = address_pools.first THEN $7 ELSE address_pools.next END
         RETURNING range = $5 AND first = $7 AND last = $8",
    )
    .bind(Uuid::now_v7())
    .bind(region.as_str())
    .bind(&pool.name)
    .bind(kind)
    .bind(ipnet::IpNet::V4(pool.range.net()))
    .bind(IpAddr::V4(pool.gateway()))
    .bind(first)
    .bind(last)
    .fetch_one(&mut **tx)
    .await?;
    Ok(fits)
}

async fn put_size(tx: &mut Tx, position: i32, size: &Size) -> Result<()> {
    let too_large = |what: &str| Error::Corrupt(format!("size {}: {what} is too large", size.slug));
    let regions: Option<Vec<&str>> =
        size.regions.as_ref().map(|regions| regions.iter().map(|region| region.as_str()).collect());
    sqlx::query(
        "INSERT INTO sizes (slug, vcpus, memory_mib, disk_gb, transfer_tb, price_monthly, price_hourly, description,
                            available, position, regions, gpu)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         ON CONFLICT (slug) DO UPDATE SET vcpus = $2, memory_mib = $3, disk_gb = $4, transfer_tb = $5,
             price_monthly = $6, price_hourly = $7, description = $8, available = $9, position = $10, regions = $11,
             gpu = $12",
    )
    .bind(size.slug.as_str())
    .bind(i32::try_from(size.vcpus).map_err(|_| too_large("vcpus"))?)
    .bind(i32::try_from(size.memory_mib).map_err(|_| too_large("memory_mib"))?)
    .bind(i32::try_from(size.disk_gb).map_err(|_| too_large("disk_gb"))?)
    .bind(size.transfer_tb)
    .bind(size.price_monthly.micros())
    .bind(size.price_hourly.micros())
    .bind(&size.description)
    .bind(size.available)
    .bind(position)
    .bind(regions)
    .bind(size.gpu.as_ref().map(sqlx::types::Json))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A checksum as `provider::Checksum` is written.
pub(super) fn checksum(checksum: &model::checksum::Checksum) -> Value {
    json!({ checksum.algorithm().as_str(): checksum.hex() })
}
