//! Idempotency keys: a POST that is sent twice with the same key is carried out once.
//!
//! The key's row is written first, in the transaction of the request itself. A second request with the key waits on
//! the row's unique index until the first one has committed, and then gets the first one's ids; if the first one
//! was rolled back, the second becomes the first. Keys are kept for a day.

use crate::{Result, Store, Tx};
use model::ids::TeamId;
use sha2::{Digest, Sha256};
use sqlx::Row as _;

/// Keys that are forgotten at once.
pub const BATCH: i64 = 10_000;

/// What became of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Never seen: do the work, then [`settle`] with what was made.
    First,
    /// Seen with the same request: answer with what that one made.
    Repeat {
        /// The ids of the resources.
        resources: Vec<i32>,
        /// The ids of the actions.
        actions: Vec<i32>,
    },
    /// Seen with another request.
    Mismatch,
}

/// The hash of a request: its method, path and body as sent.
pub fn hash_request(method: &str, path: &str, body: &[u8]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    // Lengths first, so that no two requests run together to the same bytes.
    for part in [method.as_bytes(), path.as_bytes(), body] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// Claims a key, waiting for a request under way with the same one.
pub async fn claim(tx: &mut Tx, team: TeamId, key: &str, request_hash: &[u8; 32]) -> Result<Claim> {
    loop {
        let inserted = sqlx::query(
            "INSERT INTO idempotency_keys (team_id, key, request_hash, resource_ids, action_ids)
             VALUES ($1, $2, $3, '{}', '{}') ON CONFLICT DO NOTHING",
        )
        .bind(team.0)
        .bind(key)
        .bind(&request_hash[..])
        .execute(&mut **tx)
        .await?;
        if inserted.rows_affected() == 1 {
            return Ok(Claim::First);
        }
        let row = sqlx::query(
            "SELECT request_hash, resource_ids, action_ids FROM idempotency_keys WHERE team_id = $1 AND key = $2",
        )
        .bind(team.0)
        .bind(key)
        .fetch_optional(&mut **tx)
        .await?;
        // None: the key ran out between the two statements.
        let Some(row) = row else { continue };
        if row.try_get::<Vec<u8>, _>("request_hash")? != request_hash {
            return Ok(Claim::Mismatch);
        }
        return Ok(Claim::Repeat { resources: row.try_get("resource_ids")?, actions: row.try_get("action_ids")? });
    }
}

/// Writes down what the first request with the key made.
pub async fn settle(tx: &mut Tx, team: TeamId, key: &str, resources: &[i32], actions: &[i32]) -> Result<()> {
    sqlx::query("UPDATE idempotency_keys SET resource_ids = $3, action_ids = $4 WHERE team_id = $1 AND key = $2")
        .bind(team.0)
        .bind(key)
        .bind(resources)
        .bind(actions)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets keys that are older than a day, [`BATCH`] of them at most. Run now and then by an observer; answers how many
/// went.
pub async fn forget_old(store: &Store) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '1 day' LIMIT $1 FOR UPDATE SKIP LOCKED))",
    )
    .bind(BATCH)
    .execute(store.pool())
    .await?;
    Ok(gone.rows_affected())
}
