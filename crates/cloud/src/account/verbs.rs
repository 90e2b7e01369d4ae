//! What a request can do to the account that it acts for.

use crate::record::record;
use crate::{Caller, Result};
use serde_json::json;
use store::{Store, tenancy};

/// Ends the token that the request is made with. It may end itself whatever its scopes are.
pub async fn revoke_own_token(store: &Store, caller: &Caller) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    if tenancy::revoke_token(&mut tx, caller.team, caller.token).await? {
        record(&mut tx, caller, "token.revoke", &format!("cairn:token:{}", caller.token), &json!({})).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
