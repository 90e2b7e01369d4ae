//! Guests on this host: QEMU processes, controlled over QMP.
//!
//! Everything that is known of a guest lies in its directory, so a restarted daemon adopts its guests by looking; QEMU
//! itself runs on its own and does not notice. See `layout` for the files, `process` for how a process is found again,
//! `network` and `rules` for what is done to the host's network as root, `user_network` for what works without.
//!
//! Needs QEMU 7.2 or newer, `setsid` and `setpriv` (util-linux), and for bridged networking `ip` (iproute2) and `nft`.
//! A service manager that ends all processes of its unit (systemd's default) ends the guests too: `KillMode=process`.

mod agent;
mod command_line;
mod config;
mod console;
mod download;
mod durable;
mod fault;
mod guests;
mod host;
mod images;
mod inspect;
mod inventory;
mod layout;
mod limits;
mod lines;
mod locks;
mod network;
mod power;
mod process;
mod program;
mod qmp;
mod record;
mod region;
mod rules;
mod seed;
mod snapshot;
mod tasks;
mod user_network;

pub use config::{Config, Networking};

use async_trait::async_trait;
use provider::{
    Begun, Capabilities, Guest, GuestRef, GuestSpec, ImageRef, ImageSeen, ImageSource, Inventory, NetworkRef,
    NetworkSpec, PowerWish, Provider, Resources, Result, Seed, TaskRef, TaskState,
};
use region::Region;
use std::sync::Arc;

/// The provider of guests on this host.
#[derive(Clone, Debug)]
pub struct Qemu {
    region: Arc<Region>,
}

impl Qemu {
    /// Opens a state directory (made if absent), adopts the guests in it, and removes what interrupted work left.
    /// Guests are neither started nor stopped. Several processes may have the same directory open.
    ///
    /// # Errors
    /// `Refused` when the directory belongs to another installation; `Bug` when QEMU is not installed or the directory
    /// may not be written to; with [`Networking::Bridged`], whatever keeps that from working.
    pub async fn open(config: Config) -> Result<Self> {
        Ok(Self { region: Arc::new(Region::open(config).await?) })
    }
}

#[async_trait]
impl Provider for Qemu {
    fn capabilities(&self) -> Capabilities {
        self.region.capabilities()
    }

    async fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        let (region, guest) = (Arc::clone(&self.region), guest.clone());
        durable::blocking(move || region.find_guest(&guest)).await
    }

    async fn ensure_image(&self, image: &ImageRef, source: &ImageSource) -> Result<Begun> {
        self.region.ensure_image(image, source).await
    }

    async fn find_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>> {
        self.region.find_image(image).await
    }

    async fn delete_image(&self, image: &ImageRef) -> Result<Begun> {
        self.region.delete_image(image).await
    }

    async fn ensure_network(&self, _host: &str, network: &NetworkSpec) -> Result<()> {
        match &self.region.network {
            Some(bridged) => bridged.ensure(network).await,
            None => network::write_spec(&self.region.layout, network).await,
        }
    }

    async fn delete_network(&self, _host: &str, network: &NetworkRef) -> Result<()> {
        match &self.region.network {
            Some(bridged) => bridged.delete(&self.region, network).await,
            None => network::forget_spec(&self.region.layout, network).await,
        }
    }

    async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        self.region.create_guest(guest, spec).await
    }

    async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun> {
        self.region.power(guest, wish).await
    }

    async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun> {
        self.region.resize_guest(guest, resources).await
    }

    async fn reseed_guest(&self, guest: &GuestRef, seed: &Seed) -> Result<()> {
        self.region.reseed_guest(guest, seed).await
    }

    async fn rebuild_guest(&self, guest: &GuestRef, spec: &GuestSpec, token: &str) -> Result<Begun> {
        self.region.rebuild_guest(guest, spec, token).await
    }

    async fn snapshot_guest(&self, guest: &GuestRef, image: &ImageRef) -> Result<Begun> {
        self.region.snapshot_guest(guest, image).await
    }

    async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun> {
        self.region.delete_guest(guest).await
    }

    async fn console_log(&self, guest: &GuestRef, limit: usize) -> Result<Vec<u8>> {
        self.region.console_log(guest, limit).await
    }

    async fn screenshot(&self, guest: &GuestRef) -> Result<Vec<u8>> {
        self.region.screenshot(guest).await
    }

    async fn task(&self, task: &TaskRef) -> Result<TaskState> {
        Ok(self.region.tasks.state(task))
    }

    async fn inventory(&self) -> Result<Inventory> {
        self.region.inventory().await
    }
}
