//! What an operator has to look at. At most one open alert of a kind and subject.

use crate::{Result, Tx};

/// Raises an alert unless it is open already.
pub async fn raise(tx: &mut Tx, kind: &str, subject: &str, message: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO alerts (kind, subject, message, raised_at) VALUES ($1, $2, $3, clock_timestamp())
         ON CONFLICT DO NOTHING",
    )
    .bind(kind)
    .bind(subject)
    .bind(message)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Closes an alert if it is open.
pub async fn resolve(tx: &mut Tx, kind: &str, subject: &str) -> Result<()> {
    sqlx::query(
        "UPDATE alerts SET resolved_at = greatest(clock_timestamp(), raised_at)
         WHERE kind = $1 AND subject = $2 AND resolved_at IS NULL",
    )
    .bind(kind)
    .bind(subject)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
