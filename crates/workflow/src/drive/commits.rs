//! What a drive commits: the row as it is in memory, the ends that were put off, and the way back when nothing was written.

use super::{Drive, Next, Parting};
use crate::{Weight, World, measure};
use serde_json::Value;
use std::time::Instant;
use store::workflow::{Commit, Direction, Leased, StepRecord, Then};

/// What a commit says beside the row in memory.
pub(super) struct Change<'a> {
    pub(super) waiting_for: Option<&'a str>,
    pub(super) last_error: Option<&'a str>,
    pub(super) then: Then,
}

impl Default for Change<'_> {
    fn default() -> Self {
        Self { waiting_for: None, last_error: None, then: Then::GoOn }
    }
}

/// The record of a half-step, on its way into a commit.
pub(super) struct Record {
    pub(super) index: usize,
    pub(super) direction: Direction,
    pub(super) attempts: i32,
    pub(super) state: &'static str,
    pub(super) memo: Option<Value>,
    pub(super) began: Instant,
    pub(super) ended: Instant,
}

impl<W: World> Drive<'_, W> {
    /// The furthest step that may begin before the next commit but one: past steps whose ends are written down later.
    pub(super) fn reach(&self) -> Option<String> {
        let row = &self.run.row;
        if row.direction == Direction::Unmake {
            return row.reach.clone();
        }
        let named = row.step_name.as_deref().map(|name| self.definition.position(name));
        let Some(mut furthest) = named.unwrap_or(Some(0)) else { return row.reach.clone() };
        while self.definition.steps[furthest].weight() == Weight::Light && furthest + 1 < self.definition.steps.len() {
            furthest += 1;
        }
        Some(self.name(furthest).to_owned())
    }

    /// The row in memory as it was before what was not written: before the first step of a shared transaction, or as
    /// `before` has it.
    pub(super) fn take_back(&mut self, before: Option<Leased>) {
        if let Some(shared) = self.shared.take() {
            self.pending.truncate(shared.pending);
            self.run.row = shared.before;
        } else if let Some(before) = before {
            self.run.row = before;
        }
    }

    pub(super) fn record(&self, index: usize, state: &'static str, memo: Option<Value>, began: Instant) -> Record {
        Record {
            index,
            direction: self.run.row.direction,
            attempts: self.run.row.attempt,
            state,
            memo,
            began,
            ended: Instant::now(),
        }
    }

    pub(super) async fn commit(&mut self, record: Option<Record>, change: Change<'_>) -> Next {
        let before = self.run.row.clone();
        self.commit_or(before, record, change).await
    }

    /// Commits the row as it is in memory, with the step's transaction if it opened one. If the database says no, the
    /// row in memory goes back to `before` and the refusal counts as a fault of the step.
    pub(super) async fn commit_or(&mut self, before: Leased, record: Option<Record>, change: Change<'_>) -> Next {
        match self.try_commit(record.as_ref(), &change).await {
            Ok(kept) => {
                self.turned = false;
                self.unwritten = None;
                self.pending.clear();
                self.shared = None;
                if kept {
                    return Next::Onwards;
                }
                Next::Part(Parting::Released(match change.then {
                    Then::Nap(nap) => Some(nap),
                    Then::GoOn | Then::End(_) => None,
                }))
            }
            Err(store::Error::Fenced) => {
                self.roll_back().await;
                measure::fenced(self.definition.kind);
                tracing::info!(workflow = %before.id, "the lease was taken by another worker; nothing was written");
                Next::Part(Parting::Fenced)
            }
            // What the database refused is certainly not written, and counts as a fault of the step. Anything else (an
            // answer that was lost, a refused record of a fault) has to be read afresh.
            Err(error) if change.last_error.is_none() && store::workflow::is_refusal(&error) => {
                self.turned &= before.direction == Direction::Unmake;
                self.singly = true;
                self.take_back(Some(before));
                let index = record.map(|record| record.index);
                Box::pin(self.fault(index, error.into())).await
            }
            Err(error) => {
                tracing::warn!(workflow = %before.id, error = %crate::outcome::chain(&error), "a commit failed");
                self.roll_back().await;
                Next::Part(Parting::Ours)
            }
        }
    }

    pub(super) async fn try_commit(&mut self, record: Option<&Record>, change: &Change<'_>) -> store::Result<bool> {
        let reach = self.reach();
        let row = &self.run.row;
        let position = row.step_name.as_deref().and_then(|name| self.definition.position(name)).unwrap_or(0);
        let commit = Commit {
            id: row.id,
            token: row.token,
            direction: row.direction,
            step: i32::try_from(position).unwrap_or(i32::MAX),
            step_name: row.step_name.as_deref(),
            attempt: row.attempt,
            faults: row.faults,
            task: row.task.as_deref(),
            task_progress: row.task_progress.as_deref(),
            waiting_for: change.waiting_for,
            last_error: change.last_error,
            refusal: row.refusal.as_ref(),
            turned: self.turned,
            reach: reach.as_deref(),
            records: self.pending.iter().chain(record).map(|record| self.written(record)).collect(),
            wake_version: row.wake_version,
            then: change.then,
        };
        let now = self.engine.options.clock.statement_time();
        let committed = match self.run.tx.take() {
            Some(mut tx) => match store::workflow::commit(&mut *tx, &commit, now).await {
                Ok(committed) => {
                    tx.commit().await.map_err(store::Error::from)?;
                    committed
                }
                Err(error) => {
                    // At once, not when the connection is next used: the step's locks stand in others' way.
                    let _ = tx.rollback().await;
                    return Err(error);
                }
            },
            None => store::workflow::commit(self.engine.store.pool(), &commit, now).await?,
        };
        self.run.row.reach = reach;
        if committed.wake_version != self.run.row.wake_version {
            self.run.forget();
        }
        self.run.row.wishes = committed.wishes;
        self.run.row.wake_version = committed.wake_version;
        Ok(committed.kept)
    }

    pub(super) fn written<'r>(&self, record: &'r Record) -> StepRecord<'r> {
        StepRecord {
            direction: record.direction,
            name: self.definition.steps[record.index].name(),
            index: i32::try_from(record.index).unwrap_or(i32::MAX),
            state: record.state,
            attempts: record.attempts,
            began: self.engine.elapsed(record.began),
            ended: self.engine.elapsed(record.ended),
            memo: record.memo.as_ref(),
        }
    }
}
