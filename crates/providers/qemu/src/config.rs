//! What an operator may set, and why opening can fail.

use model::ids::InstallationId;
use std::path::PathBuf;

/// How guests are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Networking {
    /// Bridged when this process is root and `ip` and `nft` work here, user-mode otherwise.
    #[default]
    Auto,
    /// Bridges, taps and nftables; needs root. Opening fails where that does not work.
    Bridged,
    /// QEMU's own user-mode network with a forwarded SSH port; needs nothing.
    User,
}

/// The configuration of one region on this host.
#[derive(Clone, Debug)]
pub struct Config {
    /// The installation whose mark is written on everything.
    pub installation: InstallationId,
    /// Where guests and images are kept. One directory belongs to one installation.
    pub state_dir: PathBuf,
    /// The name under which this host appears in the inventory.
    pub host_name: String,
    /// How guests are connected.
    pub networking: Networking,
    /// The operator's own bridge, for networks of the kind `PublicBridged`. Never created or removed by us.
    pub public_bridge: Option<String>,
    /// The QEMU system emulator; a name is looked up in `PATH`.
    pub qemu_binary: PathBuf,
    /// QEMU's disk image tool; a name is looked up in `PATH`.
    pub qemu_img_binary: PathBuf,
    /// Run as root, each guest's QEMU gets a user id of its own: this plus a number derived from the server id.
    /// The range (2²⁸ ids) must belong to nobody else on the host.
    pub guest_user_base: u32,
    /// No image may be larger, neither as bytes on the wire nor as the disk that a guest sees.
    pub largest_image_bytes: u64,
}

impl Config {
    /// The usual values for everything that has one.
    pub fn new(installation: InstallationId, state_dir: impl Into<PathBuf>, host_name: impl Into<String>) -> Self {
        Self {
            installation,
            state_dir: state_dir.into(),
            host_name: host_name.into(),
            networking: Networking::Auto,
            public_bridge: None,
            qemu_binary: PathBuf::from("qemu-system-x86_64"),
            qemu_img_binary: PathBuf::from("qemu-img"),
            guest_user_base: 0x6000_0000,
            largest_image_bytes: 100 << 30,
        }
    }
}
