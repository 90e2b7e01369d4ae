//! What a region holds, and what it can do.

use crate::Sighting;
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
}

/// One look at everything.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Inventory {
    /// Hosts.
    pub hosts: Vec<HostSeen>,
    /// Guests that carry our mark.
    pub guests: Vec<Sighting>,
    /// How many guests there are that do not.
    pub foreign_guests: usize,
    /// Leftovers of ours that belong to no guest (disks, taps): names for the operator.
    pub leftovers: Vec<String>,
}
