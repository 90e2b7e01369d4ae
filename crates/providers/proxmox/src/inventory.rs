//! Everything in a cluster. One request lists hosts, storages and guests; whose a guest is say its tags. Hosts' versions
//! are asked for once in a while, and only of hosts that answer.

use crate::call::Kind;
use crate::calls::{GetClusterStatus, GetNodeVersion};
use crate::cluster::{Cluster, GuestRow, HostRow};
use crate::gpus;
use crate::mark;
use crate::preflight::is_error;
use crate::quorum::quorate;
use crate::region::{NO_QUORUM, Place, Region};
use crate::scalar::Lenient;
use crate::transport::held;
use crate::version::{OLDEST, too_old};
use model::ids::ServerId;
use provider::{
    Fault, GuestKind, GuestPower, GuestRef, HostSeen, Inventory, Mark, Reached, Result, Sighting, StorageSeen, Stranger,
};
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Hosts are not upgraded every minute.
const VERSION_HOLDS: Duration = Duration::from_secs(3600);
const GB: u64 = 1_000_000_000;

impl Region {
    /// See [`provider::Provider::inventory`].
    pub(crate) async fn inventory(&self) -> Result<Inventory> {
        let version = self.transport.version().await.map_err(|failed| failed.fault("GET /version"))?;
        if version < OLDEST {
            return Err(Fault::refused(too_old(version)));
        }
        let cluster = self.cluster().await?;
        let status = self.transport.ask(&GetClusterStatus {}).await?;
        let mut inventory = Inventory { storages: self.storages(&cluster), ..Inventory::default() };
        let devices = self.devices().await?;
        for host in &cluster.hosts {
            let online = host.online && is_member(&status, &host.name);
            let version = if online { self.host_version(&host.name).await } else { None };
            let gpus = gpus::seen(&devices, &host.name);
            inventory.hosts.push(HostSeen { gpus, ..self.host(host, &cluster, online, version) });
        }
        inventory.troubles.extend((!quorate(&status)).then(|| NO_QUORUM.to_owned()));
        let storages = self.check_storages(&cluster).into_iter().filter(is_error);
        inventory.troubles.extend(storages.map(|finding| finding.sentence));
        let (first, last) = self.config.template_numbers;
        for row in cluster.guests.values() {
            match mark::tagged_server(&row.tags, self.config.installation) {
                // A copy on its way to become a template still has its guest's tags.
                Some(_) if (first..=last).contains(&row.number) => {}
                Some(server) => inventory.guests.push(self.sighting(row, server, &cluster).await?),
                None if row.tags.contains(&mark::installation_tag(self.config.installation)) => {
                    inventory.leftovers.extend(leftover(row));
                }
                None if (first..=last).contains(&row.number) || row.template => {}
                None => inventory.strangers.push(stranger(row)),
            }
        }
        let counted: HashSet<ServerId> = inventory.guests.iter().map(|seen| seen.guest.mark.server).collect();
        if counted.len() < inventory.guests.len() {
            tracing::warn!("two guests carry the tag of one server; their descriptions decide");
        }
        Ok(inventory)
    }

    async fn sighting(&self, row: &GuestRow, server: ServerId, cluster: &Cluster) -> Result<Sighting> {
        let power = match row.power {
            Some(power) => power,
            // Its host is away: what was last seen is all that is known.
            None if cluster.is_offline(&row.node) => {
                held(&self.last_power).get(&row.number).copied().unwrap_or(GuestPower::Stopped)
            }
            // Made within the last seconds: not in the list's figures yet.
            None => {
                let place = Place { number: row.number, kind: row.kind, node: row.node.clone() };
                self.status(&place).await?.power
            }
        };
        held(&self.last_power).insert(row.number, power);
        let mark = Mark { installation: self.config.installation, server };
        Ok(Sighting {
            guest: GuestRef { host: row.node.clone(), name: row.number.to_string(), mark },
            power,
            resources: row.resources,
            reached: Reached::default(),
            rebuilt: None,
            boot: None,
        })
    }

    async fn host_version(&self, host: &str) -> Option<String> {
        let known = held(&self.host_versions).get(host).cloned();
        if let Some((version, at)) = known
            && at.elapsed() < VERSION_HOLDS
        {
            return Some(version);
        }
        let answer = self.transport.ask(&GetNodeVersion { node: host.to_owned() }).await.ok()?;
        let version = format!("Proxmox VE {}", answer.text("version")?);
        held(&self.host_versions).insert(host.to_owned(), (version.clone(), Instant::now()));
        Some(version)
    }

    fn host(&self, host: &HostRow, cluster: &Cluster, online: bool, version: Option<String>) -> HostSeen {
        let disk = cluster.storages.iter().find(|row| row.node == host.name && row.name == self.config.storage);
        let (total, used) = disk.map_or((0, 0), |disk| (disk.total, disk.used));
        HostSeen {
            name: host.name.clone(),
            cpus: host.cpus,
            memory_mib: host.memory_bytes >> 20,
            disk_gb: total / GB,
            disk_free_gb: total.saturating_sub(used) / GB,
            online,
            version,
            architecture: Some(host.architecture.clone().unwrap_or_else(|| "x86_64".to_owned())),
            gpus: Vec::new(),
        }
    }

    fn storages(&self, cluster: &Cluster) -> Vec<StorageSeen> {
        let mut shared = HashSet::new();
        let rows = cluster.storages.iter().filter(|row| !row.shared || shared.insert(row.name.clone()));
        rows.map(|row| StorageSeen {
            name: row.name.clone(),
            host: (!row.shared).then(|| row.node.clone()),
            technique: row.technique.clone(),
            content: row.content.clone(),
            total_bytes: row.total,
            used_bytes: row.used,
            online: row.available,
            used_for_guests: row.name == self.config.storage,
        })
        .collect()
    }

    /// The address under which one of our entries may be a node's, as the cluster knows it.
    pub(crate) async fn address_of(&self, node: &str) -> Result<Option<String>> {
        let status = self.transport.ask(&GetClusterStatus {}).await?;
        let row = status
            .rows()
            .iter()
            .find(|row| row.text("type").as_deref() == Some("node") && row.text("name").as_deref() == Some(node));
        let Some(row) = row else { return Ok(None) };
        let names = [row.text("ip"), Some(node.to_owned())];
        let named = |entry: &&String| {
            let host = entry.trim_start_matches("https://").trim_end_matches('/');
            let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
            names.iter().flatten().any(|name| host == name || host.split('.').next() == Some(name.as_str()))
        };
        let entry = self.config.entries.iter().find(named);
        Ok(entry.map(|entry| {
            let host = entry.trim_start_matches("https://").trim_end_matches('/');
            host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned()
        }))
    }
}

/// Whether corosync sees a node. Where it is not said, the list of resources decides.
fn is_member(status: &Value, name: &str) -> bool {
    let row = status.rows().iter().find(|row| row.text("name").as_deref() == Some(name));
    row.is_none_or(|row| row.get("online").is_none() || row.flag("online"))
}

fn leftover(row: &GuestRow) -> Option<String> {
    // A template in use is no leftover.
    let in_use = row.tags.iter().any(|tag| tag.starts_with("cairn-img-"));
    (!in_use).then(|| format!("template {} on {}, which is out of use and still built on", row.number, row.node))
}

fn stranger(row: &GuestRow) -> Stranger {
    let foreign = row.tags.iter().find(|tag| tag.starts_with("cairn-i"));
    Stranger {
        host: row.node.clone(),
        name: row.number.to_string(),
        kind: match row.kind {
            Kind::Machine => GuestKind::Machine,
            Kind::Container => GuestKind::Container,
        },
        title: row.title.clone(),
        power: row.power,
        resources: row.resources,
        owner: foreign.cloned().or_else(|| row.pool.as_ref().map(|pool| format!("pool {pool}"))),
    }
}
