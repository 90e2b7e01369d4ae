//! Images: the catalogue's, snapshots, backups, and those that teams bring.

use crate::rows::Columns as _;
use crate::servers::{Image, ImageChoice};
use crate::{Result, Tx};
use model::ids::{ImageId, RegionSlug, ServerId, TeamId, WorkflowId};
use sqlx::{PgConnection, Row as _};

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
    pub kind: model::states::ImageKind,
    /// The name.
    pub name: &'a str,
    /// Where.
    pub region: &'a RegionSlug,
    /// The server's disk: no smaller one holds the copy.
    pub min_disk_gb: i32,
}

/// Writes a copy down as pending. Distribution and default user are those of the server's own image.
pub async fn insert_copy(tx: &mut Tx, new: &NewCopy<'_>) -> Result<ImageId> {
    let id: i32 = sqlx::query_scalar(
        "INSERT INTO images (team_id, name, distribution, kind, status, source, default_user, min_disk_gb, regions, server_id)
         SELECT $1, $3, i.distribution, $4, 'pending', '\"snapshot\"', i.default_user, $5, ARRAY[$6], s.id
         FROM servers s JOIN images i ON i.id = s.image_id WHERE s.id = $2 AND s.team_id = $1
         RETURNING id",
    )
    .bind(new.team.0)
    .bind(new.server.0)
    .bind(new.name)
    .bind(new.kind.as_str())
    .bind(new.min_disk_gb)
    .bind(new.region.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(ImageId(id))
}

/// How many snapshots and backups a team has, including those that are being made.
pub async fn count_copies(tx: &mut Tx, team: TeamId) -> Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM images WHERE team_id = $1 AND kind IN ('snapshot', 'backup') AND deleted_at IS NULL",
    )
    .bind(team.0)
    .fetch_one(&mut **tx)
    .await?)
}

/// The workflow of an image's life.
pub async fn set_workflow(tx: &mut Tx, image: ImageId, workflow: WorkflowId) -> Result<()> {
    sqlx::query("UPDATE images SET workflow_id = $2 WHERE id = $1")
        .bind(image.0)
        .bind(workflow.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
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

/// The bytes are gone; the row stays for the servers that were made from it.
pub async fn erase(tx: &mut Tx, image: ImageId, error: Option<&str>) -> Result<()> {
    sqlx::query(
        "WITH untagged AS (
             DELETE FROM tagged t USING images i
             WHERE i.id = $1 AND t.team_id = i.team_id AND t.resource_type = 'image' AND t.resource_id = i.id::text)
         UPDATE images SET status = 'deleted', deleted_at = clock_timestamp(), error_message = $2
         WHERE id = $1 AND deleted_at IS NULL",
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
        "SELECT id, kind, status, regions, min_disk_gb FROM images
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
            status: row.word("status")?,
            regions: row.try_get("regions")?,
            min_disk_gb: row.try_get("min_disk_gb")?,
        })
    })
    .transpose()
}
