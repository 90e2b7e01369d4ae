//! The books of servers that live: what the database holds of each is there once, and is what the cluster has.

use super::super::lab::Lab;
use model::ids::ServerId;
use serde_json::Value;
use simulator::GuestSeen;
use std::collections::{BTreeMap, BTreeSet};

/// Of each of these there are as many as there are servers.
const ONE_EACH: [&str; 3] = [
    "reservations",
    "usage_ranges WHERE upper_inf(span)",
    "guest_numbers WHERE freed_at IS NULL AND server_id IS NOT NULL",
];

/// Of these there are none when nobody does anything.
const NONE: [&str; 3] = [
    "workflows WHERE state IN ('ready', 'parked')",
    "actions WHERE completed_at IS NULL",
    "server_migrations WHERE state = 'running'",
];

/// A server as its row has it.
#[derive(sqlx::FromRow)]
struct Row {
    id: i32,
    host: String,
    size: String,
    vcpus: i32,
    memory_mib: i32,
}

const ROWS: &str =
    "SELECT s.id, h.name AS host, s.size, s.vcpus, s.memory_mib FROM servers s JOIN hosts h ON h.id = s.host_id
    WHERE s.deleted_at IS NULL ORDER BY s.id";

/// The networks that a guest is on and the cluster does not have.
fn networks_gone(guest: &GuestSeen, vnets: &Value) -> Vec<String> {
    let cards = guest.config.iter().filter(|(key, _)| key.starts_with("net")).map(|(_, card)| card.as_str());
    let bridges = cards.filter_map(|card| card.split(',').find_map(|part| part.strip_prefix("bridge=")));
    let there = |bridge: &str| vnets.as_array().is_some_and(|rows| rows.iter().any(|row| row["vnet"] == bridge));
    bridges.filter(|bridge| !bridge.starts_with("vmbr") && !there(bridge)).map(str::to_owned).collect()
}

/// Panics unless the guest is where and what the books say.
fn assert_guest(row: &Row, guest: &GuestSeen, claimed: &[(String,)], vnets: &Value) {
    let id = row.id;
    assert_eq!(guest.node, row.host, "the books name another host of server {id}");
    let has = (guest.config["cores"].as_str(), guest.config["memory"].as_str());
    let should = (row.vcpus.to_string(), row.memory_mib.to_string());
    assert_eq!(has, (should.0.as_str(), should.1.as_str()), "the size of server {id}");
    assert_eq!(networks_gone(guest, vnets), [""; 0], "networks of server {id} are gone");
    for (address,) in claimed {
        let written = guest.config.values().any(|value| value.contains(&format!("ip={address}/")));
        assert!(written, "the guest of server {id} does not have {address}: {:?}", guest.config);
    }
}

impl Lab {
    /// Panics unless every living server has, once: a guest on the host that the books name, of the size that they name,
    /// with the addresses that they name, on networks that are there; room there; an open usage range. And unless nobody
    /// else has any.
    pub(super) async fn assert_balanced(&self) {
        for books in NONE {
            assert_eq!(self.count(books).await, 0, "{books}: {:?}", self.standing().await);
        }
        let lost = "SELECT subject FROM alerts WHERE kind = 'guest_lost' AND resolved_at IS NULL";
        let lost: BTreeSet<String> = self.all::<(String,)>(lost).await.into_iter().map(|(subject,)| subject).collect();
        let ours = |guest: &GuestSeen| guest.config.get("description").is_some_and(|text| text.contains("cairn"));
        let guests = self.guests().into_iter().filter(ours);
        let mut guests: BTreeMap<u32, GuestSeen> = guests.map(|guest| (guest.vmid, guest)).collect();
        let vnets = self.ask("GET", "/cluster/sdn/vnets", "").await;
        let rows: Vec<Row> = self.all(ROWS).await;
        let mut addresses = BTreeSet::new();
        for row in &rows {
            let claimed = self.assert_row(row).await;
            for (address,) in &claimed {
                assert!(addresses.insert(address.clone()), "two servers have {address}");
            }
            match guests.remove(&self.number(ServerId(row.id)).await) {
                Some(guest) => assert_guest(row, &guest, &claimed, &vnets),
                None => assert!(lost.contains(&format!("server:{}", row.id)), "nobody misses a guest of {}", row.id),
            }
        }
        assert!(guests.is_empty(), "guests of ours without a server: {:?}", guests.keys());
        let servers = i64::try_from(rows.len()).unwrap();
        for books in ONE_EACH {
            assert_eq!(self.count(books).await, servers, "{books}: as many as there are servers");
        }
        let claimed = self.count("addresses WHERE server_id IS NOT NULL").await;
        assert_eq!(claimed, 2 * servers, "addresses of servers that are not there");
    }

    async fn count(&self, books: &str) -> i64 {
        self.one(&format!("SELECT count(*) FROM {books}")).await
    }

    /// Panics unless the database has everything of a server once; its addresses.
    async fn assert_row(&self, row: &Row) -> Vec<(String,)> {
        let id = row.id;
        let held =
            "SELECT r.purpose, h.name, r.vcpus, r.memory_mib FROM reservations r JOIN hosts h ON h.id = r.host_id";
        let held: Vec<(String, String, i32, i32)> = self.all(&format!("{held} WHERE r.server_id = {id}")).await;
        let home = ("home".to_owned(), row.host.clone(), row.vcpus, row.memory_mib);
        assert_eq!(held, [home], "the room of server {id}");
        let metered = format!("SELECT size FROM usage_ranges WHERE upper_inf(span) AND urn = 'do:droplet:{id}'");
        let metered: Vec<(String,)> = self.all(&metered).await;
        assert_eq!(metered, [(row.size.clone(),)], "the usage of server {id}");
        let claimed = format!("SELECT host(address) FROM addresses WHERE server_id = {id} ORDER BY 1");
        let claimed: Vec<(String,)> = self.all(&claimed).await;
        assert_eq!(claimed.len(), 2, "server {id} has a public and a private address: {claimed:?}");
        claimed
    }
}
