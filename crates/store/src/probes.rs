//! Probes: would this connection to a provider work? Asked by a request, answered by a worker. Kept for an hour.

use crate::regions::Connection;
use crate::{Error, Result, Store, Tx};
use model::ids::{RegionSlug, WorkflowId};
use serde::{Deserialize, Serialize};
use sqlx::Row as _;

/// Something that the operator has to mend, or ought to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// `fine`, `warning` or `error`.
    pub severity: String,
    /// What was looked at.
    pub subject: String,
    /// What is wrong and what to do.
    pub sentence: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// Everything that was looked at.
    pub findings: Vec<Finding>,
    /// What there is to choose from (`provider::Offers`); `None`: it could not be looked at.
    pub offers: Option<serde_json::Value>,
}

/// Asks. Old questions go at the same time.
pub async fn insert(tx: &mut Tx, id: WorkflowId, connection: &Connection) -> Result<()> {
    sqlx::query("DELETE FROM region_probes WHERE created_at < now() - interval '1 hour'").execute(&mut **tx).await?;
    sqlx::query(
        "INSERT INTO region_probes (id, provider, settings, secret, sealed_for, fingerprints) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.0)
    .bind(&connection.provider)
    .bind(&connection.settings)
    .bind(&connection.secret)
    .bind(&connection.sealed_for)
    .bind(&connection.fingerprints)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The connection that is asked about; `None` when nobody wants to know any more.
pub async fn connection(store: &Store, id: WorkflowId) -> Result<Option<Connection>> {
    let row =
        sqlx::query("SELECT provider, settings, secret, sealed_for, fingerprints FROM region_probes WHERE id = $1")
            .bind(id.0)
            .fetch_optional(store.pool())
            .await?;
    let Some(row) = row else { return Ok(None) };
    let sealed_for: String = row.try_get("sealed_for")?;
    Ok(Some(Connection {
        // One that is stored already is not to be held against itself.
        region: RegionSlug::from(sealed_for.strip_prefix("region:").unwrap_or("probe")),
        provider: row.try_get("provider")?,
        settings: row.try_get("settings")?,
        secret: row.try_get("secret")?,
        sealed_for,
        fingerprints: row.try_get("fingerprints")?,
        revision: 0,
    }))
}

/// Answers. What is sealed in the question is not needed any more.
pub async fn answer(tx: &mut Tx, id: WorkflowId, tested: &Tested) -> Result<()> {
    let findings = serde_json::to_value(&tested.findings).map_err(|error| Error::Corrupt(error.to_string()))?;
    sqlx::query("UPDATE region_probes SET findings = $2, offers = $3, secret = NULL WHERE id = $1")
        .bind(id.0)
        .bind(findings)
        .bind(&tested.offers)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The answer, once there is one.
pub async fn read(store: &Store, id: WorkflowId) -> Result<Option<Tested>> {
    let row = sqlx::query("SELECT findings, offers FROM region_probes WHERE id = $1 AND findings IS NOT NULL")
        .bind(id.0)
        .fetch_optional(store.pool())
        .await?;
    let Some(row) = row else { return Ok(None) };
    let findings: serde_json::Value = row.try_get("findings")?;
    let findings = serde_json::from_value(findings).map_err(|error| Error::Corrupt(error.to_string()))?;
    Ok(Some(Tested { findings, offers: row.try_get("offers")? }))
}
