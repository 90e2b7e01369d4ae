//! Whether everything is there that making guests takes. What is missing becomes a sentence that says what to do.

use crate::calls::{GetClusterFirewall, GetNodeNetwork, GetNodeTime, GetPermissions, GetPools, GetZones};
use crate::cluster::{Cluster, StorageRow};
use crate::errors::{Failed, Said};
use crate::privileges::{for_adoption, needed};
use crate::region::{NO_QUORUM, Region};
use crate::scalar::Lenient;
use crate::version::{OLDEST, Version, too_old};
use provider::{Finding, Result, Severity};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// Techniques that keep disks and no files.
const BLOCKS: &[&str] = &["lvm", "lvmthin", "zfspool", "zfs", "rbd", "iscsi", "iscsidirect"];

/// Seconds by which a host's clock may differ from ours.
const SKEW: u64 = 10;

impl Region {
    /// See [`provider::Provider::preflight`].
    pub(crate) async fn preflight(&self) -> Result<Vec<Finding>> {
        let version = match self.transport.version().await {
            Ok(version) => version,
            Err(failed) => return Ok(vec![unreachable(&failed)]),
        };
        let mut findings = vec![supported(version)];
        if version < OLDEST {
            // What is asked for below is not what such a one would answer.
            return Ok(findings);
        }
        findings.extend(self.check_entries().await);
        let privileges = found("privileges", self.check_privileges(version).await);
        // Without its rights a token is refused one look after the other; what it lacks is said already.
        let severity = if privileges.iter().any(is_error) { Severity::Warning } else { Severity::Error };
        findings.extend(privileges);
        let looks = [
            ("quorum", self.check_quorum().await),
            ("pool", self.check_pool().await),
            ("hosts", self.check_cluster().await),
            ("private networks", self.check_zone().await),
            ("GPUs", self.check_mappings().await),
        ];
        for (subject, looked) in looks {
            let fallen = |one: Finding| if is_error(&one) { Finding { severity, ..one } } else { one };
            match looked {
                Ok(seen) => findings.extend(seen),
                failed => findings.extend(found(subject, failed).into_iter().map(fallen)),
            }
        }
        findings.extend(self.check_firewall().await);
        Ok(findings)
    }

    /// One entry that answers is enough, until it does not any more.
    async fn check_entries(&self) -> Vec<Finding> {
        let unusable = self.transport.unusable().await;
        let told = unusable.into_iter().map(|(entry, failed)| {
            let why = failed.fault("GET /version").detail;
            warning("entries", format!("{entry} cannot be used; the others are: {why}"))
        });
        told.collect()
    }

    async fn check_cluster(&self) -> Result<Vec<Finding>> {
        let cluster = self.cluster().await?;
        let mut findings = self.check_storages(&cluster);
        findings.extend(self.check_hosts(&cluster).await);
        Ok(findings)
    }

    async fn check_privileges(&self, version: Version) -> Result<Vec<Finding>> {
        let granted = self.transport.ask(&GetPermissions { path: None }).await?;
        let mut findings = Vec::new();
        for (path, privileges) in needed(version, &self.config) {
            let missing: Vec<&str> =
                privileges.into_iter().filter(|privilege| !has(&granted, &path, privilege)).collect();
            if !missing.is_empty() {
                let missing = missing.join(", ");
                findings.push(error("privileges", format!("The token lacks {missing} on {path}. Run the script that Cairn prints for this cluster, or grant them there; a token with privilege separation needs its own entries.")));
            }
        }
        if findings.is_empty() {
            findings.push(fine("privileges", "The token may do everything that is needed.".to_owned()));
            findings.extend(self.check_adoption(&granted));
        }
        Ok(findings)
    }

    /// Servers need no right over guests that are not in our pool, so this only says what cannot be done.
    fn check_adoption(&self, granted: &Value) -> Option<Finding> {
        let mut missing = Vec::new();
        for (path, privileges) in for_adoption(&self.config) {
            let lacks: Vec<&str> = privileges.iter().copied().filter(|one| !has(granted, &path, one)).collect();
            if !lacks.is_empty() {
                missing.push(format!("{} on {path}", lacks.join(", ")));
            }
        }
        if missing.is_empty() {
            return None;
        }
        let (missing, pool) = (missing.join(" and "), &self.config.pool);
        Some(warning(
            "adoption",
            format!(
                "Guests outside the pool {pool} cannot be adopted: the token lacks {missing}. Servers do without. To adopt a \
                 guest, put it into the pool first (pveum pool modify {pool} --vms NUMBER), or grant these rights as the last \
                 lines of Cairn's script do."
            ),
        ))
    }

    async fn check_quorum(&self) -> Result<Vec<Finding>> {
        Ok(vec![if self.is_quorate().await? {
            fine("quorum", "The cluster has a majority.".to_owned())
        } else {
            error("quorum", NO_QUORUM.to_owned())
        }])
    }

    async fn check_pool(&self) -> Result<Vec<Finding>> {
        let pool = &self.config.pool;
        let subject = format!("pool {pool}");
        let answer = self.transport.ask(&GetPools { poolid: None }).await?;
        let there = answer.rows().iter().any(|row| row.text("poolid").as_ref() == Some(pool));
        Ok(vec![if there {
            fine(&subject, format!("Pool {pool} is there."))
        } else {
            error(
                &subject,
                format!(
                    "There is no pool {pool}, or the token does not see it (Pool.Audit). Make it: pveum pool add {pool}"
                ),
            )
        }])
    }

    /// Whether the storages take what is put on them.
    pub(crate) fn check_storages(&self, cluster: &Cluster) -> Vec<Finding> {
        let mut uses: BTreeMap<&String, Vec<&str>> = BTreeMap::from([(&self.config.storage, vec!["images"])]);
        uses.entry(&self.config.file_storage).or_default().extend(["import", "iso"]);
        let mut findings = Vec::new();
        for (name, contents) in uses {
            let subject = format!("storage {name}");
            let Some(storage) = cluster.storage(name) else {
                findings.push(error(
                    &subject,
                    format!("No host has a storage {name}, or the token does not see it (Datastore.Audit)."),
                ));
                continue;
            };
            let taken = |content: &&str| storage.content.iter().any(|kind| kind == content);
            let missing: Vec<&str> = contents.into_iter().filter(|content| !taken(content)).collect();
            if !missing.is_empty() {
                findings.push(error(&subject, not_taken(storage, &missing)));
            }
            for host in cluster.online() {
                if !cluster.hosts_with(name).contains(&host) {
                    findings.push(warning(
                        &subject,
                        format!("Storage {name} is not available on {host}: no server can be made there."),
                    ));
                }
            }
        }
        if findings.is_empty() {
            findings.push(fine("storages", "The storages are there and take what is needed.".to_owned()));
        }
        findings
    }

    async fn check_hosts(&self, cluster: &Cluster) -> Vec<Finding> {
        let mut findings = Vec::new();
        for host in &cluster.hosts {
            let subject = format!("host {}", host.name);
            if !host.online {
                let sentence = format!(
                    "{} does not answer: its servers are out of reach, and it gets none. Start it, or look at its network.",
                    host.name
                );
                findings.push(warning(&subject, sentence));
                continue;
            }
            findings.extend(found(&subject, self.check_bridges(&host.name).await));
            findings.extend(found(&subject, self.check_clock(&host.name).await));
        }
        findings
    }

    async fn check_bridges(&self, host: &str) -> Result<Vec<Finding>> {
        let answer = self.transport.ask(&GetNodeNetwork { node: host.to_owned(), kind: None }).await?;
        let there: BTreeSet<String> = answer.rows().iter().filter_map(|row| row.text("iface")).collect();
        let wanted: BTreeSet<&String> = self.config.bridges.values().map(|bridge| &bridge.name).collect();
        let missing = wanted.into_iter().filter(|name| !there.contains(*name));
        Ok(missing
            .map(|name| {
                let sentence = format!("{host} has no bridge {name}: servers placed there would not start. Add it in the node's network settings.");
                error(&format!("bridge {name}"), sentence)
            })
            .collect())
    }

    async fn check_clock(&self, host: &str) -> Result<Vec<Finding>> {
        let answer = self.transport.ask(&GetNodeTime { node: host.to_owned() }).await?;
        let ours = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let skew = answer.number("time").map_or(0, |theirs| theirs.abs_diff(ours));
        let subject = format!("clock {host}");
        Ok(vec![if skew > SKEW {
            warning(&subject, format!("The clock of {host} is {skew} seconds off ours. Check chrony on both."))
        } else {
            fine(&subject, format!("The clock of {host} agrees with ours."))
        }])
    }

    async fn check_zone(&self) -> Result<Vec<Finding>> {
        let Some(zone) = &self.config.private_zone else {
            return Ok(vec![warning(
                "private networks",
                "The configuration names no SDN zone: there are no private networks in this region.".to_owned(),
            )]);
        };
        let answer = self.transport.ask(&GetZones {}).await?;
        let there = answer.rows().iter().any(|row| row.text("zone").as_ref() == Some(zone));
        let subject = format!("zone {zone}");
        Ok(vec![if there {
            fine(&subject, format!("Zone {zone} is there."))
        } else {
            error(
                &subject,
                format!(
                    "There is no SDN zone {zone}, or the token does not see it (SDN.Audit). Make it under Datacenter → SDN → Zones and apply."
                ),
            )
        }])
    }

    /// Without it addresses are not filtered; servers work all the same.
    async fn check_firewall(&self) -> Option<Finding> {
        let answer = self.transport.ask(&GetClusterFirewall {}).await.ok()?;
        Some(if answer.flag("enable") {
            fine("firewall", "The cluster's firewall is on.".to_owned())
        } else {
            warning("firewall", "The cluster's firewall is off: nothing keeps a server from sending under another one's address. Switch it on under Datacenter → Firewall → Options, after allowing what the nodes themselves need.".to_owned())
        })
    }
}

fn unreachable(failed: &Failed) -> Finding {
    match failed.said() {
        Some(Said::Stranger) => error(
            "token",
            "The cluster does not know this token, or it has expired. Check its name (user@realm!name) and secret."
                .to_owned(),
        ),
        Some(_) => error(
            "entries",
            format!("The entry does not answer like Proxmox VE: {}", failed.fault("GET /version").detail),
        ),
        None => error(
            "entries",
            format!(
                "No entry of the cluster can be used: {}. Check the addresses, their port (8006 as a rule) and the \
                 fingerprints, and that the nodes run.",
                failed.fault("GET /version").detail
            ),
        ),
    }
}

/// What a storage does not take, and what to do. `pvesm set` replaces the whole list, hence one command for all.
pub(crate) fn not_taken(storage: &StorageRow, missing: &[&str]) -> String {
    let (name, kind, lacks) = (&storage.name, &storage.technique, missing.join(" and "));
    let files = missing.iter().any(|content| *content != "images");
    if files && BLOCKS.contains(&kind.as_str()) {
        return format!(
            "Storage {name} does not take {lacks}: it is of the type {kind}, which keeps no files. Name one for the images \
             that does, such as `local` (a directory)."
        );
    }
    let all: Vec<&str> = storage.content.iter().map(String::as_str).chain(missing.iter().copied()).collect();
    format!("Storage {name} does not take {lacks}. Allow it: pvesm set {name} --content {}", all.join(","))
}

/// Whether this has to be mended before servers can be made.
pub(crate) fn is_error(finding: &Finding) -> bool {
    finding.severity == Severity::Error
}

/// What cannot be looked at is a finding as well, so that it does not hide the others.
fn found(subject: &str, looked: Result<Vec<Finding>>) -> Vec<Finding> {
    looked.unwrap_or_else(|fault| vec![error(subject, format!("This cannot be looked at: {}.", fault.detail))])
}

fn supported(version: Version) -> Finding {
    if version < OLDEST {
        return error("version", too_old(version));
    }
    fine("version", format!("Proxmox VE {version}."))
}

/// Whether a privilege is granted on a path or, handed down, above it.
pub(crate) fn has(granted: &Value, path: &str, privilege: &str) -> bool {
    if granted.get(path).is_some_and(|here| here.get(privilege).is_some()) {
        return true;
    }
    let mut above = path;
    while let Some((shorter, _)) = above.rsplit_once('/') {
        let name = if shorter.is_empty() { "/" } else { shorter };
        // An entry nearer by replaces what comes from above.
        if let Some(here) = granted.get(name).filter(|_| name != path) {
            return here.flag(privilege);
        }
        above = shorter;
    }
    false
}

fn finding(severity: Severity, subject: &str, sentence: String) -> Finding {
    Finding { severity, subject: subject.to_owned(), sentence }
}

pub(crate) fn fine(subject: &str, sentence: String) -> Finding {
    finding(Severity::Fine, subject, sentence)
}

fn warning(subject: &str, sentence: String) -> Finding {
    finding(Severity::Warning, subject, sentence)
}

pub(crate) fn error(subject: &str, sentence: String) -> Finding {
    finding(Severity::Error, subject, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_privilege_is_handed_down_where_it_says_so() {
        let granted = json!({"/": {"Sys.Audit": 0}, "/nodes": {"Sys.Audit": 1}, "/pool/cairn": {"VM.Audit": "1"}});
        assert!(has(&granted, "/", "Sys.Audit"));
        assert!(has(&granted, "/nodes/pve1", "Sys.Audit"));
        assert!(!has(&granted, "/sdn", "Sys.Audit"));
        assert!(has(&granted, "/pool/cairn", "VM.Audit") && !has(&granted, "/pool/other", "VM.Audit"));
    }
}
