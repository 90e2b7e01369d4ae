//! Drives one leased workflow: step after step under one lease, until it naps, ends, parks or is handed back.

mod commits;

use crate::engine::Inner;
use crate::outcome::{Fault, FaultKind, Followed, Outcome, Refusal, TaskEnd, TaskName, TaskState};
use crate::{CANCEL, Definition, End, Ended, Run, Shape, UNMAKE, Unwinding, Weight, World, measure};
use commits::{Change, Record};
use futures_util::FutureExt;
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::workflow::{Direction, Leased, State, StoredStep, Then};
use tokio_util::sync::CancellationToken;

/// How a drive came to its end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Parting {
    /// The lease is given back; the workflow is due again after this long, if it is.
    Released(Option<Duration>),
    /// The lease was another worker's already.
    Fenced,
    /// The lease is still ours and has to be given back: a shutdown, or a commit whose answer was lost.
    Ours,
}

/// Whether the drive goes on.
enum Next {
    Onwards,
    Part(Parting),
}

/// One drive of one workflow.
pub(crate) struct Drive<'e, W: World> {
    engine: &'e Inner<W>,
    definition: Arc<Definition<W::Context>>,
    run: Run<W::Context>,
    /// How much longer the present step may wait without giving the lease back.
    patience: Duration,
    /// It turned round in this drive, so the children that are active have to be asked for again.
    children_unknown: bool,
    /// The followed task belongs to the half that was turned away from.
    task_abandoned: bool,
    /// The deadline of unmaking begins with the next commit.
    turned: bool,
    /// Ends that the next commit writes down beside its own.
    pending: Vec<Record>,
    /// The followed task has no commit yet: since when, by the step that began it.
    unwritten: Option<Instant>,
    /// The open transaction is that of several steps: what to go back to if it comes to nothing.
    shared: Option<Shared>,
    /// Steps shared a transaction that came to nothing; from now on each has its own.
    singly: bool,
}

/// Where the first of several steps that share a transaction began.
struct Shared {
    before: Leased,
    pending: usize,
}

impl<'e, W: World> Drive<'e, W> {
    pub(crate) fn new(engine: &'e Inner<W>, definition: Arc<Definition<W::Context>>, row: Leased) -> Self {
        let run = Run::new(engine.store.clone(), engine.options.clock.clone(), row);
        let children_unknown = run.row.busy_children > 0;
        let patience = engine.patience();
        Self {
            engine,
            definition,
            run,
            patience,
            children_unknown,
            task_abandoned: false,
            turned: false,
            pending: Vec::new(),
            unwritten: None,
            shared: None,
            singly: false,
        }
    }

    /// Runs steps until there is a reason to part.
    pub(crate) async fn drive(mut self, draining: &CancellationToken) -> Parting {
        if let Some(unknown) = self.unknown_step() {
            return match self.park(None, &format!("step `{unknown}` is not known to this release")).await {
                Next::Part(parting) => parting,
                Next::Onwards => Parting::Ours,
            };
        }
        loop {
            if draining.is_cancelled() {
                if (!self.pending.is_empty() || self.unwritten.is_some()) && self.run.tx.is_none() {
                    self.commit(None, Change::default()).await;
                }
                return Parting::Ours;
            }
            match self.advance(draining).await {
                Next::Onwards => {}
                Next::Part(parting) => return parting,
            }
        }
    }

    /// A step that the row has progress of and this release does not have.
    fn unknown_step(&self) -> Option<String> {
        let recorded = self.run.row.steps.iter().map(|step| step.name.as_str());
        let row = &self.run.row;
        let names = row.step_name.as_deref().into_iter().chain(row.reach.as_deref()).chain(recorded);
        names.into_iter().find(|name| self.definition.position(name).is_none()).map(str::to_owned)
    }

    /// One round: obey wishes, then attempt the step that is next.
    async fn advance(&mut self, draining: &CancellationToken) -> Next {
        if self.run.row.direction == Direction::Make {
            match (self.definition.shape, self.run.wished(UNMAKE), self.run.wished(CANCEL)) {
                (Shape::Lifecycle, true, _) => self.turn(),
                (Shape::Action(Unwinding::Always), _, true) => {
                    self.turn();
                    self.turned = true;
                }
                (Shape::Action(Unwinding::Never), _, true) => return self.end(End::Cancelled, None, None).await,
                _ => {}
            }
        }
        if self.run.row.direction == Direction::Unmake && self.children_unknown {
            match self.call_off_children().await {
                Ok(0) => self.children_unknown = false,
                Ok(busy) => {
                    let why = if busy == 1 {
                        "the end of a running action".to_owned()
                    } else {
                        format!("the end of {busy} running actions")
                    };
                    return self.nap(None, Some(&why), None, self.engine.options.children).await;
                }
                Err(fault) => return self.fault(None, fault).await,
            }
        }
        match self.position() {
            Some(index) => self.attempt(index, draining).await,
            None => self.end(self.natural_end(), None, None).await,
        }
    }

    fn turn(&mut self) {
        self.run.forget();
        let row = &mut self.run.row;
        row.direction = Direction::Unmake;
        row.attempt = 0;
        row.faults = 0;
        self.task_abandoned = row.task.is_some();
        self.children_unknown = true;
        self.patience = self.engine.patience();
    }

    async fn call_off_children(&self) -> Result<i64, Fault> {
        let now = self.engine.options.clock.statement_time();
        Ok(store::workflow::cancel_children(self.engine.store.pool(), self.run.row.id, now).await?)
    }

    /// The place of the step that is next: the first that is not made, or the last that is not unmade of those up to
    /// where `make` got. What was within reach counts even without a record: its worker may have died after its effect.
    fn position(&self) -> Option<usize> {
        let row = &self.run.row;
        let done =
            |index: usize| row.step(row.direction, self.definition.steps[index].name()).is_some_and(|step| step.done);
        match row.direction {
            Direction::Make => (0..self.definition.steps.len()).find(|index| !done(*index)),
            Direction::Unmake => {
                let reached = row.steps.iter().map(|step| step.name.as_str());
                let furthest = reached
                    .chain(row.step_name.as_deref())
                    .chain(row.reach.as_deref())
                    .filter_map(|name| self.definition.position(name))
                    .max()
                    .unwrap_or(0);
                (0..=furthest).rev().find(|index| !done(*index))
            }
        }
    }

    fn natural_end(&self) -> End {
        match (self.run.row.direction, self.definition.shape) {
            (Direction::Make, Shape::Lifecycle) => End::Resting,
            (Direction::Make, Shape::Action(_)) => End::Completed,
            (Direction::Unmake, Shape::Lifecycle) => End::Undone,
            (Direction::Unmake, Shape::Action(_)) if self.run.row.refusal.is_some() => End::Refused,
            (Direction::Unmake, Shape::Action(_)) => End::Cancelled,
        }
    }

    /// One attempt of one half of one step, and the commit of what it came to.
    async fn attempt(&mut self, index: usize, draining: &CancellationToken) -> Next {
        self.run.followed = None;
        if let Some(task) = self.run.row.task.clone().map(TaskName) {
            if self.task_abandoned {
                self.run.followed = Some(Followed { task, end: None });
            } else {
                match guarded("the look at a task", self.engine.world.task(&self.run, &task)).await {
                    Ok(TaskState::Running { .. }) if self.unwritten.is_some() => return self.write_task(index).await,
                    Ok(TaskState::Running { progress }) => return self.task_runs(index, progress, draining).await,
                    Ok(TaskState::Ended(end)) => self.task_ended(task, end),
                    Err(fault) => return self.fault(Some(index), fault).await,
                }
            }
        }
        self.run.row.attempt = self.run.row.attempt.saturating_add(1);
        let began = Instant::now();
        let outcome = guarded(self.name(index), self.half_step(index)).await;
        let (kind, name, direction) = (self.definition.kind, self.name(index), self.run.row.direction);
        measure::step(kind, name, direction, &outcome, began.elapsed());
        if self.shared.is_some() && !matches!(outcome, Ok(Outcome::Done(_))) {
            self.roll_back().await;
            self.singly = true;
            self.take_back(None);
            return Next::Onwards;
        }
        match outcome {
            Ok(Outcome::Done(memo)) => self.done(index, memo, began).await,
            Ok(Outcome::Wait { why, after }) => {
                self.task_is_over();
                let nap = after.unwrap_or(self.engine.options.nap);
                if self.run.tx.is_none() && self.linger(nap, draining).await {
                    return Next::Onwards;
                }
                self.run.row.faults = 0;
                self.nap(Some((index, began)), Some(&why), None, nap).await
            }
            Ok(Outcome::Follow(task)) => self.follow(index, task, began).await,
            Ok(Outcome::Refuse(refusal)) => self.refuse(index, refusal, began).await,
            Err(fault) => self.fault(Some(index), fault).await,
        }
    }

    async fn half_step(&mut self, index: usize) -> Result<Outcome<Value>, Fault> {
        let step = Arc::clone(&self.definition.steps[index]);
        let context = self.engine.world.context(&self.run).await?;
        match self.run.row.direction {
            Direction::Make => step.make(&context, &mut self.run).await,
            Direction::Unmake => {
                let memo = self.run.stored_memo(step.name()).cloned();
                step.unmake(&context, &mut self.run, memo).await?.try_map(|()| Ok(Value::Null))
            }
        }
    }

    fn name(&self, index: usize) -> &'static str {
        self.definition.steps[index].name()
    }

    fn task_is_over(&mut self) {
        self.run.row.task = None;
        self.run.row.task_progress = None;
        self.task_abandoned = false;
    }

    fn task_ended(&mut self, task: TaskName, end: TaskEnd) {
        self.unwritten = None;
        self.run.followed = Some(Followed { task, end: Some(end) });
    }

    /// Stays awake for a short wait instead of giving the lease back, as long as patience lasts.
    async fn linger(&mut self, nap: Duration, draining: &CancellationToken) -> bool {
        if nap.is_zero() || nap > self.patience {
            return false;
        }
        self.patience -= nap;
        self.run.forget();
        tokio::select! {
            () = tokio::time::sleep(nap) => {}
            () = draining.cancelled() => {}
        }
        true
    }

    /// The followed task is still at it.
    async fn task_runs(&mut self, index: usize, progress: Option<String>, draining: &CancellationToken) -> Next {
        if self.linger(self.engine.options.glance, draining).await {
            return Next::Onwards;
        }
        self.run.row.task_progress = progress;
        self.run.row.faults = 0;
        let why = self.definition.steps[index].awaits();
        self.nap(Some((index, Instant::now())), Some(why), None, self.engine.options.follow).await
    }

    /// Looks at the task at once, and commits its name before anything else happens unless it is over already: then there is
    /// nothing left to follow, and whoever comes after a worker that died right here looks at the thing itself, as after any
    /// lost answer.
    async fn follow(&mut self, index: usize, task: TaskName, began: Instant) -> Next {
        self.task_is_over();
        self.run.row.task = Some(task.0);
        self.run.row.faults = 0;
        self.patience = self.engine.patience();
        self.unwritten = Some(began);
        if self.run.tx.is_none() { Next::Onwards } else { self.write_task(index).await }
    }

    async fn write_task(&mut self, index: usize) -> Next {
        let began = self.unwritten.take().unwrap_or_else(Instant::now);
        let why = self.definition.steps[index].awaits();
        let then = if self.patience.is_zero() { Then::Nap(self.engine.options.follow) } else { Then::GoOn };
        let record = self.record(index, "running", None, began);
        self.commit(Some(record), Change { waiting_for: Some(why), then, ..Change::default() }).await
    }

    async fn done(&mut self, index: usize, memo: Value, began: Instant) -> Next {
        self.task_is_over();
        let name = self.name(index);
        let direction = self.run.row.direction;
        // In memory first, to find out what follows; taken back if the commit does not happen.
        let before = self.run.row.clone();
        self.run.row.steps.retain(|step| step.direction != direction.as_str() || step.name != name);
        self.run.row.steps.push(StoredStep {
            direction: direction.as_str().to_owned(),
            name: name.to_owned(),
            done: true,
            memo: memo.clone(),
        });
        let memo = (direction == Direction::Make).then_some(memo);
        let record = self.record(index, "done", memo, began);
        self.run.row.attempt = 0;
        self.run.row.faults = 0;
        self.patience = self.engine.patience();
        match self.position() {
            Some(following) => {
                self.run.row.step_name = Some(self.name(following).to_owned());
                if self.goes_on_in_it(following) {
                    let pending = self.pending.len();
                    self.shared.get_or_insert(Shared { before, pending });
                    self.pending.push(record);
                    return Next::Onwards;
                }
                if self.may_be_later(index, following) {
                    self.pending.push(record);
                    return Next::Onwards;
                }
                self.commit_or(before, Some(record), Change { then: Then::GoOn, ..Change::default() }).await
            }
            None => self.end(self.natural_end(), Some(record), Some(before)).await,
        }
    }

    /// Whether the open transaction is the next step's as well.
    fn goes_on_in_it(&self, following: usize) -> bool {
        !self.singly && self.run.tx.is_some() && self.definition.steps[following].weight() == Weight::Rows
    }

    /// Whether the end of a step may be written down with a later one's.
    fn may_be_later(&self, index: usize, following: usize) -> bool {
        let row = &self.run.row;
        let covered = || row.reach.as_deref().and_then(|name| self.definition.position(name)) >= Some(following);
        self.definition.steps[index].weight() == Weight::Light
            && self.run.tx.is_none()
            && (row.direction == Direction::Unmake || covered())
    }

    /// A final no: turn round, or end.
    async fn refuse(&mut self, index: usize, refusal: Refusal, began: Instant) -> Next {
        let said = format!("{}: {}", refusal.code, refusal.detail);
        if self.run.row.direction == Direction::Unmake {
            return self.park(Some(index), &format!("step `{}` refused to be unmade: {said}", self.name(index))).await;
        }
        let firm = self
            .definition
            .firm_after
            .filter(|firm| self.run.row.step(Direction::Make, firm).is_some_and(|step| step.done));
        if let Some(firm) = firm {
            let refused =
                format!("step `{}` refused after `{firm}`, when nothing may be unmade: {said}", self.name(index));
            return self.park(Some(index), &refused).await;
        }
        let before = self.run.row.clone();
        let end = match self.definition.shape {
            Shape::Lifecycle => End::Undone,
            Shape::Action(_) => End::Refused,
        };
        let record = self.record(index, "refused", None, began);
        self.run.row.refusal = serde_json::to_value(&refusal).ok();
        let ended = self.ended(end);
        let told = match self.run.tx().await {
            Ok(tx) => guarded("the refusal", self.engine.world.refused(tx, &ended)).await,
            Err(fault) => Err(fault),
        };
        if let Err(fault) = told {
            self.take_back(Some(before));
            return self.fault(Some(index), fault).await;
        }
        if self.definition.shape == Shape::Action(Unwinding::Never) {
            self.task_is_over();
            return self.end(End::Refused, Some(record), Some(before)).await;
        }
        self.turn();
        self.turned = true;
        self.commit_or(before, Some(record), Change { then: Then::GoOn, ..Change::default() }).await
    }

    /// Tries again later, or parks.
    async fn fault(&mut self, index: Option<usize>, fault: Fault) -> Next {
        self.roll_back().await;
        match fault.kind() {
            FaultKind::Fenced => {
                measure::fenced(self.definition.kind);
                Next::Part(Parting::Fenced)
            }
            FaultKind::Bug => self.park(index, fault.detail()).await,
            FaultKind::Transient | FaultKind::Unknown => {
                let row = &mut self.run.row;
                row.faults = row.faults.saturating_add(1);
                let (id, faults) = (row.id, row.faults);
                let nap = fault.after().unwrap_or_else(|| self.engine.backoff(id, index.unwrap_or(0), faults));
                let step = index.map_or("", |index| self.name(index));
                measure::retry(self.definition.kind, step);
                tracing::warn!(workflow = %id, step, faults, again_in = ?nap, error = fault.detail(), "a step failed");
                let why = fault.sentence().unwrap_or("something failed");
                self.nap(index.map(|index| (index, Instant::now())), Some(why), Some(fault.detail()), nap).await
            }
        }
    }

    async fn roll_back(&mut self) {
        self.run.forget();
        if let Some(tx) = self.run.tx.take()
            && let Err(error) = tx.rollback().await
        {
            tracing::debug!(workflow = %self.run.row.id, %error, "a rollback was not answered");
        }
    }

    async fn park(&mut self, index: Option<usize>, why: &str) -> Next {
        self.roll_back().await;
        tracing::error!(workflow = %self.run.row.id, kind = self.definition.kind, error = why, "a workflow parks");
        measure::ended(self.definition.kind, State::Parked);
        let record = index.map(|index| self.record(index, "running", None, Instant::now()));
        let change = Change { last_error: Some(why), then: Then::End(State::Parked), ..Change::default() };
        self.commit(record, change).await
    }

    async fn nap(
        &mut self,
        step: Option<(usize, Instant)>,
        why: Option<&str>,
        error: Option<&str>,
        nap: Duration,
    ) -> Next {
        if let Some((index, _)) = step {
            self.run.row.step_name = Some(self.name(index).to_owned());
        }
        let record = step.map(|(index, began)| self.record(index, "running", None, began));
        let change = Change { waiting_for: why, last_error: error, then: Then::Nap(nap) };
        self.commit(record, change).await
    }

    /// Ends, in one transaction with what the product does about it. `before` is the row to go back to if it fails.
    async fn end(&mut self, end: End, record: Option<Record>, before: Option<Leased>) -> Next {
        let ended = self.ended(end);
        let told = match self.run.tx().await {
            Ok(tx) => guarded("the end", self.engine.world.ended(tx, &ended)).await,
            Err(fault) => Err(fault),
        };
        let index = record.as_ref().map(|record| record.index);
        if let Err(fault) = told {
            self.singly = true;
            self.take_back(before);
            return self.fault(index, fault).await;
        }
        self.run.row.task = None;
        self.run.row.task_progress = None;
        let change = Change { then: Then::End(end.state()), ..Change::default() };
        let next = match before {
            Some(before) => self.commit_or(before, record, change).await,
            None => self.commit(record, change).await,
        };
        if !matches!(next, Next::Part(Parting::Fenced | Parting::Ours)) {
            measure::ended(self.definition.kind, end.state());
        }
        next
    }

    fn ended(&self, end: End) -> Ended {
        let row = &self.run.row;
        Ended {
            id: row.id,
            kind: row.kind.clone(),
            subject: row.subject.clone(),
            team: row.team,
            parent: row.parent,
            end,
            refusal: row.refusal.clone().and_then(|refusal| serde_json::from_value(refusal).ok()),
            input: row.input.clone(),
        }
    }
}

/// The product's code, whose panic is a bug of this one workflow and nothing else.
async fn guarded<T>(what: &str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(Fault::bug(format!("`{what}` panicked: {}", panic_message(&*panic)))))
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}
