//! Random interleavings: servers are made, changed, moved and destroyed by three workers at once while nodes die, power
//! fails and answers are lost. What is asked, whose turn it is after each request to the cluster, how much time passes and
//! what goes wrong follows from a seed alone.

mod books;
mod stage;

use super::lab::{Lab, WORKERS};
use super::lines::Ask;
use acceptance::figures;
use cloud::Site;
use model::ids::ServerId;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use simulator::{Deed, Fault, Moment, Pace, Rule, RuleId, When};
use stage::{Stage, Stands};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use workflow::ManualClock;

/// How many interleavings there are, each of its own seed.
const INTERLEAVINGS: u64 = 500;
/// So many run at the same time, each on a cluster and a database of its own.
const LABS: u64 = 2;
/// What is asked and what goes wrong in one interleaving.
const ACTS: usize = 6;
/// Turns of workers and steps of time between two of them, at most.
const BETWEEN: usize = 15;
/// More servers at once say nothing more.
const MOST_SERVERS: usize = 4;
/// So many servers are there at first, at most.
const MOST_AT_FIRST: usize = 2;
/// How long an interleaving may take in real time.
const HANGS: Duration = Duration::from_secs(60);
/// So many failed seeds are enough to look at.
const MOST_FAILURES: usize = 10;
/// Longer than a lease.
const LEASE_ENDS: Duration = Duration::from_secs(31);

/// Asked of servers that are there, in the order of nothing.
const ASKS: [Ask; 16] = [
    Ask::Destroy,
    Ask::Destroy,
    Ask::DestroyWithSnapshots,
    Ask::Migrate,
    Ask::Migrate,
    Ask::Migrate,
    Ask::Resize,
    Ask::Resize,
    Ask::PowerOff,
    Ask::PowerOn,
    Ask::Shutdown,
    Ask::Reboot,
    Ask::PowerCycle,
    Ask::Snapshot,
    Ask::Rebuild,
    Ask::Restore,
];

/// What has to have happened at least once in all of them together.
const EVENTS: [&str; 19] = [
    "servers ordered",
    "requests accepted",
    "requests refused",
    "several workflows in flight",
    "several tasks in flight",
    "time passed",
    "leases run out",
    "workers killed",
    "answers lost",
    "tasks failed",
    "nodes died",
    "nodes died in the middle of something",
    "nodes returned",
    "power lost",
    "guests moved by others",
    "guests deleted by others",
    "numbers taken by others",
    "quorum lost",
    "looks of the observer",
];

/// Ends of workflows that have to have come about at least once.
const ENDS: [&str; 11] = [
    "server undone",
    "server.migrate completed",
    "server.migrate refused",
    "server.resize completed",
    "server.power_off completed",
    "server.power_on completed",
    "server.shutdown completed",
    "server.reboot completed",
    "server.snapshot completed",
    "server.rebuild completed",
    "server.restore completed",
];

/// The workers' processes.
type Processes = tokio::sync::Mutex<Vec<Arc<Site>>>;
/// Where a server's guest is, and its number.
const PLACED: &str = "SELECT h.name, n.number FROM servers s JOIN hosts h ON h.id = s.host_id
    JOIN guest_numbers n ON n.server_id = s.id AND n.freed_at IS NULL";

type Totals = BTreeMap<String, usize>;

/// How long work lasts in the cluster: a few of the engine's looks. What the provider waits for in real time lasts not at
/// all.
fn pace() -> Pace {
    Pace { create: 700, start: 900, stop: 400, shutdown: 2_500, broadcast: 2_000, ..Pace::none() }
}

#[test]
fn interleavings_end_with_the_books_balanced() {
    let begun = Instant::now();
    let labs: Vec<_> = (0..LABS).map(|share| std::thread::spawn(move || alone().block_on(run_share(share)))).collect();
    let (mut totals, mut failed) = (Totals::new(), Vec::new());
    for lab in labs {
        let (happened, broken) = lab.join().unwrap();
        failed.extend(broken);
        for (what, times) in happened {
            *totals.entry(what).or_default() += times;
        }
    }
    eprintln!("{} interleavings in {:?}: {totals:#?}", seeds().count(), begun.elapsed());
    assert!(failed.is_empty(), "CAIRN_MATRIX_SEED={:?}: {failed:?}", failed.first());
    if seeds().count() as u64 == INTERLEAVINGS {
        let wanted = EVENTS.iter().chain(&ENDS);
        let missing: Vec<_> = wanted.filter(|what| !totals.contains_key(**what)).collect();
        assert!(missing.is_empty(), "never happened: {missing:?}");
        let count = |what: &str| totals.get(what).copied().unwrap_or_default();
        let mut lines = vec![("interleavings", seeds().count())];
        lines.extend(EVENTS.iter().chain(&ENDS).map(|what| (*what, count(what))));
        figures::write("server matrix interleavings", &lines);
    }
}

/// One thread for everything of a lab, so that nothing happens at the same time but what the seed wants.
fn alone() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// All of them, or the one that is looked into (`CAIRN_MATRIX_SEED`).
fn seeds() -> std::ops::Range<u64> {
    let wanted = std::env::var("CAIRN_MATRIX_SEED").ok().and_then(|seed| seed.parse().ok());
    wanted.map_or(0..INTERLEAVINGS, |seed: u64| seed..seed + 1)
}

/// Every so-manieth seed; what happened, and the seeds that failed.
async fn run_share(share: u64) -> (Totals, Vec<u64>) {
    let (mut totals, mut failed) = (Totals::new(), Vec::new());
    let mine: Vec<u64> = seeds().filter(|seed| seed % LABS == share).collect();
    if mine.is_empty() {
        return (totals, failed);
    }
    let mut lab = Arc::new(Lab::open_stepped(pace()).await);
    let mut processes = processes_of(&lab);
    for seed in mine {
        let (here, there) = (Arc::clone(&lab), Arc::clone(&processes));
        let run = tokio::spawn(async move { interleave(&here, &there, seed).await });
        let stopper = run.abort_handle();
        match tokio::time::timeout(HANGS, run).await {
            Ok(Ok(happened)) => {
                for (what, times) in happened {
                    *totals.entry(what.to_owned()).or_default() += times;
                }
            }
            failure => {
                stopper.abort();
                eprintln!("the failed seed: {seed}: {failure:?}; {:?}", lab.standing().await);
                failed.push(seed);
                if failed.len() == MOST_FAILURES {
                    return (totals, failed);
                }
                ends(&lab, &mut totals).await;
                lab = Arc::new(Lab::open_stepped(pace()).await);
                processes = processes_of(&lab);
            }
        }
    }
    ends(&lab, &mut totals).await;
    (totals, failed)
}

fn processes_of(lab: &Lab) -> Arc<Processes> {
    Arc::new(Processes::new(WORKERS.into_iter().map(|token| lab.site_apart(token)).collect()))
}

/// Counts how workflows ended.
async fn ends(lab: &Lab, totals: &mut Totals) {
    let ended = "SELECT kind || ' ' || state, count(*) FROM workflows GROUP BY 1";
    for (what, times) in lab.all::<(String, i64)>(ended).await {
        *totals.entry(what).or_default() += usize::try_from(times).unwrap();
    }
}

/// One interleaving; how often what happened. Panics unless the books are balanced afterwards.
async fn interleave(lab: &Lab, processes: &Processes, seed: u64) -> BTreeMap<&'static str, usize> {
    let mut sites = processes.lock().await;
    // What is drawn from these decides where servers are placed, so it must not depend on the seeds before.
    let first = 1_000_000 + seed * 1_000;
    lab.run(&format!(
        "SELECT setval('servers_id_seq', {first}); SELECT setval('guest_number_draws', {})",
        1 + seed * 150
    ))
    .await;
    let clock = ManualClock::starting_now();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut story = Story { seed, said: Vec::new(), over: false };
    at_first(lab, &clock, &mut rng, &mut story).await;
    let mut crowd = Crowd {
        lab,
        rng,
        stage: Stage::open(lab, &clock, &sites),
        story,
        happened: BTreeMap::new(),
        taken: Vec::new(),
        script: Vec::new(),
    };
    for _ in 0..ACTS {
        crowd.act().await;
        for _ in 0..crowd.rng.random_range(0..=BETWEEN) {
            crowd.go_on().await;
        }
    }
    let Crowd { stage, mut story, mut happened, taken, script, .. } = crowd;
    story.said.push("everybody goes on, and everything is mended".to_owned());
    *happened.entry("stalls").or_default() += stage.stalls;
    *sites = stage.close().await;
    drop(sites);
    for (what, rule) in script {
        *happened.entry(what).or_default() += usize::try_from(lab.simulator.control.hits(rule)).unwrap();
    }
    lab.heal(&clock).await;
    lab.settle(&clock).await;
    lab.catch_up(&clock).await;
    lab.assert_balanced().await;
    story.said.push("everything is removed".to_owned());
    lab.remove_all().await;
    lab.settle(&clock).await;
    for number in taken {
        lab.see_off(number).await;
    }
    lab.catch_up(&clock).await;
    lab.assert_empty().await;
    story.over = true;
    happened
}

/// Servers that are there before anything happens: running, stopped or copied.
async fn at_first(lab: &Lab, clock: &ManualClock, rng: &mut StdRng, story: &mut Story) {
    let count = rng.random_range(0..=MOST_AT_FIRST);
    for _ in 0..count {
        story.said.push(format!("server {} is there", lab.order("web").await));
    }
    lab.settle(clock).await;
    for server in lab.living().await {
        let ask = match rng.random_range(0..4) {
            0 | 1 => Ask::PowerOff,
            2 => Ask::Snapshot,
            _ => continue,
        };
        story.said.push(format!("{ask:?} is done with server {server}"));
        ask.about(lab, server).await.unwrap();
    }
    lab.settle(clock).await;
}

/// One interleaving under way.
struct Crowd<'a> {
    lab: &'a Lab,
    rng: StdRng,
    stage: Stage<'a>,
    story: Story,
    happened: BTreeMap<&'static str, usize>,
    /// Numbers that strangers took.
    taken: Vec<u32>,
    /// What is to go wrong.
    script: Vec<(&'static str, RuleId)>,
}

/// What was done, told when it went wrong.
struct Story {
    seed: u64,
    said: Vec<String>,
    over: bool,
}

impl Drop for Story {
    fn drop(&mut self) {
        if !self.over {
            eprintln!("seed {} failed after:\n  {}", self.seed, self.said.join("\n  "));
        }
    }
}

impl Crowd<'_> {
    fn count(&mut self, what: &'static str) {
        *self.happened.entry(what).or_default() += 1;
    }

    fn say(&mut self, what: impl Into<String>) {
        self.story.said.push(what.into());
    }

    /// A worker has its turn, or time passes.
    async fn go_on(&mut self) {
        let quick = Duration::from_millis(self.rng.random_range(50..1_500));
        match self.rng.random_range(0..60) {
            0 if self.stage.busy() > 0 => {
                self.count("leases run out");
                self.pass(LEASE_ENDS);
            }
            1 => self.kill().await,
            2..9 => self.pass(quick),
            _ => match self.stage.with_work().choose(&mut self.rng) {
                Some(which) => self.turn(*which).await,
                None => self.pass(quick),
            },
        }
        if self.stage.busy() > 1 {
            self.count("several workflows in flight");
        }
        if self.lab.simulator.control.running_tasks() > 1 {
            self.count("several tasks in flight");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.count("time passed");
        self.say(format!("{time:?} pass"));
        self.stage.pass(time);
    }

    async fn turn(&mut self, which: usize) {
        self.count("turns");
        let (stands, next) = self.stage.turn(which).await;
        match stands {
            Stands::Idle => self.say(format!("worker {which} has nothing to do")),
            Stands::Before => self.say(format!("worker {which} is about to {}", next.unwrap_or_default())),
            Stands::Waits => self.say(format!("worker {which} waits")),
        }
    }

    async fn kill(&mut self) {
        let which = self.rng.random_range(0..WORKERS.len());
        if self.stage.kill(which).await {
            self.count("workers killed");
            self.say(format!("worker {which} is killed"));
        }
    }

    /// Somebody asks for something, or something goes wrong.
    async fn act(&mut self) {
        let servers = self.lab.living().await;
        match self.rng.random_range(0..8) {
            _ if servers.is_empty() => self.order(2).await,
            0 if servers.len() < MOST_SERVERS => self.order(1).await,
            0..6 => {
                let server = *servers.choose(&mut self.rng).unwrap();
                self.ask(server).await;
            }
            _ => self.misfortune(&servers).await,
        }
        self.stage.all_look_again();
    }

    async fn order(&mut self, count: usize) {
        for _ in 0..count {
            let id = self.lab.order("web").await;
            self.say(format!("server {id} is ordered"));
            self.count("servers ordered");
        }
    }

    async fn ask(&mut self, server: ServerId) {
        let ask = *ASKS.choose(&mut self.rng).unwrap();
        if ask == Ask::Restore && self.lab.images().await.is_empty() {
            return;
        }
        match ask.about(self.lab, server).await {
            Ok(_) => {
                self.say(format!("{ask:?} is asked of server {server}"));
                self.count("requests accepted");
            }
            // Something else is going on with it, or it is not in the state for that.
            Err(cloud::Error::Refused(refusal)) => {
                self.say(format!("{ask:?} is refused of server {server}: {}", refusal.message));
                self.count("requests refused");
            }
            Err(other) => panic!("{ask:?}: {other}"),
        }
    }

    async fn misfortune(&mut self, servers: &[ServerId]) {
        let server = *servers.choose(&mut self.rng).unwrap();
        let placed = format!("{PLACED} WHERE s.id = {server}");
        let (node, number) = match self.lab.all::<(String, i64)>(&placed).await.into_iter().next() {
            Some((node, number)) => (node, u32::try_from(number).unwrap()),
            None => return,
        };
        let vmid = Some(number);
        match self.rng.random_range(0..20) {
            0..4 => self.deed("nodes died", Deed::NodeDies { node }).await,
            4..6 => {
                for node in super::lab::NODES {
                    self.deed("nodes returned", Deed::NodeReturns { node: node.to_owned() }).await;
                }
            }
            6..9 => self.deed("power lost", Deed::GuestStops { vmid }).await,
            9 => {
                let to = (*super::lab::NODES.choose(&mut self.rng).unwrap()).to_owned();
                self.deed("guests moved by others", Deed::GuestMoved { vmid, to }).await;
            }
            10 => self.deed("guests deleted by others", Deed::GuestDeleted { vmid }).await,
            11 => {
                let number = self.lab.next_number().await;
                self.taken.push(number);
                self.deed("numbers taken by others", Deed::StrangerTakes { vmid: Some(number) }).await;
            }
            12 => self.deed("quorum lost", Deed::QuorumLost).await,
            13..15 => {
                self.count("looks of the observer");
                self.say("the observer looks");
                self.lab.look().await;
            }
            kind => self.fault(kind),
        }
    }

    async fn deed(&mut self, what: &'static str, deed: Deed) {
        let under_way = self.stage.busy() > 0 || self.lab.simulator.control.running_tasks() > 0;
        if what == "nodes died" && under_way {
            self.count("nodes died in the middle of something");
        }
        self.say(format!("{deed:?}"));
        // It names what is not there any more, or not yet.
        if self.lab.simulator.control.deed(deed).await.is_ok() {
            self.count(what);
        }
    }

    /// A line of the script: what is asked next of the cluster goes wrong.
    fn fault(&mut self, kind: usize) {
        let fault = match kind {
            15..18 => Fault::Lost,
            18 => Fault::TaskFails {
                message: "command '/usr/bin/odd' failed: exit code 1".to_owned(),
                moment: Moment::Before,
            },
            _ => Fault::TaskFails {
                message: "command '/usr/bin/odd' failed: exit code 1".to_owned(),
                moment: Moment::After,
            },
        };
        let method = *["POST", "PUT", "DELETE"].choose(&mut self.rng).unwrap();
        let skip = self.rng.random_range(0..4);
        self.say(format!("{fault:?} of a {method} after {skip} others"));
        let when = When { method: Some(method.to_owned()), ..When::default() };
        let rule = self.lab.simulator.control.fault(Rule::once(when, fault).after(skip));
        self.script.push((if kind < 18 { "answers lost" } else { "tasks failed" }, rule));
    }
}
