//! Alerts: what operators say about them. They are raised and resolved by what finds them.

use crate::{Operator, Result};
use model::refusal::Refusal;
use serde_json::json;
use store::alerts::Alert;
use store::{Store, operators};

/// An operator knows of it. Said again, nothing changes.
pub async fn acknowledge(store: &Store, operator: &Operator, alert: i64) -> Result<Alert> {
    let mut tx = store.begin().await?;
    let found = store::alerts::acknowledge(&mut tx, alert, operator.token).await?.ok_or_else(Refusal::not_found)?;
    let detail = json!({ "kind": found.kind, "subject": found.subject });
    operators::record(&mut tx, operator.origin(), "alert.acknowledge", &format!("alert:{alert}"), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(found)
}
