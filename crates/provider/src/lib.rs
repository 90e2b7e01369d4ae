//! The words in which Cairn speaks to whatever carries guests: one small trait, named capabilities for the
//! rest, typed faults. Every provider, and through the provider's own protocol every simulator, stands
//! behind [`Provider`].
//!
//! Rules that every implementation keeps:
//! - Every call is an *ensure*: called twice, the second call finds the work done. It begins by looking.
//! - A guest is named by [`GuestRef`], which we derive from our own ids before the first call; it carries our
//!   [`Mark`]. A guest without our mark is [`Guest::Foreign`] and is never changed or deleted.
//! - Work that outlasts a call is returned as [`Begun::Task`]; the task can be asked about after a restart
//!   ([`Provider::task`]), and a task that nobody remembers is [`TaskState::Vanished`], not an error.
//! - Nothing of a tenant is ever put into a shell string.

use async_trait::async_trait;

mod console;
mod fault;
mod guest;
mod image;
mod inventory;
mod network;

pub use console::{ConsoleKind, ConsoleStream};
pub use fault::{Fault, FaultKind};
pub use guest::{
    Begun, Gpus, Guest, GuestKind, GuestPower, GuestRef, GuestSpec, Interface, InterfaceRole, Mark, Movable, Move,
    PlainSeed, PowerWish, Reached, Resources, Seed, Sighting, Stranger,
};
pub use image::{Checksum, DiskFormat, ImageRef, ImageSeen, ImageSource};
pub use inventory::{
    Capabilities, Finding, GpusSeen, HostSeen, Inventory, OfferedBridge, OfferedHost, OfferedStorage, OfferedZone,
    Offers, Severity, StorageSeen,
};
pub use network::{NetworkKind, NetworkRef, NetworkSpec, TaskRef, TaskState};

/// The result of a provider call.
pub type Result<T> = std::result::Result<T, Fault>;

/// One region's substrate.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// What this provider can do beyond the trait's common ground. Asked before a wish is accepted: an
    /// unsupported one is refused with a 422 before anything starts.
    fn capabilities(&self) -> Capabilities;

    /// Looks for one guest.
    async fn find_guest(&self, guest: &GuestRef) -> Result<Guest>;

    /// Ensures that the image's bytes are at hand in this region: downloads, verifies and caches it, or checks that
    /// it already is. A task's progress is a fraction of the bytes.
    async fn ensure_image(&self, image: &ImageRef, source: &ImageSource) -> Result<Begun>;

    /// What is known of an image's bytes in this region; `None` when they are not at hand.
    async fn find_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>>;

    /// Ensures that an image's bytes are gone (base images that guests still use as a backing file stay until the
    /// last such guest is gone).
    async fn delete_image(&self, image: &ImageRef) -> Result<Begun>;

    /// Ensures that a network exists on `host`, so that guests can be attached to it.
    async fn ensure_network(&self, host: &str, network: &NetworkSpec) -> Result<()>;

    /// Ensures that a network is gone from `host`. A network that guests still use is left, without an error.
    async fn delete_network(&self, host: &str, network: &NetworkRef) -> Result<()>;

    /// Ensures that the guest exists with its disk (copied or overlaid from `spec.image`, grown to
    /// `spec.resources.disk_gb`), its seed and its interfaces, stopped.
    async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun>;

    /// Ensures the guest's power. `PowerWish::Shutdown` asks the guest by ACPI and returns at once; whether it
    /// obeyed is seen by looking again.
    async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun>;

    /// Ensures that a stopped guest has these resources. Disks only grow.
    async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun>;

    /// Ensures that a stopped guest has these GPUs and none besides. Only with [`Capabilities::gpus`].
    async fn give_gpus(&self, guest: &GuestRef, gpus: Option<&Gpus>) -> Result<()> {
        match gpus {
            Some(_) => Err(unsupported("GPUs", guest)),
            None => Ok(()),
        }
    }

    /// Ensures that the seed (and with it name, keys and user data of the next first boot) is this one.
    async fn reseed_guest(&self, guest: &GuestRef, seed: &Seed) -> Result<()>;

    /// Ensures, while the guest may still run, that its disk can be made anew from `image` where the guest is: the bytes are
    /// brought to its host. `Refused`: they cannot be, and a rebuild would be refused, too. Changes nothing of the guest.
    async fn prepare_rebuild(&self, _guest: &GuestRef, _image: &ImageRef) -> Result<Begun> {
        Ok(Begun::Done)
    }

    /// Ensures that the stopped guest's disk is a fresh copy of `spec.image`. `token` names this rebuild: a repeat
    /// with the same token does nothing once it has been done.
    async fn rebuild_guest(&self, guest: &GuestRef, spec: &GuestSpec, token: &str) -> Result<Begun>;

    /// Ensures that `image` holds the guest's disk as it is now (crash-consistent when it runs, and quiesced where
    /// the guest agent answers).
    async fn snapshot_guest(&self, guest: &GuestRef, image: &ImageRef) -> Result<Begun>;

    /// Ensures that the guest, its disk, its interfaces and its rules are gone.
    async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun>;

    /// The last `limit` bytes of the guest's serial console.
    async fn console_log(&self, guest: &GuestRef, limit: usize) -> Result<Vec<u8>>;

    /// The guest's screen as PNG.
    async fn screenshot(&self, guest: &GuestRef) -> Result<Vec<u8>>;

    /// Asks about a task.
    async fn task(&self, task: &TaskRef) -> Result<TaskState>;

    /// Everything of ours (and the count of what is not) in this region.
    async fn inventory(&self) -> Result<Inventory>;

    /// What stands against moving the guest. Asked before a move is begun; only with [`Capabilities::migration`].
    async fn movable(&self, guest: &GuestRef) -> Result<Movable> {
        Err(unsupported("moving guests", guest))
    }

    /// Ensures that the guest is on host `to`. Begins by looking: a guest that is there already is done; so is one that
    /// was moved there by somebody else. Only with [`Capabilities::migration`].
    async fn move_guest(&self, guest: &GuestRef, to: &str, _how: Move) -> Result<Begun> {
        Err(unsupported(&format!("moving guests to {to}"), guest))
    }

    /// Ensures that the substrate keeps the guest available: starts it again when it dies, elsewhere when its host does.
    /// It stays so until the guest is deleted. Only with [`Capabilities::high_availability`].
    async fn keep_available(&self, guest: &GuestRef) -> Result<()> {
        Err(unsupported("high availability", guest))
    }

    /// Puts our mark on a guest that has none: from then on it is ours. `guest.name` is the stranger's. A guest that
    /// carries another installation's mark is refused.
    async fn adopt_guest(&self, guest: &GuestRef) -> Result<()> {
        Err(unsupported("adopting guests", guest))
    }

    /// Opens an interactive console. Only with [`Capabilities::console`].
    async fn console(&self, guest: &GuestRef, _kind: ConsoleKind) -> Result<ConsoleStream> {
        Err(unsupported("an interactive console", guest))
    }

    /// Deletes what was taken out of use and could not be deleted then, such as an image's template that disks were built
    /// on. What is still built on stays, and is no fault. How many deletions it began; they are not followed, because what
    /// they leave is found the next time.
    async fn sweep(&self) -> Result<usize> {
        Ok(0)
    }

    /// Looks whether everything is there that making guests takes (privileges, storages, bridges, versions) and says
    /// what is missing, in sentences that an operator can act on. Changes nothing.
    async fn preflight(&self) -> Result<Vec<Finding>> {
        Ok(Vec::new())
    }

    /// What there is to choose from. Needs no more of the configuration than how to get in. Changes nothing.
    async fn offers(&self) -> Result<Offers> {
        Ok(Offers::default())
    }

    /// Addresses that a guest which is not ours says it has: those that it is configured with, and those that it answers
    /// to where it runs an agent. Asked before it is adopted. Empty: it does not say.
    async fn stranger_addresses(&self, _guest: &GuestRef) -> Result<Vec<std::net::Ipv4Addr>> {
        Ok(Vec::new())
    }
}

fn unsupported(what: &str, guest: &GuestRef) -> Fault {
    Fault::refused(format!("this provider does not know {what} (asked about guest {})", guest.name))
}
