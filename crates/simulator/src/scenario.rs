//! What a cluster is like when it starts: data.

use crate::clock::ClockKind;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const GIB: u64 = 1 << 30;

/// The secret of the default token. Not a secret: it opens nothing but simulators.
pub const TOKEN_SECRET: &str = "00000000-0000-4000-8000-00000000c412";
/// The default password of `root@pam`.
pub const ROOT_PASSWORD: &str = "simulated-root";

/// A cluster, as it is when it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// The cluster's name; empty for a node that stands alone.
    pub cluster: String,
    /// As in `9.2.3`. Parameters and endpoints that came later are unknown to it.
    pub version: String,
    /// Which ports listen.
    pub entries: Entries,
    /// How time passes.
    pub clock: ClockKind,
    /// How long things last.
    pub pace: Pace,
    /// MAC addresses, UUIDs and process ids come from it.
    pub seed: u64,
    /// At least one.
    pub nodes: Vec<NodeSpec>,
    /// As in `/etc/pve/storage.cfg`.
    pub storages: Vec<StorageSpec>,
    /// Files and disks that are there.
    pub images: Vec<ImageSpec>,
    /// What the world's web servers have. Any other https URL answers with 2 GiB.
    pub downloads: Vec<DownloadSpec>,
    /// Pools.
    pub pools: Vec<String>,
    /// Roles beside the built-in ones: the name and its privileges.
    pub roles: BTreeMap<String, Vec<String>>,
    /// Users beside `root@pam`.
    pub users: Vec<UserSpec>,
    /// API tokens.
    pub tokens: Vec<TokenSpec>,
    /// Who may what.
    pub acl: Vec<AclSpec>,
    /// The password of `root@pam`.
    pub root_password: String,
    /// Other people's guests.
    pub guests: Vec<GuestSpec>,
    /// Mappings of PCI devices.
    pub mappings: Vec<MappingSpec>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self::cluster_of(3)
    }
}

impl Scenario {
    /// `count` equal nodes `pve1`, `pve2`, …; a directory and a thin pool on each, and one shared storage.
    pub fn cluster_of(count: usize) -> Self {
        let nodes = (1..=count.max(1)).map(|number| NodeSpec { name: format!("pve{number}"), ..NodeSpec::default() });
        Self {
            cluster: if count > 1 { "cairn-lab".to_owned() } else { String::new() },
            version: "9.2.3".to_owned(),
            entries: Entries::EveryNode,
            clock: ClockKind::Real,
            pace: Pace::default(),
            seed: 1,
            nodes: nodes.collect(),
            storages: vec![
                StorageSpec::new("local", "dir", "iso,vztmpl,backup,import,snippets,images,rootdir", 400 * GIB),
                StorageSpec::new("local-lvm", "lvmthin", "images,rootdir", 2000 * GIB),
                StorageSpec { shared: true, ..StorageSpec::new("shared", "rbd", "images,rootdir", 8000 * GIB) },
            ],
            images: vec![
                ImageSpec::file("local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst", 124_000_000),
                ImageSpec::file("local:iso/debian-13.1.0-amd64-netinst.iso", 800_000_000),
                ImageSpec::file("local:import/debian-13-genericcloud-amd64.qcow2", 3 * GIB),
            ],
            downloads: Vec::new(),
            pools: Vec::new(),
            roles: BTreeMap::new(),
            users: Vec::new(),
            tokens: vec![TokenSpec {
                id: "root@pam!cairn".to_owned(),
                secret: TOKEN_SECRET.to_owned(),
                privsep: false,
            }],
            acl: Vec::new(),
            root_password: ROOT_PASSWORD.to_owned(),
            guests: Vec::new(),
            mappings: Vec::new(),
        }
    }

    /// A cluster of `nodes` nodes that carries `guests` guests of other people, and in which nothing lasts.
    pub fn large(nodes: usize, guests: u32) -> Self {
        let mut scenario = Self { clock: ClockKind::Instant, ..Self::cluster_of(nodes) };
        for spec in &mut scenario.nodes {
            (spec.cpus, spec.memory) = (128, 1024 * GIB);
        }
        scenario.guests = (0..guests)
            .zip((0..nodes.max(1)).cycle())
            .map(|(number, node)| GuestSpec {
                vmid: 100_000 + number,
                node: format!("pve{}", node + 1),
                name: format!("other-{number}"),
                running: number % 4 != 0,
                ..GuestSpec::default()
            })
            .collect();
        scenario
    }

    /// The same with another clock.
    pub fn with_clock(mut self, clock: ClockKind) -> Self {
        self.clock = clock;
        self
    }

    /// The header value of the first token: `PVEAPIToken=USER@REALM!ID=SECRET`.
    pub fn token_header(&self) -> Option<String> {
        self.tokens.first().map(|token| format!("PVEAPIToken={}={}", token.id, token.secret))
    }
}

/// Which ports listen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entries {
    /// One port a node, with a certificate of its own. A dead node's port refuses.
    #[default]
    EveryNode,
    /// One port, which plays the first node that lives.
    One,
}

/// A node.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeSpec {
    /// Its name, which is also its host name.
    pub name: String,
    /// Logical processors.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Its network cards and bridges.
    pub nics: Vec<NicSpec>,
    /// The processor's name.
    pub cpu_model: String,
    /// `x86_64` or `aarch64`.
    pub arch: String,
}

impl Default for NodeSpec {
    fn default() -> Self {
        Self {
            name: "pve1".to_owned(),
            cpus: 32,
            memory: 128 * GIB,
            nics: vec![NicSpec { name: "eno1".to_owned(), megabits: 10_000, bridge: Some("vmbr0".to_owned()) }],
            cpu_model: "AMD EPYC 7443P 24-Core Processor".to_owned(),
            arch: "x86_64".to_owned(),
        }
    }
}

/// A network card.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NicSpec {
    /// As in `eno1`.
    pub name: String,
    /// Its speed; migrations and shared storage go at it.
    pub megabits: u32,
    /// The bridge that it is a port of.
    #[serde(default)]
    pub bridge: Option<String>,
}

/// A storage.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageSpec {
    /// As in `local-lvm`.
    pub id: String,
    /// `dir`, `lvmthin`, `lvm`, `zfspool`, `rbd`, `nfs`, `cephfs`, `pbs`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// As in `images,iso`.
    pub content: String,
    /// Whether every node sees the same bytes.
    #[serde(default)]
    pub shared: bool,
    /// The nodes that have it; empty means all.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// Bytes, on each node or in all.
    pub size: u64,
    /// Bytes a second that a copy reads and writes: NVMe 2 GB/s, SATA 400 MB/s.
    #[serde(default = "nvme")]
    pub speed: u64,
}

fn nvme() -> u64 {
    2_000_000_000
}

impl StorageSpec {
    /// A storage on every node, of NVMe speed.
    pub fn new(id: &str, kind: &str, content: &str, size: u64) -> Self {
        Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: content.to_owned(),
            shared: false,
            nodes: Vec::new(),
            size,
            speed: nvme(),
        }
    }
}

/// A file or disk that is there.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// As in `local:iso/x.iso`.
    pub volid: String,
    /// Bytes.
    pub size: u64,
    /// The node that has it; `None`: every node of a storage that is not shared.
    #[serde(default)]
    pub node: Option<String>,
}

impl ImageSpec {
    /// On every node.
    pub fn file(volid: &str, size: u64) -> Self {
        Self { volid: volid.to_owned(), size, node: None }
    }
}

/// What a web server answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DownloadSpec {
    /// The whole URL.
    pub url: String,
    /// Bytes.
    pub size: u64,
    /// Checksums by algorithm, in hexadecimal. An algorithm that is not named accepts every checksum.
    #[serde(default)]
    pub checksums: BTreeMap<String, String>,
    /// What the download ends with instead, as in `Connection refused`.
    #[serde(default)]
    pub error: Option<String>,
}

/// A user.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserSpec {
    /// As in `alice@pve`.
    pub id: String,
    /// What it logs in with; `None`: it cannot.
    #[serde(default)]
    pub password: Option<String>,
}

/// An API token.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// As in `alice@pve!tofu`.
    pub id: String,
    /// A UUID.
    pub secret: String,
    /// Whether its rights are those of its own ACLs within its user's.
    #[serde(default)]
    pub privsep: bool,
}

/// One grant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AclSpec {
    /// As in `/vms`.
    pub path: String,
    /// A user or a token (with `!`), or a group (with a leading `@`).
    pub who: String,
    /// The role.
    pub role: String,
    /// Whether it holds below the path as well.
    #[serde(default = "yes")]
    pub propagate: bool,
}

fn yes() -> bool {
    true
}

/// Somebody's guest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuestSpec {
    /// 100 to 999,999,999.
    pub vmid: u32,
    /// Where it is.
    pub node: String,
    /// Its name.
    pub name: String,
    /// A container, not a virtual machine.
    pub container: bool,
    /// Whether it runs.
    pub running: bool,
    /// Whether it is a template.
    pub template: bool,
    /// Processors.
    pub cores: u32,
    /// MiB.
    pub memory: u32,
    /// The storage of its disk.
    pub storage: String,
    /// GiB; 0 means no disk.
    pub disk: u32,
    /// As in `a;b`.
    pub tags: String,
    /// More of its config, as in `net0` → `virtio=BC:24:11:00:00:01,bridge=vmbr0`.
    pub config: BTreeMap<String, String>,
    /// The pool that it is in.
    pub pool: Option<String>,
}

impl Default for GuestSpec {
    fn default() -> Self {
        Self {
            vmid: 100,
            node: "pve1".to_owned(),
            name: "other".to_owned(),
            container: false,
            running: true,
            template: false,
            cores: 2,
            memory: 2048,
            storage: "local-lvm".to_owned(),
            disk: 20,
            tags: String::new(),
            config: BTreeMap::new(),
            pool: None,
        }
    }
}

/// Equal PCI devices under one name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingSpec {
    /// As in `a100`.
    pub id: String,
    /// One entry for each device, as in `node=pve1,path=0000:01:00.0,id=10de:20b5`.
    pub map: Vec<String>,
    /// Whether guests that have one can be moved while they run.
    #[serde(default)]
    pub live_migration_capable: bool,
}

impl MappingSpec {
    /// So many devices on each of these nodes.
    pub fn new(id: &str, devices: &[(&str, u32)]) -> Self {
        let on = |(node, count): &(&str, u32)| {
            let node = (*node).to_owned();
            (1..=*count).map(move |number| format!("node={node},path=0000:{number:02x}:00,id=10de:20b5"))
        };
        Self { id: id.to_owned(), map: devices.iter().flat_map(on).collect(), live_migration_capable: false }
    }
}

/// How long things last, in virtual milliseconds. Copies last as long as the storage's and the network's speeds say.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pace {
    /// Allocating a guest's disks.
    pub create: u64,
    /// A guest's start.
    pub start: u64,
    /// A stop.
    pub stop: u64,
    /// From a shutdown's wish to the guest's end.
    pub shutdown: u64,
    /// From a start to the agent's first answer.
    pub agent: u64,
    /// A snapshot, a rollback, a change of a config in a task.
    pub small: u64,
    /// Between two broadcasts of what the nodes see (`cluster/resources`).
    pub broadcast: u64,
    /// A round of the HA manager.
    pub ha_round: u64,
    /// From a node's end to its guests' restart elsewhere.
    pub fencing: u64,
    /// Before a 401 is answered.
    pub unauthenticated: u64,
    /// What the proxy waits for another node.
    pub proxy_timeout: u64,
    /// Requests that a node's daemon serves at the same time.
    pub workers: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            create: 1_000,
            start: 2_000,
            stop: 1_000,
            shutdown: 5_000,
            agent: 15_000,
            small: 1_000,
            broadcast: 10_000,
            ha_round: 10_000,
            fencing: 120_000,
            unauthenticated: 3_000,
            proxy_timeout: 30_000,
            workers: 3,
        }
    }
}

impl Pace {
    /// Nothing lasts; what would be waited for is still waited for.
    pub fn none() -> Self {
        Self {
            create: 0,
            start: 0,
            stop: 0,
            shutdown: 0,
            agent: 0,
            small: 0,
            broadcast: 0,
            ha_round: 0,
            fencing: 0,
            unauthenticated: 0,
            workers: 64,
            ..Self::default()
        }
    }
}
