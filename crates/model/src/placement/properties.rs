//! What holds for every fleet and every request. Each hard rule is written down a second time here, plainly, and the
//! two have to agree on every host: none is placed against a rule, none is turned down without one.

use super::{
    Fleet, Gpu, GpuKind, GpuWish, GroupWish, Headroom, Host, HostState, Keep, Preference, Reason, Request, Resource,
    Resources, Sharing, Storage, StorageLack, StorageWish, Strictness, Weights, Word, place,
};
use crate::catalogue::Architecture;
use crate::ids::HostId;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

fn id(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

const WORDS: [&str; 3] = ["a", "b", "c"];

fn word() -> impl Strategy<Value = Word> {
    select(&WORDS[..]).prop_map(Word::from)
}

/// Mostly none: a request that asks for everything at once finds nothing, and nothing is learnt from it.
fn words() -> impl Strategy<Value = Vec<Word>> {
    prop_oneof![7 => Just(Vec::new()), 1 => prop::collection::vec(word(), 1..3)]
}

fn word_set() -> impl Strategy<Value = BTreeSet<Word>> {
    subsequence(&WORDS[..], 0..=3).prop_map(|words| words.into_iter().map(Word::from).collect())
}

fn amounts() -> impl Strategy<Value = Resources> {
    let amount = || prop_oneof![60 => 0i64..40, 1 => any::<i64>()];
    (amount(), amount(), amount()).prop_map(|(vcpus, memory_mib, disk_gb)| Resources { vcpus, memory_mib, disk_gb })
}

fn sharing() -> impl Strategy<Value = Sharing> {
    select(&[Sharing::Local, Sharing::Shared][..])
}

fn architecture() -> impl Strategy<Value = Architecture> {
    prop_oneof![4 => Just(Architecture::X86), 1 => Just(Architecture::Arm)]
}

fn storages() -> impl Strategy<Value = Vec<Storage>> {
    // Often equal, so that something else has to decide.
    let free = prop_oneof![Just(50i64), -2i64..60];
    let one = (word(), word_set(), sharing(), 0i64..60, free);
    prop::collection::btree_map(word(), one, 0..4).prop_map(|storages| {
        let named = storages.into_iter().map(|(name, (technique, content, sharing, total_gb, free_gb))| Storage {
            name,
            technique,
            content,
            sharing,
            total_gb,
            free_gb,
        });
        named.collect()
    })
}

fn gpus() -> impl Strategy<Value = Vec<Gpu>> {
    let kinds = prop::collection::btree_map((0i64..3, word()), 0u32..4, 0..4);
    kinds.prop_map(|kinds| {
        let gpus = kinds.into_iter();
        gpus.map(|((vram_mib, model), free)| Gpu { kind: GpuKind { vram_mib, model }, free }).collect()
    })
}

fn any_host() -> impl Strategy<Value = Host> {
    let state = prop_oneof![18 => Just(HostState::Up), 1 => Just(HostState::Maintenance), 1 => Just(HostState::Gone)];
    let groups = prop::collection::btree_map(word(), 1u32..4, 0..3);
    let kind = (prop::option::weighted(0.9, architecture()), word_set(), word_set(), 0u32..1_500);
    // Larger than what is reserved on it, more often than not.
    let capacity = (amounts(), 0i64..200).prop_map(|(capacity, more)| Resources {
        vcpus: capacity.vcpus.saturating_add(more),
        memory_mib: capacity.memory_mib.saturating_add(more),
        disk_gb: capacity.disk_gb.saturating_add(more),
    });
    (capacity, amounts(), state, kind, storages(), gpus(), groups).prop_map(
        |(capacity, reserved, state, (architecture, features, tags, cost), storages, gpus, groups)| Host {
            state,
            reserved,
            architecture,
            features,
            tags,
            storages,
            gpus,
            cost,
            groups,
            ..Host::new(id(0), capacity)
        },
    )
}

fn any_hosts() -> impl Strategy<Value = Vec<Host>> {
    prop::collection::vec(any_host(), 0..12).prop_map(|hosts| {
        let numbered = hosts.into_iter().zip(1u128..);
        numbered.map(|(host, n)| Host { id: id(n), ..host }).collect()
    })
}

fn rarely<T: std::fmt::Debug>(wish: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.2, wish)
}

fn strictness() -> impl Strategy<Value = Strictness> {
    select(&[Strictness::Hard, Strictness::Soft][..])
}

fn group() -> impl Strategy<Value = GroupWish> {
    let keep = select(&[Keep::Apart, Keep::Together][..]);
    (word(), keep, strictness()).prop_map(|(group, keep, strictness)| GroupWish { group, keep, strictness })
}

fn storage_wish() -> impl Strategy<Value = StorageWish> {
    (rarely(word()), rarely(word()), words(), rarely(sharing()))
        .prop_map(|(name, content, techniques, sharing)| StorageWish { name, content, techniques, sharing })
}

fn any_request() -> impl Strategy<Value = Request> {
    let gpu = (rarely(word()), 0i64..3, 0u32..3);
    let gpu = gpu.prop_map(|(model, vram_mib, count)| GpuWish { model, vram_mib, count });
    let headroom = (0u32..120, strictness()).prop_map(|(percent, strictness)| Headroom { percent, strictness });
    let weights = (0u16..4, 0u16..4, 0u16..4, any::<u16>());
    let weights = weights.prop_map(|(room, group, headroom, cost)| Weights { room, group, headroom, cost });
    let hosts = (prop::option::weighted(0.05, 1u128..14), prop::collection::vec(1u128..30, 0..3));
    let kind = (rarely(architecture()), words(), words(), words());
    let wishes = (prop::option::of(storage_wish()), rarely(gpu), rarely(group()), rarely(headroom));
    let preference = select(&[Preference::Spread, Preference::Pack][..]);
    (amounts(), hosts, kind, wishes, preference, weights, any::<u64>()).prop_map(
        |(needs, (required, avoid), kind, (storage, gpu, group, headroom), preference, weights, seed)| Request {
            needs,
            required: required.map(id),
            avoid: avoid.into_iter().map(id).collect(),
            architecture: kind.0,
            features: kind.1,
            tags: kind.2,
            forbidden_tags: kind.3,
            storage,
            gpu,
            group,
            headroom,
            preference,
            weights,
            seed,
        },
    )
}

/// The hard rules, each with whether a host keeps it.
const RULES: [(&str, Rule); 10] = [
    ("the required host", |request, host, _| request.required.is_none_or(|required| required == host.id)),
    ("hosts to avoid", |request, host, _| !request.avoid.contains(&host.id)),
    ("maintenance", |_, host, _| host.state == HostState::Up),
    ("architecture", |request, host, _| request.architecture.is_none() || request.architecture == host.architecture),
    ("features", |request, host, _| request.features.iter().all(|word| host.features.contains(word))),
    ("tags", |request, host, _| {
        request.tags.iter().all(|word| host.tags.contains(word))
            && !request.forbidden_tags.iter().any(|word| host.tags.contains(word))
    }),
    ("group", keeps_company),
    ("capacity", |request, host, _| wide(request, host).iter().all(|[n, r, c]| *n == 0 || n + r <= *c)),
    ("headroom", |request, host, _| {
        let hard = request.headroom.filter(|wish| wish.strictness == Strictness::Hard);
        let stays = |percent: u32| {
            wide(request, host).iter().all(|[n, r, c]| *n == 0 || (c - r - n) * 100 >= c * i128::from(percent))
        };
        hard.is_none_or(|wish| stays(wish.percent))
    }),
    ("storage and GPU", |request, host, _| {
        let stored = request.storage.as_ref().is_none_or(|wish| {
            host.storages.iter().any(|storage| suits(wish, storage) && storage.free_gb.max(0) >= request.needs.disk_gb)
        });
        let drawn = request.gpu.as_ref().is_none_or(|wish| {
            wish.count == 0 || host.gpus.iter().any(|gpu| is_kind(wish, &gpu.kind) && gpu.free >= wish.count)
        });
        stored && drawn
    }),
];

type Rule = fn(&Request, &Host, &[Host]) -> bool;

/// Need, reserved and capacity of each resource.
fn wide(request: &Request, host: &Host) -> [[i128; 3]; 3] {
    let rows = |r: Resources| [r.vcpus, r.memory_mib, r.disk_gb].map(|n| i128::from(n.max(0)));
    let (needs, reserved, capacity) = (rows(request.needs), rows(host.reserved), rows(host.capacity));
    [0, 1, 2].map(|n| [needs[n], reserved[n], capacity[n]])
}

fn keeps_company(request: &Request, host: &Host, hosts: &[Host]) -> bool {
    let hard = request.group.as_ref().filter(|wish| wish.strictness == Strictness::Hard);
    hard.is_none_or(|wish| {
        let carries = |host: &Host| host.groups.contains_key(&wish.group);
        match wish.keep {
            Keep::Apart => !carries(host),
            Keep::Together => carries(host) || !hosts.iter().any(carries),
        }
    })
}

fn suits(wish: &StorageWish, storage: &Storage) -> bool {
    wish.name.as_ref().is_none_or(|name| *name == storage.name)
        && wish.content.as_ref().is_none_or(|content| storage.content.contains(content))
        && (wish.techniques.is_empty() || wish.techniques.contains(&storage.technique))
        && wish.sharing.is_none_or(|sharing| sharing == storage.sharing)
}

fn is_kind(wish: &GpuWish, kind: &GpuKind) -> bool {
    kind.vram_mib >= wish.vram_mib && wish.model.as_ref().is_none_or(|model| *model == kind.model)
}

fn find(hosts: &[Host], id: HostId) -> &Host {
    hosts.iter().find(|host| host.id == id).unwrap()
}

/// Whether what the reason says of the host is so.
fn is_true(reason: &Reason, request: &Request, host: &Host, hosts: &[Host]) -> bool {
    let amounts = |what: Resource| wide(request, host)[what as usize];
    match reason {
        Reason::NotRequired => request.required.is_some() && request.required != Some(host.id),
        Reason::Avoided => request.avoid.contains(&host.id),
        Reason::State(state) => *state == host.state && *state != HostState::Up,
        Reason::Architecture { wanted, found } => host.architecture == *found && *found != Some(*wanted),
        Reason::Feature(word) => request.features.contains(word) && !host.features.contains(word),
        Reason::TagMissing(word) => request.tags.contains(word) && !host.tags.contains(word),
        Reason::TagForbidden(word) => request.forbidden_tags.contains(word) && host.tags.contains(word),
        Reason::Group { group, members, .. } => {
            !keeps_company(request, host, hosts) && host.groups.get(group).copied().unwrap_or(0) == *members
        }
        Reason::Room { what, needed, free } => {
            let [need, reserved, capacity] = amounts(*what);
            i128::from(*needed) == need && i128::from(*free) == (capacity - reserved).max(0) && needed > free
        }
        Reason::Headroom { what, left, percent } => {
            let [need, reserved, capacity] = amounts(*what);
            i128::from(*left) == capacity - reserved - need && i128::from(*left) * 100 < capacity * i128::from(*percent)
        }
        Reason::Storage(lack) => {
            let wish = request.storage.as_ref().unwrap();
            let most =
                host.storages.iter().filter(|storage| suits(wish, storage)).map(|storage| storage.free_gb.max(0));
            match lack {
                StorageLack::Any => host.storages.is_empty(),
                StorageLack::Name(name) => host.storages.iter().all(|storage| storage.name != *name),
                StorageLack::Room { needed, free } => most.max() == Some(*free) && needed > free,
                _ => !host.storages.iter().any(|storage| suits(wish, storage)),
            }
        }
        Reason::NoGpu { .. } => !host.gpus.iter().any(|gpu| is_kind(request.gpu.as_ref().unwrap(), &gpu.kind)),
        Reason::GpusTaken { needed, free } => {
            let kinds = host.gpus.iter().filter(|gpu| is_kind(request.gpu.as_ref().unwrap(), &gpu.kind));
            kinds.map(|gpu| gpu.free).max() == Some(*free) && free < needed
        }
    }
}

/// The same hosts in another order, and so is everything that they have.
fn shuffled(mut hosts: Vec<Host>, turn: usize) -> Vec<Host> {
    for host in &mut hosts {
        host.storages.reverse();
        host.gpus.reverse();
    }
    if !hosts.is_empty() {
        let by = turn % hosts.len();
        hosts.rotate_left(by);
    }
    hosts
}

/// A fleet whose shared storages are the same everywhere, as they are.
fn any_fleet() -> impl Strategy<Value = Vec<Host>> {
    (any_hosts(), 0i64..100).prop_map(|(mut hosts, free_gb)| {
        for storage in hosts.iter_mut().flat_map(|host| &mut host.storages) {
            if storage.sharing == Sharing::Shared {
                storage.free_gb = free_gb;
            }
        }
        hosts
    })
}

/// What is left of everything that can run out, by where it is; nothing in it may go below what it was below already.
fn left(fleet: &Fleet) -> BTreeMap<(HostId, String), i128> {
    let mut left = BTreeMap::new();
    for host in fleet.hosts() {
        for (name, [_, reserved, capacity]) in ["cpu", "memory", "disk"].iter().zip(wide(&Request::default(), host)) {
            left.insert((host.id, (*name).to_owned()), capacity - reserved);
        }
        for storage in &host.storages {
            left.insert((host.id, format!("storage {}", storage.name)), i128::from(storage.free_gb));
        }
        for gpu in &host.gpus {
            left.insert((host.id, format!("gpu {:?}", gpu.kind)), i128::from(gpu.free));
        }
    }
    left
}

proptest! {
    // A case is some dozen microseconds, and a rule is only seen to be kept where a request asks for it.
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn ranked_is_who_keeps_every_rule(request in any_request(), hosts in any_hosts()) {
        let placement = place(&request, &hosts);
        prop_assert_eq!(placement.ranked.len() + placement.rejected.len(), hosts.len());
        for choice in &placement.ranked {
            let host = find(&hosts, choice.host);
            for (name, rule) in RULES {
                prop_assert!(rule(&request, host, &hosts), "{} breaks {}", host.id, name);
            }
        }
        for (rejected, reason) in &placement.rejected {
            let host = find(&hosts, *rejected);
            prop_assert!(!RULES.iter().all(|(_, rule)| rule(&request, host, &hosts)), "{} breaks nothing", host.id);
            prop_assert!(is_true(reason, &request, host, &hosts), "it is not so that it {}", reason);
        }
    }

    #[test]
    fn a_choice_is_of_what_the_host_has(request in any_request(), hosts in any_hosts()) {
        for choice in place(&request, &hosts).ranked {
            let host = find(&hosts, choice.host);
            prop_assert!(choice.score <= 1_000_000);
            prop_assert_eq!(choice.storage.is_some(), request.storage.is_some());
            if let (Some(name), Some(wish)) = (&choice.storage, &request.storage) {
                let storage = host.storages.iter().find(|storage| storage.name == *name).unwrap();
                prop_assert!(suits(wish, storage) && storage.free_gb.max(0) >= request.needs.disk_gb);
            }
            let wish = request.gpu.as_ref().filter(|wish| wish.count > 0);
            prop_assert_eq!(choice.gpu.is_some(), wish.is_some());
            if let (Some(kind), Some(wish)) = (&choice.gpu, wish) {
                let gpu = host.gpus.iter().find(|gpu| gpu.kind == *kind).unwrap();
                prop_assert!(is_kind(wish, kind) && gpu.free >= wish.count);
            }
        }
    }

    #[test]
    fn the_order_of_what_is_given_does_not_matter(request in any_request(), hosts in any_hosts(), turn in 0usize..12) {
        let placement = place(&request, &hosts);
        prop_assert_eq!(&place(&request, &hosts), &placement);
        let mut turned = shuffled(hosts, turn);
        prop_assert_eq!(&place(&request, &turned), &placement);
        turned.reverse();
        prop_assert_eq!(&place(&request, &turned), &placement);
    }

    #[test]
    fn a_seed_only_orders_equals(request in any_request(), hosts in any_hosts(), seed in any::<u64>()) {
        let (one, other) = (place(&request, &hosts), place(&Request { seed, ..request.clone() }, &hosts));
        prop_assert!(one.ranked.windows(2).all(|pair| pair[0].score >= pair[1].score));
        let scores = |placement: &super::Placement| -> Vec<u32> {
            placement.ranked.iter().map(|choice| choice.score).collect()
        };
        prop_assert_eq!(scores(&one), scores(&other));
        prop_assert_eq!(one.rejected, other.rejected);
    }

    #[test]
    fn what_is_soft_rejects_nobody(request in any_request(), hosts in any_hosts()) {
        let soft = Request {
            group: request.group.clone().map(|wish| GroupWish { strictness: Strictness::Soft, ..wish }),
            headroom: request.headroom.map(|wish| Headroom { strictness: Strictness::Soft, ..wish }),
            ..request
        };
        let without = Request { group: None, headroom: None, weights: Weights::default(), ..soft.clone() };
        prop_assert_eq!(place(&soft, &hosts).rejected, place(&without, &hosts).rejected);
    }

    #[test]
    fn more_of_what_is_unwelcome_never_helps(request in any_request(), host in any_host(), more in 1u32..500) {
        let group = request.group.clone().map(|wish| GroupWish { keep: Keep::Apart, ..wish });
        let request = Request { group, required: None, avoid: Vec::new(), ..request };
        let score = |host: &Host| place(&request, std::slice::from_ref(host)).ranked.first().map(|choice| choice.score);
        let before = score(&host);
        let mut dearer = host.clone();
        dearer.cost = dearer.cost.saturating_add(more);
        prop_assert!(score(&dearer) <= before);
        let mut crowded = host;
        if let Some(wish) = &request.group { *crowded.groups.entry(wish.group.clone()).or_default() += more; }
        prop_assert!(score(&crowded) <= before);
    }

}

proptest! {
    #[test]
    fn a_fleet_is_never_over_capacity(
        hosts in any_fleet(),
        requests in prop::collection::vec((any_request(), any::<prop::sample::Index>()), 0..40),
    ) {
        let empty = Fleet::new(hosts);
        let floor = left(&empty);
        let (mut fleet, mut there) = (empty.clone(), Vec::new());
        for (request, nth) in &requests {
            if !there.is_empty() && nth.index(4) == 0 {
                fleet.give_back(&there.swap_remove(nth.index(there.len())));
            }
            let placement = fleet.place(request);
            for (host, reason) in &placement.rejected {
                // The second look agrees with the first.
                prop_assert_eq!(fleet.clone().take(request, *host), Err(reason.clone()));
            }
            if !placement.ranked.is_empty() {
                let choice = &placement.ranked[nth.index(placement.ranked.len())];
                let taken = fleet.take(request, choice.host).unwrap();
                prop_assert_eq!(&taken.storage, &choice.storage);
                there.push(taken);
            }
            for (place, left) in left(&fleet) {
                prop_assert!(left >= floor[&place].min(0), "{place:?} {left}");
            }
        }
        let expected: u128 = there.iter().map(|taken| u128::from(taken.needs.vcpus.unsigned_abs())).sum();
        let sum = |fleet: &Fleet| -> i128 { fleet.hosts().iter().map(|host| i128::from(host.reserved.vcpus)).sum() };
        prop_assert_eq!(sum(&fleet) - sum(&empty), i128::try_from(expected).unwrap());
        for taken in &there {
            fleet.give_back(taken);
        }
        prop_assert_eq!(fleet, empty);
    }
}
