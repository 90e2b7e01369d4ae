//! Guests in a Proxmox VE cluster, 8.4 to 9.x, over its REST API with an API token: no SSH, no agent on the hosts.
//!
//! `calls` is written from the published description of the API and holds every operation that can be asked for;
//! `transport` sends them, `errors` alone says what an answer means. Everything that is known of a guest stands in its
//! configuration at Proxmox (`mark`), so a restarted daemon finds its guests by looking. Work of several tasks is begun
//! one task per call, and the next call sees how far it is.

mod availability;
mod call;
mod calls;
mod changes;
mod cluster;
mod config;
mod console;
mod copies;
mod disc;
mod errors;
mod firewall;
mod gpus;
mod guests;
mod hardware;
mod images;
mod inventory;
mod looks;
mod mark;
mod moves;
mod network;
mod offers;
mod power;
mod preflight;
mod privileges;
mod quorum;
mod region;
mod retirement;
mod scalar;
mod seeding;
mod tasks;
mod templates;
mod tls;
mod transport;
mod version;

pub use calls::CALLS;
pub use config::{Bridge, Cloning, Config, Fingerprint, Secret};
pub use privileges::pveum_script;

use async_trait::async_trait;
use provider::{
    Begun, Capabilities, ConsoleKind, ConsoleStream, Fault, Finding, Gpus, Guest, GuestRef, GuestSpec, ImageRef,
    ImageSeen, ImageSource, Inventory, Movable, Move, NetworkRef, NetworkSpec, PowerWish, Provider, Resources, Result,
    Seed, TaskRef, TaskState,
};
use region::Region;
use std::sync::Arc;

/// The provider of guests in one cluster.
#[derive(Clone, Debug)]
pub struct Proxmox {
    region: Arc<Region>,
}

impl Proxmox {
    /// Prepares the connection; nothing is asked yet.
    ///
    /// # Errors
    /// `Refused` when the configuration cannot work; `Bug` when TLS cannot be set up.
    pub fn new(config: Config) -> Result<Self> {
        // Two providers are linked into the daemon, so one must be chosen; an error says that somebody did already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self { region: Arc::new(Region::new(config)?) })
    }
}

#[async_trait]
impl Provider for Proxmox {
    fn capabilities(&self) -> Capabilities {
        self.region.capabilities()
    }

    async fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        self.region.find_guest(guest).await
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

    async fn ensure_network(&self, host: &str, network: &NetworkSpec) -> Result<()> {
        self.region.ensure_network(host, network).await
    }

    async fn delete_network(&self, _host: &str, network: &NetworkRef) -> Result<()> {
        self.region.delete_network(network).await
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

    async fn give_gpus(&self, guest: &GuestRef, gpus: Option<&Gpus>) -> Result<()> {
        self.region.give_gpus(guest, gpus).await
    }

    async fn reseed_guest(&self, guest: &GuestRef, seed: &Seed) -> Result<()> {
        self.region.reseed_guest(guest, seed).await
    }

    async fn prepare_rebuild(&self, guest: &GuestRef, image: &ImageRef) -> Result<Begun> {
        self.region.prepare_rebuild(guest, image).await
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

    async fn console_log(&self, guest: &GuestRef, _limit: usize) -> Result<Vec<u8>> {
        Err(Fault::refused(format!("Proxmox keeps no log of guest {}'s console: open the console itself", guest.name)))
    }

    async fn screenshot(&self, guest: &GuestRef) -> Result<Vec<u8>> {
        Err(Fault::refused(format!("Proxmox gives no picture of guest {}'s screen: open the console", guest.name)))
    }

    async fn task(&self, task: &TaskRef) -> Result<TaskState> {
        self.region.task(task).await
    }

    async fn inventory(&self) -> Result<Inventory> {
        self.region.inventory().await
    }

    async fn movable(&self, guest: &GuestRef) -> Result<Movable> {
        self.region.movable(guest).await
    }

    async fn move_guest(&self, guest: &GuestRef, to: &str, how: Move) -> Result<Begun> {
        self.region.move_guest(guest, to, how).await
    }

    async fn keep_available(&self, guest: &GuestRef) -> Result<()> {
        self.region.keep_available(guest).await
    }

    async fn adopt_guest(&self, guest: &GuestRef) -> Result<()> {
        self.region.adopt_guest(guest).await
    }

    async fn console(&self, guest: &GuestRef, kind: ConsoleKind) -> Result<ConsoleStream> {
        self.region.console(guest, kind).await
    }

    async fn sweep(&self) -> Result<usize> {
        self.region.sweep().await
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        self.region.preflight().await
    }

    async fn offers(&self) -> Result<provider::Offers> {
        self.region.offers().await
    }

    async fn stranger_addresses(&self, guest: &GuestRef) -> Result<Vec<std::net::Ipv4Addr>> {
        self.region.stranger_addresses(guest).await
    }
}
