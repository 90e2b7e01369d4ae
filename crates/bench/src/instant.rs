//! A provider in memory whose every call is done when it returns: what remains is what Cairn itself costs.

use async_trait::async_trait;
use provider::{
    Begun, Capabilities, Fault, Guest, GuestPower, GuestRef, GuestSpec, HostSeen, ImageRef, ImageSeen, ImageSource,
    Inventory, NetworkRef, NetworkSpec, PowerWish, Provider, Reached, Resources, Result, Seed, Sighting, TaskRef,
    TaskState,
};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// As many hosts as a middling installation has; one alone would make every placement wait for the same row.
const HOSTS: usize = 16;

/// The provider.
#[derive(Default)]
pub(crate) struct Instant {
    guests: Mutex<HashMap<String, Sighting>>,
}

impl Instant {
    fn guests(&self) -> MutexGuard<'_, HashMap<String, Sighting>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, guest: &GuestRef, change: impl FnOnce(&mut Sighting)) -> Result<Begun> {
        match self.guests().get_mut(&guest.name) {
            Some(found) => {
                change(found);
                Ok(Begun::Done)
            }
            None => Err(Fault::refused(format!("there is no guest {}", guest.name))),
        }
    }
}

#[async_trait]
impl Provider for Instant {
    fn capabilities(&self) -> Capabilities {
        Capabilities { own_addresses: true, private_networks: true, ..Capabilities::default() }
    }

    async fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        Ok(self.guests().get(&guest.name).map_or(Guest::Absent, |found| Guest::Ours(Box::new(found.clone()))))
    }

    async fn ensure_image(&self, _image: &ImageRef, _source: &ImageSource) -> Result<Begun> {
        Ok(Begun::Done)
    }

    async fn find_image(&self, _image: &ImageRef) -> Result<Option<ImageSeen>> {
        Ok(Some(ImageSeen { stored_bytes: 1 << 29, virtual_bytes: 2 << 30 }))
    }

    async fn delete_image(&self, _image: &ImageRef) -> Result<Begun> {
        Ok(Begun::Done)
    }

    async fn ensure_network(&self, _host: &str, _network: &NetworkSpec) -> Result<()> {
        Ok(())
    }

    async fn delete_network(&self, _host: &str, _network: &NetworkRef) -> Result<()> {
        Ok(())
    }

    async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        self.guests().entry(guest.name.clone()).or_insert_with(|| Sighting {
            guest: guest.clone(),
            power: GuestPower::Stopped,
            resources: spec.resources,
            reached: Reached::default(),
            rebuilt: None,
            boot: None,
        });
        Ok(Begun::Done)
    }

    async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun> {
        let power = match wish {
            PowerWish::On | PowerWish::Reboot | PowerWish::Reset => GuestPower::Running,
            PowerWish::Off | PowerWish::Shutdown => GuestPower::Stopped,
        };
        self.change(guest, |found| found.power = power)
    }

    async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun> {
        self.change(guest, |found| found.resources = *resources)
    }

    async fn reseed_guest(&self, _guest: &GuestRef, _seed: &Seed) -> Result<()> {
        Ok(())
    }

    async fn rebuild_guest(&self, guest: &GuestRef, _spec: &GuestSpec, token: &str) -> Result<Begun> {
        self.change(guest, |found| found.rebuilt = Some(token.to_owned()))
    }

    async fn snapshot_guest(&self, _guest: &GuestRef, _image: &ImageRef) -> Result<Begun> {
        Ok(Begun::Done)
    }

    async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun> {
        self.guests().remove(&guest.name);
        Ok(Begun::Done)
    }

    async fn console_log(&self, _guest: &GuestRef, _limit: usize) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn screenshot(&self, _guest: &GuestRef) -> Result<Vec<u8>> {
        Err(Fault::refused("there is no screen"))
    }

    async fn task(&self, _task: &TaskRef) -> Result<TaskState> {
        Ok(TaskState::Vanished)
    }

    async fn inventory(&self) -> Result<Inventory> {
        let host = |number: usize| HostSeen {
            name: format!("host-{number}"),
            cpus: 1 << 20,
            memory_mib: 1 << 40,
            disk_gb: 1 << 40,
            disk_free_gb: 1 << 40,
            online: true,
            version: None,
            architecture: None,
            gpus: Vec::new(),
        };
        Ok(Inventory {
            hosts: (1..=HOSTS).map(host).collect(),
            guests: self.guests().values().cloned().collect(),
            ..Inventory::default()
        })
    }
}
