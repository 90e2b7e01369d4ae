//! What an operator says about a cluster.

use model::ids::{ImageId, InstallationId};
use provider::{Fault, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The configuration of one region: one Proxmox VE cluster (or one node on its own).
#[derive(Clone, Debug)]
pub struct Config {
    /// The installation whose mark is written on everything.
    pub installation: InstallationId,
    /// Entry points: `https://host:8006`. Any node is one; several keep the region reachable when a node is down.
    pub entries: Vec<String>,
    /// The API token's name: `user@realm!name`.
    pub token_id: String,
    /// The API token's secret.
    pub token_secret: Secret,
    /// SHA-256 fingerprints of the nodes' own certificates, for nodes whose certificate no public authority signed.
    pub fingerprints: Vec<Fingerprint>,
    /// Where guests' disks go.
    pub storage: String,
    /// A file based storage for downloaded images and seeds (content `import` and `iso`; `vztmpl` for containers).
    pub file_storage: String,
    /// The pool that every guest of ours is in.
    pub pool: String,
    /// The bridge of each public network, by the name of its address pool.
    pub bridges: BTreeMap<String, Bridge>,
    /// The SDN zone for teams' private networks; without one there are none.
    pub private_zone: Option<String>,
    /// Numbers of guests, both ends included. Nobody else may use them.
    pub guest_numbers: (u32, u32),
    /// Numbers of templates, both ends included. Nobody else may use them.
    pub template_numbers: (u32, u32),
    /// How many requests may be under way at once.
    pub connections: usize,
    /// How many clones of one template may run at once.
    pub clones_at_once: usize,
    /// How a guest's disk is made from a template.
    pub cloning: Cloning,
    /// Templates that are there already, by the image that they are.
    pub templates: BTreeMap<ImageId, u32>,
    /// The CPU model of new guests (`x86-64-v2-AES`, `host`); `None`: the template's.
    pub cpu_model: Option<String>,
    /// Guests may be put under high availability. The cluster asks for `Sys.Console` on `/` for that.
    pub high_availability: bool,
    /// The PCI mappings whose devices are GPUs that guests may be given. The token needs `Mapping.Use` on each.
    pub gpu_mappings: BTreeSet<String>,
    /// How long a task that the cluster does not know may be unknown before it counts as vanished: its log is written a
    /// moment after its name was answered.
    pub task_grace: Duration,
}

/// How a guest's disk is made from a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Cloning {
    /// Linked where the storage's technique can, else copied.
    #[default]
    Automatic,
    /// Always linked: quick and small; a storage that cannot refuses.
    Linked,
    /// Always copied.
    Full,
}

/// A bridge of the hosts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    /// Its name on every host.
    pub name: String,
    /// The VLAN on it.
    pub vlan: Option<u16>,
}

/// A token's secret. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// For the one header that it stands in.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The SHA-256 of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// Reads `AB:CD:…` or `abcd…`.
    ///
    /// # Errors
    /// `Refused` when it is not 32 bytes in hexadecimal.
    pub fn parse(text: &str) -> Result<Self> {
        let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
        let bytes = hex::decode(digits).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| Fault::refused(format!("{text:?} is no SHA-256 fingerprint (32 bytes in hex)")))
    }
}

impl Config {
    /// The usual values for everything that has one.
    pub fn new(
        installation: InstallationId,
        entry: impl Into<String>,
        token_id: impl Into<String>,
        secret: Secret,
    ) -> Self {
        Self {
            installation,
            entries: vec![entry.into()],
            token_id: token_id.into(),
            token_secret: secret,
            fingerprints: Vec::new(),
            storage: "local-lvm".to_owned(),
            file_storage: "local".to_owned(),
            pool: "cairn".to_owned(),
            bridges: BTreeMap::from([("public".to_owned(), Bridge { name: "vmbr0".to_owned(), vlan: None })]),
            private_zone: None,
            guest_numbers: model::numbers::USUAL_GUESTS,
            template_numbers: model::numbers::USUAL_TEMPLATES,
            connections: 5,
            clones_at_once: 3,
            cloning: Cloning::Automatic,
            templates: BTreeMap::new(),
            cpu_model: None,
            high_availability: false,
            gpu_mappings: BTreeSet::new(),
            task_grace: Duration::from_secs(10),
        }
    }

    /// What makes a configuration unusable before anything is asked.
    pub(crate) fn check(&self) -> Result<()> {
        if self.entries.is_empty() {
            return Err(Fault::refused("a Proxmox region needs at least one entry: https://host:8006"));
        }
        if let Some(entry) = self.entries.iter().find(|entry| !entry.starts_with("https://")) {
            return Err(Fault::refused(format!("{entry}: Proxmox is only reached over https://")));
        }
        if !self.token_id.contains('@') || !self.token_id.contains('!') {
            return Err(Fault::refused(format!("{}: a token is named user@realm!name", self.token_id)));
        }
        for (what, (first, last)) in [("guests", self.guest_numbers), ("templates", self.template_numbers)] {
            if first < 100 || last < first || last > 999_999_999 {
                return Err(Fault::refused(format!(
                    "numbers of {what}: {first}–{last} is no range within 100–999999999"
                )));
            }
        }
        if let Some(id) = self.gpu_mappings.iter().find(|id| !model::catalogue::is_mapping(id)) {
            return Err(Fault::refused(format!(
                "gpu_mappings: {id:?} is no id of a mapping: a letter, then letters, digits, `-` and `_`"
            )));
        }
        let ((first, last), (low, high)) = (self.guest_numbers, self.template_numbers);
        if first <= high && low <= last {
            return Err(Fault::refused("the numbers of guests and of templates overlap"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let installation = InstallationId(uuid::Uuid::nil());
        Config::new(installation, "https://pve1:8006", "cairn@pve!main", Secret::new("swordfish"))
    }

    #[test]
    fn a_secret_is_never_printed() {
        assert!(!format!("{:?}", config()).contains("swordfish"));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(config().check().is_ok());
        assert!(Config { entries: vec!["http://pve1:8006".into()], ..config() }.check().is_err());
        assert!(Config { token_id: "root@pam".into(), ..config() }.check().is_err());
        assert!(Config { guest_numbers: (90_000, 95_000), ..config() }.check().is_err());
        assert!(Config { guest_numbers: (99, 200), ..config() }.check().is_err());
        assert!(Config { gpu_mappings: ["a 100".to_owned()].into(), ..config() }.check().is_err());
    }

    #[test]
    fn fingerprints_are_read_as_proxmox_shows_them() {
        let shown = ["AB"; 32].join(":");
        assert_eq!(Fingerprint::parse(&shown).unwrap().0, [0xab; 32]);
        assert!(Fingerprint::parse("AB:CD").is_err());
    }
}
