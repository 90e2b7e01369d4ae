//! Images as their team sees them.

use crate::rows::Columns as _;
use crate::servers::ImageChoice;
use crate::{Result, Tx};
use jiff::Timestamp;
use model::ids::{ImageId, RegionSlug, ServerId, TeamId, WorkflowId};
use model::states::{GuestKind, ImageKind, ImageStatus};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// Everybody's: it is of the catalogue.
    pub public: bool,
    /// Its slug, if it is of the catalogue.
    pub slug: Option<String>,
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub description: String,
    /// The distribution's word.
    pub distribution: String,
    /// Base, snapshot, backup or custom.
    pub kind: ImageKind,
    /// What is made of it.
    pub guest: GuestKind,
    /// How it stands.
    pub status: ImageStatus,
    /// Where it is, or may be fetched to: the regions' slugs in the operator's order.
    pub regions: Vec<String>,
    /// The smallest disk that it fits on, in GB.
    pub min_disk_gb: i32,
    /// Bytes that it takes, once known.
    pub stored_bytes: Option<i64>,
    /// What it was taken of.
    pub server: Option<ServerId>,
    /// The workflow of its life.
    pub workflow: Option<WorkflowId>,
    /// Why it could not be made.
    pub error: Option<String>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// The team's tags on it.
    pub tags: Vec<String>,
}

const SELECT: &str = "
    SELECT i.id, i.team_id IS NULL AS public, i.slug, i.name, i.description, i.distribution, i.kind, i.guest, i.status,
           i.min_disk_gb, i.stored_bytes, i.server_id, i.workflow_id, i.error_message, i.created_at,
           ARRAY(SELECT r.slug FROM regions r
                 WHERE CASE WHEN i.regions IS NULL THEN r.available ELSE r.slug = ANY (i.regions) END
                   AND (i.guest = 'machine' OR (r.capabilities -> 'containers')::boolean)
                 ORDER BY r.position, r.slug) AS regions,
           ARRAY(SELECT t.tag FROM tagged t WHERE t.team_id = i.team_id AND t.resource_type = 'image'
                 AND t.resource_id = i.id::text ORDER BY t.tag) AS tags
    FROM images i WHERE (i.team_id IS NULL OR i.team_id = $1) ";

fn read(row: &PgRow) -> Result<Image> {
    Ok(Image {
        id: ImageId(row.try_get("id")?),
        public: row.try_get("public")?,
        slug: row.try_get("slug")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        distribution: row.try_get("distribution")?,
        kind: row.word("kind")?,
        guest: row.word("guest")?,
        status: row.word("status")?,
        regions: row.try_get("regions")?,
        min_disk_gb: row.try_get("min_disk_gb")?,
        stored_bytes: row.try_get("stored_bytes")?,
        server: row.try_get::<Option<i32>, _>("server_id")?.map(ServerId),
        workflow: row.try_get::<Option<uuid::Uuid>, _>("workflow_id")?.map(WorkflowId),
        error: row.try_get("error_message")?,
        created_at: row.time("created_at")?,
        tags: row.try_get("tags")?,
    })
}

/// One image that the team may see. A team's own image that could not be made is there until its team deletes it:
/// clients read the reason from it.
pub async fn get(tx: &mut Tx, team: TeamId, choice: &ImageChoice) -> Result<Option<Image>> {
    let (id, slug) = match choice {
        ImageChoice::Id(id) => (Some(id.0), None),
        ImageChoice::Slug(slug) => (None, Some(slug.as_str())),
    };
    let statement = format!(
        "{SELECT} AND (i.id = $2 OR i.slug = $3)
         AND (i.deleted_at IS NULL OR (i.kind = 'custom' AND i.error_message IS NOT NULL))"
    );
    let row = sqlx::query(AssertSqlSafe(statement)).bind(team.0).bind(id).bind(slug).fetch_optional(&mut **tx).await?;
    row.as_ref().map(read).transpose()
}

/// Whose images a list holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Whose {
    /// The catalogue's and the team's own.
    #[default]
    All,
    /// The catalogue's.
    Public,
    /// The team's own.
    Own,
}

/// What a list is narrowed to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    /// Whose.
    pub whose: Whose,
    /// Of this kind.
    pub kind: Option<ImageKind>,
    /// In this state.
    pub status: Option<ImageStatus>,
    /// Having this tag of the team.
    pub tag: Option<String>,
    /// Taken of this server.
    pub server: Option<ServerId>,
}

/// One page in the order of creation, and the count of all that match. What the operator has retired is not listed.
pub async fn list(tx: &mut Tx, team: TeamId, filter: &Filter, limit: i64, offset: i64) -> Result<(Vec<Image>, i64)> {
    const MATCH: &str = " AND i.deleted_at IS NULL AND i.status <> 'retired'
        AND CASE $2 WHEN 'public' THEN i.team_id IS NULL WHEN 'own' THEN i.team_id = $1 ELSE true END
        AND ($3::text IS NULL OR i.kind = $3) AND ($4::text IS NULL OR i.status = $4)
        AND ($5::text IS NULL OR EXISTS (SELECT FROM tagged t WHERE t.team_id = $1 AND i.team_id = $1 AND t.tag = $5
             AND t.resource_type = 'image' AND t.resource_id = i.id::text))
        AND ($6::int IS NULL OR i.server_id = $6)";
    let whose = match filter.whose {
        Whose::All => "all",
        Whose::Public => "public",
        Whose::Own => "own",
    };
    let statement = format!("{SELECT} {MATCH} ORDER BY i.id LIMIT $7 OFFSET $8");
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(team.0)
        .bind(whose)
        .bind(filter.kind.map(ImageKind::as_str))
        .bind(filter.status.map(ImageStatus::as_str))
        .bind(&filter.tag)
        .bind(filter.server.map(|server| server.0))
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut **tx)
        .await?;
    let count = format!("SELECT count(*) FROM images i WHERE (i.team_id IS NULL OR i.team_id = $1) {MATCH}");
    let total = sqlx::query_scalar(AssertSqlSafe(count))
        .bind(team.0)
        .bind(whose)
        .bind(filter.kind.map(ImageKind::as_str))
        .bind(filter.status.map(ImageStatus::as_str))
        .bind(&filter.tag)
        .bind(filter.server.map(|server| server.0))
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// Whether a server's disk is being made from an image at this moment: deleting it would break that.
pub async fn in_use(tx: &mut Tx, team: TeamId, image: ImageId) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM servers s WHERE s.team_id = $1 AND s.image_id = $2 AND s.answered_at IS NULL
                        AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL)
             OR EXISTS (SELECT FROM actions a JOIN workflows w ON w.id = a.workflow_id
                        WHERE a.team_id = $1 AND a.completed_at IS NULL AND a.kind IN ('rebuild', 'restore')
                        AND w.input ->> 'image' = $2::text)",
    )
    .bind(team.0)
    .bind(image.0)
    .fetch_one(&mut **tx)
    .await?)
}

/// Whether a region takes new things; `None`: there is no such region.
pub async fn region(tx: &mut Tx, slug: &RegionSlug) -> Result<Option<bool>> {
    Ok(sqlx::query_scalar("SELECT available FROM regions WHERE slug = $1")
        .bind(slug.as_str())
        .fetch_optional(&mut **tx)
        .await?)
}
