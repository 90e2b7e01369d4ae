//! A Proxmox VE cluster over HTTPS, as far as a client can tell. Its worth is in its faults.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use simulator::{ClockKind, Fault, Rule, Scenario, Simulator, When};
//! let simulator = Simulator::start(Scenario::cluster_of(3).with_clock(ClockKind::Instant)).await?;
//! println!("{} {}", simulator.url, simulator.fingerprint_sha256);
//! // The clone happens, and its answer is lost.
//! simulator.control.fault(Rule::once(When::task("qmclone"), Fault::Lost));
//! # Ok(()) }
//! ```
//!
//! # Where things stand
//!
//! | module | what |
//! |---|---|
//! | `transport` | ports, TLS, reason phrases, the 501s, 506, keep-alive, 401 with its delay, proxying, faults of a request |
//! | `schema` | `data/schema.json`: 675 endpoints, routing, validation of parameters, what came with which version |
//! | `access` | users, tokens, roles, the ACL tree, tickets; the `permissions` of the schema |
//! | `cluster` | all state in one struct behind one lock; events in a queue that is caught up with at every look |
//! | `endpoints` | one file a family: what a method does |
//! | `faults` | the script; `control` is the hand that writes it |
//! | `gate` | requests that wait until a test lets them go on |
//! | `profile` | many clusters of one file, for load |
//!
//! There is no background work: a task's end is an event in the queue, and whoever takes the lock first lets everything
//! happen that is due. So a stepped clock is deterministic, and a request costs microseconds.
//!
//! # Adding an endpoint
//!
//! 1. Its parameters, types and permissions are in the schema already. Write `fn name(call: &mut Call<'_>) -> Served<Reply>`
//!    into the file of its family in `endpoints/`, and name it in that file's table `ENDPOINTS` with its method and its
//!    path as the schema writes it, and the type of the task that it forks, if any.
//! 2. `call.parameters` are valid by then, `call.caller` holds the permissions that the schema asks for; whatever the
//!    schema only says in prose is asked with `call.need(path, privileges)`.
//! 3. What lasts is `call.fork(Work::new(kind, id, node).then(how long, |cluster, task| …))`. What waits (a lock, an
//!    agent) returns a refusal with `.waiting(duration)`: the request is tried again when something changes, so it may
//!    not have changed anything before.
//!
//! # Scripting a fault
//!
//! A [`Rule`] is data: [`When`] it matches and which [`Fault`] it is, how many matches pass before (`skip`) and how many
//! it hits (`times`). The same as JSON goes to the control port: `POST /faults {"when": {"task": "qmclone"}, "fault":
//! {"kind": "lost"}, "times": 1}`. [`Deed`]s change the world at once (`POST /deeds {"deed": "node_dies", "node":
//! "pve2"}`) or, as [`Fault::Deed`], just before a matching request is served.

mod access;
mod clock;
mod cluster;
mod control;
mod control_port;
mod endpoints;
mod faults;
mod gate;
mod profile;
mod refusal;
mod scenario;
mod schema;
mod shared;
mod transport;

pub use clock::{ClockKind, Time};
pub use control::{CallSeen, Control, GuestSeen, VolumeSeen};
pub use faults::{Deed, Fault, Moment, Rule, RuleId, RuleSeen, When};
pub use gate::HeldSeen;
pub use profile::{Equals, Fleet, Profile};
pub use scenario::{
    AclSpec, DownloadSpec, Entries, GuestSpec, ImageSpec, MappingSpec, NicSpec, NodeSpec, Pace, ROOT_PASSWORD,
    Scenario, StorageSpec, TOKEN_SECRET, TokenSpec, UserSpec,
};
pub use transport::Entry;

use shared::Shared;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Why a simulator did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The scenario names what it does not have.
    #[error("the scenario: {0}")]
    Scenario(String),
    /// No port.
    #[error("listening: {0}")]
    Listen(#[from] std::io::Error),
    /// No certificate.
    #[error("certificates: {0}")]
    Certificate(String),
}

/// A cluster that runs until this is dropped.
pub struct Simulator {
    /// The first entry's URL, as in `https://127.0.0.1:40123`.
    pub url: String,
    /// The SHA-256 of the first entry's certificate, as PVE writes it: `AB:CD:…`.
    pub fingerprint_sha256: String,
    /// Every port.
    pub entries: Vec<Entry>,
    /// `PVEAPIToken=…` of the scenario's first token, for the header `Authorization`.
    pub token: Option<String>,
    /// The hand behind the stage.
    pub control: Control,
    tasks: JoinSet<()>,
}

impl Simulator {
    /// Starts it on free ports of 127.0.0.1. Needs a Tokio runtime with I/O and time.
    ///
    /// # Errors
    /// When the scenario does not hold together, or there is no port.
    pub async fn start(scenario: Scenario) -> Result<Self, StartError> {
        Self::start_at(scenario, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// The same at an address; with a port that is not 0, the entries take it and those that follow it.
    ///
    /// # Errors
    /// When the scenario does not hold together, or a port is taken.
    pub async fn start_at(scenario: Scenario, address: SocketAddr) -> Result<Self, StartError> {
        let token = scenario.token_header();
        let mut tasks = JoinSet::new();
        let certificates = transport::certificates(&scenario)?;
        let shared = Arc::new(Shared::new(&scenario, &certificates)?);
        let entries = transport::listen(&shared, &scenario, certificates, address, &mut tasks).await?;
        let Some(first) = entries.first() else {
            return Err(StartError::Scenario("there is no node".to_owned()));
        };
        let (url, fingerprint_sha256) = (first.url.clone(), first.fingerprint_sha256.clone());
        Ok(Self { url, fingerprint_sha256, entries, token, control: Control { shared }, tasks })
    }

    /// Opens the control port, plain HTTP with JSON, and returns its URL.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn open_control(&mut self, address: SocketAddr) -> Result<String, StartError> {
        control_port::open(control_port::router(self.control.clone()), address, &mut self.tasks).await
    }
}
