//! The hand behind the stage: faults, deeds, the clock, and a look at what is there. None of it passes the PVE port.

use crate::clock::Time;
use crate::faults::{Deed, Rule, RuleId, RuleSeen};
use crate::gate::HeldSeen;
use crate::shared::Shared;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Steers a running [`crate::Simulator`]; clones steer the same one.
#[derive(Clone)]
pub struct Control {
    pub(crate) shared: Arc<Shared>,
}

/// A guest as it really is, without any lag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GuestSeen {
    /// Its id.
    pub vmid: u32,
    /// Where it is.
    pub node: String,
    /// Whether it is a container.
    pub container: bool,
    /// `running`, `stopped` or `paused`.
    pub status: String,
    /// Its config, as its file has it.
    pub config: BTreeMap<String, String>,
    /// Its snapshots' names.
    pub snapshots: Vec<String>,
    /// Its firewall's rules.
    pub firewall_rules: usize,
}

/// A volume as it really is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VolumeSeen {
    /// As in `local-lvm:vm-100-disk-0`.
    pub volid: String,
    /// The node that has it; `None`: it is shared.
    pub node: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Whose it is.
    pub vmid: Option<u32>,
    /// The volume that it is a linked clone of.
    pub parent: Option<String>,
}

/// A request that was answered, or was not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallSeen {
    /// As in `POST`.
    pub method: String,
    /// The path below `/api2/json`.
    pub path: String,
    /// 0: the connection was closed without an answer.
    pub status: u16,
    /// The node that was asked.
    pub entry: String,
}

impl Control {
    /// Adds a line to the script.
    pub fn fault(&self, rule: Rule) -> RuleId {
        self.shared.lock().script.add(rule)
    }

    /// The script, and how often each line has hit.
    pub fn rules(&self) -> Vec<RuleSeen> {
        self.shared.lock().script.list()
    }

    /// How often a line has hit.
    pub fn hits(&self, id: RuleId) -> u32 {
        self.rules().iter().find(|rule| rule.id == id).map_or(0, |rule| rule.hits)
    }

    /// Forgets the script. What has happened stays.
    pub fn clear_faults(&self) {
        self.shared.lock().script.clear();
    }

    /// Changes the world now; returns when the ports have followed.
    ///
    /// # Errors
    /// When it names what is not there.
    pub async fn deed(&self, deed: Deed) -> Result<(), String> {
        let done = self.shared.lock().deed(&deed, None);
        self.shared.publish();
        self.shared.ports_follow().await;
        done
    }

    /// Virtual time.
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// Makes a stepped clock pass; every event that falls into it happens in its order.
    pub fn advance(&self, duration: Duration) {
        self.shared.clock.advance(duration);
        drop(self.shared.lock());
        self.shared.publish();
    }

    /// Returns when at least `count` requests wait for something: for a lock, an agent, a delayed answer.
    pub async fn waiting(&self, count: usize) {
        let mut waiting = self.shared.waiting.subscribe();
        // The sender lives as long as the simulator does.
        let _ = waiting.wait_for(|now| *now >= count).await;
    }

    /// Holds the requests of these tokens (`root@pam!cairn`) until they are let go one by one; those of all others go on.
    pub fn hold(&self, tokens: &[&str]) {
        self.shared.gate.close_for(tokens);
    }

    /// The requests that are held, oldest first.
    pub fn held(&self) -> Vec<HeldSeen> {
        self.shared.gate.list()
    }

    /// Lets a held request go on. False: its client has gone away.
    pub fn let_go(&self, id: u64) -> bool {
        self.shared.gate.let_go(id)
    }

    /// Rings whenever a request is held, or is held no more, and whenever one begins or ceases to wait for something.
    pub fn stirs(&self) -> (tokio::sync::watch::Receiver<u64>, tokio::sync::watch::Receiver<usize>) {
        (self.shared.gate.bell.subscribe(), self.shared.waiting.subscribe())
    }

    /// How many requests wait for something: for a lock, an agent, a delayed answer.
    pub fn waiting_now(&self) -> usize {
        *self.shared.waiting.borrow()
    }

    /// Every guest, by id.
    pub fn guests(&self) -> Vec<GuestSeen> {
        self.shared.lock().guests_seen()
    }

    /// Every volume that belongs to a guest, and every file.
    pub fn volumes(&self) -> Vec<VolumeSeen> {
        self.shared.lock().volumes_seen()
    }

    /// The requests so far, oldest first; the newest ten thousand.
    pub fn calls(&self) -> Vec<CallSeen> {
        self.shared.lock().calls.iter().cloned().collect()
    }

    /// How many tasks run.
    pub fn running_tasks(&self) -> usize {
        self.shared.lock().tasks.running()
    }

    /// Method and path template of every endpoint of the schema, and whether it is served.
    pub fn endpoints() -> Vec<(String, String, bool)> {
        crate::endpoints::listed()
    }
}
