//! Teams: whose servers there are.

use crate::envelope::{Meta, PageLinks, list};
use crate::time::WireTime;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of teams.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTeamList)]
pub struct TeamList {
    /// By name.
    pub teams: Vec<Team>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(TeamList, teams, Team);

/// A team, and how much of its quota it uses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTeam)]
pub struct Team {
    /// The team.
    pub id: Uuid,
    /// Its name; several may have the same.
    pub name: String,
    /// Where its mail goes.
    pub email: String,
    /// The organization that it belongs to.
    pub organization_id: Uuid,
    /// That organization's name.
    pub organization: String,
    /// Servers.
    pub servers: TeamAmount,
    /// Virtual processors of all its servers.
    pub vcpus: TeamAmount,
    /// MiB of memory of all its servers.
    pub memory_mib: TeamAmount,
    /// GB of disk of all its servers.
    pub disk_gb: TeamAmount,
    /// Since when there is this team.
    pub created_at: WireTime,
}

/// How much a team has of something, and may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTeamAmount)]
pub struct TeamAmount {
    /// What it has.
    pub used: i64,
    /// What it may have.
    pub limit: i64,
}
