//! The one writer of what was seen of servers.
//!
//! A step that has just looked writes through [`saw`], in its own transaction; the observer of a region looks at
//! everything ([`region`]) and writes through the same function, under generations drawn before looking. What is as it was
//! costs one statement for all of it; only changes cost one each.

use super::drift::{self, Alarm};
use crate::site::{self, Site};
use model::ids::{RegionSlug, ServerId};
use provider::{Inventory, Sighting};
use std::collections::{HashMap, HashSet};
use store::Tx;
use store::servers::{Seen, Watched};
use workflow::Fault;

/// Writes what a step saw just now.
pub async fn saw(tx: &mut Tx, server: ServerId, sighting: &Sighting) -> Result<(), Fault> {
    store::servers::record(tx, server, None, &site::seen(sighting)).await?;
    Ok(())
}

/// What one scan of a region came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Guests of ours that were seen.
    pub guests: usize,
    /// Servers about which something new was seen.
    pub changed: usize,
    /// Servers whose guest was not there.
    pub missing: usize,
    /// Servers that were found on another host.
    pub moved: usize,
}

/// Looks at a whole region: hosts, storages, strangers, then guests. What drifted raises alerts; where a guest was moved,
/// the books follow; nothing else is repaired behind its tenant's back.
pub async fn region(site: &Site, region: &RegionSlug) -> Result<Scan, Fault> {
    let provider = site.provider(region)?;
    let mut tx = site.store.begin().await?;
    let generation = store::servers::next_generation(&mut tx).await?;
    let expected = store::servers::watched(&mut tx, region).await?;
    tx.commit().await.map_err(store::Error::from)?;

    let inventory = match provider.inventory().await {
        Ok(inventory) => inventory,
        Err(fault) => {
            crate::region::unreachable(&site.store, region, &fault.detail).await?;
            return Err(site::fault(fault));
        }
    };
    let mut tx = site.store.begin().await?;
    crate::region::record(&mut tx, region, &inventory, provider.capabilities()).await?;
    super::surroundings::record(&mut tx, region, &inventory).await?;
    tx.commit().await.map_err(store::Error::from)?;
    store::regions::record_connected(&site.store, region).await?;

    compare(site, region, generation, &expected, &inventory).await
}

async fn compare(
    site: &Site,
    region: &RegionSlug,
    generation: i64,
    expected: &[Watched],
    inventory: &Inventory,
) -> Result<Scan, Fault> {
    let found: HashMap<ServerId, &Sighting> =
        inventory.guests.iter().map(|sighting| (sighting.guest.mark.server, sighting)).collect();
    let offline: HashSet<&str> =
        inventory.hosts.iter().filter(|host| !host.online).map(|host| host.name.as_str()).collect();
    let mut scan = Scan { guests: inventory.guests.len(), ..Scan::default() };
    let mut unchanged = Vec::with_capacity(expected.len());
    let mut looked_at = HashSet::with_capacity(expected.len());
    for server in expected {
        let seen = match found.get(&server.id) {
            Some(sighting) => site::seen(sighting),
            // A host that does not answer says nothing of its guests; nor does a server that is being made or unmade.
            None if !server.answered || server.leaving || offline.contains(server.host.1.as_str()) => continue,
            None => Seen { power: None, ssh: None },
        };
        looked_at.insert(server.id);
        scan.missing += usize::from(seen.power.is_none());
        if seen == server.seen {
            unchanged.push(server.id);
        } else if change(site, server, generation, &seen).await? {
            scan.changed += 1;
        }
        if let Some(sighting) = found.get(&server.id).filter(|sighting| sighting.guest.host != server.host.1)
            && !server.moving
            && drift::follow(site, server, &sighting.guest.host).await?
        {
            scan.moved += 1;
        }
    }
    let mut tx = site.store.begin().await?;
    store::servers::touch_seen(&mut tx, &unchanged, generation).await?;
    let policy = crate::region::settings(&mut tx, region).await?;
    let mut alarms: Vec<Alarm> = Vec::new();
    for server in expected.iter().filter(|server| looked_at.contains(&server.id)) {
        alarms.extend(drift::of_server(server, found.get(&server.id).copied(), policy.watch));
    }
    alarms.extend(drift::of_numbers(expected, inventory));
    alarms.extend(drift::of_orphans(&mut tx, region, expected, inventory).await?);
    alarms.extend(drift::of_hosts(&mut tx, region, inventory).await?);
    alarms.extend(drift::of_storages(&mut tx, region, inventory).await?);
    drift::tell(&mut tx, region, &looked_at, &alarms).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(scan)
}

/// Writes a change down, and tells the tenant of it. `false`: somebody has looked later.
async fn change(site: &Site, server: &Watched, generation: i64, seen: &Seen) -> Result<bool, Fault> {
    let mut tx = site.store.begin().await?;
    let changed = store::servers::record(&mut tx, server.id, Some(generation), seen).await? == Some(true);
    if changed {
        let body = serde_json::json!({ "power": seen.power });
        store::events::append(&mut tx, server.team, "droplet.seen", &super::urn(server.id), &body).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(changed)
}
