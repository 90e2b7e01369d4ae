//! Actions: what was asked for, and how it ended.

use crate::rows::Columns as _;
use crate::{Result, Tx};
use jiff::Timestamp;
use model::ids::{ActionId, RegionSlug, TeamId, WorkflowId};
use model::states::ActionStatus;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// What an action is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResourceType {
    /// A server.
    Server,
    /// An image.
    Image,
}

impl ResourceType {
    /// The word on the wire and in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "droplet",
            Self::Image => "image",
        }
    }
}

/// An action as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Its id.
    pub id: ActionId,
    /// The workflow that carries it out.
    pub workflow: WorkflowId,
    /// The action type, such as `power_off`.
    pub kind: String,
    /// What it is about: the type's word.
    pub resource_type: String,
    /// What it is about: the id.
    pub resource_id: i32,
    /// Where.
    pub region: Option<RegionSlug>,
    /// How it stands.
    pub status: ActionStatus,
    /// When it was asked for.
    pub started_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// A sentence for the tenant when it errored.
    pub error: Option<String>,
}

const COLUMNS: &str = "a.id, a.workflow_id, a.kind, a.resource_type, a.resource_id, a.region, a.started_at, \
                       a.completed_at, a.errored, a.error";

fn read(row: &PgRow) -> Result<Action> {
    let completed_at = row.time_or_null("completed_at")?;
    let status = match (completed_at, row.try_get::<bool, _>("errored")?) {
        (None, _) => ActionStatus::InProgress,
        (Some(_), false) => ActionStatus::Completed,
        (Some(_), true) => ActionStatus::Errored,
    };
    Ok(Action {
        id: ActionId(row.try_get("id")?),
        workflow: WorkflowId(row.try_get("workflow_id")?),
        kind: row.try_get("kind")?,
        resource_type: row.try_get("resource_type")?,
        resource_id: row.try_get("resource_id")?,
        region: row.try_get::<Option<String>, _>("region")?.map(RegionSlug),
        status,
        started_at: row.time("started_at")?,
        completed_at,
        error: row.try_get("error")?,
    })
}

/// A new action.
#[derive(Clone, Debug)]
pub struct NewAction<'a> {
    /// Whose.
    pub team: TeamId,
    /// The workflow that carries it out.
    pub workflow: WorkflowId,
    /// `make`, or `unmake` where it is the deletion.
    pub direction: &'static str,
    /// The action type.
    pub kind: &'a str,
    /// What it is about.
    pub resource_type: ResourceType,
    /// Its id.
    pub resource_id: i32,
    /// Where.
    pub region: Option<&'a RegionSlug>,
}

/// Records an action. `None` when the resource already has a pending one; the transaction stays usable.
pub async fn begin(tx: &mut Tx, new: &NewAction<'_>) -> Result<Option<Action>> {
    let row = sqlx::query(
        "INSERT INTO actions AS a (team_id, workflow_id, direction, kind, resource_type, resource_id, region)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (resource_type, resource_id) WHERE completed_at IS NULL AND kind <> 'destroy' DO NOTHING
         RETURNING a.id, a.workflow_id, a.kind, a.resource_type, a.resource_id, a.region, a.started_at,
                   a.completed_at, a.errored, a.error",
    )
    .bind(new.team.0)
    .bind(new.workflow.0)
    .bind(new.direction)
    .bind(new.kind)
    .bind(new.resource_type.as_str())
    .bind(new.resource_id)
    .bind(new.region.map(RegionSlug::as_str))
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(read).transpose()
}

/// Ends every open action of a workflow in this direction. `error` is the sentence for the tenant; `None`: as asked.
pub async fn end(tx: &mut Tx, workflow: WorkflowId, direction: &str, error: Option<&str>) -> Result<()> {
    sqlx::query(
        "UPDATE actions SET completed_at = clock_timestamp(), errored = $3 IS NOT NULL, error = $3
         WHERE workflow_id = $1 AND direction = $2 AND completed_at IS NULL",
    )
    .bind(workflow.0)
    .bind(direction)
    .bind(error)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Ends both actions of a life that is over: what was still being made failed, with `error`, and its unmaking is done.
pub async fn end_life(tx: &mut Tx, workflow: WorkflowId, error: &str) -> Result<()> {
    sqlx::query(
        "UPDATE actions SET completed_at = clock_timestamp(), errored = direction = 'make',
                error = CASE WHEN direction = 'make' THEN $2 END
         WHERE workflow_id = $1 AND completed_at IS NULL",
    )
    .bind(workflow.0)
    .bind(error)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which actions a list holds.
#[derive(Clone, Copy, Debug)]
pub enum Scope {
    /// All of the team's.
    Team,
    /// Those of one resource.
    Resource(ResourceType, i32),
}

/// One page, newest first, and the count of all.
pub async fn list(tx: &mut Tx, team: TeamId, scope: Scope, limit: i64, offset: i64) -> Result<(Vec<Action>, i64)> {
    let (resource_type, resource_id) = match scope {
        Scope::Team => (None, None),
        Scope::Resource(kind, id) => (Some(kind.as_str()), Some(id)),
    };
    let statement = format!(
        "SELECT {COLUMNS} FROM actions a WHERE a.team_id = $1
         AND ($2::text IS NULL OR (a.resource_type = $2 AND a.resource_id = $3))
         ORDER BY a.id DESC LIMIT $4 OFFSET $5"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(team.0)
        .bind(resource_type)
        .bind(resource_id)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut **tx)
        .await?;
    let total = sqlx::query_scalar(
        "SELECT count(*) FROM actions a WHERE a.team_id = $1
         AND ($2::text IS NULL OR (a.resource_type = $2 AND a.resource_id = $3))",
    )
    .bind(team.0)
    .bind(resource_type)
    .bind(resource_id)
    .fetch_one(&mut **tx)
    .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One action of the team.
pub async fn get(tx: &mut Tx, team: TeamId, id: ActionId) -> Result<Option<Action>> {
    let statement = format!("SELECT {COLUMNS} FROM actions a WHERE a.team_id = $1 AND a.id = $2");
    let row = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(team.0).bind(id.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(read).transpose()
}

/// The actions of several ids, for the answer to a repeated request.
pub async fn by_ids(tx: &mut Tx, team: TeamId, ids: &[i32]) -> Result<Vec<Action>> {
    let statement = format!("SELECT {COLUMNS} FROM actions a WHERE a.team_id = $1 AND a.id = ANY($2) ORDER BY a.id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(statement)).bind(team.0).bind(ids).fetch_all(&mut **tx).await?;
    rows.iter().map(read).collect()
}
