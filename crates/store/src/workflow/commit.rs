//! What a worker commits: progress, naps, ends; heartbeats and leases handed back.

use super::{Direction, State};
use crate::{Error, Result};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use model::ids::WorkflowId;
use serde_json::Value;
use sqlx::{PgExecutor, Row};
use std::time::Duration;
use uuid::Uuid;

/// One commit of a worker: the row as it is now, and the record of the half-step that led there.
#[derive(Debug, Clone)]
pub struct Commit<'a> {
    /// The workflow.
    pub id: WorkflowId,
    /// The lease that this is committed under.
    pub token: i64,
    /// Making or unmaking, from now on.
    pub direction: Direction,
    /// The place of the step that is next.
    pub step: i32,
    /// Its name.
    pub step_name: Option<&'a str>,
    /// Attempts at it so far.
    pub attempt: i32,
    /// Faults in a row.
    pub faults: i32,
    /// The task that is followed from now on.
    pub task: Option<&'a str>,
    /// How far it is.
    pub task_progress: Option<&'a str>,
    /// What the tenant reads: completes "waiting for …".
    pub waiting_for: Option<&'a str>,
    /// What operators read.
    pub last_error: Option<&'a str>,
    /// Why it turned round; an earlier reason stays.
    pub refusal: Option<&'a Value>,
    /// It turned round with this commit by itself: the deadline of unmaking begins.
    pub turned: bool,
    /// The furthest step that may have begun when the next commit comes.
    pub reach: Option<&'a str>,
    /// What half-steps came to, each at most once.
    pub records: Vec<StepRecord<'a>>,
    /// The count of wake-ups that the worker knows of. A nap that was overtaken by a wake-up is not taken.
    pub wake_version: i64,
    /// What follows.
    pub then: Then,
}

/// The record of one half of one step.
#[derive(Debug, Clone)]
pub struct StepRecord<'a> {
    /// Which half.
    pub direction: Direction,
    /// The step's name.
    pub name: &'a str,
    /// Its place in this release's list.
    pub index: i32,
    /// `running`, `done` or `refused`.
    pub state: &'static str,
    /// Attempts so far.
    pub attempts: i32,
    /// How long before this commit the attempt began; counts for the first record of the half only.
    pub began: Duration,
    /// How long before this commit it ended.
    pub ended: Duration,
    /// What `make` left.
    pub memo: Option<&'a Value>,
}

/// What follows a commit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Then {
    /// The worker goes on under the same lease.
    GoOn,
    /// The lease is given back until then, unless a wake-up came in between.
    Nap(Duration),
    /// The workflow is in this state now. A lifecycle that comes to rest with a wish to be unmade goes on instead.
    End(State),
}

/// What a worker learns from its commit.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The wishes as of now.
    pub wishes: Vec<String>,
    /// The count of wake-ups as of now.
    pub wake_version: i64,
    /// Whether the lease is still held.
    pub kept: bool,
}

const STEP: &str = "
    WITH clock AS MATERIALIZED (SELECT coalesce($23, statement_timestamp()) AS t),
    saved AS (
        UPDATE workflows w SET
            direction = $3, step = $4, step_name = $5, reach = $25, attempt = $6, faults = $7, task = $8, task_progress = $9,
            waiting_for = $10, last_error = $11, refusal = coalesce($12, w.refusal),
            deadline_at = CASE WHEN $13 THEN t + w.unmade_within ELSE w.deadline_at END,
            deadline_alerted = w.deadline_alerted AND NOT $13,
            wake_at = CASE WHEN w.wake_version = $14 AND $15::float8 IS NOT NULL
                           THEN t + make_interval(secs => $15) ELSE w.wake_at END,
            lease_token = CASE WHEN w.wake_version = $14 AND $15 IS NOT NULL THEN NULL ELSE w.lease_token END,
            lease_until = CASE WHEN w.wake_version = $14 AND $15 IS NOT NULL THEN NULL ELSE w.lease_until END,
            worker      = CASE WHEN w.wake_version = $14 AND $15 IS NOT NULL THEN NULL ELSE w.worker END
        FROM clock WHERE w.id = $1 AND w.lease_token = $2
        RETURNING w.wishes, w.wake_version, w.lease_token IS NOT NULL AS kept
    ), record AS (
        INSERT INTO workflow_steps AS s (workflow_id, direction, name, step_index, state, attempts, started_at,
                                         finished_at, memo, waiting_for, last_error)
        SELECT $1, r.direction, r.name, r.place, r.state, r.attempts, t - make_interval(secs => r.began),
               CASE WHEN r.state <> 'running' THEN t - make_interval(secs => r.ended) END, r.memo,
               CASE WHEN r.state = 'running' THEN $10 END, CASE WHEN r.state = 'running' THEN $11 END
        FROM saved, clock, unnest($16::text[], $17::text[], $18::int[], $19::text[], $20::int[], $21::float8[],
                                  $22::float8[], $24::jsonb[])
            AS r (direction, name, place, state, attempts, began, ended, memo)
        ON CONFLICT (workflow_id, direction, name) DO UPDATE SET
            step_index = excluded.step_index, state = excluded.state, attempts = excluded.attempts,
            finished_at = excluded.finished_at, memo = excluded.memo, waiting_for = excluded.waiting_for,
            last_error = coalesce(excluded.last_error, s.last_error)
    )
    SELECT wishes, wake_version, kept FROM saved";

const END: &str = "
    WITH clock AS MATERIALIZED (SELECT coalesce($23, statement_timestamp()) AS t),
    saved AS (
        UPDATE workflows w SET
            direction = $3, step = $4, step_name = $5, reach = $25, attempt = $6, faults = $7, task = $8, task_progress = $9,
            waiting_for = $10, last_error = coalesce($11, w.last_error), refusal = coalesce($12, w.refusal),
            state = CASE WHEN $15 = 'resting' AND 'unmake' = ANY (w.wishes) THEN 'ready' ELSE $15 END,
            wake_at     = CASE WHEN $15 = 'resting' AND 'unmake' = ANY (w.wishes) THEN w.wake_at END,
            lease_token = CASE WHEN $15 = 'resting' AND 'unmake' = ANY (w.wishes) THEN w.lease_token END,
            lease_until = CASE WHEN $15 = 'resting' AND 'unmake' = ANY (w.wishes) THEN w.lease_until END,
            worker      = CASE WHEN $15 = 'resting' AND 'unmake' = ANY (w.wishes) THEN w.worker END,
            -- A parked workflow stays as late as it is; what begins now is the deadline of unmaking, at most.
            deadline_at = CASE WHEN $13 THEN t + w.unmade_within
                               WHEN $15 = 'parked' OR ($15 = 'resting' AND 'unmake' = ANY (w.wishes))
                               THEN w.deadline_at END,
            deadline_alerted = w.deadline_alerted AND $15 = 'parked' AND NOT $13,
            made_at = CASE WHEN $15 IN ('resting', 'completed') THEN t ELSE w.made_at END,
            finished_at = CASE WHEN $15 NOT IN ('resting', 'parked') THEN t END
        FROM clock WHERE w.id = $1 AND w.lease_token = $2 AND $14::bigint IS NOT NULL
        RETURNING w.id, w.subject, w.kind, w.parent_id, w.wishes, w.wake_version, w.lease_token IS NOT NULL AS kept
    ), record AS (
        INSERT INTO workflow_steps AS s (workflow_id, direction, name, step_index, state, attempts, started_at,
                                         finished_at, memo, waiting_for, last_error)
        SELECT $1, r.direction, r.name, r.place, r.state, r.attempts, t - make_interval(secs => r.began),
               CASE WHEN r.state <> 'running' THEN t - make_interval(secs => r.ended) END, r.memo,
               CASE WHEN r.state = 'running' THEN $10 END, CASE WHEN r.state = 'running' THEN $11 END
        FROM saved, clock, unnest($16::text[], $17::text[], $18::int[], $19::text[], $20::int[], $21::float8[],
                                  $22::float8[], $24::jsonb[])
            AS r (direction, name, place, state, attempts, began, ended, memo)
        ON CONFLICT (workflow_id, direction, name) DO UPDATE SET
            step_index = excluded.step_index, state = excluded.state, attempts = excluded.attempts,
            finished_at = excluded.finished_at, memo = excluded.memo, waiting_for = excluded.waiting_for,
            last_error = coalesce(excluded.last_error, s.last_error)
    ), parent AS (
        UPDATE workflows p SET wake_version = p.wake_version + 1,
               wake_at = CASE WHEN p.lease_until > t THEN p.wake_at ELSE least(p.wake_at, t) END
        FROM saved, clock WHERE p.id = saved.parent_id AND p.state = 'ready' AND $15 <> 'parked'
        RETURNING pg_notify('workflow', '') AS told
    ), quiet AS (
        UPDATE alerts a SET resolved_at = greatest(a.raised_at, t) FROM saved, clock
        WHERE a.subject = 'workflow:' || saved.id AND a.resolved_at IS NULL AND $15 <> 'parked'
          AND a.kind IN ('workflow-late', 'workflow-parked')
    ), loud AS (
        INSERT INTO alerts (kind, subject, message, raised_at)
        SELECT 'workflow-parked', 'workflow:' || saved.id,
               format('%s %s stands still at %s: %s', saved.kind, saved.subject, coalesce($17[array_upper($17, 1)], $5, 'its start'), $11), t
        FROM saved, clock WHERE $15 = 'parked'
        ON CONFLICT (subject, kind) WHERE resolved_at IS NULL DO UPDATE SET message = excluded.message
    )
    SELECT wishes, wake_version, kept FROM saved";

/// Commits progress, if the lease is still the row's: one statement, so outside of a transaction one round trip.
pub async fn commit(executor: impl PgExecutor<'_>, commit: &Commit<'_>, now: Option<Timestamp>) -> Result<Committed> {
    let records = &commit.records;
    let query = match commit.then {
        Then::GoOn | Then::Nap(_) => sqlx::query(STEP),
        Then::End(_) => sqlx::query(END),
    };
    let query = query
        .bind(commit.id.0)
        .bind(commit.token)
        .bind(commit.direction.as_str())
        .bind(commit.step)
        .bind(commit.step_name)
        .bind(commit.attempt)
        .bind(commit.faults)
        .bind(commit.task)
        .bind(commit.task_progress)
        .bind(commit.waiting_for)
        .bind(commit.last_error)
        .bind(commit.refusal)
        .bind(commit.turned)
        .bind(commit.wake_version);
    let query = match commit.then {
        Then::GoOn => query.bind(None::<f64>),
        Then::Nap(nap) => query.bind(Some(nap.as_secs_f64())),
        Then::End(state) => query.bind(state.as_str()),
    };
    let row = query
        .bind(records.iter().map(|record| record.direction.as_str()).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.name).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.index).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.state).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.attempts).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.began.as_secs_f64()).collect::<Vec<_>>())
        .bind(records.iter().map(|record| record.ended.as_secs_f64()).collect::<Vec<_>>())
        .bind(now.map(|now| now.to_sqlx()))
        .bind(records.iter().map(|record| record.memo).collect::<Vec<_>>())
        .bind(commit.reach)
        .fetch_optional(executor)
        .await?
        .ok_or(Error::Fenced)?;
    Ok(Committed {
        wishes: row.try_get("wishes")?,
        wake_version: row.try_get("wake_version")?,
        kept: row.try_get("kept")?,
    })
}

/// What became of one lease that was to be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// It lasts its whole length again.
    Extended,
    /// Its row is being committed to at this moment. The next heartbeat comes to it: waiting for the row could close a
    /// circle with a commit that locks two.
    Locked,
    /// It is not the worker's any more.
    Lost,
}

/// Extends leases.
pub async fn heartbeat(
    executor: impl PgExecutor<'_>,
    held: &[(WorkflowId, i64)],
    lease: Duration,
    now: Option<Timestamp>,
) -> Result<Vec<(WorkflowId, Beat)>> {
    let (ids, tokens) = split(held);
    let rows = sqlx::query_as::<_, (Uuid, bool, bool)>(
        "WITH clock AS MATERIALIZED (SELECT coalesce($4, statement_timestamp()) AS t),
         held AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::bigint[]) AS held (id, token)),
         free AS MATERIALIZED (
             SELECT w.id FROM workflows w JOIN held ON held.id = w.id AND held.token = w.lease_token
             FOR NO KEY UPDATE OF w SKIP LOCKED
         ), beat AS (
             UPDATE workflows w SET lease_until = t + make_interval(secs => $3), wake_at = t + make_interval(secs => $3)
             FROM free, clock WHERE w.id = free.id
         )
         SELECT held.id, w.id IS NOT NULL, free.id IS NOT NULL
         FROM held LEFT JOIN workflows w ON w.id = held.id AND w.lease_token = held.token
              LEFT JOIN free ON free.id = held.id",
    )
    .bind(ids)
    .bind(tokens)
    .bind(lease.as_secs_f64())
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_all(executor)
    .await?;
    let beat = |(id, ours, extended): (Uuid, bool, bool)| {
        let beat = match (ours, extended) {
            (_, true) => Beat::Extended,
            (true, false) => Beat::Locked,
            (false, false) => Beat::Lost,
        };
        (WorkflowId(id), beat)
    };
    Ok(rows.into_iter().map(beat).collect())
}

/// Gives leases back; the workflows are due `after` that, and other workers are told.
pub async fn hand_back(
    executor: impl PgExecutor<'_>,
    held: &[(WorkflowId, i64)],
    after: Duration,
    now: Option<Timestamp>,
) -> Result<u64> {
    let (ids, tokens) = split(held);
    let done = sqlx::query(
        "WITH clock AS MATERIALIZED (SELECT coalesce($4, statement_timestamp()) AS t)
         UPDATE workflows w SET lease_token = NULL, lease_until = NULL, worker = NULL,
                wake_at = t + make_interval(secs => $3)
         FROM unnest($1::uuid[], $2::bigint[]) AS held (id, token), clock
         WHERE w.id = held.id AND w.lease_token = held.token
         RETURNING pg_notify('workflow', '')::text",
    )
    .bind(ids)
    .bind(tokens)
    .bind(after.as_secs_f64())
    .bind(now.map(|now| now.to_sqlx()))
    .fetch_all(executor)
    .await?;
    Ok(done.len() as u64)
}

fn split(held: &[(WorkflowId, i64)]) -> (Vec<Uuid>, Vec<i64>) {
    held.iter().map(|(id, token)| (id.0, *token)).unzip()
}
