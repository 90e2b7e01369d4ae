//! Destroying a server together with what hangs on it.

use crate::strict::objects;
use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What hangs on a server, and costs something when it is left behind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AssociatedResources {
    /// Reserved addresses.
    #[serde(default)]
    #[schema(required)]
    pub reserved_ips: Vec<AssociatedResource>,
    /// The same, by their old name.
    #[serde(default)]
    #[schema(required)]
    pub floating_ips: Vec<AssociatedResource>,
    /// Snapshots of the server.
    #[serde(default)]
    #[schema(required)]
    pub snapshots: Vec<AssociatedResource>,
    /// Volumes attached to it.
    #[serde(default)]
    #[schema(required)]
    pub volumes: Vec<AssociatedResource>,
    /// Snapshots of those volumes.
    #[serde(default)]
    #[schema(required)]
    pub volume_snapshots: Vec<AssociatedResource>,
}

/// One thing that hangs on a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AssociatedResource {
    /// Its id; integer ids in decimal.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it costs a month, with two decimals.
    pub cost: String,
}

/// What to destroy together with a server: ids, by kind. What is absent is kept.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct AssociatedSelection {
    /// Reserved addresses, by their old name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floating_ips: Option<Vec<String>>,
    /// Reserved addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reserved_ips: Option<Vec<String>>,
    /// Snapshots of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshots: Option<Vec<String>>,
    /// Volumes attached to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volumes: Option<Vec<String>>,
    /// Snapshots of volumes attached to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume_snapshots: Option<Vec<String>>,
}

/// How far the destruction is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DestroyStatus {
    /// The server.
    #[serde(rename = "droplet")]
    pub server: DestroyedResource,
    /// What was chosen with it.
    pub resources: DestroyedResources,
    /// When it was over; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub completed_at: Option<WireTime>,
    /// How many could not be destroyed.
    pub failures: i64,
}

/// What was chosen to be destroyed, by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct DestroyedResources {
    /// Reserved addresses.
    #[serde(default)]
    #[schema(required)]
    pub reserved_ips: Vec<DestroyedResource>,
    /// The same, by their old name.
    #[serde(default)]
    #[schema(required)]
    pub floating_ips: Vec<DestroyedResource>,
    /// Snapshots of the server.
    #[serde(default)]
    #[schema(required)]
    pub snapshots: Vec<DestroyedResource>,
    /// Volumes.
    #[serde(default)]
    #[schema(required)]
    pub volumes: Vec<DestroyedResource>,
    /// Snapshots of volumes.
    #[serde(default)]
    #[schema(required)]
    pub volume_snapshots: Vec<DestroyedResource>,
}

/// One thing that was chosen to be destroyed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DestroyedResource {
    /// Its id; integer ids in decimal.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was gone; absent until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub destroyed_at: Option<WireTime>,
    /// Why it could not be destroyed; absent unless that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_message: Option<String>,
}

objects!(AssociatedSelection);
