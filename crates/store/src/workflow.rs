//! SQL of the workflow engine: asking for a workflow, leasing, committing progress, wishing and waking.
//!
//! Two rules hold everywhere. A commit of a worker says under which lease it was made (`lease_token = $`), and comes to
//! nothing ([`Error::Fenced`]) when that lease is not the row's any more. And the workflow's row is locked *last*: a
//! step writes its product rows first, a verb too, so the two never wait for each other in a circle; where several
//! workflow rows are locked, children come before parents.
//!
//! `now` is `None` for the database's clock; tests with a manual clock pass its time.

use crate::{Error, Result};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use model::ids::{TeamId, WorkflowId};
use serde_json::Value;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgExecutor, Row};
use std::time::Duration;
use uuid::Uuid;

mod commit;
mod listen;
mod view;

pub use commit::{Beat, Commit, Committed, StepRecord, Then, commit, hand_back, heartbeat};
pub use listen::Listener;
pub use view::{
    Alert, Detail, Parked, StepDetail, alerts, any_ready, by_subject, children, counts, detail, holder, open_alerts_of,
    parked, raise_late,
};

/// The wish that a lifecycle be unmade.
pub const UNMAKE: &str = "unmake";
/// The wish that an action be called off.
pub const CANCEL: &str = "cancel";
/// The NOTIFY channel on which workers hear that something is due.
pub const CHANNEL: &str = "workflow";

macro_rules! stored_words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// The word as stored.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }

            pub(crate) fn read(word: &str) -> Result<Self> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(Error::Corrupt(format!(concat!(stringify!($name), " `{}`"), word))),
                }
            }
        }
    };
}

stored_words!(
    /// Where a workflow stands.
    State {
        /// Runs, or will when it is due.
        Ready = "ready",
        /// A lifecycle that is made and stays.
        Resting = "resting",
        /// An action that is done.
        Completed = "completed",
        /// A lifecycle whose every step is unmade.
        Undone = "undone",
        /// An action that a step said no to.
        Refused = "refused",
        /// An action that was called off.
        Cancelled = "cancelled",
        /// Stands still because of a bug, until an operator retries it.
        Parked = "parked",
    }
);

impl State {
    /// Whether it may still do something by itself or after an operator's retry.
    pub fn is_active(self) -> bool {
        matches!(self, Self::Ready | Self::Parked)
    }

    /// Whether it is over for good.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Undone | Self::Refused | Self::Cancelled)
    }
}

stored_words!(
    /// Which way a workflow walks its steps.
    Direction {
        /// First to last, ensuring presence.
        Make = "make",
        /// Last to first, ensuring absence.
        Unmake = "unmake",
    }
);

/// A workflow to be written down.
#[derive(Debug, Clone)]
pub struct New {
    /// Chosen by the caller, UUID version 7.
    pub id: WorkflowId,
    /// The kind's word.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Whose it is.
    pub team: Option<TeamId>,
    /// Whose end of this one wakes.
    pub parent: Option<WorkflowId>,
    /// What it is asked for with.
    pub input: Value,
    /// Rests when made.
    pub lifecycle: bool,
    /// Keeps other exclusive workflows off its subject.
    pub exclusive: bool,
    /// Past this, making is late.
    pub made_within: Duration,
    /// Past this, unmaking is late.
    pub unmade_within: Duration,
}

/// What came of asking for a workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It is written down.
    New,
    /// Not written: another exclusive workflow is active on that subject.
    Busy,
    /// Not written: the parent is being unmade, or does not exist.
    ParentLeaving,
}

/// The stored progress of one half of one step.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct StoredStep {
    /// `make` or `unmake`.
    pub direction: String,
    /// The step's name.
    pub name: String,
    /// Whether the half came to its end.
    pub done: bool,
    /// What `make` left; null for `unmake`.
    pub memo: Value,
}

/// A workflow under lease, with everything its worker has to know.
#[derive(Debug, Clone)]
pub struct Leased {
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
    /// What it was asked for with.
    pub input: Value,
    /// Making or unmaking.
    pub direction: Direction,
    /// The name of the step that is next; `None` before the first commit.
    pub step_name: Option<String>,
    /// The furthest step that may have begun since the last commit.
    pub reach: Option<String>,
    /// How often the present half of the present step was tried.
    pub attempt: i32,
    /// How many of the latest attempts in a row ended in a fault.
    pub faults: i32,
    /// The task that is followed.
    pub task: Option<String>,
    /// How far the task was when last looked at.
    pub task_progress: Option<String>,
    /// Why it turned round.
    pub refusal: Option<Value>,
    /// What was wished.
    pub wishes: Vec<String>,
    /// The count of wake-ups when this was read.
    pub wake_version: i64,
    /// The lease.
    pub token: i64,
    /// The progress of every half-step.
    pub steps: Vec<StoredStep>,
    /// Active actions among its children.
    pub busy_children: i64,
    /// How long after it was due it was leased.
    pub latency: Duration,
    /// Whether the lease was taken from a worker that let it run out.
    pub stolen: bool,
}

impl Leased {
    /// The stored progress of one half of the step called `name`.
    pub fn step(&self, direction: Direction, name: &str) -> Option<&StoredStep> {
        self.steps.iter().find(|step| step.direction == direction.as_str() && step.name == name)
    }
}

/// A child as its parent sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Related {
    /// Which.
    pub id: WorkflowId,
    /// The kind's word.
    pub kind: String,
    /// What it is about.
    pub subject: String,
    /// Where it stands.
    pub state: State,
    /// Making or unmaking.
    pub direction: Direction,
    /// Why it turned round or was refused: `{code, detail}`.
    pub refusal: Option<Value>,
}

/// Whether a failed statement can never succeed: what a repeat meets unchanged is a mistake in the program. A lost race
/// for a unique value is none; the repeat looks again.
pub fn is_mistake(error: &Error) -> bool {
    use sqlx::Error as Cause;
    match error {
        Error::Fenced => false,
        Error::Corrupt(_) | Error::Migration(_) => true,
        Error::Database(Cause::Database(refused)) => match refused.code().as_deref() {
            Some("23505" | "23P01") | None => false,
            Some(code) => ["0A", "22", "23", "2F", "42"].iter().any(|class| code.starts_with(class)),
        },
        Error::Database(
            Cause::ColumnNotFound(_)
            | Cause::ColumnDecode { .. }
            | Cause::ColumnIndexOutOfBounds { .. }
            | Cause::Decode(_)
            | Cause::Encode(_)
            | Cause::TypeNotFound { .. },
        ) => true,
        Error::Database(_) => false,
    }
}

/// Whether the database itself refused a statement or a commit, so that certainly nothing was written. After any other
/// failure the answer may only have been lost.
pub fn is_refusal(error: &Error) -> bool {
    match error {
        Error::Database(sqlx::Error::Database(refused)) => {
            refused.code().is_some_and(|code| !code.starts_with("08") && !code.starts_with("57"))
        }
        _ => false,
    }
}

/// Writes a workflow down; due at once. Never fails for a busy subject, so the caller's transaction stays usable.
/// The parent's row stays locked until the caller's commit: it cannot be wished away in between.
pub async fn insert(executor: impl PgExecutor<'_>, new: &New, now: Option<Timestamp>) -> Result<Inserted> {
    let row = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($11, statement_timestamp()) AS t),
         parent AS (
             SELECT direction = 'unmake' OR 'unmake' = ANY (wishes) AS leaving FROM workflows WHERE id = $5
             FOR NO KEY UPDATE
         ), fresh AS (
             INSERT INTO workflows (id, kind, subject, team_id, parent_id, input, lifecycle, exclusive, wake_at,
                                    unmade_within, deadline_at, created_at)
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, t, make_interval(secs => $10), t + make_interval(secs => $9), t
             FROM clock WHERE $5 IS NULL OR EXISTS (SELECT FROM parent WHERE NOT leaving)
             ON CONFLICT (subject)
                 WHERE exclusive AND state IN ('ready', 'parked') AND direction = 'make'
                   AND NOT ('unmake' = ANY (wishes))
                 DO NOTHING
             RETURNING pg_notify('workflow', '') AS told
         )
         SELECT (SELECT count(*) FROM (SELECT told::text FROM fresh) f) AS written,
                $5 IS NOT NULL AND NOT EXISTS (SELECT FROM parent WHERE NOT leaving) AS orphan",
    )
    .bind(new.id.0)
    .bind(&new.kind)
    .bind(&new.subject)
    .bind(new.team.map(|team| team.0))
    .bind(new.parent.map(|parent| parent.0))
    .bind(&new.input)
    .bind(new.lifecycle)
    .bind(new.exclusive)
    .bind(new.made_within.as_secs_f64())
    .bind(new.unmade_within.as_secs_f64())
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_one(executor)
    .await?;
    Ok(match (row.try_get::<i64, _>("written")?, row.try_get::<bool, _>("orphan")?) {
        (1.., _) => Inserted::New,
        (_, true) => Inserted::ParentLeaving,
        (_, false) => Inserted::Busy,
    })
}

/// Sets a wish, idempotently, and wakes the workflow; the wish [`UNMAKE`] also rouses a lifecycle that rests or is
/// parked, and [`CANCEL`] an action that is parked. `false` if there is no such workflow, or it is over.
pub async fn wish(executor: impl PgExecutor<'_>, id: WorkflowId, wish: &str, now: Option<Timestamp>) -> Result<bool> {
    let told = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($3, statement_timestamp()) AS t),
         woken AS (
             UPDATE workflows w SET
                 wishes = CASE WHEN $2 = ANY (w.wishes) THEN w.wishes ELSE array_append(w.wishes, $2) END,
                 state = CASE WHEN w.state <> 'ready' AND NOT ($2 = ANY (w.wishes))
                                   AND $2 = CASE WHEN w.lifecycle THEN 'unmake' ELSE 'cancel' END
                              THEN 'ready' ELSE w.state END,
                 wake_version = w.wake_version + 1,
                 wake_at = CASE
                     WHEN w.lease_until > t THEN w.wake_at
                     WHEN w.state = 'ready' THEN least(w.wake_at, t)
                     WHEN NOT ($2 = ANY (w.wishes)) AND $2 = CASE WHEN w.lifecycle THEN 'unmake' ELSE 'cancel' END
                         THEN t END,
                 deadline_at = CASE WHEN $2 = 'unmake' AND w.lifecycle AND w.direction = 'make'
                                         AND NOT ($2 = ANY (w.wishes))
                                    THEN t + w.unmade_within ELSE w.deadline_at END,
                 deadline_alerted = w.deadline_alerted
                     AND NOT ($2 = 'unmake' AND w.lifecycle AND w.direction = 'make' AND NOT ($2 = ANY (w.wishes)))
             FROM clock WHERE w.id = $1 AND w.state IN ('ready', 'resting', 'parked')
             RETURNING CASE WHEN w.state = 'ready' THEN pg_notify('workflow', '') END AS told
         )
         SELECT told::text FROM woken",
    )
    .bind(id.0)
    .bind(wish)
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_optional(executor)
    .await?;
    Ok(told.is_some())
}

/// Makes a waiting workflow look again now. Harmless at any other time; a nap that is being written at this moment
/// notices. `false` if it is not running.
pub async fn wake(executor: impl PgExecutor<'_>, id: WorkflowId, now: Option<Timestamp>) -> Result<bool> {
    let told = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($2, statement_timestamp()) AS t),
         woken AS (
             UPDATE workflows w SET wake_version = w.wake_version + 1,
                    wake_at = CASE WHEN w.lease_until > t THEN w.wake_at ELSE least(w.wake_at, t) END
             FROM clock WHERE w.id = $1 AND w.state = 'ready'
             RETURNING pg_notify('workflow', '') AS told
         )
         SELECT told::text FROM woken",
    )
    .bind(id.0)
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_optional(executor)
    .await?;
    Ok(told.is_some())
}

/// Lets a parked workflow try again, and closes its alert. `false` if it is not parked.
pub async fn retry(executor: impl PgExecutor<'_>, id: WorkflowId, now: Option<Timestamp>) -> Result<bool> {
    let told = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($2, statement_timestamp()) AS t),
         roused AS (
             UPDATE workflows w SET state = 'ready', wake_at = t, faults = 0, wake_version = w.wake_version + 1
             FROM clock WHERE w.id = $1 AND w.state = 'parked'
             RETURNING w.id, pg_notify('workflow', '') AS told
         ), quiet AS (
             UPDATE alerts a SET resolved_at = greatest(a.raised_at, t) FROM roused, clock
             WHERE a.subject = 'workflow:' || roused.id AND a.kind = 'workflow-parked' AND a.resolved_at IS NULL
         )
         SELECT told::text FROM roused",
    )
    .bind(id.0)
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_optional(executor)
    .await?;
    Ok(told.is_some())
}

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// The kinds that it knows. Others wait for a worker that does.
    pub kinds: &'a [&'static str],
    /// How many at most.
    pub most: i64,
    /// How long each lease lasts without a heartbeat.
    pub lease: Duration,
    /// The worker's name, for operators.
    pub worker: &'a str,
}

/// Leases what is due, longest due first, and says when the next one that is not due yet will be. One round trip,
/// memos included; rows that another worker is just taking are skipped.
pub async fn lease(
    executor: impl PgExecutor<'_>,
    wanted: &Wanted<'_>,
    now: Option<Timestamp>,
) -> Result<(Vec<Leased>, Option<Duration>)> {
    let rows = sqlx::query(
        "WITH picked AS MATERIALIZED (
             SELECT id, wake_at AS due, lease_token IS NOT NULL AS stolen FROM workflows
             WHERE state = 'ready' AND wake_at <= coalesce($5, statement_timestamp()) AND kind = ANY ($1)
               AND (lease_until IS NULL OR lease_until <= coalesce($5, statement_timestamp()))
             ORDER BY wake_at, id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
         ), leased AS (
             UPDATE workflows w SET
                 lease_token = nextval('workflow_leases'), worker = $4,
                 lease_until = coalesce($5, statement_timestamp()) + make_interval(secs => $3),
                 wake_at = coalesce($5, statement_timestamp()) + make_interval(secs => $3),
                 started_at = coalesce(w.started_at, $5, statement_timestamp())
             FROM picked p WHERE w.id = p.id
             RETURNING w.*, p.stolen, p.due,
                 extract(epoch FROM coalesce($5, statement_timestamp()) - p.due)::float8 AS latency
         ), next AS (
             SELECT extract(epoch FROM min(wake_at) - coalesce($5, statement_timestamp()))::float8 AS next FROM workflows
             WHERE state = 'ready' AND wake_at > coalesce($5, statement_timestamp()) AND kind = ANY ($1)
         )
         SELECT next.next, l.*,
             (SELECT jsonb_agg(jsonb_build_object('direction', s.direction, 'name', s.name, 'done', s.state = 'done',
                                                  'memo', s.memo))
              FROM workflow_steps s WHERE s.workflow_id = l.id) AS steps,
             (SELECT count(*) FROM workflows c
              WHERE c.parent_id = l.id AND NOT c.lifecycle AND c.state IN ('ready', 'parked')) AS busy_children
         FROM next LEFT JOIN leased l ON true ORDER BY l.due, l.id",
    )
    .bind(wanted.kinds)
    .bind(wanted.most)
    .bind(wanted.lease.as_secs_f64())
    .bind(wanted.worker)
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_all(executor)
    .await?;
    let next = rows.first().map(|row| row.try_get::<Option<f64>, _>("next")).transpose()?.flatten();
    let mut leased = Vec::with_capacity(rows.len());
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
            leased.push(read_leased(row)?);
        }
    }
    Ok((leased, next.map(seconds)))
}

fn read_leased(row: &PgRow) -> Result<Leased> {
    Ok(Leased {
        id: WorkflowId(row.try_get("id")?),
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        team: row.try_get::<Option<Uuid>, _>("team_id")?.map(TeamId),
        parent: row.try_get::<Option<Uuid>, _>("parent_id")?.map(WorkflowId),
        input: row.try_get("input")?,
        direction: Direction::read(row.try_get("direction")?)?,
        step_name: row.try_get("step_name")?,
        reach: row.try_get("reach")?,
        attempt: row.try_get("attempt")?,
        faults: row.try_get("faults")?,
        task: row.try_get("task")?,
        task_progress: row.try_get("task_progress")?,
        refusal: row.try_get("refusal")?,
        wishes: row.try_get("wishes")?,
        wake_version: row.try_get("wake_version")?,
        token: row.try_get("lease_token")?,
        steps: row.try_get::<Option<Json<Vec<StoredStep>>>, _>("steps")?.map(|steps| steps.0).unwrap_or_default(),
        busy_children: row.try_get("busy_children")?,
        latency: seconds(row.try_get("latency")?),
        stolen: row.try_get("stolen")?,
    })
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)
}

/// Calls off every active action among the children of a workflow that is being unmade; how many there are.
pub async fn cancel_children(executor: impl PgExecutor<'_>, parent: WorkflowId, now: Option<Timestamp>) -> Result<i64> {
    let row = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($2, statement_timestamp()) AS t),
         active AS MATERIALIZED (
             SELECT id FROM workflows
             WHERE parent_id = $1 AND NOT lifecycle AND state IN ('ready', 'parked') ORDER BY id FOR NO KEY UPDATE
         ), called_off AS (
             UPDATE workflows w SET wishes = array_append(w.wishes, 'cancel'), state = 'ready',
                    wake_version = w.wake_version + 1,
                    wake_at = CASE WHEN w.lease_until > t THEN w.wake_at ELSE least(w.wake_at, t) END
             FROM active, clock WHERE w.id = active.id AND NOT ('cancel' = ANY (w.wishes))
             RETURNING pg_notify('workflow', '') AS told
         )
         SELECT (SELECT count(*) FROM active) AS active, (SELECT count(*) FROM (SELECT told::text FROM called_off) c)",
    )
    .bind(parent.0)
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_one(executor)
    .await?;
    Ok(row.try_get("active")?)
}
