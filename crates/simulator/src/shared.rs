//! What every connection shares: the cluster behind its lock, the clock, and the bell that rings when something changed.

use crate::StartError;
use crate::clock::{Clock, Time};
use crate::cluster::Cluster;
use crate::gate::Gate;
use crate::scenario::{Entries, Scenario};
use crate::transport::Certificate;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

pub(crate) struct Shared {
    cluster: Mutex<Cluster>,
    pub(crate) clock: Clock,
    /// Rings when something changed.
    pub(crate) bell: watch::Sender<u64>,
    /// Which nodes live, by their order.
    pub(crate) alive: watch::Sender<Vec<bool>>,
    /// Which entries listen, by their order.
    pub(crate) listening: watch::Sender<Vec<bool>>,
    /// How many requests wait.
    pub(crate) waiting: watch::Sender<usize>,
    pub(crate) gate: Gate,
    /// Whether one port plays whichever node lives.
    one_for_all: bool,
    /// One a node: its daemon's workers.
    pub(crate) workers: Vec<Semaphore>,
}

impl Shared {
    pub(crate) fn new(scenario: &Scenario, certificates: &[Certificate]) -> Result<Self, StartError> {
        let clock = Clock::new(scenario.clock);
        let cluster = Cluster::new(scenario, certificates, clock.now()).map_err(StartError::Scenario)?;
        let workers = scenario.nodes.iter().map(|_| Semaphore::new(cluster.pace.workers.max(1))).collect();
        let alive = vec![true; scenario.nodes.len()];
        Ok(Self {
            cluster: Mutex::new(cluster),
            clock,
            bell: watch::Sender::new(0),
            listening: watch::Sender::new(alive.clone()),
            alive: watch::Sender::new(alive),
            waiting: watch::Sender::new(0),
            gate: Gate::default(),
            one_for_all: scenario.entries == Entries::One,
            workers,
        })
    }

    /// The cluster, after everything that is due has happened.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Cluster> {
        let mut cluster = self.cluster.lock().unwrap_or_else(PoisonError::into_inner);
        cluster.catch_up(self.clock.now());
        cluster
    }

    /// Tells everyone who waits that something may have changed.
    pub(crate) fn publish(&self) {
        let alive: Vec<bool> = self.lock().nodes.iter().map(|node| node.online).collect();
        self.alive.send_if_modified(|before| std::mem::replace(before, alive.clone()) != alive);
        self.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Returns when every port listens exactly if its node lives.
    pub(crate) async fn ports_follow(&self) {
        let mut listening = self.listening.subscribe();
        let entries = listening.borrow().len();
        let alive = self.alive.borrow().clone();
        if entries == alive.len() && !self.one_for_all {
            // The sender lives as long as this does.
            let _ = listening.wait_for(|now| *now == alive).await;
        }
    }

    /// Waits until something rings, an event of the cluster falls due, or `until` has come.
    pub(crate) async fn wait(&self, bell: &mut watch::Receiver<u64>, until: Time) {
        let _waits = Waits::begin(&self.waiting);
        let next = self.lock().next_event().map_or(until, |next| next.min(until));
        match self.clock.sleep_until(next) {
            Some(sleep) => {
                tokio::select! {
                    () = tokio::time::sleep(sleep) => {}
                    _ = bell.changed() => {}
                }
            }
            None => {
                let _ = bell.changed().await;
            }
        }
    }

    /// Virtual time passes before an answer. A stepped clock does not wait for a mere delay of a 401.
    pub(crate) async fn pass(&self, duration: Duration) {
        if self.clock.is_instant() {
            return;
        }
        let until = self.clock.now() + duration;
        let mut bell = self.bell.subscribe();
        while self.clock.now() < until {
            self.wait(&mut bell, until).await;
        }
    }
}

/// Counts a request among those that wait, until it is answered or its client goes away.
struct Waits<'a>(&'a watch::Sender<usize>);

impl<'a> Waits<'a> {
    fn begin(waiting: &'a watch::Sender<usize>) -> Self {
        waiting.send_modify(|count| *count += 1);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}
