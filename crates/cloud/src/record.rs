//! The trace that every change leaves: an audit entry and an event, in the transaction of the change.

use crate::{Caller, Result};
use serde_json::Value;
use store::Tx;
use store::audit::{self, Origin};

impl Caller {
    /// The caller as the audit knows it.
    pub fn origin(&self) -> Origin {
        Origin { team: self.team, token: Some(self.token), request_id: self.request_id }
    }
}

/// Writes both. `detail` goes to the audit and to the tenant's event stream: no secrets, no user data.
pub(crate) async fn record(tx: &mut Tx, caller: &Caller, operation: &str, urn: &str, detail: &Value) -> Result<()> {
    Ok(audit::append_with_event(tx, caller.origin(), operation, urn, detail).await?)
}
