//! What there is to choose from in a cluster, and what a guest that is not ours says of its addresses.

use crate::calls::{GetNodeNetwork, GetPools, GetVnets, GetZones};
use crate::cluster::{Cluster, StorageRow};
use crate::hardware::numbered;
use crate::preflight::not_taken;
use crate::region::Region;
use crate::scalar::Lenient;
use provider::{Fault, GuestRef, OfferedBridge, OfferedHost, OfferedStorage, OfferedZone, Offers, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

impl Region {
    /// See [`provider::Provider::offers`]. Each part that the token may not see is empty.
    pub(crate) async fn offers(&self) -> Result<Offers> {
        let version = self.transport.version().await.map_err(|failed| failed.fault("GET /version"))?;
        let cluster = self.cluster().await?;
        let mut zones = self.zones().await;
        let mut networks = BTreeSet::new();
        for zone in zones.values() {
            networks.extend(zone.networks.iter().cloned());
        }
        let bridges = self.bridges(&cluster, &networks).await;
        Ok(Offers {
            version: Some(format!("Proxmox VE {version}")),
            hosts: cluster
                .hosts
                .iter()
                .map(|host| OfferedHost { name: host.name.clone(), online: host.online })
                .collect(),
            storages: storages(&cluster),
            bridges,
            zones: std::mem::take(&mut zones).into_values().collect(),
            pools: self.pools().await,
        })
    }

    async fn pools(&self) -> Vec<String> {
        let Ok(answer) = self.transport.ask(&GetPools { poolid: None }).await else { return Vec::new() };
        let names: BTreeSet<String> = answer.rows().iter().filter_map(|row| row.text("poolid")).collect();
        names.into_iter().collect()
    }

    async fn zones(&self) -> BTreeMap<String, OfferedZone> {
        let Ok(answer) = self.transport.ask(&GetZones {}).await else { return BTreeMap::new() };
        let mut zones: BTreeMap<String, OfferedZone> = BTreeMap::new();
        for row in answer.rows() {
            if let Some(name) = row.text("zone") {
                let technique = row.text("type").unwrap_or_default();
                zones.insert(name.clone(), OfferedZone { name, technique, networks: Vec::new() });
            }
        }
        if let Ok(answer) = self.transport.ask(&GetVnets { pending: None }).await {
            for row in answer.rows() {
                let zone = row.text("zone").and_then(|zone| zones.get_mut(&zone));
                zone.into_iter().for_each(|zone| zone.networks.extend(row.text("vnet")));
            }
        }
        zones
    }

    /// Bridges of hosts that answer, without the networks of zones, which look like some.
    async fn bridges(&self, cluster: &Cluster, networks: &BTreeSet<String>) -> Vec<OfferedBridge> {
        let mut bridges: BTreeMap<String, OfferedBridge> = BTreeMap::new();
        let mut asked = Vec::new();
        for host in cluster.online() {
            let call = GetNodeNetwork { node: host.to_owned(), kind: None };
            let Ok(answer) = self.transport.ask(&call).await else { continue };
            asked.push(host.to_owned());
            for row in answer.rows().iter().filter(|row| is_bridge(row)) {
                let Some(name) = row.text("iface").filter(|name| !networks.contains(name)) else { continue };
                let bridge = bridges.entry(name.clone()).or_insert_with(|| OfferedBridge {
                    name,
                    hosts: Vec::new(),
                    vlan_aware: true,
                    comment: None,
                    missing_on: Vec::new(),
                });
                bridge.hosts.push(host.to_owned());
                // Open vSwitch tags by itself.
                bridge.vlan_aware &= row.flag("bridge_vlan_aware") || row.text("type").as_deref() == Some("OVSBridge");
                let comment = row.text("comments").map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
                bridge.comment = bridge.comment.take().or(comment);
            }
        }
        for bridge in bridges.values_mut() {
            bridge.missing_on = asked.iter().filter(|host| !bridge.hosts.contains(host)).cloned().collect();
        }
        bridges.into_values().collect()
    }

    /// See [`provider::Provider::stranger_addresses`].
    pub(crate) async fn stranger_addresses(&self, guest: &GuestRef) -> Result<Vec<Ipv4Addr>> {
        let number: u32 =
            guest.name.parse().map_err(|_| Fault::refused(format!("{:?} is no guest's number", guest.name)))?;
        let Some(there) = self.look(number, &guest.host).await? else { return Ok(Vec::new()) };
        Ok(configured(&there.config))
    }
}

fn is_bridge(row: &Value) -> bool {
    matches!(row.text("type").as_deref(), Some("bridge" | "OVSBridge"))
}

fn storages(cluster: &Cluster) -> Vec<OfferedStorage> {
    let mut offered: BTreeMap<&str, OfferedStorage> = BTreeMap::new();
    for row in &cluster.storages {
        let free = row.total.saturating_sub(row.used);
        let storage = offered.entry(&row.name).or_insert_with(|| OfferedStorage {
            name: row.name.clone(),
            technique: row.technique.clone(),
            content: row.content.clone(),
            shared: row.shared,
            hosts: Vec::new(),
            total_bytes: row.total,
            free_bytes: free,
            not_for_disks: lacking(row, &["images"]),
            not_for_images: lacking(row, &["import", "iso"]),
        });
        if row.available {
            storage.hosts.push(row.node.clone());
        }
        if free < storage.free_bytes {
            (storage.total_bytes, storage.free_bytes) = (row.total, free);
        }
    }
    offered.into_values().collect()
}

fn lacking(storage: &StorageRow, contents: &[&str]) -> Option<String> {
    let taken = |content: &&&str| storage.content.iter().any(|kind| kind == **content);
    let missing: Vec<&str> = contents.iter().filter(|content| !taken(content)).copied().collect();
    (!missing.is_empty()).then(|| not_taken(storage, &missing))
}

/// The fixed addresses of a configuration: cloud-init's of a machine, the cards' of a container.
fn configured(config: &Value) -> Vec<Ipv4Addr> {
    let settings = numbered(config, "ipconfig").into_iter().chain(numbered(config, "net"));
    let parts = settings.flat_map(|(_, text)| text.split(',').map(str::to_owned).collect::<Vec<_>>());
    let addresses = parts.filter_map(|part| {
        let (address, _) = part.strip_prefix("ip=")?.split_once('/')?;
        address.parse().ok()
    });
    let unique: BTreeSet<Ipv4Addr> = addresses.collect();
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fixed_addresses_are_read_from_machines_and_containers() {
        let machine = json!({"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "ipconfig0": "ip=192.0.2.7/24,gw=192.0.2.1",
                             "ipconfig1": "ip=dhcp,ip6=auto"});
        assert_eq!(configured(&machine), [Ipv4Addr::new(192, 0, 2, 7)]);
        let container = json!({"net0": "name=eth0,bridge=vmbr0,ip=192.0.2.9/24,gw=192.0.2.1,type=veth",
                               "net1": "name=eth1,bridge=vmbr1,ip=dhcp"});
        assert_eq!(configured(&container), [Ipv4Addr::new(192, 0, 2, 9)]);
        assert!(configured(&json!({})).is_empty());
    }
}
