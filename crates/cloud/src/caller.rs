//! Who asks.

use model::ids::{TeamId, TokenId};
use uuid::Uuid;

/// The authenticated origin of a request: which team it acts for, by which token, under which request id.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The team whose resources are touched.
    pub team: TeamId,
    /// The token that was presented.
    pub token: TokenId,
    /// Written to the log, to the audit and into every error answer.
    pub request_id: Uuid,
}
