//! The cluster in one request: hosts, storages and guests as `/cluster/resources` lists them. Where a guest is, is
//! exact; whether it runs and what it is called is up to ten seconds old.

use crate::call::Kind;
use crate::mark;
use crate::scalar::{Lenient, small};
use provider::{GuestPower, Resources};
use serde_json::Value;
use std::collections::BTreeMap;

/// One look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cluster {
    pub(crate) guests: BTreeMap<u32, GuestRow>,
    pub(crate) hosts: Vec<HostRow>,
    pub(crate) storages: Vec<StorageRow>,
}

/// A guest or template.
#[derive(Clone, Debug)]
pub(crate) struct GuestRow {
    pub(crate) number: u32,
    pub(crate) kind: Kind,
    pub(crate) node: String,
    pub(crate) title: String,
    pub(crate) power: Option<GuestPower>,
    pub(crate) template: bool,
    pub(crate) tags: Vec<String>,
    pub(crate) resources: Resources,
    pub(crate) disk_bytes: u64,
    pub(crate) ha: Option<String>,
    pub(crate) pool: Option<String>,
}

/// A host.
#[derive(Clone, Debug)]
pub(crate) struct HostRow {
    pub(crate) name: String,
    pub(crate) online: bool,
    pub(crate) cpus: u32,
    pub(crate) memory_bytes: u64,
    pub(crate) architecture: Option<String>,
}

/// A storage on one host.
#[derive(Clone, Debug)]
pub(crate) struct StorageRow {
    pub(crate) name: String,
    pub(crate) node: String,
    pub(crate) technique: String,
    pub(crate) content: Vec<String>,
    pub(crate) shared: bool,
    pub(crate) total: u64,
    pub(crate) used: u64,
    pub(crate) available: bool,
}

const GIB: u64 = 1 << 30;

impl Cluster {
    /// Reads the answer. Rows of kinds that we do not know are passed over.
    pub(crate) fn read(answer: &Value) -> Self {
        let mut cluster = Self::default();
        for row in answer.rows() {
            match row.text("type").as_deref() {
                Some("qemu") => cluster.add(row, Kind::Machine),
                Some("lxc") => cluster.add(row, Kind::Container),
                Some("node") => cluster.hosts.extend(host(row)),
                Some("storage") => cluster.storages.extend(storage(row)),
                _ => {}
            }
        }
        cluster.hosts.sort_by(|a, b| a.name.cmp(&b.name));
        cluster
    }

    fn add(&mut self, row: &Value, kind: Kind) {
        let (Some(number), Some(node)) = (row.number("vmid").map(small), row.text("node")) else { return };
        let power = match row.text("status").as_deref() {
            Some("running") => Some(GuestPower::Running),
            Some("stopped") => Some(GuestPower::Stopped),
            _ => None,
        };
        let disk_bytes = row.number("maxdisk").unwrap_or_default();
        let resources = Resources {
            vcpus: small(row.number("maxcpu").unwrap_or_default()),
            memory_mib: small(row.number("maxmem").unwrap_or_default() >> 20),
            disk_gb: small(disk_bytes / GIB),
        };
        let guest = GuestRow {
            number,
            kind,
            node,
            title: row.text("name").unwrap_or_default(),
            power,
            template: row.flag("template"),
            tags: mark::split(&row.text("tags").unwrap_or_default()),
            resources,
            disk_bytes,
            ha: row.text("hastate"),
            pool: row.text("pool"),
        };
        self.guests.insert(number, guest);
    }

    /// Hosts that answer, by name.
    pub(crate) fn online(&self) -> Vec<&str> {
        self.hosts.iter().filter(|host| host.online).map(|host| host.name.as_str()).collect()
    }

    /// Whether a host is known and does not answer.
    pub(crate) fn is_offline(&self, name: &str) -> bool {
        self.hosts.iter().any(|host| host.name == name && !host.online)
    }

    /// A storage, as any host sees it.
    pub(crate) fn storage(&self, name: &str) -> Option<&StorageRow> {
        self.storages.iter().find(|storage| storage.name == name)
    }

    /// Whether every host sees the same storage under this name.
    pub(crate) fn is_shared(&self, name: &str) -> bool {
        self.storage(name).is_some_and(|storage| storage.shared)
    }

    /// Hosts that answer and have this storage.
    pub(crate) fn hosts_with(&self, name: &str) -> Vec<&str> {
        let has = |host: &&str| self.storages.iter().any(|row| row.name == name && row.node == **host && row.available);
        self.online().into_iter().filter(has).collect()
    }
}

fn host(row: &Value) -> Option<HostRow> {
    Some(HostRow {
        name: row.text("node")?,
        online: row.text("status").as_deref() == Some("online"),
        cpus: small(row.number("maxcpu").unwrap_or_default()),
        memory_bytes: row.number("maxmem").unwrap_or_default(),
        architecture: row.text("host-arch"),
    })
}

fn storage(row: &Value) -> Option<StorageRow> {
    let content = row.text("content").unwrap_or_default();
    Some(StorageRow {
        name: row.text("storage")?,
        node: row.text("node")?,
        technique: row.text("plugintype").unwrap_or_default(),
        content: content.split(',').map(|kind| kind.trim().to_owned()).filter(|kind| !kind.is_empty()).collect(),
        shared: row.flag("shared"),
        total: row.number("maxdisk").unwrap_or_default(),
        used: row.number("disk").unwrap_or_default(),
        available: row.text("status").as_deref() == Some("available"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as Proxmox VE 9.1.7 sent them.
    #[test]
    fn a_recorded_answer_is_read() {
        let answer = serde_json::json!([
            {"cgroup-mode": 1, "node": "pve1", "type": "node", "maxdisk": 270_553_174_016_u64, "status": "online",
             "maxcpu": 2, "id": "node/pve1", "maxmem": 25_276_502_016_u64, "level": ""},
            {"maxdisk": 270_553_174_016_u64, "disk": 21_619_879_936_u64, "type": "storage", "storage": "local", "shared": 0,
             "content": "snippets,iso,vztmpl", "status": "available", "node": "pve1", "plugintype": "dir"},
            {"network": "localnetwork", "network-type": "zone", "status": "ok", "node": "pve1", "type": "network"},
            {"maxmem": 268_435_456, "id": "qemu/100", "maxcpu": 2, "tags": "a;b", "node": "pve1", "type": "qemu",
             "maxdisk": 2_147_483_648_u64, "vmid": 100, "template": 0, "status": "running", "name": "web-2"},
            {"type": "qemu", "status": "unknown", "id": "qemu/110", "vmid": "110", "node": "pve1"}
        ]);
        let cluster = Cluster::read(&answer);
        assert_eq!(cluster.online(), ["pve1"]);
        assert_eq!(cluster.hosts_with("local"), ["pve1"]);
        assert!(!cluster.is_shared("local") && !cluster.is_offline("pve1"));
        let guest = &cluster.guests[&100];
        assert_eq!((guest.power, guest.tags.len(), guest.resources.memory_mib), (Some(GuestPower::Running), 2, 256));
        assert_eq!(guest.resources.disk_gb, 2);
        assert_eq!(cluster.guests[&110].power, None);
    }
}
