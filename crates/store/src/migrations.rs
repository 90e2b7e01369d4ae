//! Migrations: servers that were or are being moved to another host. Their progress is their workflow's.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use model::ids::{HostId, RegionSlug, ServerId, TeamId, WorkflowId};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

/// A migration as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The workflow.
    pub id: WorkflowId,
    /// The server.
    pub server: ServerId,
    /// Its name.
    pub server_name: String,
    /// Whose.
    pub team: TeamId,
    /// Where.
    pub region: RegionSlug,
    /// The name of the host that it leaves.
    pub from: Option<String>,
    /// The name of the host that it goes to; `None` until one is chosen.
    pub to: Option<String>,
    /// `operator` or `drain`.
    pub reason: String,
    /// `running`, `completed`, `failed` or `cancelled`.
    pub state: String,
    /// What stood against it, for the operator.
    pub detail: Option<String>,
    /// The step that it is at.
    pub step: Option<String>,
    /// How far the provider's task is.
    pub progress: Option<String>,
    /// What it waits for.
    pub waiting_for: Option<String>,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

const SELECT: &str = "
    SELECT m.id, m.server_id, s.name AS server_name, m.team_id, m.region, f.name AS from_name, t.name AS to_name, m.reason,
           m.state, m.detail, CASE WHEN m.state = 'running' THEN w.step_name END AS step_name, w.task_progress,
           CASE WHEN m.state = 'running' THEN w.waiting_for END AS waiting_for, m.started_at, m.finished_at
    FROM server_migrations m JOIN servers s ON s.id = m.server_id JOIN hosts f ON f.id = m.from_host
    LEFT JOIN hosts t ON t.id = m.to_host LEFT JOIN workflows w ON w.id = m.id ";

fn read(row: &PgRow) -> Result<Migration> {
    Ok(Migration {
        id: WorkflowId(row.try_get("id")?),
        server: ServerId(row.try_get("server_id")?),
        server_name: row.try_get("server_name")?,
        team: TeamId(row.try_get("team_id")?),
        region: RegionSlug(row.try_get("region")?),
        from: row.try_get("from_name")?,
        to: row.try_get("to_name")?,
        reason: row.try_get("reason")?,
        state: row.try_get("state")?,
        detail: row.try_get("detail")?,
        step: row.try_get("step_name")?,
        progress: row.try_get("task_progress")?,
        waiting_for: row.try_get("waiting_for")?,
        started_at: row.time("started_at")?,
        finished_at: row.time_or_null("finished_at")?,
    })
}

/// One page, newest first, and the count of all.
pub async fn list(
    store: &Store,
    region: Option<&RegionSlug>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<Migration>, i64)> {
    let statement = format!(
        "{SELECT} WHERE $1::text IS NULL OR m.region = $1 ORDER BY m.started_at DESC, m.id DESC LIMIT $2 OFFSET $3"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(region.map(RegionSlug::as_str))
        .bind(limit)
        .bind(offset)
        .fetch_all(store.pool())
        .await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM server_migrations WHERE $1::text IS NULL OR region = $1")
        .bind(region.map(RegionSlug::as_str))
        .fetch_one(store.pool())
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One migration.
pub async fn get(store: &Store, id: WorkflowId) -> Result<Option<Migration>> {
    let statement = format!("{SELECT} WHERE m.id = $1");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id.0).fetch_optional(store.pool()).await?;
    row.as_ref().map(read).transpose()
}

/// What is needed to move a server.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// Whose.
    pub team: TeamId,
    /// Where.
    pub region: RegionSlug,
    /// The host that it stands on.
    pub host: Option<HostId>,
    /// It has answered once.
    pub answered: bool,
    /// The workflow of its life.
    pub workflow: WorkflowId,
    /// What the region's provider can do.
    pub capabilities: serde_json::Value,
}

/// A server that may be moved; `None` when it is gone or going.
pub async fn candidate(tx: &mut Tx, server: ServerId) -> Result<Option<Candidate>> {
    let row = sqlx::query(
        "SELECT s.team_id, s.region, s.host_id, s.answered_at IS NOT NULL AS answered, s.workflow_id, r.capabilities
         FROM servers s JOIN regions r ON r.slug = s.region
         WHERE s.id = $1 AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL FOR NO KEY UPDATE OF s",
    )
    .bind(server.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Candidate {
        team: TeamId(row.try_get("team_id")?),
        region: RegionSlug(row.try_get("region")?),
        host: row.try_get::<Option<uuid::Uuid>, _>("host_id")?.map(HostId),
        answered: row.try_get("answered")?,
        workflow: WorkflowId(row.try_get("workflow_id")?),
        capabilities: row.try_get("capabilities")?,
    }))
}

/// Why a server moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// An operator asked for it.
    Operator,
    /// Its host is being emptied.
    Drain,
}

impl Reason {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Drain => "drain",
        }
    }
}

/// Writes a migration down.
pub async fn insert(
    tx: &mut Tx,
    id: WorkflowId,
    server: ServerId,
    of: &Candidate,
    from: HostId,
    reason: Reason,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO server_migrations (id, server_id, team_id, region, from_host, reason) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.0)
    .bind(server.0)
    .bind(of.team.0)
    .bind(of.region.as_str())
    .bind(from.0)
    .bind(reason.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The host that was chosen, or that the server turned out to be on.
pub async fn set_target(tx: &mut Tx, id: WorkflowId, host: HostId) -> Result<()> {
    sqlx::query("UPDATE server_migrations SET to_host = $2 WHERE id = $1")
        .bind(id.0)
        .bind(host.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// What stands against it, for the operator.
pub async fn explain(tx: &mut Tx, id: WorkflowId, detail: &str) -> Result<()> {
    sqlx::query("UPDATE server_migrations SET detail = $2 WHERE id = $1")
        .bind(id.0)
        .bind(detail)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// It is over. `detail` is kept unless something is known already.
pub async fn end(tx: &mut Tx, id: WorkflowId, state: &str, detail: Option<&str>) -> Result<()> {
    sqlx::query(
        "UPDATE server_migrations SET state = $2, detail = coalesce(detail, $3), finished_at = clock_timestamp()
         WHERE id = $1 AND state = 'running'",
    )
    .bind(id.0)
    .bind(state)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
