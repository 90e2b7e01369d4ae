//! Looking at workflows: for tenants, operators, parents and gauges; and raising alerts for what is late.

use super::{Direction, Related, State};
use crate::Result;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use model::ids::{TeamId, WorkflowId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use uuid::Uuid;

/// A workflow as its tenant may see it; nothing internal.
#[derive(Debug, Clone)]
pub struct Detail {
    /// Which.
    pub id: WorkflowId,
    /// The kind's word.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Whose it is.
    pub team: Option<TeamId>,
    /// Its parent.
    pub parent: Option<WorkflowId>,
    /// Where it stands.
    pub state: State,
    /// Making or unmaking.
    pub direction: Direction,
    /// The step that is next.
    pub step_name: Option<String>,
    /// Attempts at it that are on record.
    pub attempt: i32,
    /// How many of the latest attempts in a row failed; then `waiting_for` says what fails.
    pub faults: i32,
    /// How far the followed task is.
    pub task_progress: Option<String>,
    /// What it waits for; see [`Detail::sentence`].
    pub waiting_for: Option<String>,
    /// `{code, detail}` of the step that said no.
    pub refusal: Option<Value>,
    /// What was wished.
    pub wishes: Vec<String>,
    /// When it is late.
    pub deadline: Option<Timestamp>,
    /// It is past its deadline, and operators know.
    pub late: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When a worker first took it.
    pub started_at: Option<Timestamp>,
    /// When everything was made.
    pub made_at: Option<Timestamp>,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
    /// Its half-steps, in the order in which they are walked.
    pub steps: Vec<StepDetail>,
}

/// One half of one step as its tenant may see it.
#[derive(Debug, Clone)]
pub struct StepDetail {
    /// Which half.
    pub direction: Direction,
    /// The step's name.
    pub name: String,
    /// `running`, `done` or `refused`.
    pub state: String,
    /// How often it was tried.
    pub attempts: i32,
    /// When it was first tried.
    pub started_at: Timestamp,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// What it waits for.
    pub waiting_for: Option<String>,
}

impl Detail {
    /// What to tell the tenant about a workflow that is not over: `None` where there is nothing to say.
    pub fn sentence(&self) -> Option<String> {
        let waiting = self.waiting_for.as_deref();
        let progress = self.task_progress.as_deref().map(|progress| format!(" ({progress})")).unwrap_or_default();
        match self.state {
            State::Parked => Some("stopped by a fault of ours; the operators have been told".to_owned()),
            State::Ready if self.late => Some(format!(
                "taking longer than usual: {}{progress}, attempt {}",
                waiting.or(self.step_name.as_deref()).unwrap_or("not started yet"),
                self.attempt.max(1)
            )),
            State::Ready if self.faults > 0 => waiting.map(|what| format!("{what}; trying again")),
            State::Ready => waiting.map(|what| format!("waiting for {what}{progress}")),
            _ => None,
        }
    }
}

const DETAIL: &str = "
    SELECT w.id, w.kind, w.subject, w.team_id, w.parent_id, w.state, w.direction, w.step_name, w.attempt, w.faults,
           w.task_progress, w.waiting_for, w.refusal, w.wishes, w.deadline_at, w.deadline_alerted, w.created_at, w.started_at,
           w.made_at, w.finished_at, s.direction AS s_direction, s.name AS s_name, s.state AS s_state,
           s.attempts AS s_attempts, s.started_at AS s_started_at, s.finished_at AS s_finished_at,
           s.waiting_for AS s_waiting_for
    FROM workflows w LEFT JOIN workflow_steps s ON s.workflow_id = w.id
    WHERE w.id = $1
    ORDER BY s.direction, CASE s.direction WHEN 'make' THEN s.step_index ELSE -s.step_index END";

/// A workflow with its steps. Under [`Store::tenant`](crate::Store::tenant): if it is the team's.
pub async fn detail(executor: impl PgExecutor<'_>, id: WorkflowId) -> Result<Option<Detail>> {
    let rows = sqlx::query(DETAIL).bind(id.0).fetch_all(executor).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let mut steps = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(name) = row.try_get::<Option<String>, _>("s_name")? else { continue };
        steps.push(StepDetail {
            direction: Direction::read(row.try_get("s_direction")?)?,
            name,
            state: row.try_get("s_state")?,
            attempts: row.try_get("s_attempts")?,
            started_at: time(row, "s_started_at")?,
            finished_at: optional_time(row, "s_finished_at")?,
            waiting_for: row.try_get("s_waiting_for")?,
        });
    }
    Ok(Some(Detail {
        id: WorkflowId(first.try_get("id")?),
        kind: first.try_get("kind")?,
        subject: first.try_get("subject")?,
        team: first.try_get::<Option<Uuid>, _>("team_id")?.map(TeamId),
        parent: first.try_get::<Option<Uuid>, _>("parent_id")?.map(WorkflowId),
        state: State::read(first.try_get("state")?)?,
        direction: Direction::read(first.try_get("direction")?)?,
        step_name: first.try_get("step_name")?,
        attempt: first.try_get("attempt")?,
        faults: first.try_get("faults")?,
        task_progress: first.try_get("task_progress")?,
        waiting_for: first.try_get("waiting_for")?,
        refusal: first.try_get("refusal")?,
        wishes: first.try_get("wishes")?,
        deadline: optional_time(first, "deadline_at")?,
        late: first.try_get("deadline_alerted")?,
        created_at: time(first, "created_at")?,
        started_at: optional_time(first, "started_at")?,
        made_at: optional_time(first, "made_at")?,
        finished_at: optional_time(first, "finished_at")?,
        steps,
    }))
}

fn time(row: &PgRow, column: &str) -> Result<Timestamp> {
    Ok(row.try_get::<jiff_sqlx::Timestamp, _>(column)?.to_jiff())
}

fn optional_time(row: &PgRow, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<jiff_sqlx::Timestamp>, _>(column)?.map(jiff_sqlx::Timestamp::to_jiff))
}

fn related(row: &PgRow) -> Result<Related> {
    Ok(Related {
        id: WorkflowId(row.try_get("id")?),
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        state: State::read(row.try_get("state")?)?,
        direction: Direction::read(row.try_get("direction")?)?,
        refusal: row.try_get("refusal")?,
    })
}

/// The children of a workflow, oldest first.
pub async fn children(executor: impl PgExecutor<'_>, parent: WorkflowId) -> Result<Vec<Related>> {
    let rows = sqlx::query(
        "SELECT id, kind, subject, state, direction, refusal FROM workflows WHERE parent_id = $1 ORDER BY id",
    )
    .bind(parent.0)
    .fetch_all(executor)
    .await?;
    rows.iter().map(related).collect()
}

/// Every workflow about `subject`, oldest first, ended or not.
pub async fn by_subject(executor: impl PgExecutor<'_>, subject: &str) -> Result<Vec<Related>> {
    let rows = sqlx::query(
        "SELECT id, kind, subject, state, direction, refusal FROM workflows WHERE subject = $1 ORDER BY id",
    )
    .bind(subject)
    .fetch_all(executor)
    .await?;
    rows.iter().map(related).collect()
}

/// A parked workflow, for operators.
#[derive(Debug, Clone)]
pub struct Parked {
    /// Which.
    pub id: WorkflowId,
    /// The kind's word.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Making or unmaking.
    pub direction: Direction,
    /// The step that it stands at.
    pub step_name: Option<String>,
    /// Why, in internal words.
    pub last_error: String,
}

/// Every parked workflow, oldest first.
pub async fn parked(executor: impl PgExecutor<'_>) -> Result<Vec<Parked>> {
    let rows = sqlx::query(
        "SELECT id, kind, subject, direction, step_name, last_error FROM workflows WHERE state = 'parked' ORDER BY id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Parked {
                id: WorkflowId(row.try_get("id")?),
                kind: row.try_get("kind")?,
                subject: row.try_get("subject")?,
                direction: Direction::read(row.try_get("direction")?)?,
                step_name: row.try_get("step_name")?,
                last_error: row.try_get("last_error")?,
            })
        })
        .collect()
}

/// What an operator has to look at.
#[derive(Debug, Clone)]
pub struct Alert {
    /// Which.
    pub id: i64,
    /// `workflow-late`, `workflow-parked`, or another part's word.
    pub kind: String,
    /// What about: `workflow:<id>`.
    pub subject: String,
    /// In internal words.
    pub message: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// Until when.
    pub resolved_at: Option<Timestamp>,
}

fn alert(row: &PgRow) -> Result<Alert> {
    Ok(Alert {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        message: row.try_get("message")?,
        raised_at: time(row, "raised_at")?,
        resolved_at: optional_time(row, "resolved_at")?,
    })
}

/// The newest alerts, open ones first.
pub async fn alerts(executor: impl PgExecutor<'_>, most: i64) -> Result<Vec<Alert>> {
    let rows = sqlx::query(
        "SELECT id, kind, subject, message, raised_at, resolved_at FROM alerts
         ORDER BY resolved_at IS NOT NULL, id DESC LIMIT $1",
    )
    .bind(most)
    .fetch_all(executor)
    .await?;
    rows.iter().map(alert).collect()
}

/// The open alerts about one workflow.
pub async fn open_alerts_of(executor: impl PgExecutor<'_>, id: WorkflowId) -> Result<Vec<Alert>> {
    let rows = sqlx::query(
        "SELECT id, kind, subject, message, raised_at, resolved_at FROM alerts
         WHERE subject = 'workflow:' || $1::uuid AND resolved_at IS NULL ORDER BY id",
    )
    .bind(id.0)
    .fetch_all(executor)
    .await?;
    rows.iter().map(alert).collect()
}

/// Raises an alert, once, for every workflow past its deadline; how many became late.
pub async fn raise_late(executor: impl PgExecutor<'_>, now: Option<Timestamp>) -> Result<u64> {
    let done = sqlx::query(
        "WITH late AS MATERIALIZED (
             SELECT id FROM workflows
             WHERE state = 'ready' AND NOT deadline_alerted AND deadline_at < coalesce($1, statement_timestamp())
             ORDER BY id LIMIT 1000 FOR NO KEY UPDATE SKIP LOCKED
         ), marked AS (
             UPDATE workflows w SET deadline_alerted = true FROM late WHERE w.id = late.id
             RETURNING w.id, w.kind, w.subject, w.direction, w.step_name, w.attempt, w.waiting_for, w.last_error
         )
         INSERT INTO alerts (kind, subject, message, raised_at)
         SELECT 'workflow-late', 'workflow:' || id,
                format('%s %s is late at %s (%s), attempt %s: %s', kind, subject, coalesce(step_name, 'its start'),
                       direction, attempt, coalesce(last_error, waiting_for, 'nothing is known')),
                coalesce($1, statement_timestamp())
         FROM marked
         ON CONFLICT (subject, kind) WHERE resolved_at IS NULL DO UPDATE SET message = excluded.message",
    )
    .bind(now.map(|now| now.to_sqlx()))
    .execute(executor)
    .await?;
    Ok(done.rows_affected())
}

/// How many workflows stand where: `(kind, state, count)` of those that are ready or parked.
pub async fn counts(executor: impl PgExecutor<'_>) -> Result<Vec<(String, State, i64)>> {
    let rows = sqlx::query(
        "SELECT kind, state, count(*) AS count FROM workflows WHERE state IN ('ready', 'parked') GROUP BY 1, 2",
    )
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("kind")?, State::read(row.try_get("state")?)?, row.try_get("count")?)))
        .collect()
}

/// Whether anything of these kinds is ready, due or not, leased or not.
pub async fn any_ready(executor: impl PgExecutor<'_>, kinds: &[&'static str]) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT EXISTS (SELECT FROM workflows WHERE state = 'ready' AND kind = ANY ($1))")
        .bind(kinds)
        .fetch_one(executor)
        .await?)
}

/// The worker that holds the lease, for operators.
pub async fn holder(executor: impl PgExecutor<'_>, id: WorkflowId) -> Result<Option<String>> {
    Ok(sqlx::query_scalar::<_, Option<String>>("SELECT worker FROM workflows WHERE id = $1")
        .bind(id.0)
        .fetch_optional(executor)
        .await?
        .flatten())
}
