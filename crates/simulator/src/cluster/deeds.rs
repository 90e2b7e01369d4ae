//! What happens behind everybody's back.

use super::{Cluster, Guest, Kind, Power, TaskId};
use crate::faults::Deed;

impl Cluster {
    /// Changes the world. `meant` is the guest that the request at hand names.
    pub(crate) fn deed(&mut self, deed: &Deed, meant: Option<u32>) -> Result<(), String> {
        let which = |vmid: &Option<u32>| vmid.or(meant).ok_or_else(|| "which guest?".to_owned());
        match deed {
            Deed::NodeDies { node } => self.node_dies(self.known(node)?),
            Deed::NodeReturns { node } => self.node_returns(self.known(node)?),
            Deed::QuorumLost => self.quorate = false,
            Deed::QuorumBack => self.quorate = true,
            Deed::StorageFills { storage, node } => {
                let node = node.as_deref().map(|node| self.known(node)).transpose()?;
                self.fill(storage, node)?;
            }
            Deed::StorageEmptied { storage } => self.empty(storage)?,
            Deed::StrangerTakes { vmid } => self.stranger_takes(which(vmid)?)?,
            Deed::GuestDeleted { vmid } => {
                let vmid = which(vmid)?;
                self.stop_guest(vmid);
                self.remove_guest(vmid);
            }
            Deed::GuestMoved { vmid, to } => {
                let to = self.known(to)?;
                self.move_guest(which(vmid)?, to);
            }
            Deed::GuestEdited { vmid, description } => {
                self.change_or_fail(which(vmid)?)?.config.set("description", description);
            }
            Deed::GuestStops { vmid } => self.stop_guest(which(vmid)?),
            Deed::AgentDies { vmid } => self.change_or_fail(which(vmid)?)?.agent_dead = true,
            Deed::LockLeft { vmid, lock } => {
                let config = &mut self.change_or_fail(which(vmid)?)?.config;
                if lock.is_empty() {
                    config.entries.remove("lock");
                } else {
                    config.set("lock", lock);
                }
            }
        }
        Ok(())
    }

    fn known(&self, node: &str) -> Result<usize, String> {
        self.node_index(node).ok_or_else(|| format!("there is no node {node}"))
    }

    fn node_dies(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.online = false;
        }
        let running =
            |(number, task): (TaskId, &super::Task)| (task.node == node && task.exit.is_none()).then_some(number);
        let killed: Vec<TaskId> = self.tasks.list.iter().enumerate().filter_map(running).collect();
        for task in killed {
            self.kill_task(task);
        }
        let ours: Vec<u32> =
            self.guests.values().filter(|guest| guest.node == node && guest.runs()).map(|guest| guest.vmid).collect();
        for vmid in ours {
            self.stop_guest(vmid);
        }
        self.quorate = self.nodes.iter().filter(|node| node.online).count() * 2 > self.nodes.len();
        self.fence_later(node);
    }

    fn node_returns(&mut self, node: usize) {
        let now = self.now;
        if let Some(node) = self.nodes.get_mut(node) {
            node.online = true;
            node.booted = now;
        }
        self.quorate = self.nodes.iter().filter(|node| node.online).count() * 2 > self.nodes.len();
    }

    fn stranger_takes(&mut self, vmid: u32) -> Result<(), String> {
        if self.guests.contains_key(&vmid) {
            return Err(format!("{vmid} is taken already"));
        }
        let mut guest = Guest::new(vmid, Kind::Qemu, self.first_living(), self.now);
        guest.config.set("name", format!("stranger-{vmid}"));
        guest.config.set("memory", "1024");
        guest.config.set("description", "nobody's but mine");
        self.put_guest(guest);
        Ok(())
    }

    /// The guest with its disks is on another node.
    pub(crate) fn move_guest(&mut self, vmid: u32, to: usize) {
        let Some(guest) = self.guests.get(&vmid) else { return };
        let from = guest.node;
        let volumes: Vec<String> = guest.config.drives().map(|(_, drive)| drive.volume).collect();
        for volid in volumes {
            let shared =
                volid.split_once(':').and_then(|(id, _)| self.storages.get(id)).is_none_or(|storage| storage.shared);
            if !shared
                && self.owner_of(&volid, from) == Some(vmid)
                && let Some(volume) = self.free(&volid, from)
            {
                // A target without room was refused before; a deed of the script may overfill.
                let _ = self.put_volume(&volid, to, volume);
            }
        }
        if let Some(guest) = self.change(vmid) {
            guest.node = to;
        }
    }

    /// Guests that HA manages are started elsewhere, after the node is known to be fenced.
    fn fence_later(&mut self, node: usize) {
        let after = std::time::Duration::from_millis(self.pace.fencing);
        self.later(after, move |cluster| {
            if cluster.lives(node) || !cluster.quorate {
                return;
            }
            let Some(target) = cluster.nodes.iter().position(|node| node.online) else { return };
            let managed: Vec<u32> =
                cluster.guests.values().filter(|guest| guest.node == node).map(|guest| guest.vmid).collect();
            for vmid in
                managed.into_iter().filter(|vmid| cluster.ha.wants(*vmid) == Some("started")).collect::<Vec<_>>()
            {
                if let Some(guest) = cluster.change(vmid) {
                    guest.node = target;
                    guest.power = Power::Stopped;
                }
                if cluster.choose_devices(vmid).is_ok() {
                    cluster.start_guest(vmid);
                }
            }
        });
    }
}
