//! All state, in one struct behind one lock, and a queue of what is to happen.

mod config;
mod deeds;
mod devices;
mod flocks;
mod guests;
mod storages;
mod tasks;

pub(crate) use config::{Config, Drive, Snapshot, is_drive_key, parse_size, pretty_size};
pub(crate) use devices::Mapping;
pub(crate) use flocks::{Flocks, Hold};
pub(crate) use guests::{Guest, Kind, Power};
pub(crate) use storages::{Storage, Volume};
pub(crate) use tasks::{Task, TaskId, Tasks, Work};

use crate::access::{Access, Caller, Credentials};
use crate::clock::{ClockKind, Time};
use crate::control::CallSeen;
use crate::endpoints::{Firewalls, Ha, Sdn};
use crate::faults::{Fault, Script};
use crate::refusal::{Refusal, Served};
use crate::scenario::{DownloadSpec, NodeSpec, Pace, Scenario};
use crate::schema::Version;
use crate::transport::Certificate;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

/// How many requests are remembered.
const MOST_CALLS: usize = 10_000;
/// How long a node has run when the scenario begins.
const UPTIME: Duration = Duration::from_secs(3_600);

pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) online: bool,
    pub(crate) spec: NodeSpec,
    pub(crate) booted: Time,
    pub(crate) fingerprint: String,
    pub(crate) pem: String,
    next_pid: u32,
}

#[derive(Default)]
pub(crate) struct Pool {
    pub(crate) comment: String,
    pub(crate) guests: BTreeSet<u32>,
    pub(crate) storages: BTreeSet<String>,
}

pub(crate) struct Cluster {
    pub(crate) now: Time,
    pub(crate) name: String,
    pub(crate) version: Version,
    pub(crate) pace: Pace,
    pub(crate) nodes: Vec<Node>,
    node_numbers: HashMap<String, usize>,
    pub(crate) storages: BTreeMap<String, Storage>,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) pools: BTreeMap<String, Pool>,
    pub(crate) mappings: BTreeMap<String, Mapping>,
    pub(crate) access: Access,
    pub(crate) tasks: Tasks,
    pub(crate) flocks: Flocks,
    pub(crate) script: Script,
    /// What is to happen to the tasks that the request in hand forks.
    pub(crate) task_fate: Option<Fault>,
    /// Whether a request is being served: the script has looked at its tasks already.
    pub(crate) in_request: bool,
    pub(crate) quorate: bool,
    pub(crate) downloads: Vec<DownloadSpec>,
    pub(crate) ha: Ha,
    pub(crate) sdn: Sdn,
    pub(crate) firewalls: Firewalls,
    pub(crate) calls: VecDeque<CallSeen>,
    rng: StdRng,
    queue: BinaryHeap<Reverse<Due>>,
    sequence: u64,
}

/// Something that happens later.
type Act = Box<dyn FnOnce(&mut Cluster) + Send>;

enum Event {
    Task { task: TaskId, epoch: u32 },
    Act(Act),
}

struct Due {
    at: Time,
    sequence: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.sequence) == (other.at, other.sequence)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}

impl Cluster {
    pub(crate) fn new(scenario: &Scenario, certificates: &[Certificate], now: Time) -> Result<Self, String> {
        let mut rng = StdRng::seed_from_u64(scenario.seed);
        let secret = format!("{:032x}", rng.random::<u128>());
        let pace = if scenario.clock == ClockKind::Instant { Pace::none() } else { scenario.pace };
        let nodes = scenario.nodes.iter().zip(certificates).map(|(spec, certificate)| Node {
            name: spec.name.clone(),
            online: true,
            spec: spec.clone(),
            booted: now - UPTIME,
            fingerprint: certificate.fingerprint.clone(),
            pem: certificate.pem.clone(),
            next_pid: 1_000,
        });
        let mut cluster = Self {
            now,
            name: scenario.cluster.clone(),
            version: Version::parse(&scenario.version),
            pace,
            nodes: nodes.collect(),
            node_numbers: scenario.nodes.iter().enumerate().map(|(number, node)| (node.name.clone(), number)).collect(),
            storages: BTreeMap::new(),
            guests: BTreeMap::new(),
            pools: scenario.pools.iter().map(|name| (name.clone(), Pool::default())).collect(),
            mappings: scenario.mappings.iter().map(|spec| (spec.id.clone(), Mapping::of(spec))).collect(),
            access: Access::new(scenario, secret)?,
            tasks: Tasks::default(),
            flocks: Flocks::default(),
            script: Script::default(),
            task_fate: None,
            in_request: false,
            quorate: true,
            downloads: scenario.downloads.clone(),
            ha: Ha::default(),
            sdn: Sdn::default(),
            firewalls: Firewalls::default(),
            calls: VecDeque::new(),
            rng,
            queue: BinaryHeap::new(),
            sequence: 0,
        };
        cluster.fill_storages(scenario)?;
        cluster.settle_guests(scenario)?;
        Ok(cluster)
    }

    /// Lets everything happen that is due, in its order.
    pub(crate) fn catch_up(&mut self, now: Time) {
        while self.queue.peek().is_some_and(|Reverse(due)| due.at <= now) {
            let Some(Reverse(due)) = self.queue.pop() else { break };
            self.now = self.now.max(due.at);
            match due.event {
                Event::Task { task, epoch } => self.run_task(task, epoch),
                Event::Act(act) => act(self),
            }
        }
        self.now = self.now.max(now);
    }

    pub(crate) fn next_event(&self) -> Option<Time> {
        self.queue.peek().map(|Reverse(due)| due.at)
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse(Due { at: self.now + after, sequence: self.sequence, event }));
    }

    pub(crate) fn later(&mut self, after: Duration, act: impl FnOnce(&mut Self) + Send + 'static) {
        self.schedule(after, Event::Act(Box::new(act)));
    }

    pub(crate) fn node_index(&self, name: &str) -> Option<usize> {
        self.node_numbers.get(name).copied()
    }

    pub(crate) fn node_name(&self, node: usize) -> &str {
        self.nodes.get(node).map_or("", |node| node.name.as_str())
    }

    pub(crate) fn lives(&self, node: usize) -> bool {
        self.nodes.get(node).is_some_and(|node| node.online)
    }

    /// The node that an entry plays which plays whichever.
    pub(crate) fn first_living(&self) -> usize {
        self.nodes.iter().position(|node| node.online).unwrap_or(0)
    }

    pub(crate) fn authenticate(&self, credentials: &Credentials, method: &str) -> Served<Caller> {
        self.access.authenticate(credentials, method, self.now)
    }

    /// The pool whose grants hold on `/vms/100` or `/storage/local` as well.
    pub(crate) fn pool_of(&self, path: &str) -> Option<String> {
        if let Some(vmid) = path.strip_prefix("/vms/").and_then(|vmid| vmid.parse::<u32>().ok()) {
            return self.guests.get(&vmid).and_then(|guest| guest.pool.clone());
        }
        let storage = path.strip_prefix("/storage/")?;
        self.pools.iter().find(|(_, pool)| pool.storages.contains(storage)).map(|(name, _)| name.clone())
    }

    pub(crate) fn may(&self, caller: &Caller, path: &str, privilege: &str) -> bool {
        self.access.may(caller, path, privilege, &|path| self.pool_of(path))
    }

    pub(crate) fn may_any(&self, caller: &Caller, path: &str, privileges: &[&str]) -> bool {
        if self.access.is_almighty(caller) {
            return true;
        }
        let granted = self.access.granted(caller, path, &|path| self.pool_of(path));
        privileges.iter().any(|privilege| granted.contains_key(*privilege))
    }

    /// Every write below `/etc/pve` needs it.
    pub(crate) fn need_quorum(&self) -> Served<()> {
        if self.quorate { Ok(()) } else { Err(Refusal::die("cluster not ready - no quorum?")) }
    }

    pub(crate) fn record(&mut self, call: CallSeen) {
        if self.calls.len() >= MOST_CALLS {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }

    pub(crate) fn uuid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid().to_string()
    }

    /// As PVE makes them, below its own prefix.
    pub(crate) fn mac(&mut self) -> String {
        let [a, b, c] = self.rng.random::<[u8; 3]>();
        format!("BC:24:11:{a:02X}:{b:02X}:{c:02X}")
    }

    /// When a node last told the others what it sees.
    pub(crate) fn last_broadcast(&self) -> Time {
        let between = i64::try_from(self.pace.broadcast.saturating_mul(1_000)).unwrap_or(0);
        if between == 0 { self.now } else { Time(self.now.0 - self.now.0.rem_euclid(between)) }
    }

    /// How long a copy lasts at so many bytes a second.
    pub(crate) fn copying(&self, bytes: u64, speed: u64) -> Duration {
        if self.pace.create == 0 {
            return Duration::ZERO;
        }
        Duration::from_millis(bytes.saturating_mul(1_000) / speed.max(1))
    }

    /// Bytes a second of the fastest card of a node.
    pub(crate) fn network_speed(&self, node: usize) -> u64 {
        let nics = self.nodes.get(node).map_or(&[][..], |node| &node.spec.nics);
        u64::from(nics.iter().map(|nic| nic.megabits).max().unwrap_or(1_000)) * 125_000
    }
}
