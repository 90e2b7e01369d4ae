//! Migrations: servers that move from one host to another.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use crate::time::WireTime;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of migrations.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMigrationList)]
pub struct MigrationList {
    /// The newest first.
    pub migrations: Vec<Migration>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(MigrationList, migrations, Migration);

/// One migration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMigrationResponse)]
pub struct MigrationResponse {
    /// The migration.
    pub migration: Migration,
}

/// A server that moves from one host to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMigration)]
pub struct Migration {
    /// The migration.
    pub id: Uuid,
    /// The server.
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// What the server is called.
    pub server: String,
    /// The team whose server it is.
    pub team_id: Uuid,
    /// The region.
    pub region: String,
    /// The name of the host that it leaves; `null` where that is not known.
    #[schema(required)]
    pub from: Option<String>,
    /// The name of the host that it moves to; `null` while that is not chosen.
    #[schema(required)]
    pub to: Option<String>,
    /// Who wants it: `operator`, or `drain` where its host is being emptied.
    pub reason: String,
    /// Where it stands.
    pub state: MigrationState,
    /// What it is doing, or how it ended, in a sentence; `null`: there is nothing to say.
    #[schema(required)]
    pub sentence: Option<String>,
    /// How far the provider is, such as `41 %`; `null` when it does not say.
    #[schema(required)]
    pub progress: Option<String>,
    /// When it was asked for.
    pub started_at: WireTime,
    /// When it was over; `null` before.
    #[schema(required)]
    pub finished_at: Option<WireTime>,
}

/// Where a migration stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMigrationState)]
#[serde(rename_all = "lowercase")]
pub enum MigrationState {
    /// Under way, or waiting.
    Running,
    /// The server is on the other host.
    Completed,
    /// It could not be done; the server is where it was.
    Failed,
    /// Called off.
    Cancelled,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// Moves a server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminMigrationCreate)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct MigrationCreate {
    /// The server.
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// The host that it is to move to; absent: placement chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<Uuid>,
}

objects!(MigrationCreate);
