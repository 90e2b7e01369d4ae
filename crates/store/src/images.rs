//! Images: the catalogue's, snapshots, backups, and those that teams bring.

use crate::rows::Columns as _;
use crate::servers::{Image, ImageChoice};
use crate::{Result, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::{ImageId, RegionSlug, ServerId, TeamId, WorkflowId};
use model::states::{GuestKind, ImageKind};
use sqlx::{PgConnection, Row as _};

mod read;
pub mod transfers;

pub use read::{Filter, Image as Entry, Whose, get, in_use, list, region};

/// Where an image's bytes come from (`provider::ImageSource` as JSON). `None` once it is deleted.
pub async fn source(connection: &mut PgConnection, image: ImageId) -> Result<Option<serde_json::Value>> {
    Ok(sqlx::query_scalar("SELECT source FROM images WHERE id = $1 AND deleted_at IS NULL")
        .bind(image.0)
        .fetch_optional(connection)
        .await?)
}

/// A copy of a server's disk that is about to be made.
#[derive(Clone, Debug)]
pub struct NewCopy<'a> {
    /// Whose.
    pub team: TeamId,
    /// The server.
    pub server: ServerId,
    /// `snapshot` or `backup`.
    pub kind: ImageKind,
    /// The name.
    pub name: &'a str,
    /// Where.
    pub region: &'a RegionSlug,
    /// The server's disk: no smaller one holds the copy.
    pub min_disk_gb: i32,
    /// Of a backup: when the schedule deletes it.
    pub expires_at: Option<Timestamp>,
}

/// Writes a copy down as pending. Distribution, default user and what is made of it are those of the server's own image.
pub async fn insert_copy(tx: &mut Tx, new: &NewCopy<'_>) -> Result<ImageId> {
    let id: i32 = sqlx::query_scalar(
        "INSERT INTO images (team_id, name, distribution, kind, status, source, default_user, min_disk_gb, regions, server_id,
                             expires_at, guest)
         SELECT $1, $3, i.distribution, $4, 'pending', '\"snapshot\"', i.default_user, $5, ARRAY[$6], s.id, $7, i.guest
         FROM servers s JOIN images i ON i.id = s.image_id WHERE s.id = $2 AND s.team_id = $1
         RETURNING id",
    )
    .bind(new.team.0)
    .bind(new.server.0)
    .bind(new.name)
    .bind(new.kind.as_str())
    .bind(new.min_disk_gb)
    .bind(new.region.as_str())
    .bind(new.expires_at.map(|end| end.to_sqlx()))
    .fetch_one(&mut **tx)
    .await?;
    Ok(ImageId(id))
}

/// An image that a team brings.
#[derive(Clone, Debug)]
pub struct NewCustom<'a> {
    /// Whose.
    pub team: TeamId,
    /// The name.
    pub name: &'a str,
    /// What it says of itself.
    pub description: &'a str,
    /// The distribution's word.
    pub distribution: &'a str,
    /// `provider::ImageSource` as JSON.
    pub source: &'a serde_json::Value,
    /// What is made of it.
    pub guest: GuestKind,
    /// Where it is fetched to.
    pub region: &'a RegionSlug,
    /// Tags, made where they do not exist.
    pub tags: &'a [String],
}

/// Writes an image that a team brings down as `NEW`. Its workflow is the caller's.
pub async fn insert_custom(tx: &mut Tx, new: &NewCustom<'_>) -> Result<ImageId> {
    let id: i32 = sqlx::query_scalar(
        "WITH image AS (
             INSERT INTO images (team_id, name, description, distribution, kind, status, source, min_disk_gb, regions, guest)
             VALUES ($1, $2, $3, $4, 'custom', 'NEW', $5, 0, ARRAY[$6], $8) RETURNING id
         ), tag AS (
             INSERT INTO tags (team_id, name) SELECT $1, unnest($7::text[]) ON CONFLICT DO NOTHING
         ), tagging AS (
             INSERT INTO tagged (team_id, tag, resource_type, resource_id)
             SELECT $1, t, 'image', image.id::text FROM image, unnest($7::text[]) AS t ON CONFLICT DO NOTHING
         )
         SELECT id FROM image",
    )
    .bind(new.team.0)
    .bind(new.name)
    .bind(new.description)
    .bind(new.distribution)
    .bind(new.source)
    .bind(new.region.as_str())
    .bind(new.tags)
    .bind(new.guest.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(ImageId(id))
}

/// How many images a team keeps of its own accord: snapshots, and what it brought, from being asked for until the bytes
/// are gone. Backups are not counted: their schedule bounds them.
pub async fn count_kept(tx: &mut Tx, team: TeamId) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM images WHERE team_id = $1 AND kind IN ('snapshot', 'custom') AND erased_at IS NULL",
    )
    .bind(team.0)
    .fetch_one(&mut **tx)
    .await?)
}

/// The workflow of an image's life. False: the image was deleted meanwhile, and must not come to life.
pub async fn set_workflow(tx: &mut Tx, image: ImageId, workflow: WorkflowId) -> Result<bool> {
    let done = sqlx::query("UPDATE images SET workflow_id = $2 WHERE id = $1 AND deleted_at IS NULL")
        .bind(image.0)
        .bind(workflow.0)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// What of an image changes; the rest stays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// The name.
    pub name: Option<&'a str>,
    /// What it says of itself.
    pub description: Option<&'a str>,
    /// The distribution's word.
    pub distribution: Option<&'a str>,
}

/// Changes what an image of the team says of itself. False: the team has none of that id.
pub async fn update(tx: &mut Tx, team: TeamId, image: ImageId, change: &Change<'_>) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE images SET name = coalesce($3, name), description = coalesce($4, description),
                distribution = coalesce($5, distribution)
         WHERE team_id = $1 AND id = $2 AND deleted_at IS NULL",
    )
    .bind(team.0)
    .bind(image.0)
    .bind(change.name)
    .bind(change.description)
    .bind(change.distribution)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A backup becomes a snapshot: the schedule does not delete it any more. Done already is fine.
pub async fn convert(tx: &mut Tx, image: ImageId) -> Result<()> {
    sqlx::query("UPDATE images SET kind = 'snapshot', expires_at = NULL WHERE id = $1 AND kind = 'backup'")
        .bind(image.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// An image that was just deleted by its team.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The workflow to unmake. `None`: it has never come to life; there are no bytes.
    pub workflow: Option<WorkflowId>,
}

/// Deletes an image of the team as far as anybody sees: not listed any more, its tags and offers ended; its quota is held
/// until its bytes are gone. `None`: the team has no such image.
pub async fn request_delete(tx: &mut Tx, team: TeamId, image: ImageId) -> Result<Option<Leaving>> {
    // The second alternative is one that could not be made: it was only shown for its reason.
    let row = sqlx::query(
        "WITH untagged AS (
             DELETE FROM tagged WHERE team_id = $1 AND resource_type = 'image' AND resource_id = $2::text
         ), withdrawn AS (
             UPDATE image_transfers SET status = 'cancelled', ended_at = clock_timestamp()
             WHERE image_id = $2 AND team_id = $1 AND status = 'pending'
         )
         UPDATE images SET status = 'deleted', deleted_at = coalesce(deleted_at, clock_timestamp()),
                erased_at = CASE WHEN workflow_id IS NULL THEN coalesce(erased_at, clock_timestamp()) ELSE erased_at END,
                error_message = NULL
         WHERE team_id = $1 AND id = $2 AND (deleted_at IS NULL OR (kind = 'custom' AND error_message IS NOT NULL))
         RETURNING CASE WHEN erased_at IS NULL THEN workflow_id END AS workflow_id",
    )
    .bind(team.0)
    .bind(image.0)
    .fetch_optional(&mut **tx)
    .await?;
    let workflow = |row: sqlx::postgres::PgRow| -> Result<Leaving> {
        Ok(Leaving { workflow: row.try_get::<Option<uuid::Uuid>, _>("workflow_id")?.map(WorkflowId) })
    };
    row.map(workflow).transpose()
}

/// What was to make the image was called off: it is deleted, unless it is made already. The workflow to unmake, if it
/// has come to life.
pub async fn abandon(tx: &mut Tx, image: ImageId) -> Result<Option<WorkflowId>> {
    let workflow: Option<Option<uuid::Uuid>> = sqlx::query_scalar(
        "UPDATE images SET status = 'deleted', deleted_at = clock_timestamp(),
                erased_at = CASE WHEN workflow_id IS NULL THEN clock_timestamp() END
         WHERE id = $1 AND deleted_at IS NULL AND status = 'pending' RETURNING workflow_id",
    )
    .bind(image.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(workflow.flatten().map(WorkflowId))
}

/// Backups whose time is over, at most `limit`, with their teams. The newest that can be used of a server that is still
/// backed up is left until there is a newer one, so that a schedule that fails does not end with nothing.
pub async fn expired(connection: &mut PgConnection, now: Timestamp, limit: i64) -> Result<Vec<(TeamId, ImageId)>> {
    let rows: Vec<(uuid::Uuid, i32)> = sqlx::query_as(
        "SELECT i.team_id, i.id FROM images i
         WHERE i.expires_at <= $1 AND i.deleted_at IS NULL
           AND (EXISTS (SELECT FROM images n WHERE n.server_id = i.server_id AND n.kind = 'backup'
                        AND n.status = 'available' AND n.deleted_at IS NULL AND n.id > i.id)
                OR NOT EXISTS (SELECT FROM servers s WHERE s.id = i.server_id AND s.backups
                               AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL))
         ORDER BY i.expires_at, i.id LIMIT $2",
    )
    .bind(now.to_sqlx())
    .bind(limit)
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(team, image)| (TeamId(team), ImageId(image))).collect())
}

/// The bytes are there. `min_disk_gb`: the smallest disk that holds them, where the row does not say so yet.
pub async fn set_available(tx: &mut Tx, image: ImageId, stored_bytes: i64, min_disk_gb: Option<i32>) -> Result<()> {
    sqlx::query(
        "UPDATE images SET status = 'available', stored_bytes = $2, min_disk_gb = coalesce($3, min_disk_gb),
                error_message = NULL
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(image.0)
    .bind(stored_bytes)
    .bind(min_disk_gb)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The bytes are about to go.
pub async fn set_unavailable(tx: &mut Tx, image: ImageId) -> Result<()> {
    sqlx::query("UPDATE images SET status = 'pending' WHERE id = $1 AND deleted_at IS NULL")
        .bind(image.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The bytes are gone; the row stays for the servers that were made from it, and, where it could not be made (`error`),
/// for its team to read why.
pub async fn erase(tx: &mut Tx, image: ImageId, error: Option<&str>) -> Result<()> {
    sqlx::query(
        "WITH untagged AS (
             DELETE FROM tagged t USING images i
             WHERE i.id = $1 AND t.team_id = i.team_id AND t.resource_type = 'image' AND t.resource_id = i.id::text)
         UPDATE images SET status = 'deleted', deleted_at = coalesce(deleted_at, clock_timestamp()),
                erased_at = clock_timestamp(), error_message = CASE WHEN deleted_at IS NULL THEN $2 ELSE error_message END
         WHERE id = $1 AND erased_at IS NULL",
    )
    .bind(image.0)
    .bind(error)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The image that a request names, if the team may use it.
pub async fn choose(tx: &mut Tx, team: TeamId, choice: &ImageChoice) -> Result<Option<Image>> {
    let (id, slug) = match choice {
        ImageChoice::Id(id) => (Some(id.0), None),
        ImageChoice::Slug(slug) => (None, Some(slug.as_str())),
    };
    let row = sqlx::query(
        "SELECT id, kind, guest, status, regions, min_disk_gb FROM images
         WHERE (id = $2 OR slug = $3) AND deleted_at IS NULL AND (team_id IS NULL OR team_id = $1)",
    )
    .bind(team.0)
    .bind(id)
    .bind(slug)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        Ok(Image {
            id: ImageId(row.try_get("id")?),
            kind: row.word("kind")?,
            guest: row.word("guest")?,
            status: row.word("status")?,
            regions: row.try_get("regions")?,
            min_disk_gb: row.try_get("min_disk_gb")?,
        })
    })
    .transpose()
}

/// What an image is; `None`: there is none of that id.
pub async fn kind(tx: &mut Tx, image: ImageId) -> Result<Option<ImageKind>> {
    let row = sqlx::query("SELECT kind FROM images WHERE id = $1").bind(image.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(|row| row.word("kind")).transpose()
}
