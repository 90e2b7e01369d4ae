//! Drift: what a region is and what the books say of it, compared. What is wrong is told to operators; what has been
//! mended is taken back.

pub(super) mod heal;

use crate::region::Policy;
use crate::site::{self, Site};
use model::healing::Heal;
use model::ids::{RegionSlug, ServerId};
use model::states::Power;
use provider::{GuestPower, Inventory, Resources, Sighting};
use std::collections::{BTreeMap, HashMap, HashSet};
use store::Tx;
use store::alerts::{self, Severity};
use store::servers::Watched;
use workflow::Fault;

/// Every kind of alert that a look can raise and a later one takes back.
const KINDS: &[&str] = &[
    "guest_lost",
    "guest_edited",
    "guest_stopped",
    FELL,
    "heal_given_up",
    "guest_number_taken",
    "guest_without_server",
    "host_offline",
    "storage_nearly_full",
    "region_unreachable",
    "region_impaired",
    "region_overlap",
];

/// The alert of a server that went down with its host and is not up again.
const FELL: &str = "stopped_with_host";

/// A storage that is used so much is nearly full, in hundredths; the alert stays until it is below the second.
const NEARLY_FULL: (u64, u64) = (90, 85);

/// Something that operators have to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alarm {
    severity: Severity,
    kind: &'static str,
    subject: String,
    message: String,
}

fn alarm(severity: Severity, kind: &'static str, subject: String, message: String) -> Alarm {
    Alarm { severity, kind, subject, message }
}

/// Whether nothing has changed since the last look, as far as a list of all guests tells.
pub(super) fn is_as_it_was(server: &Watched, sighting: &Sighting) -> bool {
    site::seen(sighting) == server.seen
        && sighting.guest.host == server.host.1
        && has_what_it_should(server, sighting.resources)
}

/// A disk may be larger than it has to be: disks never shrink, and sizes change.
fn has_what_it_should(server: &Watched, has: Resources) -> bool {
    has.vcpus == server.vcpus && has.memory_mib == server.memory_mib && has.disk_gb >= server.disk_gb
}

/// What is wrong with a server that was looked at.
pub(super) fn of_server(server: &Watched, found: Option<&Sighting>, policy: &Policy) -> Vec<Alarm> {
    let subject = super::life::subject(server.id);
    let Some(sighting) = found else {
        let message = format!("the guest of server {} is not at its provider any more", server.id);
        return vec![alarm(Severity::Error, "guest_lost", subject, message)];
    };
    // Whoever works on a server is in the middle of changing these.
    if server.busy || server.leaving || !server.answered {
        return Vec::new();
    }
    let mut alarms = Vec::new();
    let has = sighting.resources;
    if !has_what_it_should(server, has) {
        let then = match policy.heal.what {
            Heal::All if sighting.power == GuestPower::Running => "; it is put right when it is next stopped",
            _ => "",
        };
        let message = format!(
            "the guest of server {} was changed at its provider: it has {} vCPUs, {} MiB and {} GB, and should have {}, {} and \
             {}{then}",
            server.id, has.vcpus, has.memory_mib, has.disk_gb, server.vcpus, server.memory_mib, server.disk_gb
        );
        alarms.push(alarm(Severity::Warning, "guest_edited", subject.clone(), message));
    }
    if policy.watch.stopped && server.wanted_power == Power::On && sighting.power == GuestPower::Stopped {
        let message = format!("server {} is stopped, and nobody asked for that here", server.id);
        alarms.push(alarm(Severity::Warning, "guest_stopped", subject, message));
    }
    alarms
}

/// Whether a server that ran stands still now that its host is back. Looked for before what is seen is written: after, it
/// is a server that stands still like any other.
pub(super) async fn of_fall(
    tx: &mut Tx,
    server: &Watched,
    sighting: Option<&Sighting>,
) -> Result<Option<Alarm>, Fault> {
    let stands_still = sighting.is_some_and(|sighting| sighting.power == GuestPower::Stopped);
    let ran = server.wanted_power == Power::On && server.seen.power == Some(Power::On);
    let ours_to_tell = server.answered && !server.leaving && !server.busy;
    if !stands_still || !ran || !ours_to_tell || !store::servers::was_out_of_reach(tx, server.id).await? {
        return Ok(None);
    }
    Ok(Some(fell(server)))
}

fn fell(server: &Watched) -> Alarm {
    let message = format!(
        "server {} ran on host {} when that went away, and is stopped now that it is back; its team can switch it on, and \
         `cairn admin region edit --heal power` has such servers started by themselves",
        server.id, server.host.1
    );
    alarm(Severity::Error, FELL, super::life::subject(server.id), message)
}

/// The subjects of servers that are known to have gone down with their hosts.
pub(super) async fn fallen(tx: &mut Tx) -> Result<HashSet<String>, Fault> {
    Ok(alerts::open(tx, &[FELL]).await?.into_iter().map(|(_, subject)| subject).collect())
}

/// A server that went down with its host stays told until it runs, or nobody wants it to.
pub(super) fn of_fallen(server: &Watched, sighting: Option<&Sighting>, fallen: &HashSet<String>) -> Option<Alarm> {
    let stands_still = sighting.is_some_and(|sighting| sighting.power == GuestPower::Stopped);
    let stays = stands_still && server.wanted_power == Power::On && !server.leaving;
    (stays && fallen.contains(&super::life::subject(server.id))).then(|| fell(server))
}

/// Raises one at once.
pub(super) async fn raise(tx: &mut Tx, alarm: &Alarm) -> Result<(), Fault> {
    alerts::raise_as(tx, alarm.severity, alarm.kind, &alarm.subject, &alarm.message).await?;
    Ok(())
}

/// Strangers that have a number of ours.
pub(super) fn of_numbers(expected: &[Watched], inventory: &Inventory) -> Vec<Alarm> {
    if inventory.strangers.is_empty() {
        return Vec::new();
    }
    let ours: HashMap<i64, ServerId> =
        expected.iter().filter_map(|server| server.number.map(|number| (number, server.id))).collect();
    let taken = inventory.strangers.iter().filter_map(|stranger| {
        let server = ours.get(&stranger.name.parse().ok()?)?;
        let message = format!(
            "guest {} ({}) on {} has the number of server {server} and does not carry its mark",
            stranger.name, stranger.title, stranger.host
        );
        Some(alarm(Severity::Error, "guest_number_taken", super::life::subject(*server), message))
    });
    // One being made finds that out by itself, and takes another number.
    let answered: HashSet<String> =
        expected.iter().filter(|server| server.answered).map(|server| super::life::subject(server.id)).collect();
    taken.filter(|alarm| answered.contains(&alarm.subject)).collect()
}

/// A guest that carries our mark, for a server that is gone.
pub(super) fn of_orphan(region: &RegionSlug, sighting: &Sighting) -> Alarm {
    let guest = &sighting.guest;
    let message = format!(
        "guest {} on {} carries the mark of server {}, which is gone; it is left alone",
        guest.name, guest.host, guest.mark.server
    );
    alarm(Severity::Warning, "guest_without_server", format!("guest:{region}/{}", guest.name), message)
}

/// What is wrong with a region as a whole.
pub(super) fn of_region(region: &RegionSlug, inventory: &Inventory) -> Option<Alarm> {
    if inventory.troubles.is_empty() {
        return None;
    }
    let message = format!("region {region}: {}", inventory.troubles.join(" "));
    Some(alarm(Severity::Error, "region_impaired", format!("region:{region}"), message))
}

/// Guests of another region stand where this one takes its numbers: two regions reach one cluster, and each would take
/// numbers that the other has given.
pub(super) async fn of_overlap(
    tx: &mut Tx,
    region: &RegionSlug,
    inventory: &Inventory,
    numbers: Option<(u32, u32)>,
) -> Result<Option<Alarm>, Fault> {
    let Some((first, last)) = numbers else { return Ok(None) };
    let here = |sighting: &&Sighting| sighting.guest.name.parse().is_ok_and(|number| (first..=last).contains(&number));
    let servers: Vec<ServerId> = inventory.guests.iter().filter(here).map(|seen| seen.guest.mark.server).collect();
    let Some(other) = store::servers::elsewhere(tx, region, &servers).await? else { return Ok(None) };
    let message = format!(
        "regions {region} and {other} reach one cluster and take guest numbers from one range ({first} to {last}), so that \
         servers fail to be made. Give {region} ranges of its own: `cairn admin region edit {region} --set \
         guest_numbers=[FIRST,LAST] --set template_numbers=[FIRST,LAST]`"
    );
    Ok(Some(alarm(Severity::Error, "region_overlap", format!("region:{region}"), message)))
}

/// Hosts that do not answer. One that was taken out of its region is missed only while servers stand on it.
pub(super) async fn of_hosts(tx: &mut Tx, region: &RegionSlug, inventory: &Inventory) -> Result<Vec<Alarm>, Fault> {
    let listed: HashSet<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
    let standing = store::hosts::standing(tx, region).await?;
    let gone =
        standing.into_iter().filter(|host| host.gone && (host.servers > 0 || listed.contains(host.name.as_str())));
    Ok(gone
        .map(|host| {
            let message =
                format!("host {} of region {region} does not answer; {} servers are on it", host.name, host.servers);
            alarm(Severity::Error, "host_offline", format!("host:{}", host.id), message)
        })
        .collect())
}

/// Storages for guests that are nearly full.
pub(super) async fn of_storages(tx: &mut Tx, region: &RegionSlug, inventory: &Inventory) -> Result<Vec<Alarm>, Fault> {
    let watched = inventory.storages.iter().filter(|storage| storage.used_for_guests && storage.total_bytes > 0);
    let percent = |storage: &provider::StorageSeen| {
        u64::try_from(u128::from(storage.used_bytes) * 100 / u128::from(storage.total_bytes)).unwrap_or(u64::MAX)
    };
    let used: BTreeMap<String, (String, u64)> = watched
        .map(|storage| {
            let name = match &storage.host {
                Some(host) => format!("{host}/{}", storage.name),
                None => storage.name.clone(),
            };
            (format!("storage:{region}/{name}"), (name, percent(storage)))
        })
        .collect();
    let open: HashSet<String> =
        alerts::open(tx, &["storage_nearly_full"]).await?.into_iter().map(|(_, subject)| subject).collect();
    let (begins, stays) = NEARLY_FULL;
    let full = used
        .into_iter()
        .filter(|(subject, (_, percent))| *percent >= begins || (*percent >= stays && open.contains(subject)));
    Ok(full
        .map(|(subject, (name, _))| {
            // Without the figure, which changes with every look.
            let message = format!("storage {name} of region {region} is more than {stays} % full");
            alarm(Severity::Warning, "storage_nearly_full", subject, message)
        })
        .collect())
}

/// Raises what is wrong and takes back what has been mended, about this region and the servers that were looked at.
pub(super) async fn tell(
    tx: &mut Tx,
    region: &RegionSlug,
    looked_at: &HashSet<ServerId>,
    alarms: &[Alarm],
) -> Result<(), Fault> {
    let open: HashSet<(String, String)> = alerts::open(tx, KINDS).await?.into_iter().collect();
    let raised: HashSet<(&str, &str)> = alarms.iter().map(|alarm| (alarm.kind, alarm.subject.as_str())).collect();
    for alarm in alarms {
        if !open.contains(&(alarm.kind.to_owned(), alarm.subject.clone())) {
            alerts::raise_as(tx, alarm.severity, alarm.kind, &alarm.subject, &alarm.message).await?;
        }
    }
    let hosts: HashSet<String> =
        store::hosts::standing(tx, region).await?.iter().map(|host| format!("host:{}", host.id)).collect();
    let (storages, guests) = (format!("storage:{region}/"), format!("guest:{region}/"));
    let ours = |subject: &str| match subject.split_once(':') {
        Some(("server", id)) => id.parse().is_ok_and(|id| looked_at.contains(&id)),
        Some(("region", slug)) => slug == region.as_str(),
        Some(("host", _)) => hosts.contains(subject),
        _ => subject.starts_with(&storages) || subject.starts_with(&guests),
    };
    for (kind, subject) in &open {
        if ours(subject) && !raised.contains(&(kind.as_str(), subject.as_str())) {
            alerts::resolve(tx, kind, subject).await?;
        }
    }
    Ok(())
}

/// The guest was moved behind our back: the books follow it, and operators may know. `false`: its host is not one that we
/// have seen, or the books were changed meanwhile.
pub(super) async fn follow(site: &Site, server: &Watched, host: &str) -> Result<bool, Fault> {
    let mut tx = site.store.begin().await?;
    if store::servers::follow(&mut tx, server.id, server.host.0, host).await?.is_none() {
        return Ok(false);
    }
    let message = format!("server {} was moved from {} to {host} at its provider", server.id, server.host.1);
    alerts::raise_as(&mut tx, Severity::Info, "guest_moved", &super::life::subject(server.id), &message).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(true)
}
