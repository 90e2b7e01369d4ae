//! Hosts: the machines that carry guests.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of hosts.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostList)]
pub struct HostList {
    /// By region and name.
    pub hosts: Vec<Host>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(HostList, hosts, Host);

/// One host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostResponse)]
pub struct HostResponse {
    /// The host.
    pub host: Host,
}

/// A machine that carries guests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHost)]
pub struct Host {
    /// The host.
    pub id: Uuid,
    /// Its region.
    pub region: String,
    /// Its name at the provider.
    pub name: String,
    /// Whether it takes servers.
    pub state: HostState,
    /// Whether its servers are moving away.
    pub draining: bool,
    /// Words that placement goes by.
    pub tags: Vec<String>,
    /// The software on it, as it names itself; `null`: not known.
    #[schema(required)]
    pub version: Option<String>,
    /// Its processors' architecture; `null`: not known.
    #[schema(required)]
    pub architecture: Option<String>,
    /// What may be sold of it: what it has, times the region's overcommit.
    pub capacity: HostAmounts,
    /// What is reserved of that.
    pub reserved: HostAmounts,
    /// Its GPUs, by kind. They are never sold twice.
    #[serde(default)]
    #[schema(required)]
    pub gpus: Vec<HostGpus>,
    /// Servers that stand on it.
    pub servers: i64,
    /// When its provider last spoke of it; `null`: never.
    #[schema(required)]
    pub seen_at: Option<WireTime>,
}

/// GPUs of one kind on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostGpus)]
pub struct HostGpus {
    /// What the provider calls the kind: at Proxmox VE, the id of a PCI mapping.
    pub mapping: String,
    /// How many there are.
    pub total: i64,
    /// How many of them are reserved.
    pub reserved: i64,
}

/// How much of everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostAmounts)]
pub struct HostAmounts {
    /// Virtual processors.
    pub vcpus: i64,
    /// MiB of memory.
    pub memory_mib: i64,
    /// GB of disk.
    pub disk_gb: i64,
}

/// Whether a host takes servers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostState)]
#[serde(rename_all = "lowercase")]
pub enum HostState {
    /// It does.
    Up,
    /// It keeps those that it has and takes no new ones, because an operator said so.
    Maintenance,
    /// It does not answer, or its provider does not list it any more.
    Gone,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// Changes a host. What is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostUpdate)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct HostUpdate {
    /// Whether it is to take no new servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<bool>,
    /// Words that placement goes by; in place of those that were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

objects!(HostUpdate);

/// What emptying a host has begun: it is in maintenance, and its servers move.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHostDrain)]
pub struct HostDrain {
    /// The host.
    pub host: Host,
    /// The migrations that have begun.
    pub migrations: Vec<Uuid>,
    /// Servers that are busy with something else and follow by themselves.
    pub waiting: i64,
}
