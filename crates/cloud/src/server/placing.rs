//! What a server asks of a host, and what the hosts are to it: rows as `model::placement` looks at them.

use model::catalogue::{Gpus, Placing};
use model::placement::{
    Gpu, GpuKind, GpuWish, GroupWish, Host, HostState, Keep, Request, Resources, Sharing, Storage, StorageWish,
    Strictness, Word,
};
use model::states::{GroupPolicy, GuestKind};
use store::servers::{Candidate, Work};
use workflow::Fault;

/// What a server asks of a host, wherever it comes from.
pub(super) fn wanted(work: &Work, candidates: &[Candidate]) -> Result<Request, Fault> {
    let placing: Option<Placing> = work.placing.clone().map(serde_json::from_value).transpose().map_err(|error| {
        Fault::bug(format!("how region {} places its servers cannot be read: {error}", work.region))
    })?;
    let Placing { preference, headroom, weights } = placing.unwrap_or_default();
    Ok(Request {
        needs: amount((i64::from(work.vcpus), i64::from(work.memory_mib), i64::from(work.disk_gb))),
        storage: storage_wish(work, candidates),
        group: work.group.as_ref().map(|group| GroupWish {
            group: group.name.as_str().into(),
            keep: Keep::Apart,
            strictness: match group.policy {
                GroupPolicy::AntiAffinity => Strictness::Hard,
                GroupPolicy::SoftAntiAffinity => Strictness::Soft,
            },
        }),
        gpu: work.gpus.as_ref().map(|gpus| GpuWish {
            model: Some(gpus.mapping.as_str().into()),
            vram_mib: vram(gpus),
            count: gpus.count,
        }),
        preference,
        headroom,
        weights,
        seed: u64::from(work.id.0.unsigned_abs()),
        ..Request::default()
    })
}

/// Where the provider has named storages, a host without one that keeps the server's disk will not do.
fn storage_wish(work: &Work, candidates: &[Candidate]) -> Option<StorageWish> {
    let content = match work.guest {
        GuestKind::Machine => "images",
        GuestKind::Container => "rootdir",
    };
    let named = candidates.iter().any(|host| host.storage.is_some());
    named.then(|| StorageWish { content: Some(content.into()), ..StorageWish::default() })
}

/// The hosts as placement looks at them.
pub(super) fn hosts(work: &Work, candidates: &[Candidate]) -> Vec<Host> {
    let group: Option<Word> = work.group.as_ref().map(|group| group.name.as_str().into());
    let gpus = work.gpus.as_ref();
    candidates.iter().map(|candidate| Host { gpus: free(candidate, gpus), ..host(candidate, group.as_ref()) }).collect()
}

/// The GPUs of the kind that the server gets; of others nothing is known, because nothing is asked.
fn free(candidate: &Candidate, gpus: Option<&Gpus>) -> Vec<Gpu> {
    let kind = |gpus: &Gpus| GpuKind { vram_mib: vram(gpus), model: gpus.mapping.as_str().into() };
    let free = |free: i64| u32::try_from(free).unwrap_or(u32::MAX);
    gpus.zip(candidate.free_gpus).map(|(gpus, count)| Gpu { kind: kind(gpus), free: free(count) }).into_iter().collect()
}

/// MiB of each.
fn vram(gpus: &Gpus) -> i64 {
    i64::from(gpus.vram_gib) << 10
}

fn host(candidate: &Candidate, group: Option<&Word>) -> Host {
    let architecture = candidate.architecture.as_deref();
    let company = u32::try_from(candidate.company).unwrap_or(u32::MAX);
    Host {
        state: if candidate.up { HostState::Up } else { HostState::Maintenance },
        reserved: amount(candidate.reserved),
        architecture: architecture.and_then(|word| serde_json::from_value(word.into()).ok()),
        tags: words(&candidate.tags).collect(),
        storages: storage(candidate).into_iter().collect(),
        groups: group.filter(|_| company > 0).map(|group| (group.clone(), company)).into_iter().collect(),
        ..Host::new(candidate.id, amount(candidate.capacity))
    }
}

/// What may be sold of the storage is what may be sold of the host's disk.
fn storage(candidate: &Candidate) -> Option<Storage> {
    let seen = candidate.storage.as_ref()?;
    let (.., total_gb) = candidate.capacity;
    Some(Storage {
        name: seen.name.as_str().into(),
        technique: seen.technique.as_str().into(),
        content: words(&seen.content).collect(),
        sharing: if seen.shared { Sharing::Shared } else { Sharing::Local },
        total_gb,
        free_gb: total_gb.saturating_sub(seen.reserved_gb),
    })
}

fn words(texts: &[String]) -> impl Iterator<Item = Word> {
    texts.iter().map(|text| text.as_str().into())
}

fn amount((vcpus, memory_mib, disk_gb): (i64, i64, i64)) -> Resources {
    Resources { vcpus, memory_mib, disk_gb }
}
