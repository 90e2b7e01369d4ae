//! Images of the catalogue and where their bytes are known to be.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use model::ids::{ImageId, RegionSlug};
use sqlx::Row as _;

/// An image of the catalogue in one region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// Where.
    pub region: RegionSlug,
    /// The image.
    pub image: ImageId,
    /// Its slug.
    pub slug: Option<String>,
    /// Its name.
    pub name: String,
    /// Its distribution.
    pub distribution: String,
    /// `available`, `retired`, …
    pub status: String,
    /// Its bytes were seen in the region.
    pub at_hand: bool,
    /// How many they are.
    pub stored_bytes: Option<i64>,
    /// When they were seen.
    pub seen_at: Option<Timestamp>,
}

const FROM: &str = "
    FROM regions r JOIN images i ON i.team_id IS NULL AND i.slug IS NOT NULL AND i.deleted_at IS NULL
         AND (i.regions IS NULL OR r.slug = ANY (i.regions))
         AND (i.guest = 'machine' OR (r.capabilities -> 'containers')::boolean)
    LEFT JOIN region_images b ON b.region = r.slug AND b.image_id = i.id
    WHERE r.removed_at IS NULL AND ($1::text IS NULL OR r.slug = $1) ";

/// One page, by region and image, and the count of all.
pub async fn list(store: &Store, region: Option<&RegionSlug>, limit: i64, offset: i64) -> Result<(Vec<Template>, i64)> {
    let statement = format!(
        "SELECT r.slug AS region, i.id, i.slug, i.name, i.distribution, i.status, b.stored_bytes, b.seen_at {FROM}
         ORDER BY r.position, r.slug, i.id LIMIT $2 OFFSET $3"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(region.map(RegionSlug::as_str))
        .bind(limit)
        .bind(offset)
        .fetch_all(store.pool())
        .await?;
    let total = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {FROM}")))
        .bind(region.map(RegionSlug::as_str))
        .fetch_one(store.pool())
        .await?;
    let templates = rows.iter().map(|row| {
        let stored_bytes: Option<i64> = row.try_get("stored_bytes")?;
        Ok(Template {
            region: RegionSlug(row.try_get("region")?),
            image: ImageId(row.try_get("id")?),
            slug: row.try_get("slug")?,
            name: row.try_get("name")?,
            distribution: row.try_get("distribution")?,
            status: row.try_get("status")?,
            at_hand: stored_bytes.is_some(),
            stored_bytes,
            seen_at: row.time_or_null("seen_at")?,
        })
    });
    Ok((templates.collect::<Result<_>>()?, total))
}

/// The image's bytes were seen in the region.
pub async fn record(tx: &mut Tx, region: &RegionSlug, image: ImageId, stored_bytes: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO region_images (region, image_id, stored_bytes) VALUES ($1, $2, $3)
         ON CONFLICT (region, image_id) DO UPDATE SET stored_bytes = $3, seen_at = now()",
    )
    .bind(region.as_str())
    .bind(image.0)
    .bind(stored_bytes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Whether an image of the catalogue is on offer in a region.
pub async fn offered(tx: &mut Tx, region: &RegionSlug, image: ImageId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM images i JOIN regions r ON r.slug = $1
             WHERE i.id = $2 AND i.team_id IS NULL AND i.deleted_at IS NULL AND i.status = 'available'
               AND i.slug IS NOT NULL AND (i.regions IS NULL OR $1 = ANY (i.regions))
               AND (i.guest = 'machine' OR (r.capabilities -> 'containers')::boolean))",
    )
    .bind(region.as_str())
    .bind(image.0)
    .fetch_one(&mut **tx)
    .await?)
}

/// The images of the catalogue that are on offer in a region.
pub async fn listed(store: &Store, region: &RegionSlug) -> Result<Vec<ImageId>> {
    let ids: Vec<i32> = sqlx::query_scalar(
        "SELECT i.id FROM images i JOIN regions r ON r.slug = $1
         WHERE i.team_id IS NULL AND i.deleted_at IS NULL AND i.slug IS NOT NULL AND i.status <> 'NEW'
           AND (i.regions IS NULL OR $1 = ANY (i.regions))
           AND (i.guest = 'machine' OR (r.capabilities -> 'containers')::boolean) ORDER BY i.id",
    )
    .bind(region.as_str())
    .fetch_all(store.pool())
    .await?;
    Ok(ids.into_iter().map(ImageId).collect())
}

/// These images, with their bytes, are what is at hand in a region.
pub async fn replace(tx: &mut Tx, region: &RegionSlug, seen: &[(ImageId, i64)]) -> Result<()> {
    let (ids, bytes): (Vec<i32>, Vec<i64>) = seen.iter().map(|(image, bytes)| (image.0, *bytes)).unzip();
    sqlx::query(
        "WITH gone AS (DELETE FROM region_images WHERE region = $1 AND image_id <> ALL ($2))
         INSERT INTO region_images (region, image_id, stored_bytes)
         SELECT $1, id, bytes FROM unnest($2::int[], $3::bigint[]) AS n (id, bytes)
         ON CONFLICT (region, image_id) DO UPDATE SET stored_bytes = excluded.stored_bytes, seen_at = now()",
    )
    .bind(region.as_str())
    .bind(ids)
    .bind(bytes)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
