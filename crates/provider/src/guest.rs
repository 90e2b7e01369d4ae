//! Guests: their names, what they should be, and what was seen of them.

use crate::{ImageRef, ImageSource, NetworkRef, TaskRef};
use model::ids::{InstallationId, ServerId};
pub use model::states::GuestKind;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// Which installation a guest belongs to. Written on the guest at birth, verified before every change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mark {
    /// The installation that owns the guest.
    pub installation: InstallationId,
    /// The server that the guest is.
    pub server: ServerId,
}

/// A guest's name at its provider; derived from our ids, never learned from an answer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GuestRef {
    /// The host that it was placed on (a hint where guests move by themselves).
    pub host: String,
    /// The provider's number or name for it: `s42` on a plain host, a VMID at Proxmox.
    pub name: String,
    /// Our mark.
    pub mark: Mark,
}

/// What a guest has of the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Disk in GB (10⁹… rounded up to GiB at providers that count so).
    pub disk_gb: u32,
}

/// Which of the two networks an interface is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InterfaceRole {
    /// Reaches the world.
    Public,
    /// The team's own network.
    Private,
}

/// One network interface with its static address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Interface {
    /// Public or private.
    pub role: InterfaceRole,
    /// The network at the provider.
    pub network: NetworkRef,
    /// MAC address, six bytes, locally administered; derived from the server id by us.
    pub mac: [u8; 6],
    /// The guest's address. A provider without bridged networking may hand out another one and reports it in [`Reached`].
    pub address: Ipv4Addr,
    /// Prefix length of the network.
    pub prefix: u8,
    /// The way out, on the interface that has one.
    pub gateway: Option<Ipv4Addr>,
}

/// The three NoCloud documents (rendered by `model::cloud_init`).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// `user-data`: cloud-config, or a multipart document that contains the tenant's.
    pub user_data: String,
    /// `meta-data`.
    pub meta_data: String,
    /// `network-config`, version 2.
    pub network_config: String,
    /// The same in single values, for providers that render cloud-init's documents themselves.
    #[serde(default)]
    pub plain: PlainSeed,
}

/// What the documents of a [`Seed`] say, as far as single values can say it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PlainSeed {
    /// The guest's host name.
    pub host_name: String,
    /// Who logs in by key.
    pub user: String,
    /// Public keys in OpenSSH's form, one line each.
    pub keys: Vec<String>,
    /// Name servers.
    pub resolvers: Vec<Ipv4Addr>,
    /// The tenant gave a document of their own: only the documents say everything.
    pub has_user_data: bool,
}

impl std::fmt::Debug for Seed {
    /// User data may hold secrets, so a seed never prints its content.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Seed({} bytes)", self.user_data.len() + self.meta_data.len() + self.network_config.len())
    }
}

/// What a guest should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GuestSpec {
    /// Virtual machine or container.
    #[serde(default)]
    pub kind: GuestKind,
    /// The server's name, for humans looking at the provider's own screens.
    pub title: String,
    /// The image that the disk starts as.
    pub image: ImageRef,
    /// Where its bytes come from, where that is known: some providers bring them to each host when its first guest needs them.
    #[serde(default)]
    pub source: Option<ImageSource>,
    /// CPU, memory, disk.
    pub resources: Resources,
    /// NICs, public first.
    pub interfaces: Vec<Interface>,
    /// The cloud-init seed.
    pub seed: Seed,
    /// Its GPUs. Only with [`crate::Capabilities::gpus`].
    #[serde(default)]
    pub gpus: Option<Gpus>,
}

/// Devices of a host that a guest has to itself, all of one kind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gpus {
    /// The kind, as [`crate::GpusSeen::mapping`] names it.
    pub mapping: String,
    /// How many.
    pub count: u32,
}

/// What to do with the power.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PowerWish {
    /// Ensure that it runs.
    On,
    /// Ensure that it does not, at once (the plug).
    Off,
    /// Ask the guest to stop (ACPI).
    Shutdown,
    /// Ask the guest to restart (ACPI or Ctrl-Alt-Del); the process stays.
    Reboot,
    /// Reset at once.
    Reset,
}

/// A guest's power as seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuestPower {
    /// Running.
    Running,
    /// Stopped.
    Stopped,
}

/// How the guest can be reached from outside when its addresses alone do not say it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Reached {
    /// A forwarded SSH port (user-mode networking): host and port to connect to.
    pub ssh: Option<(String, u16)>,
}

/// One look at one guest of ours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sighting {
    /// Where it is.
    pub guest: GuestRef,
    /// Running or stopped.
    pub power: GuestPower,
    /// What it has.
    pub resources: Resources,
    /// How to reach it.
    pub reached: Reached,
    /// The token of the last finished rebuild, if any.
    pub rebuilt: Option<String>,
    /// A counter that changes whenever the guest is (re)started, where the provider has one.
    pub boot: Option<String>,
}

/// A guest that does not carry our mark. Never changed; shown to the operator, who may adopt it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Stranger {
    /// The host that it is on.
    pub host: String,
    /// Its number or name there.
    pub name: String,
    /// Virtual machine or container.
    pub kind: GuestKind,
    /// What people there call it.
    pub title: String,
    /// Running or stopped; `None`: the provider does not know.
    pub power: Option<GuestPower>,
    /// What it has.
    pub resources: Resources,
    /// Mark of another installation, or what else says whose it is.
    pub owner: Option<String>,
}

/// How a guest is moved to another host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// Running, with its memory.
    Live,
    /// Stopped first, if it is not.
    Cold,
}

/// What stands against moving a guest, and what is known of the hosts that could take it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Movable {
    /// Sentences for the operator; empty: nothing stands against it.
    pub hindrances: Vec<String>,
    /// Hosts that the provider says cannot take it, with why.
    pub not_to: Vec<(String, String)>,
    /// Its disks have to be copied.
    pub copies_disks: bool,
}

/// The answer to "is it there?"
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Guest {
    /// There and ours.
    Ours(Box<Sighting>),
    /// Ours and being made: look again later.
    Forming,
    /// Ours and half made, and nothing is working on it: [`crate::Provider::create_guest`] goes on from there,
    /// [`crate::Provider::delete_guest`] removes it.
    Unfinished,
    /// Something else has this name; it carries this mark (or none).
    Foreign(String),
    /// Not there.
    Absent,
}

/// A call's answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It is so.
    Done,
    /// It will be so when this task has ended well.
    Task(TaskRef),
}
