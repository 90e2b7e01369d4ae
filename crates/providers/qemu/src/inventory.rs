//! Everything of ours on this host, and what is not.

use crate::durable::blocking;
use crate::host;
use crate::layout::machine_id;
use crate::locks;
use crate::process;
use crate::region::{Region, names};
use provider::{GuestKind, GuestPower, HostSeen, Inventory, Resources, Result, Stranger};
use std::collections::HashSet;
use std::sync::Arc;

impl Region {
    /// See [`provider::Provider::inventory`].
    pub(crate) async fn inventory(self: &Arc<Self>) -> Result<Inventory> {
        let region = Arc::clone(self);
        let mut inventory = blocking(move || region.look_round()).await?;
        if let Some(network) = &self.network {
            let guests: Vec<String> = inventory.guests.iter().map(|seen| seen.guest.name.clone()).collect();
            inventory.leftovers.extend(network.leftovers(&guests).await?);
        }
        Ok(inventory)
    }

    fn look_round(&self) -> Result<Inventory> {
        let disk = host::disk_gb(self.layout.root());
        let (disk_gb, disk_free_gb) = disk.map_err(|error| crate::fault::from_io("looking at the disk", &error))?;
        let host = HostSeen {
            name: self.config.host_name.clone(),
            cpus: host::processors(),
            memory_mib: host::memory_mib(),
            disk_gb,
            disk_free_gb,
            online: true,
            version: None,
            architecture: Some(std::env::consts::ARCH.to_owned()),
            gpus: Vec::new(),
        };
        let guests = self.guests()?;
        let ours: HashSet<String> = guests.iter().map(|(_, record)| machine_id(&record.mark).to_string()).collect();
        let foreign = |machine: &Option<String>| machine.as_ref().is_none_or(|machine| !ours.contains(machine));
        let sightings = guests.iter().map(|(place, record)| self.sighting(place, record));
        Ok(Inventory {
            hosts: vec![host],
            guests: sightings.collect::<Result<_>>()?,
            storages: Vec::new(),
            strangers: process::every_machine()
                .into_iter()
                .filter(foreign)
                .map(|machine| self.stranger(machine))
                .collect(),
            leftovers: self.leftovers(guests.iter().map(|(place, _)| place.name.as_str()).collect())?,
            troubles: Vec::new(),
        })
    }

    /// A QEMU of somebody else: that it runs is all that is known of it.
    fn stranger(&self, machine: Option<String>) -> Stranger {
        Stranger {
            host: self.config.host_name.clone(),
            name: machine.unwrap_or_default(),
            kind: GuestKind::Machine,
            title: String::new(),
            power: Some(GuestPower::Running),
            resources: Resources { vcpus: 0, memory_mib: 0, disk_gb: 0 },
            owner: None,
        }
    }

    /// Files that belong to no guest and to no work under way.
    fn leftovers(&self, guests: HashSet<&str>) -> Result<Vec<String>> {
        let mut leftovers = Vec::new();
        for name in names(&self.layout.guests())? {
            if guests.contains(name.as_str()) {
                continue;
            }
            let guest = name.trim_start_matches(".new-").trim_start_matches(".gone-");
            if let Some(held) = locks::try_take(&self.layout.locks(), &crate::guests::lock_name(guest))? {
                held.retire();
                leftovers.push(format!("guests/{name}"));
            }
        }
        for name in names(&self.layout.downloads())? {
            let image = name.split('.').next().and_then(|stem| stem.rsplit('-').next()).unwrap_or_default();
            if let Some(held) = locks::try_take(&self.layout.locks(), &format!("image-{image}"))? {
                held.retire();
                leftovers.push(format!("downloads/{name}"));
            }
        }
        Ok(leftovers)
    }
}
