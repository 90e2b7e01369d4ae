//! The state words. The words on the wire are DigitalOcean's; no value may ever be added to those that
//! clients switch on (more state goes into new fields).

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant),+ }

        impl $name {
            /// The word as stored and as sent.
            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $word),+ } }
            /// Every word, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownWord;
            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text { $($word => Ok(Self::$variant),)+ _ => Err(UnknownWord(text.to_owned())) }
            }
        }
    };
}

/// A stored or received word that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown word `{0}`")]
pub struct UnknownWord(pub String);

words!(
    /// The four words a server's status can be (specification: `droplet.status`).
    ServerStatus {
        /// Not answered yet for the first time.
        New = "new",
        /// Running.
        Active = "active",
        /// Stopped.
        Off = "off",
        /// Kept, but not startable by its tenant.
        Archive = "archive",
    }
);

words!(
    /// Power, as wished (`servers.wanted_power`) and as seen (`servers.seen_power`).
    Power {
        /// Running.
        On = "on",
        /// Stopped.
        Off = "off",
    }
);

words!(
    /// `action.status`.
    ActionStatus {
        /// Accepted, not finished.
        InProgress = "in-progress",
        /// Finished as asked.
        Completed = "completed",
        /// Finished otherwise.
        Errored = "errored",
    }
);

words!(
    /// `image.status`.
    ImageStatus {
        /// Being made or fetched for the first time.
        New = "NEW",
        /// Usable.
        Available = "available",
        /// Being worked on.
        Pending = "pending",
        /// Gone.
        Deleted = "deleted",
        /// Usable by servers that have it, not offered any more.
        Retired = "retired",
    }
);

words!(
    /// `image.type`.
    ImageKind {
        /// From the operator's catalogue.
        Base = "base",
        /// Taken from a server.
        Snapshot = "snapshot",
        /// Taken from a server on a schedule.
        Backup = "backup",
        /// Brought by a tenant, by URL.
        Custom = "custom",
    }
);

words!(
    /// What kind of machine a guest is. The image that a server is made from says it.
    #[derive(Default)]
    GuestKind {
        /// A virtual machine with its own kernel (QEMU).
        #[default]
        Machine = "machine",
        /// A system container on the host's kernel (LXC).
        Container = "container",
    }
);

words!(
    /// How the servers of a group stand to each other.
    GroupPolicy {
        /// On different hosts: rather no server at all.
        AntiAffinity = "anti-affinity",
        /// On different hosts, as long as there are any.
        SoftAntiAffinity = "soft-anti-affinity",
    }
);

/// What archives of a container's root file system end in.
const ARCHIVES: [&str; 5] = [".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"];

impl GuestKind {
    /// What is made of the image at this address (a URL or a path): of a disk a machine, of an archive of files a container.
    pub fn made_of(address: &str) -> Self {
        if archive_extension(address).is_some() { Self::Container } else { Self::Machine }
    }
}

/// What an address ends in, if it is an archive's. What a URL has behind `?` and `#` does not count.
pub fn archive_extension(address: &str) -> Option<&'static str> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    ARCHIVES.into_iter().find(|extension| path.ends_with(extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_becomes_a_container_and_a_disk_a_machine() {
        for address in ["https://a.example/debian-12-standard_12.7-1_amd64.tar.zst", "/x/root.tar.xz?a=b", "b.tar.gz#c"]
        {
            assert_eq!(GuestKind::made_of(address), GuestKind::Container, "{address}");
        }
        for address in ["https://a.example/debian.qcow2", "https://a.example/x.qcow2?of=y.tar.gz", "disk.raw.xz", ""] {
            assert_eq!(GuestKind::made_of(address), GuestKind::Machine, "{address}");
        }
        assert_eq!(archive_extension("a.tar.xz"), Some(".tar.xz"));
    }
}
