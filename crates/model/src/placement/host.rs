//! What is known of a host when a server is to be placed.

use super::{Resources, Word};
use crate::catalogue::Architecture;
use crate::ids::HostId;
use std::collections::{BTreeMap, BTreeSet};

/// Whether a host takes new servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostState {
    /// It does.
    Up,
    /// The operator keeps it free or is emptying it.
    Maintenance,
    /// It has not been seen.
    Gone,
}

/// A host as it stood when it was asked about. Sums and counts come prepared: nothing here grows with the number of
/// guests but [`Host::groups`], of which only the group that is asked for is read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Whether it takes servers.
    pub state: HostState,
    /// What may be sold of it ([`super::Overcommit::sellable`]).
    pub capacity: Resources,
    /// The sum of what is reserved on it.
    pub reserved: Resources,
    /// Its processor; `None` where nobody said. What nobody said suits no server that asks for one.
    pub architecture: Option<Architecture>,
    /// What it can do, in the words in which requests ask for it: `containers`, `nested`, …
    pub features: BTreeSet<Word>,
    /// The operator's marks on it: `ssd`, `customer-a`, …
    pub tags: BTreeSet<Word>,
    /// Where disks can be put. Empty where the provider has no named storages; the host's disk is then all there is.
    pub storages: Vec<Storage>,
    /// Its GPUs, one entry a kind.
    pub gpus: Vec<Gpu>,
    /// How dear it is, 0 to [`Host::DEAREST`]; more counts as that. 0 where nobody said.
    pub cost: u32,
    /// How many members of a group it carries. A group of which it carries none may be left out; so may all groups but
    /// the one that is asked for.
    pub groups: BTreeMap<Word, u32>,
}

impl Host {
    /// The greatest [`Host::cost`].
    pub const DEAREST: u32 = 1_000;

    /// An empty host that is up and of which only the size is known.
    pub fn new(id: HostId, capacity: Resources) -> Self {
        Self {
            id,
            state: HostState::Up,
            capacity,
            reserved: Resources::default(),
            architecture: None,
            features: BTreeSet::new(),
            tags: BTreeSet::new(),
            storages: Vec::new(),
            gpus: Vec::new(),
            cost: 0,
            groups: BTreeMap::new(),
        }
    }

    /// How many members of `group` it carries.
    pub fn members(&self, group: &str) -> u32 {
        self.groups.get(group).copied().unwrap_or_default()
    }
}

/// A place for disks that a host reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Storage {
    /// Its name at the provider; one host has it once.
    pub name: Word,
    /// Its technique: `zfspool`, `rbd`, `dir`, …
    pub technique: Word,
    /// What may be kept on it: `images`, `rootdir`, …
    pub content: BTreeSet<Word>,
    /// Whose it is.
    pub sharing: Sharing,
    /// What may be sold of it, in GB.
    pub total_gb: i64,
    /// Of that, what is not sold yet.
    pub free_gb: i64,
}

/// Who reaches a storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sharing {
    /// This host alone: a server on it moves with its disk or not at all.
    Local,
    /// Every host that has a shared storage of this name, and what is free on it is the same for all of them.
    Shared,
}

/// GPUs of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gpu {
    /// What they are.
    pub kind: GpuKind,
    /// How many nobody has.
    pub free: u32,
}

/// What tells GPUs apart.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GpuKind {
    /// Memory of one, in MiB. First, so that the smallest kind sorts first.
    pub vram_mib: i64,
    /// The model: `nvidia_l40s`.
    pub model: Word,
}
