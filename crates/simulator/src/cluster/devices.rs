//! PCI devices of the nodes, by the mappings that name them: a guest has one to itself from its start to its end.

use super::{Cluster, Drive, Guest, Kind};
use crate::scenario::MappingSpec;

/// The most that one guest has.
const MOST: usize = 16;

/// A mapping: equal devices under one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mapping {
    pub(crate) description: String,
    /// One text for each device, as in `node=pve1,path=0000:01:00.0,id=10de:20b5`.
    pub(crate) map: Vec<String>,
    pub(crate) mdev: bool,
    pub(crate) live_migration: bool,
}

impl Mapping {
    pub(super) fn of(spec: &MappingSpec) -> Self {
        Self { map: spec.map.clone(), live_migration: spec.live_migration_capable, ..Self::default() }
    }

    /// The devices that a node has of it. Several paths in one entry are one device of several functions.
    fn on(&self, node: &str) -> Vec<String> {
        let entries = self.map.iter().map(|entry| Drive::parse(entry));
        let here = entries.filter(|entry| entry.option("node") == Some(node));
        here.filter_map(|entry| entry.option("path").map(str::to_owned)).collect()
    }
}

impl Guest {
    /// What of the hosts it wants at its next start: the key, the mapping's name or none, and the entry.
    pub(crate) fn wanted_devices(&self) -> Vec<(String, Option<String>, Drive)> {
        if self.kind == Kind::Lxc {
            return Vec::new();
        }
        let keys = (0..MOST).map(|number| format!("hostpci{number}"));
        let wanted = keys.filter(|key| !self.config.pending_delete.contains(key));
        let entries = wanted.filter_map(|key| {
            let text = self.config.pending.get(&key).map(String::as_str).or_else(|| self.config.get(&key))?;
            let entry = Drive::parse(text);
            Some((key, entry.option("mapping").map(str::to_owned), entry))
        });
        entries.collect()
    }
}

impl Cluster {
    /// Keys of the guest's devices that a node has not.
    pub(crate) fn missing_devices(&self, guest: &Guest, node: usize) -> Vec<String> {
        let lacks =
            |name: &str| self.mappings.get(name).is_none_or(|mapping| mapping.on(self.node_name(node)).is_empty());
        let mapped = guest.wanted_devices().into_iter().filter_map(|(key, name, _)| Some((key, name?)));
        mapped.filter(|(_, name)| lacks(name)).map(|(key, _)| key).collect()
    }

    /// Keys and mappings of the guest's devices that cannot be moved while it runs.
    pub(crate) fn immovable_devices(&self, guest: &Guest) -> Vec<String> {
        let moves = |name: &str| self.mappings.get(name).is_some_and(|mapping| mapping.live_migration);
        let mapped = guest.wanted_devices().into_iter().filter_map(|(key, name, _)| Some((key, name?)));
        mapped.filter(|(_, name)| !moves(name)).map(|(key, name)| format!("{key}:{name}")).collect()
    }

    /// The devices that the guest would get on a node; the error is that of its start.
    pub(crate) fn free_devices(&self, vmid: u32, node: usize) -> Result<Vec<String>, String> {
        let Some(guest) = self.guests.get(&vmid) else { return Ok(Vec::new()) };
        let q35 = guest.config.get("machine").is_some_and(|machine| machine.contains("q35"));
        let mut chosen: Vec<String> = Vec::new();
        for (key, name, entry) in guest.wanted_devices() {
            if entry.option("pcie") == Some("1") && !q35 {
                return Err("q35 machine model is not enabled".to_owned());
            }
            let there = match &name {
                Some(name) => {
                    self.mappings.get(name).map(|mapping| mapping.on(self.node_name(node))).unwrap_or_default()
                }
                None => vec![entry.option("host").unwrap_or(&entry.volume).to_owned()],
            };
            let path = match there.as_slice() {
                [] => return Err(format!("PCI device mapping not found for '{}'", name.unwrap_or_default())),
                [path] if chosen.contains(path) => return Err(format!("device '{path}' assigned more than once")),
                [path] => match self.user_of(path, node, vmid) {
                    Some(other) => return Err(format!("PCI device '{path}' already in use by VMID '{other}'")),
                    None => path.clone(),
                },
                several => {
                    let free = |path: &&String| !chosen.contains(path) && self.user_of(path, node, vmid).is_none();
                    let found = several.iter().find(free).cloned();
                    found.ok_or_else(|| format!("could not find a free device for '{key}'"))?
                }
            };
            chosen.push(path);
        }
        Ok(chosen)
    }

    fn user_of(&self, path: &str, node: usize, but: u32) -> Option<u32> {
        let others = self.guests.values().filter(|guest| guest.node == node && guest.vmid != but && guest.runs());
        others.into_iter().find(|guest| guest.devices.iter().any(|device| device == path)).map(|guest| guest.vmid)
    }

    /// Gives the guest its devices, right before it starts.
    pub(crate) fn choose_devices(&mut self, vmid: u32) -> Result<(), String> {
        let Some(node) = self.guests.get(&vmid).map(|guest| guest.node) else { return Ok(()) };
        let chosen = self.free_devices(vmid, node)?;
        if let Some(guest) = self.guests.get_mut(&vmid) {
            guest.devices = chosen;
        }
        Ok(())
    }
}
