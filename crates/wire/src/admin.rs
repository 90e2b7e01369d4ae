//! What operators see and ask for: everything under `/admin/v1`, with the same envelopes, errors and paging as the
//! rest. Unlike there, an unknown field of a request is refused by its name: a misspelt one would be as if it was not said.
//! The parts of a policy stand in answers, too, where a field may be newer than its reader; theirs are ignored.

mod alert;
mod guest;
mod host;
mod migration;
mod offers;
mod policy;
mod region;
mod server;
mod storage;
mod team;

pub use alert::{Alert, AlertList, AlertResponse};
pub use guest::{
    AdoptedGuest, Adoption, AdoptionResponse, AdoptionState, Guest, GuestAdopt, GuestKind, GuestList, GuestPower,
};
pub use host::{Host, HostAmounts, HostDrain, HostGpus, HostList, HostResponse, HostState, HostUpdate};
pub use migration::{Migration, MigrationCreate, MigrationList, MigrationResponse, MigrationState};
pub use offers::{OfferedBridge, OfferedHost, OfferedStorage, OfferedZone, Offers};
pub use policy::{Heal, Healing, Overcommit, Placement, Preference};
pub use region::{
    ConnectionState, Finding, Pool, PoolKind, ProviderSetup, ProviderSetupResponse, Region, RegionConnection,
    RegionCreate, RegionList, RegionPool, RegionProbe, RegionResponse, RegionTest, RegionTestResponse, RegionUpdate,
    Severity,
};
pub use server::{PlacedServer, PlacedServerList};
pub use storage::{Storage, StorageList, Template, TemplateFetch, TemplateFetching, TemplateList};
pub use team::{Team, TeamAmount, TeamList};

use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// Whose token was presented (`GET /admin/v1/operator`).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = OperatorResponse)]
pub struct OperatorResponse {
    /// The token.
    pub operator: Operator,
}

/// An operator's token, never its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Operator)]
pub struct Operator {
    /// The token's id, as the operators' audit has it.
    pub token_id: Uuid,
    /// The token's name.
    pub name: String,
    /// What it may do; empty: everything that operators can.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: WireTime,
    /// When it ceases to be valid; `null`: not by itself.
    #[schema(required)]
    pub expires_at: Option<WireTime>,
}
