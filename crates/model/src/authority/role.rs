//! Roles: names for sets of scopes. The names are the published ones; what each may do is worked out from the vocabulary
//! by rule, so that a scope that is added falls into place.

use super::{EVERYTHING, Plane, ScopeSet};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

/// What somebody is in a team.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// All of the team: its resources, members, tokens and bills.
    Owner,
    /// All of its resources, and tokens of one's own.
    Member,
    /// Its bills, and how they are paid.
    Biller,
    /// Its bills, to read.
    BillingViewer,
    /// Its resources, to read; no credentials, no consoles.
    ResourceViewer,
    /// Its resources, to read and to change; none to make, none to delete.
    Modifier,
}

/// What somebody is in an organization.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrganizationRole {
    /// All of the organization, and an owner of each of its teams.
    Owner,
    /// The bills of all of its teams.
    Biller,
    /// The same, to read.
    BillingViewer,
    /// Belongs to it; what they may do, their teams say.
    Member,
}

/// What somebody may do in one team, and from where it comes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// What they are in the organization.
    pub organization: Option<OrganizationRole>,
    /// What they are in the team.
    pub team: Option<Role>,
    /// The scopes of the role that the organization made itself, where that is what they are in the team.
    pub custom: Option<Vec<String>>,
}

impl Standing {
    /// All that they may do; `None` for somebody who does not belong here (any more).
    pub fn scopes(&self) -> Option<ScopeSet> {
        let organization = self.organization.map(OrganizationRole::scopes);
        let team = self.team.map(Role::scopes);
        // A role of the organization's own is about teams; `*` in it is all of a team, never of the organization.
        let custom = self.custom.as_deref().map(|scopes| ScopeSet::held(scopes).intersection(Role::Owner.scopes()));
        if team.is_none() && custom.is_none() && matches!(self.organization, None | Some(OrganizationRole::Member)) {
            return None;
        }
        Some([organization, team, custom].into_iter().flatten().fold(ScopeSet::NONE, ScopeSet::union))
    }
}

/// Whether a scope only reads, and nothing that would open more than it says.
fn reads(scope: &str) -> bool {
    scope.ends_with(":read") || scope.ends_with(":list")
}

/// Whether a scope changes what is there.
fn changes(scope: &str) -> bool {
    ["update", "write", "assign_resource"].iter().any(|verb| scope.ends_with(verb)) || scope.contains("_action:create")
}

static TABLE: LazyLock<[ScopeSet; 6]> = LazyLock::new(|| {
    let own = ["token:read", "token:create", "token:update", "token:delete", "quota:read", "usage:read", "member:read"];
    let looks = |scope: &str| matches!(scope, "team:read" | "role:read" | "organization:read" | "notification:read");
    [
        ScopeSet::of(|scope, plane| plane != Plane::Organization || scope == "organization:read"),
        ScopeSet::of(|scope, plane| {
            plane == Plane::Resource || own.contains(&scope) || looks(scope) || scope.starts_with("webhook:")
        }),
        ScopeSet::of(|scope, plane| {
            plane == Plane::Billing || looks(scope) || matches!(scope, "usage:read" | "account:read")
        }),
        ScopeSet::of(|scope, _| {
            scope == "billing:read" || looks(scope) || matches!(scope, "usage:read" | "account:read")
        }),
        ScopeSet::of(|scope, plane| {
            plane == Plane::Resource && reads(scope) || looks(scope) || matches!(scope, "quota:read" | "usage:read")
        }),
        ScopeSet::of(|scope, plane| {
            plane == Plane::Resource && (reads(scope) || changes(scope))
                || looks(scope)
                || matches!(scope, "quota:read" | "usage:read")
        }),
    ]
});

impl Role {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Owner, Self::Member, Self::Biller, Self::BillingViewer, Self::ResourceViewer, Self::Modifier];

    /// What it may do.
    pub fn scopes(self) -> ScopeSet {
        TABLE[self as usize]
    }

    /// As it is written in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
            Self::Biller => "biller",
            Self::BillingViewer => "billing_viewer",
            Self::ResourceViewer => "resource_viewer",
            Self::Modifier => "modifier",
        }
    }

    /// One sentence for people.
    pub fn says(self) -> &'static str {
        match self {
            Self::Owner => "All of the team: its resources, members, tokens and bills.",
            Self::Member => "All of the team's resources, and tokens of one's own.",
            Self::Biller => "The team's bills, and how they are paid.",
            Self::BillingViewer => "The team's bills, to read.",
            Self::ResourceViewer => "The team's resources, to read.",
            Self::Modifier => "The team's resources, to read and to change; none to make, none to delete.",
        }
    }
}

impl OrganizationRole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Biller, Self::BillingViewer, Self::Member];

    /// What it may do, in every team of the organization.
    pub fn scopes(self) -> ScopeSet {
        let read = ScopeSet::of(|scope, _| scope == "organization:read");
        match self {
            Self::Owner => *EVERYTHING,
            Self::Biller => Role::Biller.scopes(),
            Self::BillingViewer => Role::BillingViewer.scopes(),
            Self::Member => read,
        }
    }

    /// As it is written in the API and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Biller => "biller",
            Self::BillingViewer => "billing_viewer",
            Self::Member => "member",
        }
    }
}

/// The word is none of the roles' names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRole;

impl FromStr for Role {
    type Err = NoRole;

    fn from_str(word: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(NoRole)
    }
}

impl FromStr for OrganizationRole {
    type Err = NoRole;

    fn from_str(word: &str) -> Result<Self, NoRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(NoRole)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for OrganizationRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(role: Role, scope: &str) -> bool {
        role.scopes().contains(ScopeSet::one(scope).unwrap())
    }

    #[test]
    fn each_role_may_what_its_name_says() {
        assert!(may(Role::Owner, "member:delete") && !may(Role::Owner, "organization:update"));
        assert!(may(Role::Member, "droplet:delete") && may(Role::Member, "token:create"));
        assert!(!may(Role::Member, "member:create") && !may(Role::Member, "billing:update"));
        assert!(may(Role::Modifier, "droplet:update") && !may(Role::Modifier, "droplet:create"));
        assert!(may(Role::Modifier, "project:assign_resource") && !may(Role::Modifier, "droplet:delete"));
        assert!(may(Role::ResourceViewer, "droplet:read") && !may(Role::ResourceViewer, "droplet:update"));
        assert!(!may(Role::ResourceViewer, "database:view_credentials") && !may(Role::ResourceViewer, "token:read"));
        assert!(may(Role::Biller, "billing:update") && !may(Role::Biller, "droplet:read"));
        assert!(may(Role::BillingViewer, "billing:read") && !may(Role::BillingViewer, "billing:update"));
    }

    #[test]
    fn nobody_has_more_than_the_owner() {
        for role in Role::ALL {
            assert!(Role::Owner.scopes().contains(role.scopes()), "{role}");
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        for role in OrganizationRole::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
    }

    #[test]
    fn who_belongs_to_no_team_may_nothing_in_it() {
        let nobody = Standing { organization: Some(OrganizationRole::Member), ..Standing::default() };
        assert_eq!(nobody.scopes(), None);
        assert_eq!(Standing::default().scopes(), None);
        let owner = Standing { organization: Some(OrganizationRole::Owner), ..Standing::default() };
        assert_eq!(owner.scopes(), Some(*EVERYTHING));
        let custom = Standing { custom: Some(vec!["*".to_owned()]), ..Standing::default() };
        assert_eq!(custom.scopes(), Some(Role::Owner.scopes()));
    }
}
