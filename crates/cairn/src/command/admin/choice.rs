//! Choosing from what a cluster has: what can be used is offered by number, what cannot is shown with what to do about
//! it, and the best comes first.

use super::ask::{Asker, Offer};
use crate::failure::Result;
use crate::print::size;
use wire::admin::{OfferedBridge, OfferedStorage, Offers};

/// What is looked for: a question, the name that every cluster has from its installation on, and the flag.
pub(super) struct Question {
    pub(super) text: &'static str,
    pub(super) usual: &'static str,
    pub(super) flag: &'static str,
}

pub(super) const DISKS: Question =
    Question { text: "Storage for servers' disks", usual: "local-lvm", flag: "--storage STORAGE" };
pub(super) const IMAGES: Question =
    Question { text: "Storage for downloaded images", usual: "local", flag: "--file-storage STORAGE" };
pub(super) const BRIDGE: Question =
    Question { text: "Bridge of the public network", usual: "vmbr0", flag: "--bridge BRIDGE" };

/// A storage for disks.
pub(super) fn disks(asker: Asker, offers: &Offers) -> Result<String> {
    choose(asker, &DISKS, storages(offers, |storage| storage.not_for_disks.as_deref()))
}

/// A storage for images.
pub(super) fn images(asker: Asker, offers: &Offers) -> Result<String> {
    choose(asker, &IMAGES, storages(offers, |storage| storage.not_for_images.as_deref()))
}

/// A bridge.
pub(super) fn bridge(asker: Asker, offers: &Offers) -> Result<String> {
    choose(asker, &BRIDGE, bridges(offers))
}

/// A zone for teams' own networks, where there is one and somebody wants it.
pub(super) fn zone(asker: Asker, offers: &Offers) -> Result<Option<String>> {
    if !asker.is_there() || offers.zones.is_empty() {
        return Ok(None);
    }
    let named: Vec<String> = offers
        .zones
        .iter()
        .map(|zone| format!("{} ({}, {} networks)", zone.name, zone.technique, zone.networks.len()))
        .collect();
    loop {
        let question = format!("SDN zone for teams' own networks: {} (empty: none)", named.join(", "));
        let Some(answer) = asker.line_if_any(&question)? else { return Ok(None) };
        if offers.zones.iter().any(|zone| zone.name == answer) {
            return Ok(Some(answer));
        }
        asker.tell(&format!("There is no zone `{answer}`: write the name of one of them, or nothing."))?;
    }
}

/// The one that is usual if it can be used, else the first; where nothing can be used, nothing is chosen by itself.
fn choose(asker: Asker, question: &Question, offers: Vec<Offer>) -> Result<String> {
    let usable = |offer: &&Offer| offer.hindrance.is_none();
    let usual = offers.iter().filter(usable).find(|offer| offer.name == question.usual);
    let best = usual.or_else(|| offers.iter().find(usable)).map(|offer| offer.name.clone());
    match best {
        // Nothing was seen, maybe because the token may not see it.
        None if offers.is_empty() => asker.line(question.text, Some(question.usual), question.flag),
        best if asker.is_there() => asker.choose(question.text, &offers, best.as_deref(), question.flag),
        Some(best) if usual.is_some() || offers.iter().filter(usable).count() == 1 => Ok(best),
        _ => asker.choose(question.text, &offers, None, question.flag),
    }
}

fn storages<'a>(offers: &'a Offers, hindrance: impl Fn(&'a OfferedStorage) -> Option<&'a str>) -> Vec<Offer> {
    let hosts = offers.hosts.iter().filter(|host| host.online).count();
    let mut all: Vec<&OfferedStorage> = offers.storages.iter().collect();
    // On most hosts, one for all of them, with most room.
    all.sort_by_key(|one| std::cmp::Reverse((hindrance(one).is_none(), one.hosts.len(), one.shared, one.free_bytes)));
    all.into_iter()
        .map(|storage| {
            let bytes = |amount: u64| size(i64::try_from(amount).unwrap_or(i64::MAX));
            let kind = if storage.shared { "shared" } else { "on each host" };
            let free = format!("{} of {} free", bytes(storage.free_bytes), bytes(storage.total_bytes));
            let there = format!("{} of {hosts} hosts", storage.hosts.len());
            Offer {
                name: storage.name.clone(),
                label: format!("{}, {kind}, {free}, {there}, holds {}", storage.technique, storage.content.join(" ")),
                hindrance: hindrance(storage).map(str::to_owned),
            }
        })
        .collect()
}

fn bridges(offers: &Offers) -> Vec<Offer> {
    let mut all: Vec<&OfferedBridge> = offers.bridges.iter().collect();
    all.sort_by_key(|one| std::cmp::Reverse(one.hosts.len()));
    all.into_iter()
        .map(|bridge| {
            let mut label = format!("on {} hosts", bridge.hosts.len());
            if bridge.vlan_aware {
                label += ", knows VLANs";
            }
            if let Some(comment) = &bridge.comment {
                label += &format!(", \"{comment}\"");
            }
            let hindrance = (!bridge.missing_on.is_empty()).then(|| {
                format!(
                    "{} is missing on {}: make it there, in the node's network settings",
                    bridge.name,
                    bridge.missing_on.join(", ")
                )
            });
            Offer { name: bridge.name.clone(), label, hindrance }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::admin::OfferedHost;

    fn storage(name: &str, shared: bool, free_bytes: u64, not_for_disks: Option<&str>) -> OfferedStorage {
        OfferedStorage {
            name: name.to_owned(),
            technique: "dir".to_owned(),
            content: vec!["images".to_owned()],
            shared,
            hosts: vec!["pve1".to_owned()],
            total_bytes: 100,
            free_bytes,
            not_for_disks: not_for_disks.map(str::to_owned),
            not_for_images: None,
        }
    }

    fn offers(storages: Vec<OfferedStorage>) -> Offers {
        let hosts = vec![OfferedHost { name: "pve1".to_owned(), online: true }];
        Offers { hosts, storages, ..Offers::default() }
    }

    #[test]
    fn where_nobody_is_there_only_what_is_plain_is_chosen() {
        let nobody = Asker::nobody();
        let usual = offers(vec![storage("ceph", true, 90, None), storage("local-lvm", false, 10, None)]);
        assert_eq!(disks(nobody, &usual).unwrap(), "local-lvm");
        let only = offers(vec![storage("ceph", true, 90, None), storage("local-lvm", false, 10, Some("no images"))]);
        assert_eq!(disks(nobody, &only).unwrap(), "ceph");
        let two = offers(vec![storage("slow", false, 10, None), storage("ceph", true, 90, None)]);
        let asked = disks(nobody, &two).unwrap_err().to_string();
        assert!(asked.contains("ceph, slow"), "the best comes first: {asked}");
        assert!(disks(nobody, &offers(Vec::new())).is_err(), "nothing is made up");
    }
}
