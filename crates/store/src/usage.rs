//! Usage: time ranges that open and close in the transaction of the state change that they record.

use crate::{Result, Tx};
use model::ids::TeamId;

/// Opens a range for `urn` unless one is open. `price_hourly` in millionths.
pub async fn open(tx: &mut Tx, team: TeamId, urn: &str, kind: &str, size: &str, price_hourly: i64) -> Result<()> {
    sqlx::query(
        "INSERT INTO usage_ranges (id, team_id, urn, kind, size, price_hourly, span)
         SELECT $1, $2, $3, $4, $5, $6, tstzrange(clock_timestamp(), NULL)
         WHERE NOT EXISTS (SELECT 1 FROM usage_ranges WHERE urn = $3 AND kind = $4 AND upper_inf(span))",
    )
    .bind(uuid::Uuid::now_v7())
    .bind(team.0)
    .bind(urn)
    .bind(kind)
    .bind(size)
    .bind(price_hourly)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Closes the open range of `urn`, if there is one.
pub async fn close(tx: &mut Tx, urn: &str, kind: &str) -> Result<()> {
    sqlx::query(
        "UPDATE usage_ranges SET span = tstzrange(lower(span), greatest(clock_timestamp(), lower(span) + interval '1 microsecond'))
         WHERE urn = $1 AND kind = $2 AND upper_inf(span)",
    )
    .bind(urn)
    .bind(kind)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
