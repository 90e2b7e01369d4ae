//! The catalogue's images.
//!
//! An image's id stands for its bytes: providers keep them under it. So when an entry's bytes change, the entry gets a new
//! row and the old one is retired without its slug; servers made from it keep pointing at it.

use super::apply::checksum;
use crate::{Error, Result, Store, Tx};
use model::catalogue::{Image, Source};
use model::checksum::Checksum;
use model::ids::ImageId;
use serde_json::{Value, json};
use sqlx::Row as _;

/// An image whose checksum is still to be read from a published list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unresolved {
    /// The image.
    pub image: ImageId,
    /// Its slug.
    pub slug: String,
    /// Where its bytes are.
    pub url: String,
    /// The name under which the list has it.
    pub file: String,
    /// Where the list is.
    pub list: String,
}

/// `images.source` for an entry: `provider::ImageSource` as JSON, or what is to be resolved into one.
fn source(entry: &Image) -> Result<Value> {
    let wrong = |problem: &str| Error::Corrupt(format!("image {} {problem}", entry.slug));
    Ok(match entry.source().map_err(wrong)? {
        Source::Pinned { url, checksum: sum } => json!({ "url": { "url": url, "checksum": checksum(sum) } }),
        Source::Listed { url, file, list } => json!({ "listed": { "url": url, "file": file, "list": list } }),
        Source::File { path, checksum: sum } => json!({ "file": { "path": path, "checksum": sum.map(checksum) } }),
    })
}

/// Writes one entry. False: its checksum is not known yet, and it cannot be used until it is.
pub(super) async fn put(tx: &mut Tx, entry: &Image) -> Result<bool> {
    let wanted = source(entry)?;
    let row =
        sqlx::query("SELECT id, source, status FROM images WHERE slug = $1 AND team_id IS NULL AND deleted_at IS NULL")
            .bind(entry.slug.as_str())
            .fetch_optional(&mut **tx)
            .await?;
    if let Some(row) = row {
        let (id, stored): (i32, Value) = (row.try_get("id")?, row.try_get("source")?);
        if same_bytes(&stored, &wanted) {
            let resolved = stored.get("listed").is_none();
            update(tx, id, entry, resolved).await?;
            return Ok(resolved);
        }
        sqlx::query("UPDATE images SET status = 'retired', slug = NULL WHERE id = $1")
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    let resolved = wanted.get("listed").is_none();
    sqlx::query(
        "INSERT INTO images (slug, name, description, distribution, kind, status, source, default_user, min_disk_gb, guest)
         VALUES ($1, $2, $3, $4, 'base', $5, $6, $7, $8, $9)",
    )
    .bind(entry.slug.as_str())
    .bind(entry.name.as_str())
    .bind(&entry.description)
    .bind(entry.distribution.as_str())
    .bind(if resolved { "available" } else { "NEW" })
    .bind(wanted)
    .bind(&entry.default_user)
    .bind(min_disk(entry)?)
    .bind(entry.guest().as_str())
    .execute(&mut **tx)
    .await?;
    Ok(resolved)
}

async fn update(tx: &mut Tx, id: i32, entry: &Image, resolved: bool) -> Result<()> {
    sqlx::query(
        "UPDATE images SET name = $2, description = $3, distribution = $4, default_user = $5, min_disk_gb = $6, guest = $8,
                           status = CASE WHEN NOT $7 THEN 'NEW' WHEN status = 'retired' THEN 'available' ELSE status END
         WHERE id = $1",
    )
    .bind(id)
    .bind(entry.name.as_str())
    .bind(&entry.description)
    .bind(entry.distribution.as_str())
    .bind(&entry.default_user)
    .bind(min_disk(entry)?)
    .bind(resolved)
    .bind(entry.guest().as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn min_disk(entry: &Image) -> Result<i32> {
    i32::try_from(entry.min_disk_gb)
        .map_err(|_| Error::Corrupt(format!("image {}: min_disk_gb is too large", entry.slug)))
}

/// A resolved source remembers the list it came from, so that applying the same entry again does not ask anew.
fn same_bytes(stored: &Value, wanted: &Value) -> bool {
    stored == wanted || (wanted.get("listed").is_some() && stored.get("was") == wanted.get("listed"))
}

/// Takes everything that is not among `slugs` off the list. Slugs stay, so that an entry can come back.
pub(super) async fn retire_others(tx: &mut Tx, slugs: &[&str]) -> Result<()> {
    sqlx::query(
        "UPDATE images SET status = 'retired'
         WHERE team_id IS NULL AND deleted_at IS NULL AND status <> 'retired' AND slug <> ALL ($1)",
    )
    .bind(slugs)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The images whose checksum is still to be read.
pub async fn unresolved(store: &Store) -> Result<Vec<Unresolved>> {
    let rows = sqlx::query(
        "SELECT id, slug, source->'listed'->>'url' AS url, source->'listed'->>'file' AS file,
                source->'listed'->>'list' AS list
         FROM images WHERE team_id IS NULL AND status = 'NEW' AND slug IS NOT NULL AND source ? 'listed' ORDER BY id",
    )
    .fetch_all(store.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Unresolved {
                image: ImageId(row.try_get("id")?),
                slug: row.try_get("slug")?,
                url: row.try_get("url")?,
                file: row.try_get("file")?,
                list: row.try_get("list")?,
            })
        })
        .collect()
}

/// Writes down the checksum that the list has; from here on the image can be used.
pub async fn resolve(store: &Store, unresolved: &Unresolved, sum: &Checksum) -> Result<()> {
    sqlx::query(
        "UPDATE images SET status = 'available', error_message = NULL,
                           source = jsonb_build_object('url', $2::jsonb, 'was', source->'listed')
         WHERE id = $1 AND status = 'NEW' AND source ? 'listed'",
    )
    .bind(unresolved.image.0)
    .bind(json!({ "url": unresolved.url, "checksum": checksum(sum) }))
    .execute(store.pool())
    .await?;
    Ok(())
}
