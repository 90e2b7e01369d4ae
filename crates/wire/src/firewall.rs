//! Firewalls, as far as a server's list of them needs.

use crate::envelope::{Meta, PageLinks, list};
use crate::time::WireTime;
use crate::words;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A firewall.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Firewall {
    /// The firewall.
    pub id: Uuid,
    /// Whether its rules are in force.
    pub status: FirewallStatus,
    /// When it was made.
    pub created_at: WireTime,
    /// Where its rules are not in force yet.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub pending_changes: Vec<FirewallChange>,
    /// For people.
    pub name: String,
    /// The servers it protects by name.
    #[serde(rename = "droplet_ids", default, deserialize_with = "words::null_as_default")]
    #[schema(required, value_type = Vec<i32>)]
    pub server_ids: Vec<ServerId>,
    /// The tags whose servers it protects.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub tags: Vec<String>,
    /// What may come in.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub inbound_rules: Vec<InboundRule>,
    /// What may go out.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub outbound_rules: Vec<OutboundRule>,
}

/// Whether a firewall's rules are in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum FirewallStatus {
    /// Not everywhere yet.
    Waiting,
    /// Everywhere.
    Succeeded,
    /// Not everywhere, and it was tried.
    Failed,
}

/// A server where a firewall's rules are not in force yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FirewallChange {
    /// The server.
    #[serde(rename = "droplet_id")]
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// Whether the rules are being taken away.
    pub removing: bool,
    /// How far that is.
    pub status: String,
}

/// What may come in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct InboundRule {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: Protocol,
    /// A port, a range `8000-9000`, or `0` for all.
    pub ports: String,
    /// From where.
    pub sources: RulePeers,
}

/// What may go out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OutboundRule {
    /// `tcp`, `udp` or `icmp`.
    pub protocol: Protocol,
    /// A port, a range `8000-9000`, or `0` for all.
    pub ports: String,
    /// Where to.
    pub destinations: RulePeers,
}

/// What a rule is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP, which has no ports.
    Icmp,
}

/// The other end of a rule: whatever is in any of these.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct RulePeers {
    /// Addresses and networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub addresses: Option<Vec<String>>,
    /// Servers.
    #[serde(rename = "droplet_ids", default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<Vec<i32>>)]
    pub server_ids: Option<Vec<ServerId>>,
    /// Load balancers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub load_balancer_uids: Option<Vec<String>>,
    /// Kubernetes clusters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub kubernetes_ids: Option<Vec<String>>,
    /// Servers with one of these tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tags: Option<Vec<String>>,
}

/// A page of firewalls.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct FirewallList {
    /// The firewalls.
    pub firewalls: Vec<Firewall>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(FirewallList, firewalls, Firewall);
