//! Regions as operators know them: one provider endpoint each, with what it takes to speak to it. A secret goes in and never
//! comes out.

use super::offers::Offers;
use super::policy::{Healing, Overcommit, Placement, answered};
use crate::envelope::{Meta, PageLinks, list};
use crate::strict::{objects, words};
use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::net::{IpAddr, Ipv4Addr};
use utoipa::ToSchema;

/// A page of regions.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionList)]
pub struct RegionList {
    /// In the operator's order.
    pub regions: Vec<Region>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(RegionList, regions, Region);

/// One region.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionResponse)]
pub struct RegionResponse {
    /// The region.
    pub region: Region,
    /// What the operator ought to look at although the change was made, in sentences; absent: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A region, without its secret.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegion)]
pub struct Region {
    /// For programs.
    pub slug: String,
    /// For people.
    pub name: String,
    /// Which provider's code speaks to it, such as `proxmox`.
    pub provider: String,
    /// `operator` where it was connected here; `catalogue` where the catalogue's file has it, which is where it is changed.
    pub origin: String,
    /// Whether new servers can be made in it.
    pub available: bool,
    /// What its provider needs to know, in the provider's own keys; never the secret.
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// Whether a secret is stored for it.
    pub has_secret: bool,
    /// SHA-256 of the certificates that are trusted, in hexadecimal with colons; empty: the usual authorities are.
    pub fingerprints: Vec<String>,
    /// What servers there can have, such as `ipv6`.
    pub features: Vec<String>,
    /// Name servers of its servers.
    #[schema(value_type = Vec<String>)]
    pub resolvers: Vec<IpAddr>,
    /// The range from which teams' own networks are cut.
    pub vpc_range: String,
    /// How much of its hosts may be sold.
    #[serde(deserialize_with = "answered")]
    pub overcommit: Overcommit,
    /// Which of its hosts servers go to.
    #[serde(default, deserialize_with = "answered")]
    pub placement: Placement,
    /// What is put right there by itself.
    #[serde(default, deserialize_with = "answered")]
    pub heal: Healing,
    /// Where its public addresses come from.
    pub pools: Vec<RegionPool>,
    /// How it was last reached.
    pub connection: RegionConnection,
    /// What its provider said that it can do.
    #[schema(value_type = Object)]
    pub capabilities: Map<String, Value>,
    /// Hosts that were seen in it.
    pub hosts: i64,
    /// Servers that stand in it.
    pub servers: i64,
}

/// Whether a region can be reached.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionConnection)]
pub struct RegionConnection {
    /// Where it stands.
    pub state: ConnectionState,
    /// When it was connected; `null`: never.
    #[schema(required)]
    pub connected_at: Option<WireTime>,
    /// What stands in the way, in a sentence; `null`: nothing that is known.
    #[schema(required)]
    pub problem: Option<String>,
}

/// Whether a region can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminConnectionState)]
#[serde(rename_all = "lowercase")]
pub enum ConnectionState {
    /// Not tried yet.
    New,
    /// It was.
    Connected,
    /// It was not.
    Failed,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// A pool of public addresses, and how much of it is left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionPool)]
pub struct RegionPool {
    /// Its name, unique in the region.
    pub name: String,
    /// How it reaches the world: `public_nat` or `public_bridged`.
    pub kind: String,
    /// The network.
    pub range: String,
    /// The gateway; `null`: none.
    #[schema(required, value_type = Option<String>)]
    pub gateway: Option<Ipv4Addr>,
    /// The first address that is given.
    #[schema(value_type = String)]
    pub first: Ipv4Addr,
    /// The last address that is given.
    #[schema(value_type = String)]
    pub last: Ipv4Addr,
    /// Addresses that are left to give.
    pub free: i64,
}

/// Addresses that are given to servers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminPool)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct Pool {
    /// Its name, unique in the region.
    pub name: String,
    /// How it reaches the world.
    pub kind: PoolKind,
    /// The network, such as `192.0.2.0/24`.
    pub range: String,
    /// The gateway; absent: the first host address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<Ipv4Addr>,
    /// The first address to be given; absent: the second host address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub first: Option<Ipv4Addr>,
    /// The last address to be given; absent: the last host address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub last: Option<Ipv4Addr>,
}

/// How a pool's network reaches the world.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminPoolKind)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum PoolKind {
    /// Through the host's address translation.
    PublicNat,
    /// On the operator's own bridge.
    PublicBridged,
}

words!(PoolKind);

/// Connects a region.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionCreate)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct RegionCreate {
    /// For programs: lower-case letters, digits and `-`. Never changed.
    #[schema(min_length = 1, max_length = 63)]
    pub slug: String,
    /// For people; absent: the slug.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which provider's code speaks to it, such as `proxmox`.
    pub provider: String,
    /// What its provider needs to know, in the provider's own keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// The secret of its token. Sealed before it is stored, opened by workers, never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub secret: Option<String>,
    /// SHA-256 of certificates to trust instead of the usual authorities, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprints: Option<Vec<String>>,
    /// Whether new servers can be made in it at once; absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<bool>,
    /// What servers there can have, such as `ipv6`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Name servers of its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub resolvers: Option<Vec<IpAddr>>,
    /// The range from which teams' own networks are cut, /20 each; absent: `10.100.0.0/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vpc_range: Option<String>,
    /// How much of its hosts may be sold; absent: processors four times, memory and disk once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overcommit: Option<Overcommit>,
    /// Which of its hosts servers go to; absent: to the emptiest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What is put right there by itself; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heal: Option<Healing>,
    /// Where its public addresses come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<Pool>>,
}

/// Changes a region. What is absent stays as it is.
#[derive(Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionUpdate)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct RegionUpdate {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What its provider needs to know, in the provider's own keys; in place of all that was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// Another secret of its token; or the same one, which has to be sent again where the addresses or fingerprints of the
    /// cluster change. Sealed before it is stored, opened by workers, never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub secret: Option<String>,
    /// SHA-256 of certificates to trust, in hexadecimal; in place of those that were there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprints: Option<Vec<String>>,
    /// Whether new servers can be made in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<bool>,
    /// What servers there can have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<Vec<String>>,
    /// Name servers of its servers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<String>>)]
    pub resolvers: Option<Vec<IpAddr>>,
    /// How much of its hosts may be sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overcommit: Option<Overcommit>,
    /// Which of its hosts servers go to; in place of what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    /// What is put right there by itself; in place of what was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heal: Option<Healing>,
    /// Pools to add or, by their names, to make larger. None is taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pools: Option<Vec<Pool>>,
}

/// Asks whether a connection would work, before anything is stored.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionProbe)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct RegionProbe {
    /// Which provider's code is to speak to it.
    pub provider: String,
    /// What its provider needs to know, in the provider's own keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// The secret of its token. Kept sealed until the question is answered, never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub secret: Option<String>,
    /// SHA-256 of certificates to trust instead of the usual authorities, in hexadecimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprints: Option<Vec<String>>,
}

objects!(Pool, RegionCreate, RegionProbe, RegionUpdate);

/// Nothing that holds a secret prints it.
macro_rules! print_without_secret {
    ($($shape:ident),+) => { $(
        impl std::fmt::Debug for $shape {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($shape), "(…)"))
            }
        }
    )+ };
}
print_without_secret!(RegionCreate, RegionProbe, RegionUpdate);

/// What a worker found when it looked whether servers can be made in a region.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionTestResponse)]
pub struct RegionTestResponse {
    /// The test.
    pub test: RegionTest,
}

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminRegionTest)]
pub struct RegionTest {
    /// When it was looked at.
    pub at: WireTime,
    /// Whether nothing was found that has to be mended before servers can be made.
    pub passed: bool,
    /// Everything that was looked at, also what is well.
    pub findings: Vec<Finding>,
    /// What there is to choose from; `null`: it could not be looked at, and the findings say why.
    #[serde(default)]
    #[schema(required)]
    pub offers: Option<Offers>,
}

/// One thing that was looked at.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminFinding)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at: `token`, `privileges`, `storage local-zfs`, `bridge vmbr0`, `host pve3`.
    pub subject: String,
    /// What is wrong, and what to do.
    pub sentence: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminSeverity)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Looked at, and well.
    Fine,
    /// Works, with less than it could.
    Warning,
    /// Servers cannot be made until it is mended.
    Error,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// How to prepare a provider's side.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminProviderSetupResponse)]
pub struct ProviderSetupResponse {
    /// What to do there.
    pub setup: ProviderSetup,
}

/// What to run at the provider so that Cairn may do what it needs there, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminProviderSetup)]
pub struct ProviderSetup {
    /// The provider.
    pub provider: String,
    /// A script, to be read and run by its administrator.
    pub script: String,
}
