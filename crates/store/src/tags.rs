//! Tags and what they are on. Names compare without regard to case (the collation `any_case`).

use crate::{Result, Store, Tx};
use model::ids::TeamId;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A tag and what it is on.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tag {
    /// As it was first written.
    pub name: String,
    /// One entry for each kind of resource that it is on.
    pub counts: Vec<Count>,
}

/// How many resources of one kind have a tag.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Count {
    /// The kind's word: `droplet`, `image`, ….
    pub resource_type: String,
    /// How many.
    pub count: i64,
    /// The id of the one that was tagged last.
    pub last: String,
    /// When that was, in microseconds since 1970: to find the last of all kinds.
    pub last_at: i64,
}

/// A resource that can have tags.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Resource {
    /// The kind's word.
    pub resource_type: &'static str,
    /// The id, as text.
    pub id: String,
}

// What was deleted keeps its tags for as long as its row stays; it does not count.
const COUNTS: &str = "
    SELECT g.name, g.resource_type, g.count, g.last, (extract(epoch FROM g.last_at) * 1000000)::bigint AS last_at
    FROM (SELECT t.tag AS name, t.resource_type, count(*) AS count, max(t.tagged_at) AS last_at,
                 (array_agg(t.resource_id ORDER BY t.tagged_at DESC, t.resource_id DESC))[1] AS last
          FROM tagged t
          WHERE t.team_id = $1 AND t.tag = ANY ($2) AND CASE t.resource_type
              WHEN 'droplet' THEN EXISTS (SELECT FROM servers s WHERE s.id = t.resource_id::integer
                                          AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL)
              WHEN 'image' THEN EXISTS (SELECT FROM images i WHERE i.id = t.resource_id::integer AND i.deleted_at IS NULL)
              ELSE true END
          GROUP BY t.tag, t.resource_type) AS g";

/// One page of a team's tags by name, and how many there are.
pub async fn list(store: &Store, team: TeamId, limit: i64, offset: i64) -> Result<(Vec<Tag>, i64)> {
    let mut tx = store.tenant(team).await?;
    let names: Vec<String> =
        sqlx::query_scalar("SELECT name FROM tags WHERE team_id = $1 ORDER BY name LIMIT $2 OFFSET $3")
            .bind(team.0)
            .bind(limit)
            .bind(offset)
            .fetch_all(&mut *tx)
            .await?;
    let total =
        sqlx::query_scalar("SELECT count(*) FROM tags WHERE team_id = $1").bind(team.0).fetch_one(&mut *tx).await?;
    Ok((counted(&mut tx, team, names).await?, total))
}

/// One tag of a team.
pub async fn find(store: &Store, team: TeamId, name: &str) -> Result<Option<Tag>> {
    let mut tx = store.tenant(team).await?;
    one(&mut tx, team, name).await
}

/// The same within a transaction.
pub async fn one(tx: &mut Tx, team: TeamId, name: &str) -> Result<Option<Tag>> {
    let name: Option<String> = sqlx::query_scalar("SELECT name FROM tags WHERE team_id = $1 AND name = $2")
        .bind(team.0)
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(counted(tx, team, name.into_iter().collect()).await?.pop())
}

async fn counted(tx: &mut Tx, team: TeamId, names: Vec<String>) -> Result<Vec<Tag>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(COUNTS).bind(team.0).bind(&names).fetch_all(&mut **tx).await?;
    let mut tags: Vec<Tag> = names.into_iter().map(|name| Tag { name, counts: Vec::new() }).collect();
    for row in &rows {
        let name: &str = row.try_get("name")?;
        if let Some(tag) = tags.iter_mut().find(|tag| tag.name.eq_ignore_ascii_case(name)) {
            tag.counts.push(count(row)?);
        }
    }
    Ok(tags)
}

fn count(row: &PgRow) -> Result<Count> {
    Ok(Count {
        resource_type: row.try_get("resource_type")?,
        count: row.try_get("count")?,
        last: row.try_get("last")?,
        last_at: row.try_get("last_at")?,
    })
}

/// Makes a tag. False: it was there already.
pub async fn insert(tx: &mut Tx, team: TeamId, name: &str) -> Result<bool> {
    let done = sqlx::query("INSERT INTO tags (team_id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING")
        .bind(team.0)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// Removes a tag from everything and from the list. `None`: there is none; otherwise as it was written.
pub async fn delete(tx: &mut Tx, team: TeamId, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("DELETE FROM tags WHERE team_id = $1 AND name = $2 RETURNING name")
        .bind(team.0)
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?)
}

/// Keeps a tag from being removed until the transaction ends. `None`: there is none; otherwise as it was written.
pub async fn hold(tx: &mut Tx, team: TeamId, name: &str) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("SELECT name FROM tags WHERE team_id = $1 AND name = $2 FOR KEY SHARE")
        .bind(team.0)
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?)
}

/// Puts a tag on resources of the team; those that have it already keep it. Answers with the place of the first that
/// is no server or image of the team: where there is one, nothing should be committed.
pub async fn assign(tx: &mut Tx, team: TeamId, tag: &str, resources: &[Resource]) -> Result<Option<usize>> {
    let (types, ids) = columns(resources);
    // Ids that are no numbers of that size are no ids; comparing as text asks for no conversion that could fail.
    let missing: Option<i64> = sqlx::query_scalar(
        "WITH asked AS (
             SELECT r.type, r.id, r.nth FROM unnest($3::text[], $4::text[]) WITH ORDINALITY AS r(type, id, nth)
         ), known AS (
             SELECT a.*, CASE a.type
                 WHEN 'droplet' THEN EXISTS (SELECT FROM servers s WHERE s.team_id = $1 AND s.id::text = a.id
                                             AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL)
                 WHEN 'image' THEN EXISTS (SELECT FROM images i WHERE i.team_id = $1 AND i.id::text = a.id
                                           AND i.deleted_at IS NULL)
                 ELSE false END AS exists
             FROM asked a
         ), done AS (
             INSERT INTO tagged (team_id, tag, resource_type, resource_id)
             SELECT DISTINCT $1::uuid, $2::text, type, id FROM known WHERE exists ON CONFLICT DO NOTHING
         )
         SELECT min(nth) - 1 FROM known WHERE NOT exists",
    )
    .bind(team.0)
    .bind(tag)
    .bind(types)
    .bind(ids)
    .fetch_one(&mut **tx)
    .await?;
    Ok(missing.and_then(|nth| usize::try_from(nth).ok()))
}

/// Takes a tag off resources; those that do not have it stay without.
pub async fn unassign(tx: &mut Tx, team: TeamId, tag: &str, resources: &[Resource]) -> Result<()> {
    let (types, ids) = columns(resources);
    sqlx::query(
        "DELETE FROM tagged t USING unnest($3::text[], $4::text[]) AS r(type, id)
         WHERE t.team_id = $1 AND t.tag = $2 AND t.resource_type = r.type AND t.resource_id = r.id",
    )
    .bind(team.0)
    .bind(tag)
    .bind(types)
    .bind(ids)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

fn columns(resources: &[Resource]) -> (Vec<&str>, Vec<&str>) {
    resources.iter().map(|resource| (resource.resource_type, resource.id.as_str())).unzip()
}
