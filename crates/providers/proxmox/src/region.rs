//! One cluster: what every part works with, and how a guest is found in it.

use crate::call::Kind;
use crate::calls::{GetConfig, GetNextId, GetResources, GetStatus};
use crate::cluster::{Cluster, GuestRow};
use crate::config::Config;
use crate::errors::{Failed, Said};
use crate::hardware;
use crate::looks::Looks;
use crate::mark::{Note, State};
use crate::quorum::Quorum;
use crate::scalar::Lenient;
use crate::templates::{Cloning, Templates};
use crate::transport::{Transport, held};
use provider::{Capabilities, Fault, GuestPower, GuestRef, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a list of the cluster is good enough to find a template with.
const LATELY: Duration = Duration::from_secs(5);

/// See [`crate::Proxmox`].
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) config: Config,
    pub(crate) transport: Transport,
    /// Where guests were seen last. A hint.
    places: Mutex<HashMap<u32, Place>>,
    /// What was just seen of guests, for the call that acts on it.
    pub(crate) looks: Looks,
    /// Whether a majority of the nodes sees each other.
    pub(crate) quorum: Quorum,
    /// Templates that were seen.
    pub(crate) templates: Templates,
    /// Tasks that were asked about and not known, and since when.
    pub(crate) unknown_tasks: Mutex<HashMap<String, Instant>>,
    /// Clones that were begun.
    pub(crate) cloning: Cloning,
    /// Only one change of the cluster's networks at a time.
    pub(crate) networks: tokio::sync::Mutex<crate::network::Known>,
    /// What was last seen of guests whose host is away.
    pub(crate) last_power: Mutex<HashMap<u32, GuestPower>>,
    /// The cluster as making guests last saw it.
    lately: Mutex<Option<(Arc<Cluster>, Instant)>>,
    /// The software of hosts, as it was last told.
    pub(crate) host_versions: Mutex<HashMap<String, (String, Instant)>>,
}

/// Where a guest is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) node: String,
}

/// A guest that is there, whosever it is.
#[derive(Clone, Debug)]
pub(crate) struct There {
    pub(crate) place: Place,
    pub(crate) config: Value,
    pub(crate) note: Option<Note>,
}

/// A guest's state of the moment.
#[derive(Clone, Debug)]
pub(crate) struct Status {
    pub(crate) power: GuestPower,
    /// Its process; changes with every start.
    pub(crate) process: Option<String>,
    /// High availability decides over its power.
    pub(crate) managed: bool,
}

impl There {
    /// The lock that a piece of work, or one that died, holds on it.
    pub(crate) fn lock(&self) -> Option<String> {
        self.config.text("lock")
    }

    /// Goes along with every change, so that somebody else's is not overwritten.
    pub(crate) fn digest(&self) -> Option<String> {
        self.config.text("digest")
    }

    /// What people wrote, and our line.
    pub(crate) fn description(&self) -> String {
        self.config.text("description").unwrap_or_default()
    }

    /// Its tags.
    pub(crate) fn tags(&self) -> Vec<String> {
        crate::mark::split(&self.config.text("tags").unwrap_or_default())
    }

    /// The storage that its disk is on; `None`: it has no disk, or none yet.
    pub(crate) fn storage(&self) -> Option<String> {
        hardware::boot_disk(&self.config).map(|disk| disk.storage().to_owned())
    }

    /// The same guest after a change of ours: the digest is another one now, and not known.
    pub(crate) fn changed(mut self, note: Note) -> Self {
        if let Some(config) = self.config.as_object_mut() {
            config.remove("digest");
        }
        self.note = Some(note);
        self
    }

    /// Whether all that making it takes has been done. One whose disk is smaller than it was ordered is not.
    pub(crate) fn is_whole(&self) -> bool {
        let Some(note) = self.note.as_ref().filter(|note| note.state == State::Made) else { return false };
        let ordered = note.disk_gb.filter(|_| note.rebuilding.is_none()).map_or(0, |gb| u64::from(gb) << 30);
        hardware::boot_disk(&self.config).is_none_or(|disk| disk.bytes >= ordered)
    }

    /// Whether it is all that a clone leaves that was killed before it wrote anything, and whose lock an administrator has
    /// removed: its temporary file. Nothing stands in it that could be anybody's; guests that are made in any other way have
    /// entries from the start.
    pub(crate) fn is_husk(&self) -> bool {
        let entries = self.config.as_object().into_iter().flat_map(serde_json::Map::keys);
        self.description().trim() == "qmclone temporary file"
            && entries.into_iter().all(|entry| matches!(entry.as_str(), "description" | "digest"))
    }

    /// Refuses to touch what is locked by somebody's work.
    pub(crate) fn unlocked(&self) -> Result<()> {
        match self.lock() {
            None => Ok(()),
            Some(lock) => Err(Fault::transient(format!(
                "guest {} on {} is locked ({lock}). If no task of that kind runs there any more, an administrator of the \
                 node removes the lock: qm unlock {0}",
                self.place.number, self.place.node
            ))),
        }
    }
}

impl Region {
    /// Connects to nothing yet.
    pub(crate) fn new(config: Config) -> Result<Self> {
        config.check()?;
        Ok(Self {
            transport: Transport::new(&config)?,
            config,
            places: Mutex::default(),
            looks: Looks::default(),
            quorum: Quorum::default(),
            templates: Templates::default(),
            unknown_tasks: Mutex::default(),
            cloning: Cloning::default(),
            networks: tokio::sync::Mutex::default(),
            last_power: Mutex::default(),
            lately: Mutex::default(),
            host_versions: Mutex::default(),
        })
    }

    /// What a cluster can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            own_addresses: true,
            private_networks: self.config.private_zone.is_some(),
            live_snapshot: true,
            screenshot: false,
            console_log: false,
            resource_limits: true,
            hardware_virtualization: true,
            ipv6: false,
            migration: true,
            containers: true,
            high_availability: self.config.high_availability,
            console: true,
            gpus: !self.config.gpu_mappings.is_empty(),
            guest_numbers: Some(self.config.guest_numbers),
        }
    }

    /// One look at everything.
    pub(crate) async fn cluster(&self) -> Result<Cluster> {
        Ok(Cluster::read(&self.transport.ask(&GetResources::default()).await?))
    }

    /// One look at everything, kept for [`Self::cluster_lately`].
    pub(crate) async fn cluster_kept(&self) -> Result<Arc<Cluster>> {
        let cluster = Arc::new(self.cluster().await?);
        *held(&self.lately) = Some((Arc::clone(&cluster), Instant::now()));
        Ok(cluster)
    }

    /// The last look, if it was a moment ago. What it says of guests is old.
    pub(crate) fn cluster_lately(&self) -> Option<Arc<Cluster>> {
        let lately = held(&self.lately).clone();
        lately.filter(|(_, at)| at.elapsed() < LATELY).map(|(cluster, _)| cluster)
    }

    /// Whether no guest has this number, whosever it were. `false` also where that cannot be told.
    async fn is_free(&self, number: u32) -> bool {
        let answer = self.transport.try_ask(&GetNextId { vmid: Some(number) }).await;
        // The answer is the number once more, as a number or as text.
        answer.is_ok_and(|free| free == number || free.as_str() == Some(number.to_string().as_str()))
    }

    /// What is not seen is not there, if a majority says so.
    async fn nowhere(&self, number: u32) -> Result<Option<There>> {
        self.forget(number);
        if self.is_quorate().await? {
            return Ok(None);
        }
        Err(Fault::transient("the cluster has no quorum: what is not seen may be there"))
    }

    /// Remembers where a guest is going to be: it has just been begun.
    pub(crate) fn expect(&self, place: Place) {
        held(&self.places).insert(place.number, place);
    }

    /// Forgets where a guest was: it is on its way out.
    pub(crate) fn forget(&self, number: u32) {
        held(&self.places).remove(&number);
    }

    /// Looks for a guest by its number: where it should be, then everywhere. `None`: it is nowhere, and the cluster
    /// knows that.
    pub(crate) async fn look(&self, number: u32, host: &str) -> Result<Option<There>> {
        let hint = held(&self.places).get(&number).cloned();
        let hint = hint.unwrap_or_else(|| Place { number, kind: Kind::Machine, node: host.to_owned() });
        match self.look_at(&hint).await {
            Ok(there) => return Ok(Some(there)),
            // Elsewhere, of another kind, or its host is away. Of what is not there some tokens are told that they may
            // not see it.
            Err(failed) if matches!(failed.said(), Some(Said::Absent | Said::Denied)) => {}
            Err(Failed::NeverSent(_)) => {}
            Err(failed) => return Err(failed.fault(&format!("looking at guest {number}"))),
        }
        // One small question where the list of everything grows with the cluster.
        if self.is_free(number).await {
            return self.nowhere(number).await;
        }
        let everywhere = GetResources { kind: Some("vm".to_owned()) };
        let cluster = Cluster::read(&self.transport.ask(&everywhere).await?);
        let Some(row) = cluster.guests.get(&number) else { return self.nowhere(number).await };
        let place = Place { number, kind: row.kind, node: row.node.clone() };
        let there = self.look_at(&place).await;
        Ok(Some(there.map_err(|failed| failed.fault(&format!("looking at guest {number} on {}", place.node)))?))
    }

    /// The same for a guest that may well not be there: what was never seen, or is on its way out, is asked for by its number
    /// first. A configuration that is not there costs a connection, because every refusal closes one.
    pub(crate) async fn look_for(&self, number: u32, host: &str) -> Result<Option<There>> {
        let seen = held(&self.places).contains_key(&number);
        if !seen && self.is_free(number).await {
            return self.nowhere(number).await;
        }
        self.look(number, host).await
    }

    /// Looks for a guest that a list of the cluster shows.
    pub(crate) async fn look_listed(&self, row: &GuestRow) -> Result<Option<There>> {
        let place = Place { number: row.number, kind: row.kind, node: row.node.clone() };
        held(&self.places).entry(row.number).or_insert(place);
        self.look(row.number, &row.node).await
    }

    async fn look_at(&self, place: &Place) -> std::result::Result<There, Failed> {
        let call = GetConfig { node: place.node.clone(), kind: place.kind, vmid: place.number };
        let config = self.transport.try_ask(&call).await?;
        self.expect(place.clone());
        let note = Note::read(&config.text("description").unwrap_or_default());
        Ok(There { place: place.clone(), config, note })
    }

    /// Looks once more at a guest that was there.
    pub(crate) async fn again(&self, there: &There) -> Result<There> {
        let number = there.place.number;
        self.look_at(&there.place).await.map_err(|failed| failed.fault(&format!("looking at guest {number} again")))
    }

    /// A guest that has to be there and ours: everything that changes one begins here.
    pub(crate) async fn ours(&self, guest: &GuestRef) -> Result<There> {
        ours(guest, self.look(number(guest)?, &guest.host).await?)
    }

    /// A guest's state of the moment.
    pub(crate) async fn status(&self, place: &Place) -> Result<Status> {
        let call = GetStatus { node: place.node.clone(), kind: place.kind, vmid: place.number };
        let answer = self.transport.ask(&call).await?;
        let running = answer.text("status").as_deref() == Some("running");
        Ok(Status {
            power: if running { GuestPower::Running } else { GuestPower::Stopped },
            process: answer.text("pid").filter(|_| running),
            managed: answer.get("ha").is_some_and(|ha| ha.flag("managed")),
        })
    }
}

/// What was seen under a guest's number, if it is that guest.
pub(crate) fn ours(guest: &GuestRef, there: Option<There>) -> Result<There> {
    match there {
        Some(there) if there.note.as_ref().is_some_and(|note| note.is_of(&guest.mark)) => Ok(there),
        Some(there) => Err(Fault::refused(stranger(&there))),
        None => Err(Fault::refused(format!("guest {} is not in the cluster", guest.name))),
    }
}

/// What is said of a cluster without a majority.
pub(crate) const NO_QUORUM: &str = "The cluster has no quorum: nothing can be changed until a majority of its nodes sees \
     each other. Start the nodes that do not answer, or mend the network between them.";

/// A guest's number. Its name is one; another name was not made for this provider.
pub(crate) fn number(guest: &GuestRef) -> Result<u32> {
    let number = guest.name.parse().ok().filter(|number| (100..=999_999_999).contains(number));
    number.ok_or_else(|| Fault::bug(format!("BUG: {:?} is no number of a guest at Proxmox", guest.name)))
}

/// What a guest that is not ours says of itself.
pub(crate) fn stranger(there: &There) -> String {
    let Place { number, node, .. } = &there.place;
    let title = there.config.text("name").or_else(|| there.config.text("hostname")).unwrap_or_default();
    match &there.note {
        Some(note) => format!("guest {number} ({title}) on {node} is {}", note.owner()),
        None => format!("guest {number} ({title}) on {node} carries no mark of Cairn"),
    }
}
