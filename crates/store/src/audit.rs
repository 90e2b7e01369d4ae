//! The audit: who asked for what, under which request. Written in the transaction of what it speaks of.

use crate::{Result, Tx};
use model::ids::{TeamId, TokenId};
use serde_json::Value;
use uuid::Uuid;

/// Who asked.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The team for which was acted.
    pub team: TeamId,
    /// The token that was presented; none for what the product does of itself.
    pub token: Option<TokenId>,
    /// The request.
    pub request_id: Uuid,
}

/// Writes one entry. `detail` is what was asked, without secrets and user data.
pub async fn append(tx: &mut Tx, origin: Origin, operation: &str, urn: Option<&str>, detail: &Value) -> Result<()> {
    sqlx::query(
        "INSERT INTO audit_events (team_id, token_id, operation, urn, request_id, detail) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(origin.team.0)
    .bind(origin.token.map(|token| token.0))
    .bind(operation)
    .bind(urn)
    .bind(origin.request_id)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes the audit entry and the event of one change in one round trip; `operation` is also the event's kind.
pub async fn append_with_event(tx: &mut Tx, origin: Origin, operation: &str, urn: &str, detail: &Value) -> Result<()> {
    sqlx::query(
        "WITH audit AS (
             INSERT INTO audit_events (team_id, token_id, operation, urn, request_id, detail)
             VALUES ($1, $2, $3, $4, $5, $6)
         )
         INSERT INTO events (team_id, kind, urn, body) VALUES ($1, $3, $4, $6)",
    )
    .bind(origin.team.0)
    .bind(origin.token.map(|token| token.0))
    .bind(operation)
    .bind(urn)
    .bind(origin.request_id)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
