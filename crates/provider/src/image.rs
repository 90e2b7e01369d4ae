//! Images at a provider.

use model::ids::{ImageId, InstallationId};
use serde::{Deserialize, Serialize};

/// An image's name at a provider, derived from our id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ImageRef {
    /// The installation that keeps it.
    pub installation: InstallationId,
    /// Our id.
    pub image: ImageId,
}

/// How the bytes are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DiskFormat {
    /// QEMU copy-on-write, version 2 or 3.
    Qcow2,
    /// The bare disk.
    Raw,
}

/// A checksum as published beside an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Checksum {
    /// SHA-256, hex.
    Sha256(String),
    /// SHA-512, hex.
    Sha512(String),
}

/// Where an image's bytes come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageSource {
    /// To be downloaded.
    Url {
        /// `https://…` (or `http://…` with a checksum).
        url: String,
        /// What the bytes must hash to. `None` only for a tenant's own image.
        checksum: Option<Checksum>,
    },
    /// On the host already.
    File {
        /// Absolute path.
        path: String,
        /// What the bytes must hash to.
        checksum: Option<Checksum>,
    },
    /// Taken from a guest by [`crate::Provider::snapshot_guest`]; there is nothing to fetch.
    Snapshot,
}

/// What was seen of an image's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ImageSeen {
    /// Bytes that it takes in the store.
    pub stored_bytes: u64,
    /// Size of the disk that a guest made from it sees.
    pub virtual_bytes: u64,
}
