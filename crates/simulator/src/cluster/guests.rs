//! Guests: where they are, whether they run, and what the other nodes have heard of it.

use super::{Cluster, Config, Drive, Volume};
use crate::clock::Time;
use crate::control::GuestSeen;
use crate::refusal::{Refusal, Served};
use crate::scenario::{GuestSpec, Scenario};
use std::collections::BTreeMap;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A virtual machine or a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Qemu,
    Lxc,
}

impl Kind {
    /// As paths and ids have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }

    /// As error texts have it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Qemu => "VM",
            Self::Lxc => "CT",
        }
    }

    fn directory(self) -> &'static str {
        match self {
            Self::Qemu => "qemu-server",
            Self::Lxc => "lxc",
        }
    }

    pub(crate) fn lock_file(self, vmid: u32) -> String {
        match self {
            Self::Qemu => format!("/var/lock/qemu-server/lock-{vmid}.conf"),
            Self::Lxc => format!("/run/lock/lxc/pve-config-{vmid}.lock"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Power {
    Stopped,
    Running,
    Paused,
}

/// What the nodes have heard of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    pub(crate) status: &'static str,
    pub(crate) name: String,
    pub(crate) cpus: u64,
    pub(crate) maxmem: u64,
    pub(crate) maxdisk: u64,
    pub(crate) template: bool,
    pub(crate) since: Time,
}

#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) vmid: u32,
    pub(crate) kind: Kind,
    pub(crate) node: usize,
    pub(crate) config: Config,
    pub(crate) power: Power,
    /// When it was started.
    pub(crate) since: Time,
    pub(crate) pid: u32,
    pub(crate) agent_dead: bool,
    pub(crate) pool: Option<String>,
    /// A container whose systemd asks for nesting at each start.
    pub(crate) asks_for_nesting: bool,
    /// What its cloud-init drive says.
    pub(crate) seeded: BTreeMap<String, String>,
    /// Paths of the PCI devices of its node that it got at its last start.
    pub(crate) devices: Vec<String>,
    changed: Time,
    shown: Option<Shown>,
}

impl Guest {
    pub(crate) fn new(vmid: u32, kind: Kind, node: usize, now: Time) -> Self {
        Self {
            vmid,
            kind,
            node,
            config: Config::default(),
            power: Power::Stopped,
            since: now,
            pid: 0,
            agent_dead: false,
            pool: None,
            asks_for_nesting: false,
            seeded: BTreeMap::new(),
            devices: Vec::new(),
            changed: now,
            shown: None,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.power != Power::Stopped
    }

    pub(crate) fn status(&self) -> &'static str {
        if self.runs() { "running" } else { "stopped" }
    }

    pub(crate) fn is_template(&self) -> bool {
        self.config.is("template")
    }

    pub(crate) fn lock(&self) -> Option<&str> {
        self.config.get("lock")
    }

    pub(crate) fn name(&self) -> String {
        let key = if self.kind == Kind::Qemu { "name" } else { "hostname" };
        let default = || format!("{}{}", if self.kind == Kind::Qemu { "VM " } else { "CT" }, self.vmid);
        self.config.get(key).map_or_else(default, str::to_owned)
    }

    pub(crate) fn cpus(&self) -> u64 {
        let cores = self.config.number("cores").unwrap_or(1);
        cores * self.config.number("sockets").unwrap_or(1).max(1)
    }

    /// Bytes.
    pub(crate) fn memory(&self) -> u64 {
        let memory = self.config.get("memory").map(|text| text.strip_prefix("current=").unwrap_or(text));
        memory.and_then(|text| text.parse::<u64>().ok()).unwrap_or(512) * MIB
    }

    /// Bytes of its first disk.
    pub(crate) fn disk(&self) -> u64 {
        let boot = self.config.get("boot").and_then(|boot| boot.strip_prefix("order=")).unwrap_or_default();
        let ordered = boot.split(';').filter_map(|key| self.config.get(key)).map(Drive::parse);
        let any = self
            .config
            .drives()
            .filter(|(key, _)| !key.starts_with("unused") && !key.starts_with("efi"))
            .map(|(_, drive)| drive);
        ordered.chain(any).find(|drive| !drive.is_cdrom() && drive.size() > 0).map_or(0, |drive| drive.size())
    }

    /// What `GET config` may be asked of a guest that runs.
    pub(crate) fn agent_enabled(&self) -> bool {
        self.config.get("agent").is_some_and(|agent| agent.split(',').any(|part| part == "1" || part == "enabled=1"))
    }

    fn shows(&self) -> Shown {
        Shown {
            status: self.status(),
            name: self.name(),
            cpus: self.cpus(),
            maxmem: self.memory(),
            maxdisk: self.disk(),
            template: self.is_template(),
            since: self.since,
        }
    }

    /// What the nodes have heard; `None`: nothing yet, so that the status is `unknown` and there is no name.
    pub(crate) fn heard(&self, last_broadcast: Time) -> Option<Shown> {
        if self.changed <= last_broadcast { Some(self.shows()) } else { self.shown.clone() }
    }

    pub(crate) fn uptime(&self, now: Time) -> u64 {
        if self.runs() { now.since(self.since).as_secs() } else { 0 }
    }
}

impl Cluster {
    pub(super) fn settle_guests(&mut self, scenario: &Scenario) -> Result<(), String> {
        for spec in &scenario.guests {
            self.settle(spec)?;
            if spec.running {
                self.choose_devices(spec.vmid)?;
            }
        }
        Ok(())
    }

    fn settle(&mut self, spec: &GuestSpec) -> Result<(), String> {
        let node = self
            .node_index(&spec.node)
            .ok_or_else(|| format!("the guest {} names the node {}", spec.vmid, spec.node))?;
        if self.guests.contains_key(&spec.vmid) {
            return Err(format!("the guest {} is there twice", spec.vmid));
        }
        let kind = if spec.container { Kind::Lxc } else { Kind::Qemu };
        let mut guest = Guest::new(spec.vmid, kind, node, self.now - Duration::from_secs(3_600));
        guest.config.set(if spec.container { "hostname" } else { "name" }, &spec.name);
        guest.config.set("cores", spec.cores.to_string());
        guest.config.set("memory", spec.memory.to_string());
        if !spec.tags.is_empty() {
            guest.config.set("tags", &spec.tags);
        }
        if spec.template {
            guest.config.set("template", "1");
        }
        if spec.disk > 0 {
            let size = u64::from(spec.disk) * GIB;
            let stem = if spec.template { "base" } else { "vm" };
            let volume = self.allocate(&spec.storage, node, spec.vmid, stem, Volume::disk(size, "raw", spec.vmid))?;
            let key = if spec.container { "rootfs" } else { "scsi0" };
            guest.config.set(key, format!("{volume},size={}G", spec.disk));
            if !spec.container {
                guest.config.set("boot", "order=scsi0");
            }
        }
        for (key, value) in &spec.config {
            guest.config.set(key, value);
        }
        if spec.running && !spec.template {
            guest.power = Power::Running;
            guest.pid = 900_000 + spec.vmid;
        }
        if let Some(pool) = &spec.pool {
            self.pools.entry(pool.clone()).or_default().guests.insert(spec.vmid);
            guest.pool = Some(pool.clone());
        }
        self.guests.insert(spec.vmid, guest);
        Ok(())
    }

    /// The guest of this kind with this id on this node.
    pub(crate) fn guest(&self, kind: Kind, node: usize, vmid: u32) -> Served<&Guest> {
        let absent = || {
            let name = self.node_name(node);
            Refusal::die(format!("Configuration file 'nodes/{name}/{}/{vmid}.conf' does not exist", kind.directory()))
        };
        self.guests.get(&vmid).filter(|guest| guest.kind == kind && guest.node == node).ok_or_else(absent)
    }

    /// To change a guest. What the other nodes have heard of it stays as it is until the next broadcast.
    pub(crate) fn change(&mut self, vmid: u32) -> Option<&mut Guest> {
        let (now, last) = (self.now, self.last_broadcast());
        let guest = self.guests.get_mut(&vmid)?;
        if guest.changed <= last {
            guest.shown = Some(guest.shows());
        }
        guest.changed = now;
        Some(guest)
    }

    /// The same in a task, where the guest may be gone by now.
    pub(crate) fn change_or_fail(&mut self, vmid: u32) -> Result<&mut Guest, String> {
        let absent = || format!("Configuration file for {vmid} does not exist");
        self.change(vmid).ok_or_else(absent)
    }

    /// A new guest has a config and a place at once, and a name for the others only after a broadcast.
    pub(crate) fn put_guest(&mut self, guest: Guest) {
        if let Some(pool) = &guest.pool {
            self.pools.entry(pool.clone()).or_default().guests.insert(guest.vmid);
        }
        self.guests.insert(guest.vmid, guest);
    }

    /// Removes a guest with its disks, its grants and its membership.
    pub(crate) fn remove_guest(&mut self, vmid: u32) {
        let Some(guest) = self.guests.remove(&vmid) else { return };
        let drives: Vec<Drive> = guest.config.drives().map(|(_, drive)| drive).collect();
        for drive in drives.iter().filter(|drive| !drive.is_cdrom() || drive.volume.contains("cloudinit")) {
            if self.owner_of(&drive.volume, guest.node) == Some(vmid) {
                self.free(&drive.volume, guest.node);
            }
        }
        self.access.forget(&format!("/vms/{vmid}"));
        self.firewalls.forget(vmid);
        if let Some(pool) = guest.pool.as_ref().and_then(|pool| self.pools.get_mut(pool)) {
            pool.guests.remove(&vmid);
        }
    }

    pub(crate) fn start_guest(&mut self, vmid: u32) {
        let now = self.now;
        let pid = self.next_pid(vmid);
        if let Some(guest) = self.change(vmid) {
            let pending = std::mem::take(&mut guest.config.pending);
            for key in std::mem::take(&mut guest.config.pending_delete) {
                guest.config.entries.remove(&key);
            }
            guest.config.entries.extend(pending);
            guest.power = Power::Running;
            guest.since = now;
            guest.pid = pid;
            guest.seeded = crate::endpoints::seed_of(&guest.config);
        }
    }

    pub(crate) fn stop_guest(&mut self, vmid: u32) {
        if let Some(guest) = self.change(vmid) {
            guest.power = Power::Stopped;
            guest.pid = 0;
            let pending = std::mem::take(&mut guest.config.pending);
            for key in std::mem::take(&mut guest.config.pending_delete) {
                guest.config.entries.remove(&key);
            }
            guest.config.entries.extend(pending);
        }
    }

    fn next_pid(&mut self, vmid: u32) -> u32 {
        let node = self.guests.get(&vmid).map(|guest| guest.node);
        node.and_then(|node| self.nodes.get_mut(node)).map_or(1, |node| {
            node.next_pid += 1;
            node.next_pid
        })
    }

    /// Whether the agent of a guest that runs answers by now.
    pub(crate) fn agent_answers(&self, guest: &Guest) -> bool {
        guest.power == Power::Running
            && !guest.agent_dead
            && self.now.since(guest.since) >= Duration::from_millis(self.pace.agent)
    }

    pub(crate) fn guests_seen(&self) -> Vec<GuestSeen> {
        let seen = |guest: &Guest| GuestSeen {
            vmid: guest.vmid,
            node: self.node_name(guest.node).to_owned(),
            container: guest.kind == Kind::Lxc,
            status: match guest.power {
                Power::Stopped => "stopped",
                Power::Running => "running",
                Power::Paused => "paused",
            }
            .to_owned(),
            config: guest.config.entries.clone(),
            snapshots: guest.config.snapshots.keys().cloned().collect(),
            firewall_rules: self.firewalls.rules_of(guest.vmid),
        };
        self.guests.values().map(seen).collect()
    }
}
