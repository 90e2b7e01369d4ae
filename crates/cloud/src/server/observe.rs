//! The one writer of what was seen of servers.
//!
//! A step that has just looked writes through [`saw`], in its own transaction; the observer of a region looks at
//! everything ([`region`]) and writes through the same function, under generations drawn before looking. What is as it was
//! costs one statement for all of it; only changes cost one each.

use super::drift::heal::Healed;
use super::drift::{self, Alarm};
use crate::site::{self, Site};
use jiff::Timestamp;
use model::healing::Healing;
use model::ids::{RegionSlug, ServerId};
use model::states::Power;
use provider::{Guest, GuestRef, Inventory, Provider, Sighting};
use std::collections::{HashMap, HashSet};
use store::servers::{Seen, Watched, Work};
use store::{Store, Tx};
use workflow::Fault;

/// Writes what a step saw just now.
pub async fn saw(tx: &mut Tx, server: ServerId, sighting: &Sighting) -> Result<(), Fault> {
    store::servers::record(tx, server, None, &site::seen(sighting)).await?;
    Ok(())
}

/// Writes what the step saw that a server answered to for the first time: from now on it is its tenant's. What was adopted
/// stays as it was found, running or not.
pub async fn answered(tx: &mut Tx, work: &Work, sighting: &Sighting) -> Result<(), Fault> {
    let wanted = (!work.adopted).then_some(Power::On);
    store::servers::answered(tx, work.id, &site::seen(sighting), wanted).await?;
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
    /// Servers that are being put right.
    pub healed: usize,
    /// Leftovers of ours that the provider found: a reason to sweep.
    pub leftovers: usize,
}

/// Looks at a whole region: hosts, storages, strangers, then guests. What drifted raises alerts; where a guest was moved,
/// the books follow; what else is put right, the region's rule says (`model::healing`). A guest that was deleted is told
/// and never made again.
pub async fn region(site: &Site, region: &RegionSlug) -> Result<Scan, Fault> {
    region_at(site, region, Timestamp::now()).await
}

/// The same at a time that the caller says: how often a server is put right within an hour goes by it.
pub async fn region_at(site: &Site, region: &RegionSlug, now: Timestamp) -> Result<Scan, Fault> {
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

    compare(site, region, generation, &expected, &inventory, now).await
}

/// How many guests are looked at one by one in a look at most. More than that do not change between two looks, but when
/// a region comes back; the others have their turn in the next.
const LOOKED_AT_CLOSELY: usize = 200;

async fn compare(
    site: &Site,
    region: &RegionSlug,
    generation: i64,
    expected: &[Watched],
    inventory: &Inventory,
    now: Timestamp,
) -> Result<Scan, Fault> {
    let provider = site.provider(region)?;
    let mut found: HashMap<ServerId, Sighting> =
        inventory.guests.iter().map(|sighting| (sighting.guest.mark.server, sighting.clone())).collect();
    let offline: HashSet<&str> =
        inventory.hosts.iter().filter(|host| !host.online).map(|host| host.name.as_str()).collect();
    let mut scan = Scan { guests: inventory.guests.len(), leftovers: inventory.leftovers.len(), ..Scan::default() };
    let mut unchanged = Vec::with_capacity(expected.len());
    let mut looked_at = HashSet::with_capacity(expected.len());
    let mut closely = 0;
    for server in expected {
        if !found.get(&server.id).is_some_and(|sighting| drift::is_as_it_was(server, sighting)) {
            // A host that does not answer says nothing of its guests; a server that is being made or unmade is looked at
            // by its own steps.
            let silent = offline.contains(server.host.1.as_str()) && !found.contains_key(&server.id);
            if silent || !server.answered || server.leaving || closely == LOOKED_AT_CLOSELY {
                continue;
            }
            closely += 1;
            match look_closely(&*provider, site, server).await {
                Look::There(sighting) => found.insert(server.id, *sighting),
                Look::Gone => found.remove(&server.id),
                Look::Unclear => continue,
            };
        }
        looked_at.insert(server.id);
        let sighting = found.get(&server.id);
        let seen = sighting.map_or(Seen { power: None, ssh: None }, site::seen);
        scan.missing += usize::from(seen.power.is_none());
        if seen == server.seen {
            unchanged.push(server.id);
        } else if change(site, server, generation, sighting, &seen).await? {
            scan.changed += 1;
        }
        if let Some(sighting) = sighting.filter(|sighting| sighting.guest.host != server.host.1)
            && !server.moving
            && drift::follow(site, server, &sighting.guest.host).await?
        {
            scan.moved += 1;
        }
    }
    let orphans = orphans(&*provider, site, expected, inventory).await?;
    let policy = {
        let mut tx = site.store.begin().await?;
        crate::region::settings(&mut tx, region).await?
    };
    let here = expected.iter().filter(|server| looked_at.contains(&server.id));
    let there = here.filter_map(|server| Some((server, found.get(&server.id)?)));
    // What is on a host that does not answer is not known, and cannot be put right.
    let reached = there.filter(|(_, sighting)| !offline.contains(sighting.guest.host.as_str()));
    let given_up = heal(site, reached, policy.heal, now, &mut scan).await?;
    let mut tx = site.store.begin().await?;
    store::servers::touch_seen(&mut tx, &unchanged, generation).await?;
    let mut alarms: Vec<Alarm> = Vec::new();
    let fallen = drift::fallen(&mut tx).await?;
    for server in expected.iter().filter(|server| looked_at.contains(&server.id)) {
        let sighting = found.get(&server.id);
        alarms.extend(drift::of_server(server, sighting, &policy));
        alarms.extend(drift::of_fallen(server, sighting, &fallen));
    }
    alarms.extend(given_up);
    alarms.extend(drift::of_numbers(expected, inventory));
    alarms.extend(orphans.iter().map(|sighting| drift::of_orphan(region, sighting)));
    alarms.extend(drift::of_region(region, inventory));
    let numbers = provider.capabilities().guest_numbers;
    alarms.extend(drift::of_overlap(&mut tx, region, inventory, numbers).await?);
    alarms.extend(drift::of_hosts(&mut tx, region, inventory).await?);
    alarms.extend(drift::of_storages(&mut tx, region, inventory).await?);
    drift::tell(&mut tx, region, &looked_at, &alarms).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(scan)
}

/// Puts right what the rule allows; what it gives up.
async fn heal<'a>(
    site: &Site,
    servers: impl Iterator<Item = (&'a Watched, &'a Sighting)>,
    rule: Healing,
    now: Timestamp,
    scan: &mut Scan,
) -> Result<Vec<Alarm>, Fault> {
    let mut given_up = Vec::new();
    for (server, sighting) in servers {
        match drift::heal::heal(site, server, sighting, rule, now).await? {
            Healed::Left => {}
            Healed::Begun => scan.healed += 1,
            Healed::GivenUp(alarm) => given_up.push(alarm),
        }
    }
    Ok(given_up)
}

/// Forgets what was put right so long ago that no rule looks back to it.
pub(crate) async fn forget_heals(store: &Store, now: Timestamp) -> crate::Result<()> {
    drift::heal::forget(store, now).await?;
    Ok(())
}

/// What one look at one guest said.
enum Look {
    There(Box<Sighting>),
    Gone,
    /// It is being worked on, or the provider did not answer. The next look will tell.
    Unclear,
}

/// Providers' lists lag behind: what a step did a moment ago may not be in them yet. So whatever seems to have changed is
/// asked about by name before it is believed.
async fn look_closely(provider: &dyn Provider, site: &Site, server: &Watched) -> Look {
    let name = server.number.map_or_else(|| format!("s{}", server.id), |number| number.to_string());
    let guest = GuestRef { host: server.host.1.clone(), name, mark: site.mark(server.id) };
    match provider.find_guest(&guest).await {
        Ok(Guest::Ours(sighting)) => Look::There(sighting),
        Ok(Guest::Absent | Guest::Foreign(_)) => Look::Gone,
        Ok(Guest::Forming | Guest::Unfinished) => Look::Unclear,
        Err(fault) => {
            tracing::debug!(server = %server.id, %fault, "a guest cannot be looked at");
            Look::Unclear
        }
    }
}

/// Guests that carry our mark, for servers that are gone. One that was deleted or ordered a moment ago is none.
async fn orphans<'a>(
    provider: &dyn Provider,
    site: &Site,
    expected: &[Watched],
    inventory: &'a Inventory,
) -> Result<Vec<&'a Sighting>, Fault> {
    let known: HashSet<ServerId> = expected.iter().map(|server| server.id).collect();
    let unknown: Vec<&Sighting> =
        inventory.guests.iter().filter(|sighting| !known.contains(&sighting.guest.mark.server)).collect();
    if unknown.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<ServerId> = unknown.iter().map(|sighting| sighting.guest.mark.server).collect();
    let mut tx = site.store.begin().await?;
    let living: HashSet<ServerId> = store::servers::living(&mut tx, &ids).await?.into_iter().collect();
    tx.commit().await.map_err(store::Error::from)?;
    let mut orphans = Vec::new();
    let gone = unknown.into_iter().filter(|sighting| !living.contains(&sighting.guest.mark.server));
    for sighting in gone.take(LOOKED_AT_CLOSELY) {
        if let Ok(Guest::Ours(_)) = provider.find_guest(&sighting.guest).await {
            orphans.push(sighting);
        }
    }
    Ok(orphans)
}

/// Writes a change down, and tells the tenant of it; operators, where a server went down with its host. `false`: somebody
/// has looked later.
async fn change(
    site: &Site,
    server: &Watched,
    generation: i64,
    sighting: Option<&Sighting>,
    seen: &Seen,
) -> Result<bool, Fault> {
    let mut tx = site.store.begin().await?;
    let fell = drift::of_fall(&mut tx, server, sighting).await?;
    let changed = store::servers::record(&mut tx, server.id, Some(generation), seen).await? == Some(true);
    if changed {
        let body = serde_json::json!({ "power": seen.power });
        store::events::append(&mut tx, server.team, "droplet.seen", &super::urn(server.id), &body).await?;
        if let Some(alarm) = fell {
            drift::raise(&mut tx, &alarm).await?;
        }
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(changed)
}
