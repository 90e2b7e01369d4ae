//! What the observer put right by itself: remembered, so that what keeps going wrong is left to an operator.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::{RegionSlug, ServerId, TeamId, WorkflowId};
use model::states::Power;
use sqlx::Row as _;

/// A server that nothing is being done with, as it is at this moment, locked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idle {
    /// Whose.
    pub team: TeamId,
    /// Where.
    pub region: RegionSlug,
    /// The workflow of its life.
    pub workflow: WorkflowId,
    /// Power as wanted.
    pub wanted_power: Power,
    /// How often it was put right since `since`.
    pub lately: u32,
}

/// Locks a server that has answered, is not leaving and has nothing pending. `None`: it is not such a one.
pub async fn idle(tx: &mut Tx, server: ServerId, since: Timestamp) -> Result<Option<Idle>> {
    let row = sqlx::query(
        "SELECT s.team_id, s.region, s.workflow_id, s.wanted_power,
                (SELECT count(*) FROM server_heals h WHERE h.server_id = s.id AND h.at > $2) AS lately
         FROM servers s
         WHERE s.id = $1 AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL AND s.answered_at IS NOT NULL
           AND NOT EXISTS (SELECT FROM actions a WHERE a.resource_type = 'droplet' AND a.resource_id = s.id
                             AND a.completed_at IS NULL)
         FOR NO KEY UPDATE OF s",
    )
    .bind(server.0)
    .bind(since.to_sqlx())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Idle {
        team: TeamId(row.try_get("team_id")?),
        region: RegionSlug(row.try_get("region")?),
        workflow: WorkflowId(row.try_get("workflow_id")?),
        wanted_power: row.word("wanted_power")?,
        lately: u32::try_from(row.try_get::<i64, _>("lately")?).unwrap_or(u32::MAX),
    }))
}

/// Notes that a server was put right. `what`: `start` or `resize`.
pub async fn healed(tx: &mut Tx, server: ServerId, what: &str, at: Timestamp) -> Result<()> {
    sqlx::query("INSERT INTO server_heals (server_id, what, at) VALUES ($1, $2, $3)")
        .bind(server.0)
        .bind(what)
        .bind(at.to_sqlx())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets what was put right before `before`, at most `limit` rows of it; how many went.
pub async fn forget_heals(store: &Store, before: Timestamp, limit: i64) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM server_heals WHERE id IN (SELECT id FROM server_heals WHERE at < $1 ORDER BY at LIMIT $2)",
    )
    .bind(before.to_sqlx())
    .bind(limit)
    .execute(store.pool())
    .await?;
    Ok(gone.rows_affected())
}
