//! What runs: leases what is due, drives it, keeps the leases alive, notices what is late.

use crate::clock::Moment;
use crate::drive::{Drive, Parting};
use crate::lease::{Lease, margin};
use crate::{Clock, Registry, World, measure};
use futures_util::FutureExt;
use model::ids::WorkflowId;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;
use store::workflow::{Beat, Leased, Wanted};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How an engine behaves. The defaults are those of production.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The worker's name, for operators.
    pub worker: String,
    /// How many workflows are driven at once.
    pub concurrency: usize,
    /// How many are leased at once, at most.
    pub batch: usize,
    /// How long a lease outlives its worker. Extended at a third; its last sixth is not worked in.
    pub lease: Duration,
    /// How long at most until the database is asked again, should no notification arrive.
    pub poll: Duration,
    /// How long a wait naps that says nothing else.
    pub nap: Duration,
    /// How often a followed task is looked at.
    pub follow: Duration,
    /// How often a followed task is looked at while there is patience.
    pub glance: Duration,
    /// How long a step may wait without giving the lease back. Saves two commits for what is over soon.
    pub patience: Duration,
    /// How often a workflow that is being unmade looks at its children, should their ends not wake it.
    pub children: Duration,
    /// The first backoff is up to this, every further one up to twice the one before.
    pub backoff_base: Duration,
    /// No backoff is longer.
    pub backoff_cap: Duration,
    /// How long a shutdown waits for steps to come to their end before it drops them.
    pub grace: Duration,
    /// How often late workflows are looked for.
    pub sweep: Duration,
    /// What the jitter of backoffs is made from.
    pub seed: u64,
    /// Whose time it is.
    pub clock: Clock,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            worker: format!("{}-{:08x}", std::process::id(), rand::random::<u32>()),
            concurrency: 64,
            batch: 32,
            lease: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            nap: Duration::from_secs(1),
            follow: Duration::from_secs(1),
            glance: Duration::from_millis(50),
            patience: Duration::from_millis(250),
            children: Duration::from_secs(60),
            backoff_base: Duration::from_millis(200),
            backoff_cap: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            sweep: Duration::from_secs(1),
            seed: rand::random(),
            clock: Clock::Database,
        }
    }
}

impl Options {
    /// For tests that repeat exactly: a manual clock and a fixed seed.
    pub fn manual(clock: &crate::ManualClock) -> Self {
        Self { clock: Clock::Manual(clock.clone()), seed: 7, ..Self::default() }
    }
}

/// How [`Engine::run_until_idle`] found the database when it returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Nothing is ready: everything rests, has ended, or is parked.
    Quiet,
    /// Something is still ready, but not due within the given time.
    StillBusy,
}

/// Drives the workflows of a [`Registry`] for a [`World`].
pub struct Engine<W: World> {
    inner: Arc<Inner<W>>,
}

pub(crate) struct Inner<W: World> {
    pub(crate) store: Store,
    pub(crate) registry: Registry<W::Context>,
    pub(crate) world: Arc<W>,
    pub(crate) options: Options,
    kinds: Vec<&'static str>,
    held: Mutex<HashMap<WorkflowId, Arc<Lease>>>,
    /// What a manual clock showed when late workflows were last looked for.
    swept_at: Mutex<Option<jiff::Timestamp>>,
}

/// What one look for work came to.
struct Work {
    leased: Vec<Leased>,
    /// When it was asked for.
    asked: Moment,
    /// How long until more is due.
    next: Option<Duration>,
}

impl<W: World> Inner<W> {
    /// How long a step may wait under its lease. A manual clock does not move by itself, so not at all.
    pub(crate) fn patience(&self) -> Duration {
        match self.options.clock {
            Clock::Database => self.options.patience,
            Clock::Manual(_) => Duration::ZERO,
        }
    }

    /// How much of the engine's time has passed since `began`: none of a manual clock's, which stands still.
    pub(crate) fn elapsed(&self, began: std::time::Instant) -> Duration {
        match self.options.clock {
            Clock::Database => began.elapsed(),
            Clock::Manual(_) => Duration::ZERO,
        }
    }

    /// Full jitter over an exponential ceiling. The same seed, workflow, step and count give the same backoff,
    /// whatever else runs beside it.
    pub(crate) fn backoff(&self, id: WorkflowId, step: usize, faults: i32) -> Duration {
        let doublings = faults.saturating_sub(1).clamp(0, 30).unsigned_abs();
        let ceiling = self.options.backoff_base.saturating_mul(1 << doublings).min(self.options.backoff_cap);
        let mut hasher = DefaultHasher::new();
        (self.options.seed, id.0.as_u128(), step, faults).hash(&mut hasher);
        let ceiling = u64::try_from(ceiling.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(StdRng::seed_from_u64(hasher.finish()).random_range(0..=ceiling))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<WorkflowId, Arc<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn lease(&self, most: usize) -> store::Result<Work> {
        let asked = self.options.clock.moment();
        let wanted = Wanted {
            kinds: &self.kinds,
            most: i64::try_from(most).unwrap_or(i64::MAX),
            lease: self.options.lease,
            worker: &self.options.worker,
        };
        let (leased, next) =
            store::workflow::lease(self.store.pool(), &wanted, self.options.clock.statement_time()).await?;
        leased.iter().for_each(measure::leased);
        Ok(Work { leased, asked, next })
    }

    /// Drives one workflow under the lease that was asked for at `asked`, and keeps book of it. Dropping the future leaves
    /// the lease to run out.
    async fn drive(&self, row: Leased, asked: Moment, draining: &CancellationToken) -> Parting {
        let (id, token) = (row.id, row.token);
        // BUG: only kinds of the registry are leased.
        let Some(definition) = self.registry.get(&row.kind).cloned() else { return Parting::Ours };
        let lease = Arc::new(Lease::new(token, self.options.clock.clone(), self.options.lease, asked));
        measure::held({
            let mut held = self.held();
            held.insert(id, Arc::clone(&lease));
            held.len()
        });
        let kind = definition.kind();
        let run = AssertUnwindSafe(Box::pin(Drive::new(self, definition, row).drive(draining))).catch_unwind();
        let parting = match lease.under(run).await {
            Some(Ok(parting)) => parting,
            Some(Err(_)) => {
                tracing::error!(workflow = %id, "BUG: the engine panicked; the workflow is tried again");
                Parting::Ours
            }
            None => {
                measure::fenced(kind);
                tracing::warn!(workflow = %id, "the lease is over; the run is dropped");
                Parting::Fenced
            }
        };
        let ours = {
            let mut held = self.held();
            // This very process may have leased it again meanwhile: that lease is another run's.
            if held.get(&id).is_some_and(|known| known.token == token) {
                held.remove(&id);
            }
            measure::held(held.len());
            parting == Parting::Ours
        };
        if ours {
            let after = if draining.is_cancelled() { Duration::ZERO } else { self.options.nap };
            self.hand_back(&[(id, token)], after).await;
        }
        parting
    }

    async fn hand_back(&self, held: &[(WorkflowId, i64)], after: Duration) {
        let now = self.options.clock.statement_time();
        if let Err(error) = store::workflow::hand_back(self.store.pool(), held, after, now).await {
            let error = crate::outcome::chain(&error);
            tracing::warn!(leases = held.len(), error, "leases could not be handed back and have to run out");
        }
    }

    /// Nothing gets later while a manual clock stands still.
    async fn raise_late_once(&self) -> store::Result<()> {
        let shown = self.options.clock.statement_time();
        let before = std::mem::replace(&mut *self.swept_at.lock().unwrap_or_else(PoisonError::into_inner), shown);
        if shown.is_some() && shown == before { Ok(()) } else { self.raise_late().await }
    }

    async fn raise_late(&self) -> store::Result<()> {
        let late = store::workflow::raise_late(self.store.pool(), self.options.clock.statement_time()).await?;
        if late > 0 {
            tracing::warn!(late, "workflows are past their deadline");
        }
        Ok(())
    }

    /// Extends every lease at a third of its time, and tells the runs whose lease is lost. Those of which nothing is heard,
    /// because the database cannot be reached, run out by themselves.
    async fn keep_leases(&self) {
        loop {
            tokio::time::sleep(self.options.lease / 3).await;
            let held: Vec<_> = self.held().iter().map(|(id, lease)| (*id, lease.token)).collect();
            if held.is_empty() {
                continue;
            }
            let (asked, now) = (self.options.clock.moment(), self.options.clock.statement_time());
            match store::workflow::heartbeat(self.store.pool(), &held, self.options.lease, now).await {
                Ok(beats) => self.heard(&held, &beats, asked),
                Err(error) => {
                    tracing::warn!(error = crate::outcome::chain(&error), "leases could not be extended");
                }
            }
        }
    }

    fn heard(&self, asked_about: &[(WorkflowId, i64)], beats: &[(WorkflowId, Beat)], asked: Moment) {
        let held = self.held();
        for (id, beat) in beats {
            // One that ended while the heartbeat was under way is not lost; it is not held any more either.
            let Some(lease) = held.get(id).filter(|lease| asked_about.contains(&(*id, lease.token))) else { continue };
            match beat {
                Beat::Extended => lease.extend(asked),
                Beat::Locked => {}
                Beat::Lost => lease.lose(),
            }
        }
    }

    async fn sweep(&self) {
        let mut round = 0_u32;
        loop {
            tokio::time::sleep(self.options.sweep).await;
            let swept = self.raise_late().await;
            round = round.wrapping_add(1);
            let counted = if round % 10 == 1 {
                store::workflow::counts(self.store.pool()).await.map(|counts| measure::standing(&counts))
            } else {
                Ok(())
            };
            if let Err(error) = swept.and(counted) {
                tracing::warn!(error = crate::outcome::chain(&error), "late workflows could not be looked for");
            }
        }
    }

    async fn listen(&self, something: &Notify) {
        loop {
            match store::workflow::Listener::open(&self.store).await {
                Ok(mut listener) => {
                    something.notify_one();
                    while listener.heard().await.is_ok() {
                        something.notify_one();
                    }
                }
                Err(error) => tracing::warn!(error = crate::outcome::chain(&error), "notifications are not heard"),
            }
            tokio::time::sleep(self.options.poll).await;
        }
    }
}

impl<W: World> Engine<W> {
    /// An engine over `store`. Needs one connection of the pool to listen, one now and then, and one per step that is
    /// in its transaction.
    pub fn new(store: Store, registry: Registry<W::Context>, world: Arc<W>, options: Options) -> Self {
        let kinds = registry.kinds().collect();
        let (held, swept_at) = (Mutex::default(), Mutex::default());
        Self { inner: Arc::new(Inner { store, registry, world, options, kinds, held, swept_at }) }
    }

    /// Runs until `shutdown`; then leases nothing more, lets steps come to their end for as long as the grace lasts,
    /// and hands every lease back, so that another worker takes over at once.
    pub async fn run(&self, shutdown: CancellationToken) {
        let something = Arc::new(Notify::new());
        let mut beside = JoinSet::new();
        let (inner, heard) = (Arc::clone(&self.inner), Arc::clone(&something));
        beside.spawn(async move { inner.listen(&heard).await });
        let inner = Arc::clone(&self.inner);
        beside.spawn(async move { inner.keep_leases().await });
        let inner = Arc::clone(&self.inner);
        beside.spawn(async move { inner.sweep().await });

        let mut runs = JoinSet::new();
        while !shutdown.is_cancelled() {
            let again = self.fill(&mut runs, &shutdown).await;
            if let Some(again) = again {
                self.pause(again, &mut runs, &something, &shutdown).await;
            }
        }
        // `beside` goes on meanwhile: leases are still kept alive.
        let drained = async { while runs.join_next().await.is_some() {} };
        if tokio::time::timeout(self.inner.options.grace, drained).await.is_err() {
            runs.shutdown().await;
        }
        let left: Vec<_> = self.inner.held().drain().map(|(id, lease)| (id, lease.token)).collect();
        if !left.is_empty() {
            tracing::warn!(
                left = left.len(),
                "steps did not come to their end in time and are handed over as they are"
            );
            // What they have sent has time to arrive before anybody looks.
            self.inner.hand_back(&left, margin(self.inner.options.lease)).await;
        }
        beside.shutdown().await;
    }

    /// Leases what is due and there is room for; how long until more is due. `None`: there may be more right now.
    async fn fill(&self, runs: &mut JoinSet<Parting>, shutdown: &CancellationToken) -> Option<Duration> {
        let poll = self.inner.options.poll;
        let room = self.inner.options.concurrency.saturating_sub(runs.len()).min(self.inner.options.batch);
        if room == 0 {
            return Some(poll);
        }
        match self.inner.lease(room).await {
            Ok(Work { leased, asked, next }) => {
                let full = leased.len() == room;
                for row in leased {
                    let (inner, shutdown) = (Arc::clone(&self.inner), shutdown.clone());
                    runs.spawn(async move { inner.drive(row, asked, &shutdown).await });
                }
                if full { None } else { Some(next.map_or(poll, |next| next.min(poll))) }
            }
            Err(error) => {
                tracing::warn!(error = crate::outcome::chain(&error), "no work could be leased");
                Some(poll)
            }
        }
    }

    /// Sleeps until there is something to lease and room for it.
    async fn pause(
        &self,
        again: Duration,
        runs: &mut JoinSet<Parting>,
        something: &Notify,
        shutdown: &CancellationToken,
    ) {
        let mut until = Instant::now() + again;
        loop {
            let full = runs.len() >= self.inner.options.concurrency;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = something.notified(), if !full => return,
                () = tokio::time::sleep_until(until), if !full => return,
                Some(parting) = runs.join_next(), if !runs.is_empty() => {
                    match parting {
                        Ok(Parting::Released(Some(nap))) => until = until.min(Instant::now() + nap),
                        Ok(_) => {}
                        Err(error) => tracing::error!(%error, "a run broke off"),
                    }
                    if full { return }
                }
            }
        }
    }

    /// Drives everything that is or becomes due within `within`, one workflow at a time in the order in which they
    /// are due, moving a manual clock forwards whenever nothing is (with the database's clock, by sleeping). The code
    /// that runs is that of [`Engine::run`].
    pub async fn run_until_idle(&self, within: Duration) -> store::Result<Idle> {
        let end = self.inner.options.clock.now().saturating_add(within).unwrap_or(jiff::Timestamp::MAX);
        loop {
            match self.round(end).await? {
                Round::Drove(_) | Round::Slept => {}
                Round::Idle(idle) => return Ok(idle),
            }
        }
    }

    /// The engine's time.
    #[cfg(feature = "harness")]
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.inner.options.clock.now()
    }

    /// Drives one workflow that is due, or moves the time to when one is.
    pub(crate) async fn round(&self, end: jiff::Timestamp) -> store::Result<Round> {
        let inner = &self.inner;
        inner.raise_late_once().await?;
        let Work { leased, asked, next } = inner.lease(1).await?;
        if let Some(row) = leased.into_iter().next() {
            return Ok(Round::Drove(inner.drive(row, asked, &CancellationToken::new()).await));
        }
        let Some(next) = next else {
            if !store::workflow::any_ready(inner.store.pool(), &inner.kinds).await? {
                return Ok(Round::Idle(Idle::Quiet));
            }
            // Due, but locked by a transaction that is just ending.
            tokio::time::sleep(Duration::from_millis(2)).await;
            return Ok(Round::Slept);
        };
        // Seconds come back as a float: a microsecond more, so as not to stop just short.
        let next = next.saturating_add(Duration::from_micros(1));
        let due = inner.options.clock.now().saturating_add(next).unwrap_or(jiff::Timestamp::MAX);
        if due > end {
            return Ok(Round::Idle(Idle::StillBusy));
        }
        match &inner.options.clock {
            Clock::Database => tokio::time::sleep(next.min(inner.options.poll)).await,
            Clock::Manual(clock) => clock.advance_to(due),
        }
        Ok(Round::Slept)
    }
}

/// What one round of [`Engine::run_until_idle`] came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Round {
    /// A workflow was driven.
    Drove(Parting),
    /// The time went on.
    Slept,
    /// There is nothing to do.
    Idle(Idle),
}

impl<W: World> Clone for Engine<W> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}
