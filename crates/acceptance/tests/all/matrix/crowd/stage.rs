//! Three workers, of which one goes on at a time: from one request to the cluster to the next. Who it is, and how much
//! time passes between, is decided outside, so that an interleaving can be had again.

use super::super::lab::{Lab, WORKERS};
use cloud::Site;
use simulator::HeldSeen;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use workflow::{Engine, Idle, ManualClock};

/// How long a worker may be busy without a request to the cluster in real time. Past it, it waits for another worker's
/// transaction, and another one has its turn.
const STALLS: Duration = Duration::from_millis(500);

/// The workers and their time.
pub(super) struct Stage<'a> {
    lab: &'a Lab,
    clock: ManualClock,
    workers: Vec<Worker>,
    /// How often a worker waited for another one's transaction.
    pub(super) stalls: usize,
}

struct Worker {
    token: &'static str,
    site: Arc<Site>,
    engine: Engine<Site>,
    /// What it is doing; `None`: nothing.
    run: Option<JoinHandle<store::Result<Idle>>>,
    /// It has looked, and there was nothing to do at this time.
    idle: bool,
}

/// Where a worker stands when its turn is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It has nothing to do at this time.
    Idle,
    /// Before a request to the cluster.
    Before,
    /// It waits: for the cluster, or for another worker.
    Waits,
}

impl<'a> Stage<'a> {
    /// The workers are those of the interleaving before: processes outlive what they do.
    pub(super) fn open(lab: &'a Lab, clock: &ManualClock, sites: &[Arc<Site>]) -> Self {
        lab.simulator.control.hold(&WORKERS);
        let worker = |(token, site): (&'static str, &Arc<Site>)| {
            let engine = lab.engine_at(clock, token, Arc::clone(site));
            Worker { token, site: Arc::clone(site), engine, run: None, idle: false }
        };
        let workers = WORKERS.into_iter().zip(sites).map(worker).collect();
        Self { lab, clock: clock.clone(), workers, stalls: 0 }
    }

    /// How many are in the middle of something.
    pub(super) fn busy(&self) -> usize {
        self.workers.iter().filter(|worker| worker.run.as_ref().is_some_and(|run| !run.is_finished())).count()
    }

    /// Who may have something to do.
    pub(super) fn with_work(&self) -> Vec<usize> {
        let busy = |worker: &Worker| !worker.idle || worker.run.is_some();
        (0..self.workers.len()).filter(|which| busy(&self.workers[*which])).collect()
    }

    /// There may be something to do for everybody.
    pub(super) fn all_look_again(&mut self) {
        self.workers.iter_mut().for_each(|worker| worker.idle = false);
    }

    /// Time passes, for everybody.
    pub(super) fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.lab.simulator.control.advance(time);
        self.all_look_again();
    }

    /// Lets a worker go on to its next request, or to where it has nothing to do; and what its next request is.
    pub(super) async fn turn(&mut self, which: usize) -> (Stands, Option<String>) {
        loop {
            let stands = self.step(which).await;
            let next = self.next(which).map(|held| (held.method, held.path));
            // Which version the cluster has, every process asks first.
            if next.as_ref().is_none_or(|(_, path)| path != "/version") {
                return (stands, next.map(|(method, path)| format!("{method} {path}")));
            }
        }
    }

    fn next(&self, which: usize) -> Option<HeldSeen> {
        let held = self.lab.simulator.control.held();
        held.into_iter().find(|held| held.token == self.workers[which].token)
    }

    async fn step(&mut self, which: usize) -> Stands {
        let waiting = self.lab.simulator.control.waiting_now();
        match (self.next(which), &self.workers[which].run) {
            (Some(held), _) => {
                self.lab.simulator.control.let_go(held.id);
            }
            (None, Some(run)) if !run.is_finished() => return Stands::Waits,
            _ => {
                let engine = self.workers[which].engine.clone();
                let run = async move { engine.run_until_idle(Duration::ZERO).await };
                let ended = self.workers[which].run.replace(tokio::spawn(run));
                if let Some(ended) = ended {
                    ended.await.expect("a worker that does not panic").unwrap();
                }
            }
        }
        let stands = self.rests(which, waiting).await;
        self.workers[which].idle = stands == Stands::Idle;
        stands
    }

    /// Returns when the worker does nothing any more by itself.
    async fn rests(&mut self, which: usize, others_wait: usize) -> Stands {
        let control = &self.lab.simulator.control;
        let (mut held, mut waiting) = control.stirs();
        let worker = &mut self.workers[which];
        let stalls = tokio::time::sleep(STALLS);
        tokio::pin!(stalls);
        loop {
            held.borrow_and_update();
            waiting.borrow_and_update();
            if control.held().iter().any(|held| held.token == worker.token) {
                return Stands::Before;
            }
            let Some(run) = &mut worker.run else { return Stands::Idle };
            if control.waiting_now() > others_wait {
                return Stands::Waits;
            }
            tokio::select! {
                biased;
                ended = run => {
                    worker.run = None;
                    ended.expect("a worker that does not panic").unwrap();
                    return Stands::Idle;
                }
                _ = held.changed() => {}
                _ = waiting.changed() => {}
                () = &mut stalls => {
                    self.stalls += 1;
                    return Stands::Waits;
                }
            }
        }
    }

    /// A worker's process ends in the middle of something. Its effects stay; its lease runs out. Another process takes its
    /// place. False: it was not doing anything.
    pub(super) async fn kill(&mut self, which: usize) -> bool {
        let worker = &mut self.workers[which];
        let Some(run) = worker.run.take().filter(|run| !run.is_finished()) else { return false };
        run.abort();
        let _ = run.await;
        worker.idle = false;
        worker.site = self.lab.site_apart(worker.token);
        worker.engine = self.lab.engine_at(&self.clock, worker.token, Arc::clone(&worker.site));
        true
    }

    /// Lets everybody go on by themselves until nobody has anything to do at this time; and the processes, as they are then.
    pub(super) async fn close(self) -> Vec<Arc<Site>> {
        self.lab.simulator.control.hold(&[]);
        let (sites, runs): (Vec<_>, Vec<_>) = self.workers.into_iter().map(|worker| (worker.site, worker.run)).unzip();
        let runs = async {
            for run in runs.into_iter().flatten() {
                run.await.expect("a worker that does not panic").unwrap();
            }
        };
        self.lab.without_waiting(runs).await;
        sites
    }
}
