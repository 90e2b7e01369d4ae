//! The account: who the token acts for, and how much that may have.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The team that the token belongs to, in the words of an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// How many servers there may be.
    pub droplet_limit: i64,
    /// How many reserved addresses there may be, by their old name.
    pub floating_ip_limit: i64,
    /// The same, by their new name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reserved_ip_limit: Option<i64>,
    /// How many volumes there may be. Clients take 0 for "any number".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub volume_limit: Option<i64>,
    /// Where the team is reached.
    pub email: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub name: Option<String>,
    /// The account's id.
    pub uuid: String,
    /// Whether `email` was confirmed.
    pub email_verified: bool,
    /// Whether anything is wrong with it.
    pub status: AccountStatus,
    /// What is wrong, in a sentence; empty when nothing is.
    pub status_message: String,
    /// The team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub team: Option<AccountTeam>,
}

/// Whether anything is wrong with an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccountStatus {
    /// Nothing.
    Active,
    /// Something, but everything still works.
    Warning,
    /// It can change nothing.
    Locked,
}

/// The team behind an account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountTeam {
    /// The team.
    pub uuid: String,
    /// For people.
    pub name: String,
}

/// The account.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AccountResponse {
    /// The account.
    pub account: Account,
}
