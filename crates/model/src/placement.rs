//! Which host a new server goes to. The answer is a ranking: the store confirms a choice under the host's lock, and
//! takes the next one where the room has gone meanwhile.
//!
//! A host that breaks a hard rule is rejected with the reason; the others are ranked by a score. The order in which
//! hosts, storages, GPUs and tags are given has no influence, and chance comes from a seed.
//! `docs/decisions/2026-11-21-placement.md` says why it is done here.

use crate::ids::HostId;
use crate::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::sync::Arc;

mod fleet;
mod host;
mod reason;
mod request;
mod rules;
mod score;

#[cfg(test)]
mod examples;
#[cfg(test)]
mod properties;

pub use fleet::{Fleet, Taken};
pub use host::{Gpu, GpuKind, Host, HostState, Sharing, Storage};
pub use reason::{Reason, Resource, StorageLack};
pub use request::{GpuWish, GroupWish, Headroom, Keep, Preference, Request, StorageWish, Strictness, Weights};

/// A name or a mark. Shared, because an answer repeats it for hundreds of hosts.
pub type Word = Arc<str>;

/// Amounts of what hosts have and servers take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: i64,
    /// Memory in MiB.
    pub memory_mib: i64,
    /// Disk in GB.
    pub disk_gb: i64,
}

/// How much of a host may be sold, in hundredths of what it has. 100 is as much as there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Overcommit {
    /// Of its processors.
    pub vcpus_percent: u32,
    /// Of its memory.
    pub memory_percent: u32,
    /// Of its disk.
    pub disk_percent: u32,
}

impl Default for Overcommit {
    /// Processors four times over (they idle), memory and disk as they are.
    fn default() -> Self {
        Self { vcpus_percent: 400, memory_percent: 100, disk_percent: 100 }
    }
}

impl Overcommit {
    /// What may be sold of a host that has this much; each amount rounded down, and no larger than an `i64`.
    pub fn sellable(self, physical: Resources) -> Resources {
        let times = |amount: i64, percent: u32| {
            i64::try_from(i128::from(amount.max(0)) * i128::from(percent) / 100).unwrap_or(i64::MAX)
        };
        Resources {
            vcpus: times(physical.vcpus, self.vcpus_percent),
            memory_mib: times(physical.memory_mib, self.memory_percent),
            disk_gb: times(physical.disk_gb, self.disk_percent),
        }
    }
}

/// A host that breaks no rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The host.
    pub host: HostId,
    /// How well it suits, 0 to 1,000,000: the mean of what [`Weights`] weighs.
    pub score: u32,
    /// Where its disk goes, if the request has a wish for it.
    pub storage: Option<Word>,
    /// Which GPUs it gets, if the request asks for some.
    pub gpu: Option<GpuKind>,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// Hosts that will do, best first.
    pub ranked: Vec<Choice>,
    /// The others, each with the first reason that was found, by id. For the operator; tenants are not told of hosts.
    pub rejected: Vec<(HostId, Reason)>,
}

impl Placement {
    /// What the tenant is told when no host will do.
    pub fn refused(&self) -> Refusal {
        let any = |of: fn(&Reason) -> bool| self.rejected.iter().any(|(_, reason)| of(reason));
        if any(|reason| matches!(reason, Reason::NoGpu { .. } | Reason::GpusTaken { .. })) {
            let message = "There is no host in this region that has room and as many free GPUs as servers of this size get; \
                           choose another size or region, or try again when a server with GPUs was deleted.";
            return Refusal::new(Code::NoCapacity, message);
        }
        if !any(|reason| matches!(reason, Reason::Group { .. })) {
            return Self::refusal();
        }
        let message = "There is no room for a server of this size in this region on a host that has none of its group \
                       yet; choose the policy `soft-anti-affinity`, or another region.";
        Refusal::new(Code::NoCapacity, message)
    }

    /// What the tenant is told when no host has room.
    pub fn refusal() -> Refusal {
        let message = "There is no room for a server of this size in this region at the moment; choose a smaller size, \
                       another region, or try again later.";
        Refusal::new(Code::NoCapacity, message)
    }
}

/// Ranks the hosts, of which each is given once: all of the region, also those that take no servers, because members of
/// a group may be on them.
pub fn place(request: &Request, hosts: &[Host]) -> Placement {
    let members = rules::Members::among(request, hosts);
    let mut ranked = Vec::with_capacity(hosts.len());
    let mut rejected = Vec::new();
    for host in hosts {
        match rules::fit(request, members, host) {
            Ok(fit) => {
                let score = score::score(request, host, &fit);
                ranked.push((Reverse(score), tie(request.seed, host.id), host.id, fit));
            }
            Err(reason) => rejected.push((host.id, reason)),
        }
    }
    ranked.sort_unstable_by_key(|(score, tie, host, _)| (*score, *tie, *host));
    rejected.sort_unstable_by_key(|(host, _)| *host);
    let choices = ranked.into_iter().map(|(Reverse(score), _, host, fit)| Choice {
        host,
        score,
        storage: fit.storage.map(|storage| storage.name.clone()),
        gpu: fit.gpu.map(|gpu| gpu.kind.clone()),
    });
    Placement { ranked: choices.collect(), rejected }
}

/// A number for a host that another seed makes another one: SplitMix64's mixing over the seed and the id.
fn tie(seed: u64, host: HostId) -> u64 {
    let mix = |value: u64| {
        let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    };
    let (high, low) = host.0.as_u64_pair();
    mix(mix(mix(seed.wrapping_add(0x9e37_79b9_7f4a_7c15)) ^ high) ^ low)
}
