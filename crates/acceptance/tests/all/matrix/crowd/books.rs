//! The books of servers that live: what the database holds of each is there once, and is what the cluster has.

use super::super::lab::Lab;
use serde_json::Value;
use simulator::GuestSeen;
use std::collections::{BTreeMap, BTreeSet};

/// The networks that a guest is on and the cluster does not have.
fn networks_gone(guest: &GuestSeen, vnets: &Value) -> Vec<String> {
    let cards = guest.config.iter().filter(|(key, _)| key.starts_with("net")).map(|(_, card)| card.as_str());
    let bridges = cards.filter_map(|card| card.split(',').find_map(|part| part.strip_prefix("bridge=")));
    let there = |bridge: &str| vnets.as_array().is_some_and(|rows| rows.iter().any(|row| row["vnet"] == bridge));
    bridges.filter(|bridge| !bridge.starts_with("vmbr") && !there(bridge)).map(str::to_owned).collect()
}

impl Lab {
    /// Panics unless every living server has, once: a guest on the host that the books name, of the size that they name,
    /// with the addresses that they name; room there; an open usage range. And unless nobody else has any.
    pub(super) async fn assert_balanced(&self) {
        let unfinished = "SELECT count(*) FROM workflows WHERE state IN ('ready', 'parked')";
        assert_eq!(self.one::<i64>(unfinished).await, 0, "{:?}", self.standing().await);
        for (table, what) in [
            ("actions WHERE completed_at IS NULL", "actions"),
            ("server_migrations WHERE state = 'running'", "migrations"),
        ] {
            assert_eq!(
                self.one::<i64>(&format!("SELECT count(*) FROM {table}")).await,
                0,
                "{what} that nobody carries out"
            );
        }
        let lost: BTreeSet<String> = self
            .all::<(String,)>("SELECT subject FROM alerts WHERE kind = 'guest_lost' AND resolved_at IS NULL")
            .await
            .into_iter()
            .map(|(subject,)| subject)
            .collect();
        let mut guests: BTreeMap<u32, _> = self.guests().into_iter().map(|guest| (guest.vmid, guest)).collect();
        guests.retain(|_, guest| guest.config.get("description").is_some_and(|text| text.contains("cairn")));
        let servers: Vec<(i32, String, String, i32, i32)> = self
            .all(
                "SELECT s.id, h.name, s.size, s.vcpus, s.memory_mib FROM servers s JOIN hosts h ON h.id = s.host_id
                 WHERE s.deleted_at IS NULL ORDER BY s.id",
            )
            .await;
        let vnets = self.ask("GET", "/cluster/sdn/vnets", "").await;
        let mut addresses = BTreeSet::new();
        for (id, host, size, vcpus, memory) in &servers {
            let held: Vec<(String, String, i32, i32)> = self
                .all(&format!(
                    "SELECT r.purpose, h.name, r.vcpus, r.memory_mib FROM reservations r JOIN hosts h ON h.id = r.host_id
                     WHERE r.server_id = {id}"
                ))
                .await;
            assert_eq!(held, [("home".to_owned(), host.clone(), *vcpus, *memory)], "the room of server {id}");
            let metered: Vec<(String,)> = self
                .all(&format!("SELECT size FROM usage_ranges WHERE upper_inf(span) AND urn = 'do:droplet:{id}'"))
                .await;
            assert_eq!(metered, [(size.clone(),)], "the usage of server {id}");
            let claimed: Vec<(String,)> =
                self.all(&format!("SELECT host(address) FROM addresses WHERE server_id = {id} ORDER BY 1")).await;
            assert_eq!(claimed.len(), 2, "server {id} has a public and a private address: {claimed:?}");
            let number = self.number(model::ids::ServerId(*id)).await;
            let Some(guest) = guests.remove(&number) else {
                assert!(lost.contains(&format!("server:{id}")), "nobody says that the guest of server {id} is gone");
                continue;
            };
            assert_eq!(&guest.node, host, "the books name another host of server {id}");
            let has = (guest.config["cores"].as_str(), guest.config["memory"].as_str());
            assert_eq!(has, (vcpus.to_string().as_str(), memory.to_string().as_str()), "the size of server {id}");
            assert_eq!(networks_gone(&guest, &vnets), [""; 0], "networks of server {id} are gone");
            for (address,) in claimed {
                let written = guest.config.values().any(|value| value.contains(&format!("ip={address}/")));
                assert!(written, "the guest of server {id} does not have {address}: {:?}", guest.config);
                assert!(addresses.insert(address.clone()), "two servers have {address}");
            }
        }
        assert!(guests.is_empty(), "guests of ours without a server: {:?}", guests.keys());
        let living = servers.len() as i64;
        for books in [
            "reservations",
            "usage_ranges WHERE upper_inf(span)",
            "guest_numbers WHERE freed_at IS NULL AND server_id IS NOT NULL",
        ] {
            let rows: i64 = self.one(&format!("SELECT count(*) FROM {books}")).await;
            assert_eq!(rows, living, "{books}: as many as there are servers");
        }
        let claimed: i64 = self.one("SELECT count(*) FROM addresses WHERE server_id IS NOT NULL").await;
        assert_eq!(claimed, 2 * living, "addresses of servers that are not there");
    }
}
