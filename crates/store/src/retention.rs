//! What is kept for a while and then forgotten: the records of workflows that have ended, and events. Each call deletes a
//! bounded number of rows, the oldest first, and passes over what somebody else is deleting.

use crate::{Result, Store};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

/// Forgets workflows that ended before `before`, with their steps; how many. One that others stand under goes after them.
/// Actions and migrations are records of their own and stay.
pub async fn forget_workflows(store: &Store, before: Timestamp, limit: i64) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM workflows WHERE id IN (
             SELECT w.id FROM workflows w
             WHERE w.finished_at < $1 AND NOT EXISTS (SELECT FROM workflows c WHERE c.parent_id = w.id)
             ORDER BY w.finished_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
    )
    .bind(before.to_sqlx())
    .bind(limit)
    .execute(store.pool())
    .await?;
    Ok(gone.rows_affected())
}

/// Forgets events that happened before `before`; how many.
pub async fn forget_events(store: &Store, before: Timestamp, limit: i64) -> Result<u64> {
    // In the order in which they were written, which needs no index beside the primary key.
    let gone = sqlx::query(
        "DELETE FROM events WHERE entry IN (
             SELECT entry FROM (SELECT entry, at FROM events ORDER BY entry LIMIT $2) AS oldest WHERE at < $1)",
    )
    .bind(before.to_sqlx())
    .bind(limit)
    .execute(store.pool())
    .await?;
    Ok(gone.rows_affected())
}
