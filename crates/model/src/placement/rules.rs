//! The hard rules. A host that breaks one is rejected with the first that it breaks, in the order from "was never
//! meant" over "is of the wrong kind" to "is full", so that the operator reads what has to change first.

use super::{
    Gpu, GpuWish, Headroom, Host, HostState, Keep, Preference, Reason, Request, Resource, Storage, StorageLack,
    StorageWish, Strictness,
};
use std::cmp::Reverse;

/// What of a host the server would take.
pub(super) struct Fit<'a> {
    pub(super) storage: Option<&'a Storage>,
    pub(super) gpu: Option<&'a Gpu>,
}

/// Where the members of the group are to which a server is tied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Members {
    /// On no host, or it does not matter.
    Nowhere,
    /// On one of the hosts at least.
    Somewhere,
}

impl Members {
    /// Looks at the hosts only where a rule depends on it.
    pub(super) fn among(request: &Request, hosts: &[Host]) -> Self {
        let tied = request.group.as_ref().filter(|wish| wish.strictness == Strictness::Hard);
        let tied = tied.filter(|wish| wish.keep == Keep::Together);
        let found = tied.is_some_and(|wish| hosts.iter().any(|host| host.members(&wish.group) > 0));
        if found { Self::Somewhere } else { Self::Nowhere }
    }
}

/// One resource of one host, with what the server asks of it. No amount is negative.
#[derive(Clone, Copy)]
pub(super) struct Amount {
    pub(super) what: Resource,
    pub(super) need: i64,
    pub(super) reserved: i64,
    pub(super) capacity: i64,
}

impl Amount {
    pub(super) fn all(request: &Request, host: &Host) -> [Self; 3] {
        let (needs, reserved, capacity) = (request.needs, host.reserved, host.capacity);
        let amount = |what, need: i64, reserved: i64, capacity: i64| Self {
            what,
            need: need.max(0),
            reserved: reserved.max(0),
            capacity: capacity.max(0),
        };
        [
            amount(Resource::Vcpus, needs.vcpus, reserved.vcpus, capacity.vcpus),
            amount(Resource::Memory, needs.memory_mib, reserved.memory_mib, capacity.memory_mib),
            amount(Resource::Disk, needs.disk_gb, reserved.disk_gb, capacity.disk_gb),
        ]
    }

    pub(super) fn free(self) -> i64 {
        self.capacity.saturating_sub(self.reserved).max(0)
    }

    /// What stays free with the server there.
    pub(super) fn left(self) -> i64 {
        self.free().saturating_sub(self.need).max(0)
    }
}

/// What the server would take of the host, or why it cannot be there.
pub(super) fn fit<'a>(request: &Request, members: Members, host: &'a Host) -> Result<Fit<'a>, Reason> {
    wanted(request, host)?;
    able(request, host)?;
    company(request, members, host)?;
    let gpu = request.gpu.as_ref().filter(|wish| wish.count > 0).map(|wish| gpu(wish, host)).transpose()?;
    room(request, host)?;
    let storage = request.storage.as_ref().map(|wish| storage(request, wish, host)).transpose();
    Ok(Fit { storage: storage.map_err(Reason::Storage)?, gpu })
}

fn wanted(request: &Request, host: &Host) -> Result<(), Reason> {
    if request.required.is_some_and(|required| required != host.id) {
        return Err(Reason::NotRequired);
    }
    if request.avoid.contains(&host.id) {
        return Err(Reason::Avoided);
    }
    if host.state != HostState::Up {
        return Err(Reason::State(host.state));
    }
    Ok(())
}

fn able(request: &Request, host: &Host) -> Result<(), Reason> {
    if let Some(wanted) = request.architecture
        && host.architecture != Some(wanted)
    {
        return Err(Reason::Architecture { wanted, found: host.architecture });
    }
    if let Some(feature) = request.features.iter().find(|feature| !host.features.contains(*feature)) {
        return Err(Reason::Feature(feature.clone()));
    }
    if let Some(tag) = request.tags.iter().find(|tag| !host.tags.contains(*tag)) {
        return Err(Reason::TagMissing(tag.clone()));
    }
    if let Some(tag) = request.forbidden_tags.iter().find(|tag| host.tags.contains(*tag)) {
        return Err(Reason::TagForbidden(tag.clone()));
    }
    Ok(())
}

fn company(request: &Request, elsewhere: Members, host: &Host) -> Result<(), Reason> {
    let Some(wish) = request.group.as_ref().filter(|wish| wish.strictness == Strictness::Hard) else {
        return Ok(());
    };
    let members = host.members(&wish.group);
    let broken = match wish.keep {
        Keep::Apart => members > 0,
        Keep::Together => members == 0 && elsewhere == Members::Somewhere,
    };
    if broken { Err(Reason::Group { group: wish.group.clone(), keep: wish.keep, members }) } else { Ok(()) }
}

/// The smallest kind of which enough are free: larger ones stay for those who need them.
fn gpu<'a>(wish: &GpuWish, host: &'a Host) -> Result<&'a Gpu, Reason> {
    let suits = |gpu: &&Gpu| {
        gpu.kind.vram_mib >= wish.vram_mib && wish.model.as_ref().is_none_or(|model| *model == gpu.kind.model)
    };
    let suiting = || host.gpus.iter().filter(suits);
    if let Some(gpu) = suiting().filter(|gpu| gpu.free >= wish.count).min_by_key(|gpu| (&gpu.kind, gpu.free)) {
        return Ok(gpu);
    }
    Err(match suiting().map(|gpu| gpu.free).max() {
        Some(free) => Reason::GpusTaken { needed: wish.count, free },
        None => Reason::NoGpu { model: wish.model.clone(), vram_mib: wish.vram_mib },
    })
}

fn room(request: &Request, host: &Host) -> Result<(), Reason> {
    let amounts = Amount::all(request, host);
    if let Some(short) = amounts.iter().find(|amount| amount.need > amount.free()) {
        return Err(Reason::Room { what: short.what, needed: short.need, free: short.free() });
    }
    let Some(Headroom { percent, .. }) = request.headroom.filter(|wish| wish.strictness == Strictness::Hard) else {
        return Ok(());
    };
    let eaten = |amount: &&Amount| {
        let kept = i128::from(amount.capacity) * i128::from(percent);
        amount.need > 0 && i128::from(amount.left()) * 100 < kept
    };
    match amounts.iter().find(eaten) {
        Some(amount) => Err(Reason::Headroom { what: amount.what, left: amount.left(), percent }),
        None => Ok(()),
    }
}

/// Of the storages that suit and have room, the emptiest ([`Preference::Spread`]) or the fullest.
fn storage<'a>(request: &Request, wish: &StorageWish, host: &'a Host) -> Result<&'a Storage, StorageLack> {
    let needed = request.needs.disk_gb.max(0);
    let suits = |storage: &&Storage| lack(wish, storage).is_none();
    let free = |storage: &Storage| storage.free_gb.max(0);
    let roomy = host.storages.iter().filter(suits).filter(|storage| free(storage) >= needed);
    let chosen = match request.preference {
        Preference::Spread => roomy.min_by_key(|storage| (Reverse(free(storage)), &storage.name)),
        Preference::Pack => roomy.min_by_key(|storage| (free(storage), &storage.name)),
    };
    if let Some(storage) = chosen {
        return Ok(storage);
    }
    // What came furthest says what is missing: for who wants `images` on a host with a full `local-zfs` and an empty
    // storage for backups, the room on the first.
    let full = |storage: &Storage| StorageLack::Room { needed, free: free(storage) };
    let lacks = host.storages.iter().map(|storage| lack(wish, storage).unwrap_or_else(|| full(storage)));
    Err(lacks.max_by_key(furthest).unwrap_or(StorageLack::Any))
}

/// The first thing about a storage that is not as it has to be, its room apart.
fn lack(wish: &StorageWish, storage: &Storage) -> Option<StorageLack> {
    if let Some(name) = wish.name.as_ref().filter(|name| **name != storage.name) {
        return Some(StorageLack::Name(name.clone()));
    }
    if let Some(content) = wish.content.as_ref().filter(|content| !storage.content.contains(*content)) {
        return Some(StorageLack::Content(content.clone()));
    }
    if !wish.techniques.is_empty() && !wish.techniques.contains(&storage.technique) {
        return Some(StorageLack::Technique);
    }
    wish.sharing.filter(|sharing| *sharing != storage.sharing).map(StorageLack::Sharing)
}

fn furthest(lack: &StorageLack) -> (u8, i64) {
    match lack {
        StorageLack::Any => (0, 0),
        StorageLack::Name(_) => (1, 0),
        StorageLack::Content(_) => (2, 0),
        StorageLack::Technique => (3, 0),
        StorageLack::Sharing(_) => (4, 0),
        StorageLack::Room { free, .. } => (5, *free),
    }
}
