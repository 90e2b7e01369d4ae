//! Regions: what their providers say of them, written down for placement and for requests.

use model::ids::RegionSlug;
use provider::{Capabilities, Inventory};
use serde::Deserialize;
use store::Store;
use store::hosts::Host;
use workflow::Fault;

/// The part of a region's settings that says how much of a host is sold.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default)]
struct Overcommit {
    /// vCPUs sold for each thread that the host can run at once.
    cpu_overcommit: f64,
    /// MiB sold for each MiB that the host has.
    memory_overcommit: f64,
    /// GB sold for each GB of disk: overlays are thin, so more than one is usual.
    disk_overcommit: f64,
}

impl Default for Overcommit {
    fn default() -> Self {
        Self { cpu_overcommit: 8.0, memory_overcommit: 1.0, disk_overcommit: 2.0 }
    }
}

/// `has × factor`, never negative, never beyond what the column holds.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)] // saturates by design, and 2⁵³ MiB is 8 ZiB
fn sold(has: u64, factor: f64) -> i64 {
    (has as f64 * factor.clamp(0.0, 1000.0)).floor() as i64
}

/// Writes down a region's hosts (as they may be sold) and capabilities.
pub async fn record_hosts(
    store: &Store,
    region: &RegionSlug,
    inventory: &Inventory,
    capabilities: Capabilities,
) -> Result<(), Fault> {
    let mut tx = store.begin().await?;
    let settings = store::hosts::settings(&mut tx, region).await?.unwrap_or_default();
    let factors: Overcommit = serde_json::from_value(settings).unwrap_or_default();
    let hosts: Vec<Host> = inventory
        .hosts
        .iter()
        .map(|host| Host {
            name: host.name.clone(),
            vcpus: i32::try_from(sold(u64::from(host.cpus), factors.cpu_overcommit)).unwrap_or(i32::MAX),
            memory_mib: sold(host.memory_mib, factors.memory_overcommit),
            disk_gb: sold(host.disk_gb, factors.disk_overcommit),
            online: host.online,
        })
        .collect();
    store::hosts::record(&mut tx, region, &hosts).await?;
    let said = serde_json::to_value(capabilities).unwrap_or_default();
    store::hosts::record_capabilities(&mut tx, region, &said).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
