//! What a look at a region says of its hosts, and what it means when looking fails.

use model::healing::Healing;
use model::ids::RegionSlug;
use model::placement::{Overcommit, Resources};
use provider::{Capabilities, Inventory};
use serde::Deserialize;
use store::alerts::{self, Severity};
use store::hosts::Host;
use store::{Store, Tx};
use workflow::Fault;

/// Looks that fail in a row before operators are told: a restart of the provider is shorter.
const TOLD_AFTER: i32 = 3;

/// A region's policy.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Policy {
    /// How much of a host is sold.
    overcommit: Overcommit,
    /// Of what operators are told.
    pub(crate) watch: Watch,
    /// What is put right by itself.
    pub(crate) heal: Healing,
}

/// Of what operators are told beside what is always wrong.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Watch {
    /// Guests that were stopped behind our back. Also a guest's own doing, hence not told of by itself.
    pub(crate) stopped: bool,
}

/// The region's policy as stored.
pub(crate) async fn settings(tx: &mut Tx, region: &RegionSlug) -> Result<Policy, Fault> {
    let settings = store::hosts::settings(tx, region).await?.unwrap_or_else(|| serde_json::json!({}));
    serde_json::from_value(settings)
        .map_err(|error| Fault::bug(format!("the policy of region {region} cannot be read: {error}")))
}

/// Writes down a region's hosts (as they may be sold) and capabilities.
pub async fn record_hosts(
    store: &Store,
    region: &RegionSlug,
    inventory: &Inventory,
    capabilities: Capabilities,
) -> Result<(), Fault> {
    let mut tx = store.begin().await?;
    record(&mut tx, region, inventory, capabilities).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// The part of it that happens in a transaction.
pub(crate) async fn record(
    tx: &mut Tx,
    region: &RegionSlug,
    inventory: &Inventory,
    capabilities: Capabilities,
) -> Result<(), Fault> {
    let policy = settings(tx, region).await?;
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let sold = |host: &provider::HostSeen| {
        policy.overcommit.sellable(Resources {
            vcpus: i64::from(host.cpus),
            memory_mib: whole(host.memory_mib),
            disk_gb: whole(host.disk_gb),
        })
    };
    let hosts: Vec<Host> = inventory
        .hosts
        .iter()
        .map(|host| (host, sold(host)))
        .map(|(host, sold)| Host {
            name: host.name.clone(),
            vcpus: i32::try_from(sold.vcpus).unwrap_or(i32::MAX),
            memory_mib: sold.memory_mib,
            disk_gb: sold.disk_gb,
            online: host.online,
            version: host.version.clone(),
            architecture: host.architecture.clone(),
            gpus: gpus(host),
        })
        .collect();
    store::hosts::record(tx, region, &hosts).await?;
    let said = serde_json::to_value(capabilities).unwrap_or_default();
    store::hosts::record_capabilities(tx, region, &said).await?;
    Ok(())
}

/// A host's GPUs. They are never sold twice, whatever the region's overcommit is.
fn gpus(host: &provider::HostSeen) -> Vec<(String, i32)> {
    let some = host.gpus.iter().filter(|gpus| gpus.count > 0);
    some.map(|gpus| (gpus.mapping.clone(), i32::try_from(gpus.count).unwrap_or(i32::MAX))).collect()
}

/// A region could not be connected or looked at. Operators are told when it happens again and again.
pub async fn unreachable(store: &Store, region: &RegionSlug, error: &str) -> Result<(), Fault> {
    let mut tx = store.begin().await?;
    if store::regions::record_failed(&mut tx, region, error).await? >= TOLD_AFTER {
        let message =
            format!("region {region} cannot be used: {error}; `cairn admin region test {region}` looks at it again");
        alerts::raise_as(&mut tx, Severity::Error, "region_unreachable", &format!("region:{region}"), &message).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
