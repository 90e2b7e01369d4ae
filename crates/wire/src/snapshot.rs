//! Snapshots, in the two forms that clients see: all of a team's, whatever they are of; and one server's.

use crate::envelope::{Meta, PageLinks, list};
use crate::time::WireTime;
use crate::words;
use model::ids::ImageId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A snapshot of a server or of a volume.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Snapshot {
    /// The image's id in decimal when it is of a server, a UUID when it is of a volume.
    pub id: String,
    /// For people.
    pub name: String,
    /// When it was asked for. Clients find the snapshot that an action took by this being the action's
    /// `started_at`.
    pub created_at: WireTime,
    /// The slugs of the regions where it can be used.
    pub regions: Vec<String>,
    /// GB of disk that is needed at least to use it.
    pub min_disk_size: i64,
    /// GB that it takes; 0 until known.
    pub size_gigabytes: f64,
    /// What it was taken of.
    pub resource_id: String,
    /// What that is.
    pub resource_type: SnapshotResource,
    /// The tags on it.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub tags: Vec<String>,
}

/// What a snapshot was taken of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub enum SnapshotResource {
    /// A server.
    #[serde(rename = "droplet")]
    Server,
    /// A volume.
    #[serde(rename = "volume")]
    Volume,
}

/// One snapshot.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotResponse {
    /// The snapshot.
    pub snapshot: Snapshot,
}

/// A page of snapshots.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SnapshotList {
    /// The snapshots.
    pub snapshots: Vec<Snapshot>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(SnapshotList, snapshots, Snapshot);

/// A snapshot or backup, as listed under the server that it was taken of.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerSnapshot {
    /// The image that it is.
    #[schema(value_type = i32)]
    pub id: ImageId,
    /// For people.
    pub name: String,
    /// When it was asked for; clients compare it with the `started_at` of actions.
    pub created_at: WireTime,
    /// The slugs of the regions where it can be used.
    pub regions: Vec<String>,
    /// GB of disk that is needed at least to use it.
    pub min_disk_size: i64,
    /// GB that it takes; 0 until known.
    pub size_gigabytes: f64,
    /// Who took it.
    #[serde(rename = "type")]
    pub kind: ServerSnapshotKind,
    /// The operating system. Not in the schema, but in its example, and the clients read an image here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub distribution: Option<String>,
    /// `null`, because images of a team have none.
    #[schema(required)]
    pub slug: Option<String>,
    /// Whether everybody sees it: no.
    #[serde(default)]
    #[schema(required)]
    pub public: bool,
}

/// Who took a snapshot of a server.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerSnapshotKind {
    /// Somebody.
    Snapshot,
    /// The schedule.
    Backup,
}

/// A page of a server's snapshots.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerSnapshotList {
    /// The snapshots.
    pub snapshots: Vec<ServerSnapshot>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(ServerSnapshotList, snapshots, ServerSnapshot);

/// A page of a server's backups.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ServerBackupList {
    /// The backups.
    pub backups: Vec<ServerSnapshot>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(ServerBackupList, backups, ServerSnapshot);
