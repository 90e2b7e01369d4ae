//! Regions: what their providers say of them, written down for placement and for requests.

use model::ids::RegionSlug;
use model::placement::{Overcommit, Resources};
use provider::{Capabilities, Inventory};
use serde::Deserialize;
use store::Store;
use store::hosts::Host;
use workflow::Fault;

/// The part of a region's settings that says how much of a host is sold.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
struct Sales {
    overcommit: Overcommit,
}

/// Writes down a region's hosts (as they may be sold) and capabilities.
pub async fn record_hosts(
    store: &Store,
    region: &RegionSlug,
    inventory: &Inventory,
    capabilities: Capabilities,
) -> Result<(), Fault> {
    let mut tx = store.begin().await?;
    let settings = store::hosts::settings(&mut tx, region).await?.unwrap_or_else(|| serde_json::json!({}));
    let sales: Sales = serde_json::from_value(settings)
        .map_err(|error| Fault::bug(format!("the settings of region {region} cannot be read: {error}")))?;
    let whole = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let sold = |host: &provider::HostSeen| {
        sales.overcommit.sellable(Resources {
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
        })
        .collect();
    store::hosts::record(&mut tx, region, &hosts).await?;
    let said = serde_json::to_value(capabilities).unwrap_or_default();
    store::hosts::record_capabilities(&mut tx, region, &said).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
