//! Guests that are not ours: seen in a region, never changed, to be adopted into a team by an operator who says so.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use crate::time::WireTime;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of guests that are not ours.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminGuestList)]
pub struct GuestList {
    /// By region and name.
    pub guests: Vec<Guest>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(GuestList, guests, Guest);

/// A guest without our mark.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminGuest)]
pub struct Guest {
    /// The region that it was seen in.
    pub region: String,
    /// The host that it is on.
    pub host: String,
    /// Its number or name there, by which it is adopted.
    pub name: String,
    /// What it is.
    pub kind: GuestKind,
    /// What people there call it.
    pub title: String,
    /// Whether it runs; `null` where the provider does not know.
    #[schema(required)]
    pub power: Option<GuestPower>,
    /// Virtual processors.
    pub vcpus: i64,
    /// MiB of memory.
    pub memory_mib: i64,
    /// GB of disk.
    pub disk_gb: i64,
    /// What says whose it is, such as the mark of another installation; `null`: nothing does, so it may be adopted.
    #[schema(required)]
    pub owner: Option<String>,
    /// When it was last seen.
    pub seen_at: WireTime,
}

/// What a guest is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminGuestKind)]
#[serde(rename_all = "snake_case")]
pub enum GuestKind {
    /// A virtual machine.
    Machine,
    /// A container.
    Container,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// Whether a guest runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminGuestPower)]
#[serde(rename_all = "snake_case")]
pub enum GuestPower {
    /// It does.
    Running,
    /// It does not.
    Stopped,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}

/// Makes a guest a server of a team.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminGuestAdopt)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct GuestAdopt {
    /// The region that it is in.
    pub region: String,
    /// Its number or name there.
    pub guest: String,
    /// The team whose server it becomes.
    pub team_id: Uuid,
    /// What the server is called; absent: what the guest is called there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// The slug of the size under which it is counted and priced; absent: the smallest that is at least as big.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<String>,
    /// Whether the team gets it although its quota has no room for it; absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_quota: Option<bool>,
}

objects!(GuestAdopt);

/// What a guest becomes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAdoptedGuest)]
pub struct AdoptedGuest {
    /// The server.
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// The workflow that takes it over.
    pub workflow_id: Uuid,
}

/// One adoption.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAdoptionResponse)]
pub struct AdoptionResponse {
    /// The adoption.
    pub adoption: Adoption,
}

/// How a guest that is being adopted stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAdoption)]
pub struct Adoption {
    /// The workflow that takes it over.
    pub workflow_id: Uuid,
    /// The server that it becomes.
    #[schema(value_type = i32)]
    pub server_id: ServerId,
    /// The region that it is in.
    pub region: String,
    /// Its number or name there.
    pub guest: String,
    /// Where it stands.
    pub state: AdoptionState,
    /// What it waits for, or why the guest was not adopted, in a sentence; `null`: there is nothing to say.
    #[schema(required)]
    pub sentence: Option<String>,
    /// When it was asked for.
    pub started_at: WireTime,
}

/// Where an adoption stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminAdoptionState)]
#[serde(rename_all = "snake_case")]
pub enum AdoptionState {
    /// It goes on.
    Running,
    /// The guest is a server of its team.
    Completed,
    /// The guest was left as it was.
    Failed,
    /// A word that is newer than this client; never sent.
    #[serde(other)]
    Unknown,
}
