//! Servers of all teams, as operators see them: where they stand and whose they are, nothing of what is in them.

use crate::envelope::{Meta, PageLinks, list};
use crate::time::WireTime;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of servers of all teams.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminServerList)]
pub struct PlacedServerList {
    /// The oldest first.
    pub servers: Vec<PlacedServer>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(PlacedServerList, servers, PlacedServer);

/// A server, where it stands and whose it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminServer)]
pub struct PlacedServer {
    /// The server.
    #[schema(value_type = i32)]
    pub id: ServerId,
    /// What it is called.
    pub name: String,
    /// The team that it belongs to.
    pub team_id: Uuid,
    /// What that team is called.
    pub team: String,
    /// Its region.
    pub region: String,
    /// The name of the host that it stands on; `null` before it is placed.
    #[schema(required)]
    pub host: Option<String>,
    /// Its size's slug.
    pub size: String,
    /// Virtual processors.
    pub vcpus: i64,
    /// MiB of memory.
    pub memory_mib: i64,
    /// GB of disk.
    pub disk_gb: i64,
    /// `new`, `active` or `off`, as its team sees it; `deleting` while it is taken down.
    pub status: String,
    /// Its public address; `null`: none.
    #[schema(required, value_type = Option<String>)]
    pub address: Option<Ipv4Addr>,
    /// When it was ordered.
    pub created_at: WireTime,
}
