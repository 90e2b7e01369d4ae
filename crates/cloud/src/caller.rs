//! Who asks.

use model::authority::ScopeSet;
use model::ids::{OperatorTokenId, OrganizationId, TeamId, TokenId, UserId};
use std::net::IpAddr;
use store::operators::Origin;
use uuid::Uuid;

/// The authenticated origin of a request: which team it acts for, by which token, under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The team whose resources are touched.
    pub team: TeamId,
    /// The organization that the team belongs to.
    pub organization: OrganizationId,
    /// The token that was presented.
    pub token: TokenId,
    /// Whose token that is, where it is a person's.
    pub user: Option<UserId>,
    /// All that the token may do at this moment.
    pub authority: ScopeSet,
    /// From where the request came; `None` where that cannot be known.
    pub address: Option<IpAddr>,
    /// Written to the log, to the audit and into every error answer.
    pub request_id: Uuid,
}

/// An operator who asks: of no team, by a token of another kind.
#[derive(Clone, Copy, Debug)]
pub struct Operator {
    /// The token that was presented.
    pub token: OperatorTokenId,
    /// Written to the log, to the operators' audit and into every error answer.
    pub request_id: Uuid,
}

impl Operator {
    /// The operator as the operators' audit knows them.
    pub fn origin(&self) -> Origin {
        Origin { token: Some(self.token), request_id: self.request_id }
    }
}
