//! What one decision about a host costs where there are many: pure computation, so no daemon and no database.

use crate::table::{Table, percentile};
use anyhow::{Context, Result, bail};
use model::catalogue::Architecture;
use model::ids::HostId;
use model::placement::{
    Fleet, Gpu, GpuKind, GpuWish, GroupWish, Headroom, Host, Keep, Preference, Reason, Request, Resources, Sharing,
    Storage, StorageWish, Strictness, Taken, Word,
};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

const HOSTS: u64 = 1_000;
const GUESTS: usize = 50_000;
const DECISIONS: u64 = 5_000;
/// So many guests are of one group.
const GROUP: u64 = 10;

/// Fills a fleet, then has servers come and go in it: each decision is followed by its placement, and the oldest server
/// goes. Timed are the decision alone and what keeps the sums up to date.
pub(crate) fn measure(table: &mut Table) -> Result<()> {
    let mut fleet = Fleet::new((0..HOSTS).map(host).collect::<Result<_>>()?);
    let mut there = full(&mut fleet)?;
    let (mut decisions, mut changes, mut refused) = (Vec::new(), Vec::new(), 0);
    for n in 0..DECISIONS {
        let request = asked(n);
        let began = Instant::now();
        let placement = fleet.place(&request);
        decisions.push(began.elapsed());
        if placement.ranked.len() + placement.rejected.len() != fleet.hosts().len() {
            bail!("a decision left hosts out");
        }
        let Some(choice) = placement.ranked.first() else {
            refused += 1;
            continue;
        };
        let began = Instant::now();
        let taken = fleet.take(&request, choice.host).map_err(|reason| refusal(choice.host, &reason))?;
        there.push_back(taken);
        fleet.give_back(&there.pop_front().context("a fleet without servers")?);
        changes.push(began.elapsed());
    }
    table.count("placement_hosts", HOSTS);
    table.count("placement_guests", u64::try_from(there.len())?);
    table.count("placement_decisions", DECISIONS);
    table.count("placement_without_a_host", refused);
    table.number("placement_p50_us", micros(percentile(&mut decisions, 50)));
    table.number("placement_p99_us", micros(percentile(&mut decisions, 99)));
    table.number("placement_slowest_us", micros(percentile(&mut decisions, 100)));
    table.number("placement_take_and_give_back_p99_us", micros(percentile(&mut changes, 99)));
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000_000.0
}

fn refusal(host: HostId, reason: &Reason) -> anyhow::Error {
    anyhow::anyhow!("host {host} {reason}")
}

/// Every guest goes to the next host that takes it.
fn full(fleet: &mut Fleet) -> Result<VecDeque<Taken>> {
    let ids: Vec<HostId> = fleet.hosts().iter().map(|host| host.id).collect();
    let mut turns = ids.iter().cycle();
    let mut there = VecDeque::with_capacity(GUESTS + 1);
    let mut tries = 0;
    for n in (0_u64..).take(GUESTS) {
        let request = plain(n);
        let taken = loop {
            tries += 1;
            if tries > 2 * GUESTS {
                bail!("the fleet of the bench has no room for its guests");
            }
            if let Some(taken) = turns.next().and_then(|host| fleet.take(&request, *host).ok()) {
                break taken;
            }
        };
        there.push_back(taken);
    }
    Ok(there)
}

/// Of four makes, as an installation has them that has grown: a tenth ARM, a twentieth with GPUs, three techniques of
/// storage, 96 to 384 vCPUs for sale.
fn host(n: u64) -> Result<Host> {
    let size = 1 + i64::try_from(n % 4).unwrap_or_default();
    let words = |words: &[&str]| words.iter().map(|word| Word::from(*word)).collect();
    let storage = |name: &str, technique: &str, content: &[&str], sharing, total_gb| Storage {
        name: name.into(),
        technique: technique.into(),
        content: words(content),
        sharing,
        total_gb,
        free_gb: total_gb,
    };
    let mut storages = vec![storage("local", "dir", &["iso", "vztmpl", "backup"], Sharing::Local, 200)];
    storages.push(match n % 3 {
        0 => storage("local-zfs", "zfspool", &["images", "rootdir"], Sharing::Local, 8_000 * size),
        1 => storage("local-lvm", "lvmthin", &["images", "rootdir"], Sharing::Local, 8_000 * size),
        _ => storage("ceph", "rbd", &["images", "rootdir"], Sharing::Shared, 8_000_000),
    });
    let kind = GpuKind { vram_mib: 48_000, model: "nvidia_l40s".into() };
    // Spread over their range, as the ids of hosts that came one by one are not: the worse case.
    let id = format!("{:016x}{n:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).parse()?;
    let capacity = Resources { vcpus: 96 * size, memory_mib: 256 * 1_024 * size, disk_gb: 8_000 * size };
    Ok(Host {
        architecture: Some(if n % 10 == 9 { Architecture::Arm } else { Architecture::X86 }),
        features: words(&["containers", "nested"]),
        tags: words(if n.is_multiple_of(2) { &["row-1", "nvme"] } else { &["row-2", "sata"] }),
        gpus: if n % 20 == 7 { vec![Gpu { kind, free: 8 }] } else { Vec::new() },
        cost: u32::try_from(n * 7 % 1_000).unwrap_or_default(),
        storages,
        ..Host::new(id, capacity)
    })
}

/// The server without a special wish.
fn plain(n: u64) -> Request {
    let size = 1 << (n % 8 / 3);
    Request {
        needs: Resources { vcpus: size, memory_mib: 2_048 * size, disk_gb: 20 * size },
        architecture: (n % 10 != 9).then_some(Architecture::X86),
        storage: Some(StorageWish { content: Some("images".into()), ..StorageWish::default() }),
        group: Some(GroupWish {
            group: format!("group {}", n / GROUP).into(),
            keep: Keep::Apart,
            strictness: Strictness::Soft,
        }),
        seed: n,
        ..Request::default()
    }
}

/// What comes while it is timed: every wish that there is, in turn.
fn asked(n: u64) -> Request {
    let mut request = Request { headroom: Some(Headroom { percent: 10, strictness: Strictness::Soft }), ..plain(n) };
    match n % 8 {
        0 => request.tags = vec!["nvme".into()],
        1 => request.forbidden_tags = vec!["row-1".into()],
        2 => request.features = vec!["nested".into(), "containers".into()],
        3 => request.gpu = Some(GpuWish { model: Some("nvidia_l40s".into()), vram_mib: 24_000, count: 1 }),
        4 => request.group.iter_mut().for_each(|wish| wish.strictness = Strictness::Hard),
        5 => request.storage.iter_mut().for_each(|wish| wish.techniques = vec!["zfspool".into(), "rbd".into()]),
        6 => request.preference = Preference::Pack,
        _ => request.group = None,
    }
    request
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fleet_holds_its_guests_and_has_room_for_more() {
        let mut fleet = Fleet::new((0..HOSTS).map(host).collect::<Result<_>>().unwrap());
        assert_eq!(fleet.hosts().len(), 1_000);
        assert_eq!(full(&mut fleet).unwrap().len(), GUESTS);
        for n in 0..8 {
            assert!(!fleet.place(&asked(n)).ranked.is_empty(), "{n}");
        }
    }
}
