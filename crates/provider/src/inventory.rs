//! What a region holds, and what it can do.

use crate::{Sighting, Stranger};
use serde::{Deserialize, Serialize};

/// Named abilities beyond the common ground; each is a reason to accept or refuse a wish before it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Guests have the addresses that we chose (bridged); without it they are behind user-mode networking.
    pub own_addresses: bool,
    /// A private network per team.
    pub private_networks: bool,
    /// Snapshots of a running guest.
    pub live_snapshot: bool,
    /// A picture of the guest's screen.
    pub screenshot: bool,
    /// The serial console's log.
    pub console_log: bool,
    /// CPU and memory limits are enforced per guest by the host.
    pub resource_limits: bool,
    /// Guests run with hardware virtualization.
    pub hardware_virtualization: bool,
    /// Guests have IPv6 addresses of ours.
    pub ipv6: bool,
    /// Guests can be moved to another host.
    pub migration: bool,
    /// Containers beside virtual machines.
    pub containers: bool,
    /// Guests can be kept available: started again when they die, elsewhere when their host does.
    pub high_availability: bool,
    /// An interactive console (screen or serial line).
    pub console: bool,
    /// Guests can be given GPUs of their hosts.
    pub gpus: bool,
    /// Guests are numbered at the provider, and the numbers of ours come from this range (both ends count).
    pub guest_numbers: Option<(u32, u32)>,
}

/// One host as seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct HostSeen {
    /// Its name at the provider.
    pub name: String,
    /// Threads that can run at once.
    pub cpus: u32,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Disk for guests, in GB.
    pub disk_gb: u64,
    /// Of that disk, free.
    pub disk_free_gb: u64,
    /// Answers.
    pub online: bool,
    /// The software on it, as it names itself.
    pub version: Option<String>,
    /// `x86_64`, `aarch64`.
    pub architecture: Option<String>,
    /// The GPUs that guests can be given, by kind.
    #[serde(default)]
    pub gpus: Vec<GpusSeen>,
}

/// GPUs of one kind on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GpusSeen {
    /// What the provider calls the kind.
    pub mapping: String,
    /// How many there are, in use or not.
    pub count: u32,
}

/// One storage as seen.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StorageSeen {
    /// Its name at the provider.
    pub name: String,
    /// The host that it is on; `None`: every host sees the same one.
    pub host: Option<String>,
    /// Its technique: `zfspool`, `rbd`, `dir`, …
    pub technique: String,
    /// What may be kept on it: `images`, `rootdir`, `iso`, `vztmpl`, `import`, `backup`, `snippets`.
    pub content: Vec<String>,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Bytes in use.
    pub used_bytes: u64,
    /// Answers.
    pub online: bool,
    /// New guests' disks go there.
    pub used_for_guests: bool,
}

/// Something that the operator of a region has to mend, or ought to know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// What was looked at: `token`, `privileges`, `storage local-zfs`, `bridge vmbr0`, `host pve3`.
    pub subject: String,
    /// What is wrong and what to do.
    pub sentence: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Looked at and well.
    Fine,
    /// Works, with less than it could.
    Warning,
    /// Servers cannot be made until it is mended.
    Error,
}

/// What there is to choose from in a region, before anything of it is chosen. What cannot be seen is left out;
/// [`crate::Provider::preflight`] says why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Offers {
    /// The software there, as it names itself.
    pub version: Option<String>,
    /// Hosts, by name.
    pub hosts: Vec<OfferedHost>,
    /// Storages, by name.
    pub storages: Vec<OfferedStorage>,
    /// Bridges that servers can be attached to, by name.
    pub bridges: Vec<OfferedBridge>,
    /// Zones in which teams can have networks of their own, by name.
    pub zones: Vec<OfferedZone>,
    /// Pools that guests can be members of, by name.
    pub pools: Vec<String>,
}

/// A host to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferedHost {
    /// Its name.
    pub name: String,
    /// It answers.
    pub online: bool,
}

/// A storage to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferedStorage {
    /// Its name.
    pub name: String,
    /// Its technique: `zfspool`, `rbd`, `dir`, …
    pub technique: String,
    /// What may be kept on it.
    pub content: Vec<String>,
    /// Every host sees the same one.
    pub shared: bool,
    /// Hosts on which it can be used.
    pub hosts: Vec<String>,
    /// Bytes in all; where each host has its own, on the host that has least.
    pub total_bytes: u64,
    /// Of these, free.
    pub free_bytes: u64,
    /// Why servers' disks cannot go there, and what to do; `None`: they can.
    pub not_for_disks: Option<String>,
    /// Why images cannot be downloaded to it, and what to do; `None`: they can.
    pub not_for_images: Option<String>,
}

/// A bridge to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferedBridge {
    /// Its name.
    pub name: String,
    /// Hosts that have it.
    pub hosts: Vec<String>,
    /// It knows VLANs.
    pub vlan_aware: bool,
    /// What its administrator noted.
    pub comment: Option<String>,
    /// Hosts that answer and do not have it: servers placed there would not start.
    pub missing_on: Vec<String>,
}

/// A zone to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferedZone {
    /// Its name.
    pub name: String,
    /// Its technique: `simple`, `vlan`, `vxlan`, …
    pub technique: String,
    /// Networks that are in it.
    pub networks: Vec<String>,
}

/// One look at everything.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Hosts.
    pub hosts: Vec<HostSeen>,
    /// Guests that carry our mark.
    pub guests: Vec<Sighting>,
    /// Storages, where the provider has named ones.
    pub storages: Vec<StorageSeen>,
    /// Guests that do not.
    pub strangers: Vec<Stranger>,
    /// Leftovers of ours that belong to no guest (disks, taps): names for the operator.
    pub leftovers: Vec<String>,
    /// What is wrong with the region as a whole although it answers: sentences for the operator.
    pub troubles: Vec<String>,
}
