//! What the operator offers: reading it, and bringing it up to the operator's file.

use crate::rows::Columns as _;
use crate::{Result, Store};
use model::catalogue::Gpus;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

mod apply;
mod image;
pub(crate) mod shelf;

pub(crate) use apply::put_pool;
pub use apply::{Applied, apply};
pub use image::{Unresolved, resolve, unresolved};
pub use shelf::{Shelf, shelf};

/// A region, as tenants see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Region {
    /// Its slug.
    pub slug: String,
    /// For people.
    pub name: String,
    /// What servers there can have.
    pub features: Vec<String>,
    /// Takes new servers.
    pub available: bool,
    /// The slugs of the sizes on offer there, in the operator's order.
    pub sizes: Vec<String>,
}

/// A size, as tenants see it.
#[derive(Clone, PartialEq, Debug)]
pub struct Size {
    /// Its slug.
    pub slug: String,
    /// Virtual CPUs.
    pub vcpus: i32,
    /// MiB of memory.
    pub memory_mib: i32,
    /// GB of disk.
    pub disk_gb: i32,
    /// TB of traffic a month.
    pub transfer_tb: f64,
    /// Millionths a month.
    pub price_monthly: i64,
    /// Millionths an hour.
    pub price_hourly: i64,
    /// The class, for people.
    pub description: String,
    /// May be had.
    pub available: bool,
    /// The slugs of the regions that offer it, in the operator's order.
    pub regions: Vec<String>,
    /// The GPUs that come with it.
    pub gpus: Option<Gpus>,
}

/// Every region, in the operator's order. One round trip; nothing of it belongs to a team.
pub async fn regions(store: &Store) -> Result<Vec<Region>> {
    let rows = sqlx::query(
        "SELECT r.slug, r.name, r.available,
                -- What its provider said that it cannot do, nobody is promised.
                CASE WHEN (r.capabilities ->> 'private_networks') = 'false'
                     THEN array_remove(r.features, 'private_networking') ELSE r.features END AS features,
                ARRAY(SELECT s.slug FROM sizes s WHERE s.available AND (s.regions IS NULL OR r.slug = ANY (s.regions))
                      ORDER BY s.position, s.slug) AS sizes
         FROM regions r WHERE r.removed_at IS NULL ORDER BY r.position, r.slug",
    )
    .fetch_all(store.pool())
    .await?;
    rows.iter().map(read_region).collect()
}

/// Every size, in the operator's order. One round trip.
pub async fn sizes(store: &Store) -> Result<Vec<Size>> {
    let rows = sqlx::query(
        "SELECT s.slug, s.vcpus, s.memory_mib, s.disk_gb, s.transfer_tb, s.price_monthly, s.price_hourly, s.description,
                s.available, s.gpu,
                ARRAY(SELECT r.slug FROM regions r WHERE r.available AND (s.regions IS NULL OR r.slug = ANY (s.regions))
                      ORDER BY r.position, r.slug) AS regions
         FROM sizes s ORDER BY s.position, s.slug",
    )
    .fetch_all(store.pool())
    .await?;
    rows.iter().map(read_size).collect()
}

fn read_region(row: &PgRow) -> Result<Region> {
    Ok(Region {
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        features: row.try_get("features")?,
        available: row.try_get("available")?,
        sizes: row.try_get("sizes")?,
    })
}

fn read_size(row: &PgRow) -> Result<Size> {
    Ok(Size {
        slug: row.try_get("slug")?,
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        disk_gb: row.try_get("disk_gb")?,
        transfer_tb: row.try_get("transfer_tb")?,
        price_monthly: row.try_get("price_monthly")?,
        price_hourly: row.try_get("price_hourly")?,
        description: row.try_get("description")?,
        available: row.try_get("available")?,
        regions: row.try_get("regions")?,
        gpus: row.json_or_null("gpu")?,
    })
}
