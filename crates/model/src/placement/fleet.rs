//! The hosts of one region with servers coming and going: sums and counts are kept as they change, so that a decision
//! costs what the number of hosts costs, however many servers they carry. Nothing in it is a reservation; those are
//! rows. It is for what looks ahead: where would the servers of this host go if it were emptied?

use super::rules::{self, Members};
use super::{GpuKind, Host, HostState, Placement, Reason, Request, Resources, Sharing, Storage, Word, place};
use crate::ids::HostId;

/// Hosts of one region, whose shared storages have one name everywhere.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Fleet {
    /// By id, each once.
    hosts: Vec<Host>,
}

/// What a server has on its host. It is given back whole.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// The host.
    pub host: HostId,
    /// Its amounts.
    pub needs: Resources,
    /// The storage of its disk.
    pub storage: Option<Word>,
    /// Its GPUs: the kind and how many.
    pub gpus: Option<(GpuKind, u32)>,
    /// The group of which it is a member.
    pub group: Option<Word>,
}

impl Fleet {
    /// These hosts. Of several with one id the first counts.
    pub fn new(mut hosts: Vec<Host>) -> Self {
        hosts.sort_by_key(|host| host.id);
        hosts.dedup_by_key(|host| host.id);
        Self { hosts }
    }

    /// The hosts as they stand, by id.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Ranks the hosts as they stand.
    pub fn place(&self, request: &Request) -> Placement {
        place(request, &self.hosts)
    }

    /// Puts the server on `host`, as the store does under the host's lock: every rule is looked at again.
    ///
    /// # Errors
    /// Why it cannot be there; nothing has changed. A host that is not of the fleet has not been seen.
    pub fn take(&mut self, request: &Request, host: HostId) -> Result<Taken, Reason> {
        let members = Members::among(request, &self.hosts);
        let found = self.find(host).and_then(|place| self.hosts.get(place));
        let found = found.ok_or(Reason::State(HostState::Gone))?;
        let fit = rules::fit(request, members, found)?;
        let count = request.gpu.as_ref().map_or(0, |wish| wish.count);
        let taken = Taken {
            host,
            needs: Resources {
                vcpus: request.needs.vcpus.max(0),
                memory_mib: request.needs.memory_mib.max(0),
                disk_gb: request.needs.disk_gb.max(0),
            },
            storage: fit.storage.map(|storage| storage.name.clone()),
            gpus: fit.gpu.map(|gpu| (gpu.kind.clone(), count)),
            group: request.group.as_ref().map(|wish| wish.group.clone()),
        };
        self.change(&taken, Direction::Taken);
        Ok(taken)
    }

    /// Gives back what a server had. Of a host that is not of the fleet nothing was taken.
    pub fn give_back(&mut self, taken: &Taken) {
        self.change(taken, Direction::GivenBack);
    }

    fn find(&self, host: HostId) -> Option<usize> {
        self.hosts.binary_search_by_key(&host, |host| host.id).ok()
    }

    fn change(&mut self, taken: &Taken, direction: Direction) {
        let Some(host) = self.find(taken.host).and_then(|place| self.hosts.get_mut(place)) else { return };
        let more = |sum: i64, amount: i64| match direction {
            Direction::Taken => sum.saturating_add(amount),
            Direction::GivenBack => sum.saturating_sub(amount),
        };
        host.reserved.vcpus = more(host.reserved.vcpus, taken.needs.vcpus);
        host.reserved.memory_mib = more(host.reserved.memory_mib, taken.needs.memory_mib);
        host.reserved.disk_gb = more(host.reserved.disk_gb, taken.needs.disk_gb);
        if let Some((kind, count)) = &taken.gpus
            && let Some(gpu) = host.gpus.iter_mut().find(|gpu| gpu.kind == *kind)
        {
            gpu.free = match direction {
                Direction::Taken => gpu.free.saturating_sub(*count),
                Direction::GivenBack => gpu.free.saturating_add(*count),
            };
        }
        if let Some(group) = &taken.group {
            direction.count(host, group);
        }
        if let Some(storage) = &taken.storage {
            self.fill(taken, storage, direction);
        }
    }

    /// A shared storage is as full on every host that reaches it.
    fn fill(&mut self, taken: &Taken, name: &Word, direction: Direction) {
        let Some(place) = self.find(taken.host) else { return };
        let named = |storage: &&mut Storage| storage.name == *name;
        let change = |storage: &mut Storage| {
            storage.free_gb = match direction {
                Direction::Taken => storage.free_gb.saturating_sub(taken.needs.disk_gb),
                Direction::GivenBack => storage.free_gb.saturating_add(taken.needs.disk_gb),
            };
        };
        let its_own = self.hosts.get_mut(place).and_then(|host| host.storages.iter_mut().find(named));
        let Some(its_own) = its_own else { return };
        change(its_own);
        if its_own.sharing == Sharing::Local {
            return;
        }
        let others = self.hosts.iter_mut().filter(|host| host.id != taken.host);
        let theirs = others.filter_map(|host| host.storages.iter_mut().find(named));
        theirs.filter(|storage| storage.sharing == Sharing::Shared).for_each(change);
    }
}

/// Which way amounts go.
#[derive(Clone, Copy)]
enum Direction {
    Taken,
    GivenBack,
}

impl Direction {
    /// A group without members is not kept.
    fn count(self, host: &mut Host, group: &Word) {
        let members = host.members(group);
        let members = match self {
            Self::Taken => members.saturating_add(1),
            Self::GivenBack => members.saturating_sub(1),
        };
        if members == 0 {
            host.groups.remove(group);
        } else {
            host.groups.insert(group.clone(), members);
        }
    }
}
