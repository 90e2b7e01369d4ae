//! GPUs: PCI devices of the hosts that an administrator has put into mappings, which is how a token may hand them to guests.
//! Which device of a mapping a guest gets, the cluster decides at each start.

use crate::call::Indexed;
use crate::calls::{GetPciMappings, PutMachineConfig};
use crate::errors::{Failed, Said};
use crate::hardware;
use crate::preflight::{error, fine};
use crate::region::{Region, There};
use crate::scalar::Lenient;
use provider::{Fault, Finding, Gpus, GpusSeen, GuestRef, Result};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most devices that a guest has: `hostpci0` to `hostpci15`.
const MOST: usize = 16;

/// Devices by host, then by mapping.
type Devices = BTreeMap<String, BTreeMap<String, u32>>;

impl Region {
    /// How many devices of the region's mappings each host has. Mappings that the token may not see are not among them.
    /// Where none is named, nothing is asked.
    pub(crate) async fn devices(&self) -> Result<Devices> {
        let mut devices = Devices::new();
        if self.config.gpu_mappings.is_empty() {
            return Ok(devices);
        }
        let answer = match self.transport.try_ask(&GetPciMappings {}).await {
            Ok(answer) => answer,
            Err(failed) if is_no_for_good(&failed) => return Ok(devices),
            Err(failed) => return Err(failed.fault("GET /cluster/mapping/pci")),
        };
        for mapping in answer.rows() {
            let Some(id) = mapping.text("id").filter(|id| self.config.gpu_mappings.contains(id)) else { continue };
            for host in hosts(mapping) {
                *devices.entry(host).or_default().entry(id.clone()).or_default() += 1;
            }
        }
        Ok(devices)
    }

    /// Whether the region's mappings are there, and where their devices are.
    pub(crate) async fn check_mappings(&self) -> Result<Vec<Finding>> {
        let devices = self.devices().await?;
        let look = |id: &String| {
            let on = devices.iter().filter_map(|(host, of)| of.get(id).map(|count| format!("{count} on {host}")));
            let on: Vec<String> = on.collect();
            let subject = format!("mapping {id}");
            if on.is_empty() {
                let sentence = format!(
                    "There is no PCI mapping {id} with a device, or the token does not see it (Mapping.Use on /mapping/pci/{id}). \
                     Make it under Datacenter, Resource Mappings, or take it out of `gpu_mappings`."
                );
                return error(&subject, sentence);
            }
            fine(&subject, format!("Mapping {id} has devices: {}.", on.join(", ")))
        };
        Ok(self.config.gpu_mappings.iter().map(look).collect())
    }

    /// See [`provider::Provider::give_gpus`].
    pub(crate) async fn give_gpus(&self, guest: &GuestRef, gpus: Option<&Gpus>) -> Result<()> {
        let there = self.ours(guest).await?;
        there.unlocked()?;
        let Change { hostpci, delete } = self.gpu_change(&there, gpus, &machine(&there))?;
        if hostpci.is_empty() && delete.is_empty() {
            return Ok(());
        }
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            delete: Some(delete.join(",")).filter(|list| !list.is_empty()),
            digest: there.digest(),
            hostpci,
            ..Default::default()
        };
        self.transport.ask(&call).await.map(drop)
    }

    /// What of a machine's configuration has to change so that it has these GPUs. Entries of other mappings than the
    /// region's are somebody else's business.
    pub(crate) fn gpu_change(&self, there: &There, gpus: Option<&Gpus>, machine: &str) -> Result<Change> {
        if let Some(gpus) = gpus.filter(|gpus| !self.config.gpu_mappings.contains(&gpus.mapping)) {
            let id = &gpus.mapping;
            return Err(Fault::refused(format!("mapping {id} is not among the region's `gpu_mappings`: add it there")));
        }
        change(&there.config, &self.config.gpu_mappings, gpus, machine)
    }
}

/// An answer that asking again does not change: the token may not look, or the cluster knows no mappings.
fn is_no_for_good(failed: &Failed) -> bool {
    matches!(failed.said(), Some(Said::Denied | Said::Unimplemented))
}

/// The host of each device of a mapping. One entry is one device, of whatever functions.
fn hosts(mapping: &Value) -> Vec<String> {
    let entries = mapping.get("map").map_or(&[][..], Lenient::rows).iter().filter_map(Value::as_str);
    entries
        .filter_map(|entry| entry.split(',').find_map(|part| part.strip_prefix("node=")))
        .map(str::to_owned)
        .collect()
}

/// A host's GPUs as the inventory has them.
pub(crate) fn seen(devices: &Devices, host: &str) -> Vec<GpusSeen> {
    let of = devices.get(host).into_iter().flatten();
    of.map(|(mapping, count)| GpusSeen { mapping: mapping.clone(), count: *count }).collect()
}

/// The machine type; empty: the usual one, which is no q35.
pub(crate) fn machine(there: &There) -> String {
    there.config.text("machine").unwrap_or_default()
}

/// What is to be set and deleted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) hostpci: Indexed,
    pub(crate) delete: Vec<String>,
}

fn change(config: &Value, ours: &BTreeSet<String>, gpus: Option<&Gpus>, machine: &str) -> Result<Change> {
    let has = hardware::numbered(config, "hostpci");
    let mut missing = gpus.map_or(0, |gpus| gpus.count);
    let mut delete = Vec::new();
    for (index, text) in &has {
        let Some(mapping) = mapping(text).filter(|mapping| ours.contains(*mapping)) else { continue };
        if missing > 0 && gpus.is_some_and(|gpus| gpus.mapping == mapping) {
            missing -= 1;
        } else {
            delete.push(format!("hostpci{index}"));
        }
    }
    let free = (0..MOST).filter(|index| !has.iter().any(|(taken, _)| taken == index));
    // PCI Express is for machines that have it.
    let express = if machine.contains("q35") { ",pcie=1" } else { "" };
    let entry = gpus.map(|gpus| format!("mapping={}{express}", gpus.mapping)).unwrap_or_default();
    let wanted = usize::try_from(missing).unwrap_or(usize::MAX);
    let hostpci: Indexed = free.take(wanted).map(|index| (index, entry.clone())).collect();
    if hostpci.len() < wanted {
        return Err(Fault::refused(format!("a guest has at most {MOST} PCI devices, and not as many are free")));
    }
    Ok(Change { hostpci, delete })
}

/// The mapping that an entry names.
fn mapping(entry: &str) -> Option<&str> {
    entry.split(',').find_map(|part| part.strip_prefix("mapping="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn changed(config: &Value, count: u32, machine: &str) -> (Vec<(usize, String)>, Vec<String>) {
        let ours = BTreeSet::from(["a100".to_owned(), "l4".to_owned()]);
        let gpus = Gpus { mapping: "a100".to_owned(), count };
        let change = change(config, &ours, Some(&gpus).filter(|gpus| gpus.count > 0), machine).unwrap();
        (change.hostpci, change.delete)
    }

    #[test]
    fn what_is_missing_is_added_and_what_is_too_much_goes() {
        assert_eq!(changed(&json!({}), 1, "q35"), (vec![(0, "mapping=a100,pcie=1".to_owned())], vec![]));
        assert_eq!(changed(&json!({}), 1, "").0, [(0, "mapping=a100".to_owned())]);
        let two = json!({"hostpci0": "mapping=a100", "hostpci1": "mapping=a100,pcie=1"});
        assert_eq!(changed(&two, 2, ""), (vec![], vec![]), "done already");
        assert_eq!(changed(&two, 1, ""), (vec![], vec!["hostpci1".to_owned()]));
        assert_eq!(changed(&two, 0, "").1, ["hostpci0", "hostpci1"]);
        assert_eq!(changed(&json!({"hostpci0": "mapping=l4"}), 1, "").0[0].0, 1, "no key is set and deleted at once");
    }

    #[test]
    fn somebody_elses_devices_stay() {
        let config = json!({"hostpci0": "0000:01:00", "hostpci1": "mapping=nic"});
        assert_eq!(changed(&config, 0, ""), (vec![], vec![]));
        assert_eq!(changed(&config, 1, "").0[0].0, 2);
    }

    #[test]
    fn an_entry_is_a_device_of_however_many_functions() {
        let mapping = json!({"map": [
            "node=pve1,path=0000:01:00,id=10de:20b5", "id=10de:20b5,path=0000:02:00.0;0000:02:00.1,node=pve1",
            "node=pve2,path=0000:01:00,id=10de:20b5", 7,
        ]});
        assert_eq!(hosts(&mapping), ["pve1", "pve1", "pve2"]);
    }
}
