//! Which host a new server goes to. The answer is a ranking: the store confirms a choice under the host's lock, and
//! takes the next one where the room has gone meanwhile.

use crate::ids::HostId;
use crate::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use std::fmt;

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

/// A host as it stood when it was asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Host {
    /// Its id.
    pub id: HostId,
    /// Whether it takes servers.
    pub state: HostState,
    /// What may be sold of it ([`Overcommit::sellable`]).
    pub capacity: Resources,
    /// The sum of what is reserved on it.
    pub reserved: Resources,
}

/// Where servers go by preference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Preference {
    /// To the host that is left emptiest: a lost host takes few servers with it.
    #[default]
    Spread,
    /// To the host that is left fullest: other hosts stay free for large servers, or can be switched off.
    Pack,
}

/// What is looked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// What the server takes.
    pub needs: Resources,
    /// The only host that will do, if there is one (the snapshot is there, the operator said so).
    pub required: Option<HostId>,
    /// Hosts that will not do (they refused already).
    pub avoid: Vec<HostId>,
    /// By preference.
    pub preference: Preference,
    /// Breaks ties between equal hosts. The same seed gives the same answer; different seeds share the servers out.
    pub seed: u64,
}

/// A host that has room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The host.
    pub host: HostId,
    /// How well it suits, 0 to 1,000,000: millionths of the scarcest resource that stay free ([`Preference::Spread`]) or
    /// are used ([`Preference::Pack`]) with the new server on it.
    pub score: u32,
}

/// Why a host will not do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// It takes no new servers.
    State(HostState),
    /// Another host is required.
    NotRequired,
    /// It is to be avoided.
    Avoided,
    /// Too few vCPUs: how many are needed and free.
    Vcpus {
        /// Asked.
        needed: i64,
        /// Left.
        free: i64,
    },
    /// Too little memory, in MiB.
    Memory {
        /// Asked.
        needed: i64,
        /// Left.
        free: i64,
    },
    /// Too little disk, in GB.
    Disk {
        /// Asked.
        needed: i64,
        /// Left.
        free: i64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State(HostState::Up) => f.write_str("takes servers"),
            Self::State(HostState::Maintenance) => f.write_str("is in maintenance"),
            Self::State(HostState::Gone) => f.write_str("has not been seen"),
            Self::NotRequired => f.write_str("is not the required host"),
            Self::Avoided => f.write_str("is to be avoided"),
            Self::Vcpus { needed, free } => write!(f, "has {free} vCPUs free of {needed} needed"),
            Self::Memory { needed, free } => write!(f, "has {free} MiB of memory free of {needed} needed"),
            Self::Disk { needed, free } => write!(f, "has {free} GB of disk free of {needed} needed"),
        }
    }
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// Hosts with room, best first.
    pub ranked: Vec<Choice>,
    /// The others, each with the first reason that was found, by id. For the operator; tenants are not told of hosts.
    pub rejected: Vec<(HostId, Reason)>,
}

impl Placement {
    /// What the tenant is told when no host has room.
    pub fn refusal() -> Refusal {
        let message = "There is no room for a server of this size in this region at the moment; choose a smaller size, \
                       another region, or try again later.";
        Refusal::new(Code::NoCapacity, message)
    }
}

/// Ranks the hosts. The order in which they are given has no influence.
pub fn place(request: &Request, hosts: &[Host]) -> Placement {
    let mut placement = Placement::default();
    for host in hosts {
        match score(request, host) {
            Ok(score) => placement.ranked.push(Choice { host: host.id, score }),
            Err(reason) => placement.rejected.push((host.id, reason)),
        }
    }
    placement
        .ranked
        .sort_by_key(|choice| (std::cmp::Reverse(choice.score), tie(request.seed, choice.host), choice.host));
    placement.rejected.sort_by_key(|(host, _)| *host);
    placement
}

fn score(request: &Request, host: &Host) -> Result<u32, Reason> {
    if request.required.is_some_and(|required| required != host.id) {
        return Err(Reason::NotRequired);
    }
    if request.avoid.contains(&host.id) {
        return Err(Reason::Avoided);
    }
    if host.state != HostState::Up {
        return Err(Reason::State(host.state));
    }
    let vcpus = used(request.needs.vcpus, host.reserved.vcpus, host.capacity.vcpus)
        .map_err(|(needed, free)| Reason::Vcpus { needed, free })?;
    let memory = used(request.needs.memory_mib, host.reserved.memory_mib, host.capacity.memory_mib)
        .map_err(|(needed, free)| Reason::Memory { needed, free })?;
    let disk = used(request.needs.disk_gb, host.reserved.disk_gb, host.capacity.disk_gb)
        .map_err(|(needed, free)| Reason::Disk { needed, free })?;
    let scarcest = vcpus.max(memory).max(disk);
    Ok(match request.preference {
        Preference::Spread => WHOLE - scarcest,
        Preference::Pack => scarcest,
    })
}

const WHOLE: u32 = 1_000_000;

/// The used part in millionths with the need added, or what is needed and free if that does not fit. Negative amounts
/// count as none.
fn used(need: i64, reserved: i64, capacity: i64) -> Result<u32, (i64, i64)> {
    let (need, reserved, capacity) = (need.max(0), reserved.max(0), capacity.max(0));
    let free = capacity.saturating_sub(reserved).max(0);
    if need > free {
        return Err((need, free));
    }
    // Here reserved ≤ capacity unless nothing is needed; min covers that, and the division is by at least 1.
    let part = (i128::from(reserved) + i128::from(need)) * i128::from(WHOLE) / i128::from(capacity.max(1));
    Ok(u32::try_from(part).unwrap_or(WHOLE).min(WHOLE))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn id(n: u128) -> HostId {
        HostId(Uuid::from_u128(n))
    }

    fn of(vcpus: i64, memory_mib: i64, disk_gb: i64) -> Resources {
        Resources { vcpus, memory_mib, disk_gb }
    }

    fn host(n: u128, reserved: i64) -> Host {
        Host { id: id(n), state: HostState::Up, capacity: of(10, 10, 10), reserved: of(reserved, reserved, reserved) }
    }

    fn request(preference: Preference) -> Request {
        Request { needs: of(1, 1, 1), preference, ..Request::default() }
    }

    #[test]
    fn spread_takes_the_emptiest_and_pack_the_fullest() {
        let hosts = [host(1, 5), host(2, 2), host(3, 9), host(4, 10)];
        let order = |preference| place(&request(preference), &hosts).ranked.iter().map(|c| c.host).collect::<Vec<_>>();
        assert_eq!(order(Preference::Spread), [id(2), id(1), id(3)]);
        assert_eq!(order(Preference::Pack), [id(3), id(1), id(2)]);
        let spread = place(&request(Preference::Spread), &hosts);
        assert_eq!(spread.ranked[0].score, 700_000);
        assert_eq!(spread.rejected, [(id(4), Reason::Vcpus { needed: 1, free: 0 })]);
        assert_eq!(spread.rejected[0].1.to_string(), "has 0 vCPUs free of 1 needed");
    }

    #[test]
    fn the_scarcest_resource_decides() {
        let mut lopsided = host(1, 0);
        lopsided.reserved.disk_gb = 8;
        let placement = place(&request(Preference::Spread), &[lopsided, host(2, 5)]);
        assert_eq!(placement.ranked[0].host, id(2));
        lopsided.reserved.disk_gb = 10;
        let placement = place(&request(Preference::Spread), &[lopsided]);
        assert_eq!(placement.rejected, [(id(1), Reason::Disk { needed: 1, free: 0 })]);
    }

    #[test]
    fn states_and_wishes() {
        let mut hosts = [host(1, 0), host(2, 0), host(3, 0), host(4, 0)];
        hosts[1].state = HostState::Maintenance;
        hosts[2].state = HostState::Gone;
        let avoiding = Request { avoid: vec![id(4)], ..request(Preference::Spread) };
        let placement = place(&avoiding, &hosts);
        assert_eq!(placement.ranked.len(), 1);
        assert_eq!(
            placement.rejected,
            [
                (id(2), Reason::State(HostState::Maintenance)),
                (id(3), Reason::State(HostState::Gone)),
                (id(4), Reason::Avoided)
            ]
        );
        let only = Request { required: Some(id(4)), ..request(Preference::Spread) };
        assert_eq!(place(&only, &hosts).ranked[0].host, id(4));
        assert_eq!(place(&only, &hosts[..1]).rejected, [(id(1), Reason::NotRequired)]);
        assert_eq!(Placement::refusal().code, Code::NoCapacity);
    }

    #[test]
    fn seeds_share_equal_hosts_out() {
        let hosts: Vec<_> = (0..4).map(|n| host(n, 0)).collect();
        let mut first = std::collections::HashMap::new();
        for seed in 0..400 {
            let placement = place(&Request { seed, ..request(Preference::Spread) }, &hosts);
            *first.entry(placement.ranked[0].host).or_insert(0) += 1;
        }
        assert!(first.len() == 4 && first.values().all(|count| *count > 50), "{first:?}");
    }

    #[test]
    fn overcommit() {
        let twice = Overcommit { vcpus_percent: 250, memory_percent: 100, disk_percent: 90 };
        assert_eq!(twice.sellable(of(3, 1000, 11)), of(7, 1000, 9));
        assert_eq!(twice.sellable(of(i64::MAX, -5, 0)), of(i64::MAX, 0, 0));
    }

    fn amounts() -> impl Strategy<Value = Resources> {
        let amount = || prop_oneof![8 => 0i64..40, 1 => any::<i64>()];
        (amount(), amount(), amount()).prop_map(|(vcpus, memory_mib, disk_gb)| of(vcpus, memory_mib, disk_gb))
    }

    fn any_hosts() -> impl Strategy<Value = Vec<Host>> {
        let state =
            prop_oneof![8 => Just(HostState::Up), 1 => Just(HostState::Maintenance), 1 => Just(HostState::Gone)];
        let one = (amounts(), amounts(), state);
        prop::collection::vec(one, 0..12).prop_map(|hosts| {
            let named = hosts.into_iter().zip(1u128..);
            named.map(|((capacity, reserved, state), n)| Host { id: id(n), state, capacity, reserved }).collect()
        })
    }

    fn any_request() -> impl Strategy<Value = Request> {
        (amounts(), prop::option::of(1u128..14), prop::collection::vec(1u128..14, 0..3), any::<bool>(), any::<u64>())
            .prop_map(|(needs, required, avoid, pack, seed)| Request {
                needs,
                required: required.filter(|n| n % 4 == 0).map(id),
                avoid: avoid.into_iter().map(id).collect(),
                preference: if pack { Preference::Pack } else { Preference::Spread },
                seed,
            })
    }

    proptest! {
        #[test]
        fn nothing_is_placed_over_capacity(request in any_request(), hosts in any_hosts()) {
            let placement = place(&request, &hosts);
            for choice in &placement.ranked {
                let host = hosts.iter().find(|host| host.id == choice.host).unwrap();
                prop_assert_eq!(host.state, HostState::Up);
                prop_assert!(!request.avoid.contains(&host.id));
                prop_assert!(choice.score <= 1_000_000);
                for (need, reserved, capacity) in [
                    (request.needs.vcpus, host.reserved.vcpus, host.capacity.vcpus),
                    (request.needs.memory_mib, host.reserved.memory_mib, host.capacity.memory_mib),
                    (request.needs.disk_gb, host.reserved.disk_gb, host.capacity.disk_gb),
                ] {
                    if need > 0 { prop_assert!(i128::from(need) + i128::from(reserved.max(0)) <= i128::from(capacity)); }
                }
            }
            prop_assert_eq!(placement.ranked.len() + placement.rejected.len(), hosts.len());
        }

        #[test]
        fn a_host_with_room_is_never_turned_down(request in any_request(), hosts in any_hosts()) {
            let placement = place(&request, &hosts);
            for (rejected, reason) in &placement.rejected {
                let host = hosts.iter().find(|host| host.id == *rejected).unwrap();
                let wide = |r: Resources| [r.vcpus, r.memory_mib, r.disk_gb].map(|n| i128::from(n.max(0)));
                let fits = wide(request.needs).iter().zip(wide(host.reserved)).zip(wide(host.capacity))
                    .all(|((need, reserved), capacity)| *need == 0 || need + reserved <= capacity);
                let short = matches!(reason, Reason::Vcpus { .. } | Reason::Memory { .. } | Reason::Disk { .. });
                prop_assert_eq!(short && fits, false);
            }
        }

        #[test]
        fn the_order_of_the_hosts_does_not_matter(request in any_request(), hosts in any_hosts(), turn in 0usize..12) {
            let placement = place(&request, &hosts);
            prop_assert_eq!(&place(&request, &hosts), &placement);
            let mut turned = hosts;
            if !turned.is_empty() { let by = turn % turned.len(); turned.rotate_left(by); }
            prop_assert_eq!(&place(&request, &turned), &placement);
            turned.reverse();
            prop_assert_eq!(&place(&request, &turned), &placement);
        }

        #[test]
        fn ranked_means_best_first(request in any_request(), hosts in any_hosts()) {
            let placement = place(&request, &hosts);
            prop_assert!(placement.ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
        }
    }
}
