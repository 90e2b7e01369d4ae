//! What there is to choose from at a provider, before a region is connected.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What there is to choose from. What the token may not see is left out; the findings say why.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOffers)]
pub struct Offers {
    /// The software there, as it names itself; `null`: not known.
    #[schema(required)]
    pub version: Option<String>,
    /// Hosts, by name.
    pub hosts: Vec<OfferedHost>,
    /// Storages, by name.
    pub storages: Vec<OfferedStorage>,
    /// Bridges, by name.
    pub bridges: Vec<OfferedBridge>,
    /// Zones in which teams can have networks of their own, by name.
    pub zones: Vec<OfferedZone>,
    /// Pools that guests can be members of, by name.
    pub pools: Vec<String>,
}

/// A host to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOfferedHost)]
pub struct OfferedHost {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub online: bool,
}

/// A storage to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOfferedStorage)]
pub struct OfferedStorage {
    /// Its name.
    pub name: String,
    /// Its technique, such as `zfspool`, `rbd` or `dir`.
    pub technique: String,
    /// What may be kept on it, such as `images`, `rootdir`, `iso` and `import`.
    pub content: Vec<String>,
    /// Whether every host sees the same one.
    pub shared: bool,
    /// Hosts on which it can be used.
    pub hosts: Vec<String>,
    /// Bytes in all; where each host has its own, on the host that has least.
    pub total_bytes: u64,
    /// Of these, free.
    pub free_bytes: u64,
    /// Why servers' disks cannot go there, and what to do; `null`: they can.
    #[schema(required)]
    pub not_for_disks: Option<String>,
    /// Why images cannot be downloaded to it, and what to do; `null`: they can.
    #[schema(required)]
    pub not_for_images: Option<String>,
}

/// A bridge to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOfferedBridge)]
pub struct OfferedBridge {
    /// Its name.
    pub name: String,
    /// Hosts that have it.
    pub hosts: Vec<String>,
    /// Whether it knows VLANs.
    pub vlan_aware: bool,
    /// What its administrator noted; `null`: nothing.
    #[schema(required)]
    pub comment: Option<String>,
    /// Hosts that answer and do not have it: servers placed there would not start.
    pub missing_on: Vec<String>,
}

/// A zone to choose.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOfferedZone)]
pub struct OfferedZone {
    /// Its name.
    pub name: String,
    /// Its technique, such as `simple`, `vlan` or `vxlan`.
    pub technique: String,
    /// Networks that are in it.
    pub networks: Vec<String>,
}
