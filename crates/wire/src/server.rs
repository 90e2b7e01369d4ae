//! Servers: what is asked for and what is there. On the wire a server is a `droplet`.

use crate::cloud::{ServerCloud, ServerWishes};
use crate::envelope::{ActionLinks, Meta, PageLinks, list};
use crate::image::Image;
use crate::reference::{IdOrSlug, KeyReference};
use crate::region::Region;
use crate::server_backup::{BackupPolicy, BackupWindow};
use crate::size::{DiskInfo, GpuInfo, Size};
use crate::strict::objects;
use crate::time::WireTime;
use crate::words;
use model::ids::{ImageId, ServerId};
use model::states::ServerStatus;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};
use utoipa::ToSchema;
use uuid::Uuid;

/// A server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Server {
    /// The server.
    #[schema(value_type = i32)]
    pub id: ServerId,
    /// Also its first host name.
    pub name: String,
    /// MiB of memory.
    #[schema(multiple_of = 8)]
    pub memory: i64,
    /// Virtual processors.
    pub vcpus: i64,
    /// GB of disk.
    pub disk: i64,
    /// The disks behind `disk`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_info: Vec<DiskInfo>,
    /// Whether an action holds it, so that others are refused for now.
    pub locked: bool,
    /// Where it stands.
    #[schema(schema_with = words::server_status)]
    pub status: ServerStatus,
    /// A kernel from outside of its disk; `null`, because servers boot their own.
    #[schema(required)]
    pub kernel: Option<Kernel>,
    /// When it was asked for.
    pub created_at: WireTime,
    /// What is switched on: `backups`, `ipv6`, `monitoring`, `private_networking`, …
    pub features: Vec<String>,
    /// The backups taken of it.
    #[schema(value_type = Vec<i32>)]
    pub backup_ids: Vec<ImageId>,
    /// When it is backed up next; `null` without backups.
    #[schema(required)]
    pub next_backup_window: Option<BackupWindow>,
    /// The snapshots taken of it.
    #[schema(value_type = Vec<i32>)]
    pub snapshot_ids: Vec<ImageId>,
    /// What its disk was made from.
    pub image: Image,
    /// The volumes attached to it.
    pub volume_ids: Vec<String>,
    /// Its size, as the catalogue has it.
    pub size: Size,
    /// The slug of `size`.
    pub size_slug: String,
    /// Its GPUs; absent without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gpu_info: Option<GpuInfo>,
    /// Its addresses.
    pub networks: Networks,
    /// Where it is.
    pub region: Region,
    /// The tags on it.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub tags: Vec<String>,
    /// The VPC of its private addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub vpc_uuid: Option<Uuid>,
    /// What Cairn adds. Always sent; absent when read from another cloud of this API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub cloud: Option<ServerCloud>,
}

/// The addresses of a server. Clients take a `public` IPv4 as the sign of public networking, and need a
/// `private` one on every server.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Networks {
    /// IPv4.
    #[serde(default)]
    #[schema(required)]
    pub v4: Vec<NetworkV4>,
    /// IPv6; empty when it is not switched on.
    #[serde(default)]
    #[schema(required)]
    pub v6: Vec<NetworkV6>,
}

/// An IPv4 address of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NetworkV4 {
    /// The address.
    #[schema(value_type = String, format = Ipv4)]
    pub ip_address: Ipv4Addr,
    /// The mask of its network.
    #[schema(value_type = String, format = Ipv4)]
    pub netmask: Ipv4Addr,
    /// The gateway; absent in networks that have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gateway: Option<String>,
    /// Who can reach it.
    #[serde(rename = "type")]
    pub kind: NetworkKind,
}

/// An IPv6 address of a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NetworkV6 {
    /// The address.
    #[schema(value_type = String, format = Ipv6)]
    pub ip_address: Ipv6Addr,
    /// The length of its network's prefix.
    pub netmask: u8,
    /// The gateway.
    #[schema(value_type = String, format = Ipv6)]
    pub gateway: Ipv6Addr,
    /// Who can reach it: `public`, always.
    #[serde(rename = "type")]
    pub kind: NetworkKind,
}

/// Who can reach an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// Everybody.
    Public,
    /// The servers of the same VPC.
    Private,
}

/// A kernel that is kept outside of a server's disk. Cairn has none; the type is there for the clients' sake.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Kernel {
    /// The kernel.
    pub id: i64,
    /// For people.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One server.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerResponse {
    /// The server.
    #[serde(rename = "droplet")]
    pub server: Server,
}

/// A page of servers.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerList {
    /// The servers.
    #[serde(rename = "droplets")]
    pub servers: Vec<Server>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(ServerList, servers, Server);

/// Asks for one server (`name`) or for several that are alike (`names`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ServerCreate {
    /// The name of the one; not together with `names`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 255)]
    pub name: Option<String>,
    /// The names of the several; not together with `name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// The slug of the region; without it, one is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The slug of the size.
    pub size: String,
    /// What the disk is made from.
    pub image: IdOrSlug,
    /// Keys that may log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ssh_keys: Option<Vec<KeyReference>>,
    /// Whether backups are taken. Off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backups: Option<bool>,
    /// When backups are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_policy: Option<BackupPolicy>,
    /// Whether it gets an IPv6 address. Off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<bool>,
    /// Whether it is measured from inside. Off when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<bool>,
    /// Tags to put on it; made where they do not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// What cloud-init gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
    /// Changes nothing: every server has a private address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private_networking: Option<bool>,
    /// The ids of volumes to attach.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<String>>,
    /// The VPC of its private address; without it, the team's default one of the region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_uuid: Option<String>,
    /// Changes nothing: there is no agent to install.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with_droplet_agent: Option<bool>,
    /// Whether it gets a public address. On when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_networking: Option<bool>,
    /// What only Cairn knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<ServerWishes>,
}

impl ServerCreate {
    /// A request with only what every request has.
    pub fn new(name: impl Into<String>, size: impl Into<String>, image: IdOrSlug) -> Self {
        Self {
            name: Some(name.into()),
            names: None,
            region: None,
            size: size.into(),
            image,
            ssh_keys: None,
            backups: None,
            backup_policy: None,
            ipv6: None,
            monitoring: None,
            tags: None,
            user_data: None,
            private_networking: None,
            volumes: None,
            vpc_uuid: None,
            with_droplet_agent: None,
            public_networking: None,
            cloud: None,
        }
    }
}

/// What is answered to a create: the first form to `name`, the second to `names`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ServerCreateResponse {
    /// To `name`.
    One(Box<CreatedServer>),
    /// To `names`.
    Several(CreatedServers),
}

/// The server that was asked for, and the action that makes it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedServer {
    /// The server, `new`.
    #[serde(rename = "droplet")]
    pub server: Server,
    /// Its action.
    pub links: ActionLinks,
}

/// The servers that were asked for, and the actions that make them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CreatedServers {
    /// The servers, `new`, in the order of their names.
    #[serde(rename = "droplets")]
    pub servers: Vec<Server>,
    /// Their actions.
    pub links: ActionLinks,
}

/// A page of kernels, always empty.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct KernelList {
    /// The kernels.
    pub kernels: Vec<Kernel>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(KernelList, kernels, Kernel);

/// The team's servers on the same host as a given one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Neighbors {
    /// The others; the given one is not among them.
    #[serde(rename = "droplets")]
    pub servers: Vec<Server>,
}

/// All of the team's servers that share a host with another.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct NeighborIds {
    /// One list for each host that has two or more of them.
    #[schema(value_type = Vec<Vec<i32>>)]
    pub neighbor_ids: Vec<Vec<ServerId>>,
}

objects!(ServerCreate);
