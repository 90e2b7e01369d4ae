//! The servers that are backed up by themselves, and how far their backups have got.

use crate::rows::Columns as _;
use crate::{Result, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::{ServerId, TeamId};
use sqlx::{PgConnection, Row as _};

/// A server that is backed up.
#[derive(Clone, Debug, PartialEq)]
pub struct BackedUp {
    /// Which.
    pub id: ServerId,
    /// Whose.
    pub team: TeamId,
    /// `model::backup::Policy` as stored.
    pub policy: Option<serde_json::Value>,
    /// Up to when every window has been served.
    pub served: Timestamp,
}

/// Servers that are backed up and could be, in the order of their ids: those after `after`, at most `limit`.
pub async fn backed_up(connection: &mut PgConnection, after: ServerId, limit: i64) -> Result<Vec<BackedUp>> {
    let rows = sqlx::query(
        "SELECT id, team_id, backup_policy, backups_served_at FROM servers
         WHERE backups AND deleted_at IS NULL AND destroy_requested_at IS NULL AND answered_at IS NOT NULL AND id > $1
         ORDER BY id LIMIT $2",
    )
    .bind(after.0)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(BackedUp {
                id: ServerId(row.try_get("id")?),
                team: TeamId(row.try_get("team_id")?),
                policy: row.try_get("backup_policy")?,
                served: row.time("backups_served_at")?,
            })
        })
        .collect()
}

/// Takes a server's backup upon this transaction: nobody else gets it while it lasts, and nobody ever again for the same
/// window once it commits. False: it is somebody else's, or things have changed.
pub async fn claim_backup(tx: &mut Tx, server: &BackedUp, now: Timestamp) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE servers SET backups_served_at = $4
         WHERE id = (SELECT id FROM servers
                     WHERE team_id = $1 AND id = $2 AND backups_served_at = $3 AND backups AND deleted_at IS NULL
                       AND destroy_requested_at IS NULL
                     FOR NO KEY UPDATE SKIP LOCKED)",
    )
    .bind(server.team.0)
    .bind(server.id.0)
    .bind(server.served.to_sqlx())
    .bind(now.to_sqlx())
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}
