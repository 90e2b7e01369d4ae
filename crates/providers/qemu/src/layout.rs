//! Where things lie in the state directory, and what they are called on the host.
//!
//! ```text
//! installation            whose directory this is
//! images/                 <installation>-<image>.qcow2, complete and read-only
//! downloads/              images on their way
//! guests/<name>/          one directory per guest; it appears by a rename, complete
//!     guest.json          mark, resources, interfaces, which files are current
//!     base-N.qcow2        a hard link of the image, so that deleting an image needs no book-keeping
//!     disk-N.qcow2        the overlay on it
//!     seed-N.img          the NoCloud volume (0600: it holds secrets)
//!     console.log         what was fetched of the serial console
//!     run/                QEMU's own: sockets, process id, pictures; the only place it may create files in
//! guests/.new-<name>      a guest being made; `.gone-<name>` one being removed
//! networks/               one file per network that we were asked for
//! locks/                  see the module `locks`
//! ```

use model::ids::InstallationId;
use provider::{Fault, GuestRef, ImageRef, Mark, NetworkRef, Result};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The state directory of one installation.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
    installation: InstallationId,
}

/// One guest's directory.
#[derive(Clone, Debug)]
pub(crate) struct GuestPlace {
    /// The guest's name.
    pub(crate) name: String,
    /// Its directory.
    pub(crate) directory: PathBuf,
}

impl GuestPlace {
    pub(crate) fn record(&self) -> PathBuf {
        self.directory.join("guest.json")
    }
    pub(crate) fn run(&self) -> PathBuf {
        self.directory.join("run")
    }
    pub(crate) fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }
    pub(crate) fn base(&self, generation: u64) -> PathBuf {
        self.directory.join(base_name(generation))
    }
    pub(crate) fn disk(&self, generation: u64) -> PathBuf {
        self.directory.join(format!("disk-{generation}.qcow2"))
    }
    pub(crate) fn seed(&self, generation: u64) -> PathBuf {
        self.directory.join(format!("seed-{generation}.img"))
    }
    /// Exists while the guest's file systems are frozen.
    pub(crate) fn frozen(&self) -> PathBuf {
        self.directory.join("frozen")
    }
    /// A snapshot of this guest while it is being written.
    pub(crate) fn snapshot(&self, image: &ImageRef) -> PathBuf {
        self.directory.join(format!("snapshot-{}.qcow2", image.image))
    }
}

/// The backing file's name as it stands in the overlay: relative, so that a state directory can be moved.
pub(crate) fn base_name(generation: u64) -> String {
    format!("base-{generation}.qcow2")
}

impl Layout {
    pub(crate) fn new(root: PathBuf, installation: InstallationId) -> Self {
        Self { root, installation }
    }
    pub(crate) fn installation(&self) -> InstallationId {
        self.installation
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn owner(&self) -> PathBuf {
        self.root.join("installation")
    }
    pub(crate) fn images(&self) -> PathBuf {
        self.root.join("images")
    }
    pub(crate) fn downloads(&self) -> PathBuf {
        self.root.join("downloads")
    }
    pub(crate) fn guests(&self) -> PathBuf {
        self.root.join("guests")
    }
    pub(crate) fn networks(&self) -> PathBuf {
        self.root.join("networks")
    }
    pub(crate) fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The guest's place. Names are derived by us, but a path is made of this one, so it is checked all the same.
    pub(crate) fn guest(&self, guest: &GuestRef) -> Result<GuestPlace> {
        self.named(&guest.name)
    }

    pub(crate) fn named(&self, name: &str) -> Result<GuestPlace> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 48 || name.starts_with('-') || !name.bytes().all(plain) {
            return Err(Fault::bug(format!("a guest cannot be called {name:?}")));
        }
        Ok(GuestPlace { name: name.to_owned(), directory: self.guests().join(name) })
    }

    /// Where a guest is put together before its directory appears.
    pub(crate) fn forming(&self, name: &str) -> GuestPlace {
        GuestPlace { name: name.to_owned(), directory: self.guests().join(format!(".new-{name}")) }
    }

    /// Where a guest's files go before they are removed one by one.
    pub(crate) fn leaving(&self, name: &str) -> PathBuf {
        self.guests().join(format!(".gone-{name}"))
    }

    /// An image's file.
    pub(crate) fn image(&self, image: &ImageRef) -> PathBuf {
        self.images().join(format!("{}-{}.qcow2", image.installation, image.image))
    }

    /// An image's file on its way.
    pub(crate) fn download(&self, image: &ImageRef, extension: &str) -> PathBuf {
        self.downloads().join(format!("{}-{}.{extension}", image.installation, image.image))
    }

    /// The name of our nftables tables and control groups.
    pub(crate) fn table(&self) -> String {
        format!("cairn_{}", digest(&[self.installation.to_string().as_bytes()], 4))
    }

    /// A network's bridge: 13 characters of the 15 that Linux allows.
    pub(crate) fn bridge(&self, network: &NetworkRef) -> String {
        let key = network_key(network);
        format!("cbr{}", digest(&[self.installation.to_string().as_bytes(), key.as_bytes()], 5))
    }

    /// A guest's tap for its n-th interface.
    pub(crate) fn tap(&self, name: &str, index: usize) -> String {
        format!("ct{}{index:x}", digest(&[self.installation.to_string().as_bytes(), name.as_bytes()], 5))
    }

    /// What marks an interface of the host as ours.
    pub(crate) fn alias(&self, what: &str) -> String {
        format!("cairn:{}:{what}", self.installation)
    }
}

/// A network's name as text; also what its alias ends with.
pub(crate) fn network_key(network: &NetworkRef) -> String {
    match network {
        NetworkRef::Public(pool) => format!("public:{}", digest(&[pool.as_bytes()], 8)),
        NetworkRef::Vpc(vpc) => format!("vpc:{vpc}"),
    }
}

/// The guest's SMBIOS id, by which its process is recognised: derived from the mark, so it is the same for ever.
pub(crate) fn machine_id(mark: &Mark) -> Uuid {
    let hash = Sha256::digest(format!("{}/{}", mark.installation, mark.server));
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

fn digest(parts: &[&[u8]], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_stay() {
        let layout = Layout::new("/s".into(), InstallationId(Uuid::nil()));
        let network = NetworkRef::Public("public".into());
        assert_eq!(layout.bridge(&network), layout.bridge(&network));
        assert!(layout.bridge(&network).len() <= 15 && layout.tap("s2147483647", 1).len() <= 15);
        assert_ne!(layout.tap("s1", 0), layout.tap("s1", 1));
        for bad in ["", "../x", "a/b", "-x", "A", "a b", &"x".repeat(49)] {
            assert!(layout.named(bad).is_err(), "{bad}");
        }
    }
}
