//! What an operator would expect, case by case.

use super::{
    Choice, Fleet, Gpu, GpuKind, GpuWish, GroupWish, Headroom, Host, HostState, Keep, Overcommit, Placement,
    Preference, Reason, Request, Resource, Resources, Sharing, Storage, StorageLack, StorageWish, Strictness, Weights,
    Word, place,
};
use crate::catalogue::Architecture;
use crate::ids::HostId;
use crate::refusal::Code;
use uuid::Uuid;

fn id(n: u128) -> HostId {
    HostId(Uuid::from_u128(n))
}

fn of(vcpus: i64, memory_mib: i64, disk_gb: i64) -> Resources {
    Resources { vcpus, memory_mib, disk_gb }
}

fn host(n: u128, reserved: i64) -> Host {
    Host { reserved: of(reserved, reserved, reserved), ..Host::new(id(n), of(10, 10, 10)) }
}

fn request(preference: Preference) -> Request {
    let weights = Weights { cost: 0, ..Weights::default() };
    Request { needs: of(1, 1, 1), preference, weights, ..Request::default() }
}

fn order(request: &Request, hosts: &[Host]) -> Vec<HostId> {
    place(request, hosts).ranked.iter().map(|choice| choice.host).collect()
}

/// The only host's reason.
fn reason(request: &Request, host: &Host) -> Reason {
    let placement = place(request, std::slice::from_ref(host));
    assert_eq!(placement.ranked, []);
    placement.rejected[0].1.clone()
}

fn only(request: &Request, host: &Host) -> Choice {
    let placement = place(request, std::slice::from_ref(host));
    assert_eq!(placement.rejected, []);
    placement.ranked[0].clone()
}

#[test]
fn spread_takes_the_emptiest_and_pack_the_fullest() {
    let hosts = [host(1, 5), host(2, 2), host(3, 9), host(4, 10)];
    assert_eq!(order(&request(Preference::Spread), &hosts), [id(2), id(1), id(3)]);
    assert_eq!(order(&request(Preference::Pack), &hosts), [id(3), id(1), id(2)]);
    let spread = place(&request(Preference::Spread), &hosts);
    assert_eq!(spread.ranked[0].score, 700_000);
    assert_eq!(spread.rejected, [(id(4), Reason::Room { what: Resource::Vcpus, needed: 1, free: 0 })]);
    assert_eq!(spread.rejected[0].1.to_string(), "has 0 vCPUs free of 1 needed");
}

#[test]
fn the_scarcest_resource_decides() {
    let mut lopsided = host(1, 0);
    lopsided.reserved.disk_gb = 8;
    assert_eq!(order(&request(Preference::Spread), &[lopsided.clone(), host(2, 5)])[0], id(2));
    lopsided.reserved.disk_gb = 10;
    let reason = reason(&request(Preference::Spread), &lopsided);
    assert_eq!(reason.to_string(), "has 0 GB of disk free of 1 needed");
}

#[test]
fn states_and_wishes() {
    let mut hosts = [host(1, 0), host(2, 0), host(3, 0), host(4, 0)];
    hosts[1].state = HostState::Maintenance;
    hosts[2].state = HostState::Gone;
    let avoiding = Request { avoid: vec![id(4)], ..request(Preference::Spread) };
    let placement = place(&avoiding, &hosts);
    assert_eq!(placement.ranked.len(), 1);
    let said: Vec<_> = placement.rejected.iter().map(|(host, reason)| (*host, reason.to_string())).collect();
    let expected = [(id(2), "is in maintenance"), (id(3), "has not been seen"), (id(4), "is to be avoided")];
    assert_eq!(said, expected.map(|(host, reason)| (host, reason.to_owned())));
    let only = Request { required: Some(id(4)), ..request(Preference::Spread) };
    assert_eq!(order(&only, &hosts), [id(4)]);
    assert_eq!(reason(&only, &hosts[0]).to_string(), "is not the required host");
    assert_eq!(Placement::refusal().code, Code::NoCapacity);
}

#[test]
fn seeds_share_equal_hosts_out() {
    let hosts: Vec<_> = (0..4).map(|n| host(n, 0)).collect();
    let mut first = std::collections::HashMap::new();
    for seed in 0..400 {
        let order = order(&Request { seed, ..request(Preference::Spread) }, &hosts);
        *first.entry(order[0]).or_insert(0) += 1;
    }
    assert!(first.len() == 4 && first.values().all(|count| *count > 50), "{first:?}");
}

#[test]
fn overcommit() {
    let twice = Overcommit { vcpus_percent: 250, memory_percent: 100, disk_percent: 90 };
    assert_eq!(twice.sellable(of(3, 1000, 11)), of(7, 1000, 9));
    assert_eq!(twice.sellable(of(i64::MAX, -5, 0)), of(i64::MAX, 0, 0));
}

#[test]
fn kinds_of_hosts() {
    let asks = Request {
        architecture: Some(Architecture::Arm),
        features: vec!["containers".into()],
        tags: vec!["ssd".into()],
        forbidden_tags: vec!["old".into()],
        ..request(Preference::Spread)
    };
    let mut host = host(1, 0);
    let said = |host: &Host| reason(&asks, host).to_string();
    assert_eq!(said(&host), "has a processor of which nobody said that it is aarch64");
    host.architecture = Some(Architecture::X86);
    assert_eq!(said(&host), "has a processor of x86_64, not aarch64");
    host.architecture = Some(Architecture::Arm);
    assert_eq!(said(&host), "does not offer containers");
    host.features.insert("containers".into());
    assert_eq!(said(&host), "does not have the tag ssd");
    host.tags.extend(["ssd".into(), "old".into()]);
    assert_eq!(said(&host), "has the tag old, which is not wanted");
    host.tags.remove("old");
    only(&asks, &host);
}

fn storage(name: &str, technique: &str, content: &str, free_gb: i64) -> Storage {
    Storage {
        name: name.into(),
        technique: technique.into(),
        content: content.split(' ').map(Word::from).collect(),
        sharing: if technique == "rbd" { Sharing::Shared } else { Sharing::Local },
        total_gb: 100,
        free_gb,
    }
}

#[test]
fn storages_by_what_is_wished() {
    let mut host = host(1, 0);
    host.storages = vec![
        storage("local", "dir", "iso backup", 90),
        storage("local-zfs", "zfspool", "images rootdir", 7),
        storage("ceph", "rbd", "images", 40),
    ];
    let asks = |preference, wish: StorageWish| Request { storage: Some(wish), ..request(preference) };
    let content = |content: &str| StorageWish { content: Some(content.into()), ..StorageWish::default() };
    let chosen = |asks: &Request| only(asks, &host).storage.unwrap().to_string();
    assert_eq!(chosen(&asks(Preference::Spread, content("images"))), "ceph");
    assert_eq!(chosen(&asks(Preference::Pack, content("images"))), "local-zfs");
    assert_eq!(chosen(&asks(Preference::Spread, StorageWish::default())), "local");
    let own = StorageWish { sharing: Some(Sharing::Local), ..content("images") };
    assert_eq!(chosen(&asks(Preference::Spread, own.clone())), "local-zfs");

    let lacks = |disk_gb, wish: &StorageWish| {
        let needs = of(1, 1, disk_gb);
        reason(&Request { needs, ..asks(Preference::Spread, wish.clone()) }, &host).to_string()
    };
    assert_eq!(lacks(8, &own), "has 7 GB free on its storages of 8 needed on one");
    assert_eq!(lacks(1, &content("snippets")), "has no such storage for snippets");
    assert_eq!(lacks(1, &StorageWish { name: Some("nfs".into()), ..own.clone() }), "has no storage nfs");
    let thick = StorageWish { techniques: vec!["lvm".into()], ..own.clone() };
    assert_eq!(lacks(1, &thick), "has no such storage of the wanted technique");
    let shared = StorageWish { sharing: Some(Sharing::Shared), ..content("rootdir") };
    assert_eq!(lacks(1, &shared), "has no such storage that it shares with other hosts");
    let shared_directory = StorageWish { name: Some("ceph".into()), ..own };
    assert_eq!(lacks(1, &shared_directory), "has no such storage of its own");
    host.storages.clear();
    let lack = reason(&asks(Preference::Spread, StorageWish::default()), &host);
    assert_eq!((lack.to_string().as_str(), lack), ("has no storage", Reason::Storage(StorageLack::Any)));
}

#[test]
fn a_full_storage_makes_a_host_less_welcome() {
    let with = |n, free| Host { storages: vec![storage("zfs", "zfspool", "images", free)], ..host(n, 2) };
    let asks = Request { storage: Some(StorageWish::default()), ..request(Preference::Spread) };
    assert_eq!(order(&asks, &[with(1, 10), with(2, 60)]), [id(2), id(1)]);
}

fn gpu(model: &str, vram_mib: i64, free: u32) -> Gpu {
    Gpu { kind: GpuKind { vram_mib, model: model.into() }, free }
}

#[test]
fn the_smallest_gpu_that_will_do() {
    let mut host = host(1, 0);
    let asks = |model: Option<&str>, vram_mib, count| Request {
        gpu: Some(GpuWish { model: model.map(Word::from), vram_mib, count }),
        ..request(Preference::Spread)
    };
    assert_eq!(reason(&asks(None, 1, 1), &host).to_string(), "has no GPU with 1 MiB or more");
    host.gpus = vec![gpu("large", 80_000, 4), gpu("small", 24_000, 1)];
    let model = |asks: &Request| only(asks, &host).gpu.unwrap().model.to_string();
    assert_eq!(model(&asks(None, 20_000, 1)), "small");
    assert_eq!(model(&asks(None, 20_000, 2)), "large");
    assert_eq!(model(&asks(Some("large"), 0, 1)), "large");
    assert_eq!(only(&asks(None, 0, 0), &host).gpu, None);
    let lack = |asks: &Request| reason(asks, &host).to_string();
    assert_eq!(lack(&asks(Some("small"), 0, 2)), "has 1 GPUs of the kind free of 2 needed");
    assert_eq!(lack(&asks(Some("small"), 30_000, 1)), "has no GPU small with 30000 MiB or more");
}

#[test]
fn groups_keep_apart_and_together() {
    let hosts = [host(1, 8), host(2, 0), host(3, 0)].map(|mut host| {
        if host.id == id(2) {
            host.groups.insert("web".into(), 1);
        }
        if host.id == id(3) {
            host.groups.insert("web".into(), 2);
        }
        host
    });
    let asks = |group: &str, keep, strictness| Request {
        group: Some(GroupWish { group: group.into(), keep, strictness }),
        ..request(Preference::Spread)
    };
    assert_eq!(order(&asks("web", Keep::Apart, Strictness::Hard), &hosts), [id(1)]);
    assert_eq!(order(&asks("web", Keep::Apart, Strictness::Soft), &hosts), [id(1), id(2), id(3)]);
    assert_eq!(order(&asks("web", Keep::Together, Strictness::Soft), &hosts), [id(3), id(2), id(1)]);
    let mut together = order(&asks("web", Keep::Together, Strictness::Hard), &hosts);
    together.sort();
    assert_eq!(together, [id(2), id(3)]);
    assert_eq!(order(&asks("first of its kind", Keep::Together, Strictness::Hard), &hosts).len(), 3);
    let reasons = |keep, strictness| place(&asks("web", keep, strictness), &hosts).rejected[0].1.to_string();
    let apart = "carries 1 of group web, whose servers are to be kept apart";
    assert_eq!(reasons(Keep::Apart, Strictness::Hard), apart);
    let together = "carries none of group web, whose servers are to be kept together";
    assert_eq!(reasons(Keep::Together, Strictness::Hard), together);
}

#[test]
fn members_on_a_host_in_maintenance_still_tie() {
    let mut hosts = [host(1, 0), host(2, 0)];
    hosts[0].groups.insert("web".into(), 1);
    hosts[0].state = HostState::Maintenance;
    let group = GroupWish { group: "web".into(), keep: Keep::Together, strictness: Strictness::Hard };
    let placement = place(&Request { group: Some(group), ..request(Preference::Spread) }, &hosts);
    assert_eq!(placement.ranked, []);
}

#[test]
fn headroom_is_left() {
    let asks =
        |strictness| Request { headroom: Some(Headroom { percent: 40, strictness }), ..request(Preference::Pack) };
    let hosts = [host(1, 8), host(2, 5), host(3, 2)];
    assert_eq!(order(&asks(Strictness::Hard), &hosts), [id(2), id(3)]);
    assert_eq!(order(&asks(Strictness::Soft), &hosts), [id(2), id(3), id(1)]);
    assert_eq!(order(&request(Preference::Pack), &hosts), [id(1), id(2), id(3)]);
    let said = reason(&asks(Strictness::Hard), &hosts[0]).to_string();
    assert_eq!(said, "would have 1 vCPUs left, less than the 40 % that are to stay free");
    let plain = request(Preference::Spread);
    let none = Headroom { percent: 0, strictness: Strictness::Soft };
    let full =
        only(&Request { headroom: Some(none), weights: Weights { room: 0, ..plain.weights }, ..plain }, &host(1, 9));
    assert_eq!(full.score, 1_000_000, "nothing was to be left, and nothing is");
    let nothing = Request { needs: Resources::default(), ..asks(Strictness::Hard) };
    assert_eq!(order(&nothing, &hosts).len(), 3);
}

#[test]
fn dear_hosts_come_last_where_cost_counts() {
    let hosts = [Host { cost: 900, ..host(1, 0) }, host(2, 2)];
    let asks = request(Preference::Spread);
    assert_eq!(order(&asks, &hosts), [id(1), id(2)]);
    assert_eq!(order(&Request { weights: Weights::default(), ..asks.clone() }, &hosts), [id(2), id(1)]);
    let nothing_counts = Weights { room: 0, group: 0, headroom: 0, cost: 0 };
    let scores = place(&Request { weights: nothing_counts, ..asks }, &hosts).ranked;
    assert!(scores.len() == 2 && scores.iter().all(|choice| choice.score == 0));
}

#[test]
fn huge_amounts_are_compared_and_not_wrapped() {
    let half = Host { reserved: of(i64::MAX / 2, 0, 0), ..Host::new(id(1), of(i64::MAX, i64::MAX, i64::MAX)) };
    let choice = only(&request(Preference::Spread), &half);
    assert!((499_000..=501_000).contains(&choice.score), "{choice:?}");
}

#[test]
fn a_fleet_fills_and_empties() {
    let mut hosts = [host(1, 0), host(2, 0), host(2, 9)].map(|mut host| {
        host.storages = vec![storage("ceph", "rbd", "images", 3)];
        host.gpus = vec![gpu("small", 24_000, 1)];
        host
    });
    hosts[1].storages.insert(0, storage("zfs", "zfspool", "images", 1));
    let fresh = Fleet::new(hosts.to_vec());
    assert_eq!(fresh.hosts().len(), 2);
    let asks = Request {
        needs: of(1, 1, 2),
        storage: Some(StorageWish { sharing: Some(Sharing::Shared), ..StorageWish::default() }),
        gpu: Some(GpuWish { model: None, vram_mib: 0, count: 1 }),
        group: Some(GroupWish { group: "web".into(), keep: Keep::Apart, strictness: Strictness::Hard }),
        ..request(Preference::Spread)
    };
    let mut fleet = fresh.clone();
    assert_eq!(fleet.take(&asks, id(7)), Err(Reason::State(HostState::Gone)));
    let taken = fleet.take(&asks, id(1)).unwrap();
    assert_eq!(fleet.hosts()[0].reserved, of(1, 1, 2));
    assert_eq!((fleet.hosts()[0].gpus[0].free, fleet.hosts()[0].members("web")), (0, 1));
    // The storage is one, so it is as full for the other host.
    let free: Vec<_> = fleet.hosts()[1].storages.iter().map(|storage| storage.free_gb).collect();
    assert_eq!(free, [1, 1]);
    let placement = fleet.place(&asks);
    assert_eq!(placement.ranked, []);
    assert_eq!(placement.rejected[1].1, Reason::Storage(StorageLack::Room { needed: 2, free: 1 }));
    assert!(fleet.take(&asks, id(2)).is_err());
    fleet.give_back(&taken);
    assert_eq!(fleet, fresh);
}
