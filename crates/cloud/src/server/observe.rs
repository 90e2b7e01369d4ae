//! The one writer of what was seen of servers.
//!
//! A step that has just looked writes through [`saw`], in its own transaction; the observer of a region looks at
//! everything ([`region`]) and writes through the same function, under generations drawn before looking.

use crate::site::{self, Site};
use model::ids::{RegionSlug, ServerId};
use provider::Sighting;
use std::collections::HashMap;
use store::Tx;
use store::servers::Seen;
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
}

/// Looks at a whole region: hosts, then guests. A server that nobody is working on and whose guest is gone raises an
/// alert; nothing is repaired behind its tenant's back.
pub async fn region(site: &Site, region: &RegionSlug) -> Result<Scan, Fault> {
    let mut tx = site.store.begin().await?;
    let generation = store::servers::next_generation(&mut tx).await?;
    let expected = store::servers::on_region(&mut tx, region).await?;
    tx.commit().await.map_err(store::Error::from)?;

    let provider = site.provider(region)?;
    let inventory = provider.inventory().await.map_err(site::fault)?;
    crate::region::record_hosts(&site.store, region, &inventory, provider.capabilities()).await?;

    let mut scan = Scan { guests: inventory.guests.len(), ..Scan::default() };
    let found: HashMap<ServerId, &Sighting> =
        inventory.guests.iter().map(|sighting| (sighting.guest.mark.server, sighting)).collect();
    for work in &expected {
        let busy_or_new = !work.answered || work.leaving;
        let seen = match found.get(&work.id) {
            Some(sighting) => site::seen(sighting),
            None if busy_or_new => continue,
            None => Seen { power: None, ssh: None },
        };
        let gone = seen.power.is_none();
        let mut tx = site.store.begin().await?;
        let changed = store::servers::record(&mut tx, work.id, Some(generation), &seen).await? == Some(true);
        let subject = format!("server:{}", work.id);
        if gone {
            scan.missing += 1;
            let message = format!("the guest of server {} is not at its provider any more", work.id);
            store::alerts::raise(&mut tx, "guest_lost", &subject, &message).await?;
        } else {
            store::alerts::resolve(&mut tx, "guest_lost", &subject).await?;
        }
        if changed {
            scan.changed += 1;
            let body = serde_json::json!({ "power": seen.power });
            store::events::append(&mut tx, work.team, "droplet.seen", &format!("do:droplet:{}", work.id), &body)
                .await?;
        }
        tx.commit().await.map_err(store::Error::from)?;
    }
    Ok(scan)
}
