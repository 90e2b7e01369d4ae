//! What else a look at a region shows: its storages, and the guests there that are not ours.

use model::ids::RegionSlug;
use provider::{GuestKind, GuestPower, Inventory, Stranger};
use store::Tx;
use store::storages::StorageSeen;
use store::strangers::StrangerSeen;
use workflow::Fault;

/// Writes both down, in place of the last look.
pub(super) async fn record(tx: &mut Tx, region: &RegionSlug, inventory: &Inventory) -> Result<(), Fault> {
    let storages: Vec<StorageSeen> = inventory.storages.iter().map(storage).collect();
    store::storages::record(tx, region, &storages).await?;
    let strangers: Vec<StrangerSeen> = inventory.strangers.iter().map(stranger).collect();
    store::strangers::record(tx, region, &strangers).await?;
    store::guest_numbers::forget_strangers(tx, region).await?;
    Ok(())
}

fn storage(seen: &provider::StorageSeen) -> StorageSeen {
    let bytes = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    StorageSeen {
        name: seen.name.clone(),
        host: seen.host.clone(),
        technique: seen.technique.clone(),
        content: seen.content.clone(),
        total_bytes: bytes(seen.total_bytes),
        used_bytes: bytes(seen.used_bytes),
        online: seen.online,
        used_for_guests: seen.used_for_guests,
    }
}

fn stranger(seen: &Stranger) -> StrangerSeen {
    let amount = |amount: u32| i32::try_from(amount).unwrap_or(i32::MAX);
    let power = seen.power.map(|power| match power {
        GuestPower::Running => "running",
        GuestPower::Stopped => "stopped",
    });
    let kind = match seen.kind {
        GuestKind::Machine => "machine",
        GuestKind::Container => "container",
    };
    StrangerSeen {
        host: seen.host.clone(),
        name: seen.name.clone(),
        kind: kind.to_owned(),
        title: seen.title.clone(),
        power: power.map(str::to_owned),
        vcpus: amount(seen.resources.vcpus),
        memory_mib: amount(seen.resources.memory_mib),
        disk_gb: amount(seen.resources.disk_gb),
        owner: seen.owner.clone(),
    }
}
