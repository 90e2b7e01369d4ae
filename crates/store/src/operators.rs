//! Operators: their tokens and their audit. A plane of its own: none of these rows has a team, and no tenant's
//! transaction can read one.

use crate::rows::Columns as _;
use crate::tenancy::{Secret, fresh_secret, hash_secret};
use crate::{Error, Result, Store, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::OperatorTokenId;
use serde_json::Value;
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// What every secret of an operator's token begins with: enough to tell on sight that it is not a tenant's.
pub const SECRET_PREFIX: &str = "cairn_op_";

/// An operator's token as authentication needs it. Never the secret, which is not kept anywhere.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: OperatorTokenId,
    /// The display name.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// What it may do. Empty, or with `*`: everything that operators can.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ceases to be valid.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen in use, within ten minutes.
    pub last_used_at: Option<Timestamp>,
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub struct Minted {
    /// Its id.
    pub id: OperatorTokenId,
    /// Its secret.
    pub secret: Secret,
}

/// Who asked for a change.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// The token that was presented; none for what the product does of itself.
    pub token: Option<OperatorTokenId>,
    /// The request.
    pub request_id: Uuid,
}

/// The token whose secret has this hash, unless it is revoked or expired.
pub async fn authenticate(store: &Store, secret_hash: &[u8; 32]) -> Result<Option<Token>> {
    let row = sqlx::query(
        "SELECT id, name, secret_hash, scopes, created_at, expires_at, last_used_at
         FROM operator_tokens
         WHERE secret_hash = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())",
    )
    .bind(&secret_hash[..])
    .fetch_optional(store.pool())
    .await?;
    row.as_ref().map(token).transpose()
}

fn token(row: &PgRow) -> Result<Token> {
    let hash: Vec<u8> = row.try_get("secret_hash")?;
    Ok(Token {
        id: OperatorTokenId(row.try_get("id")?),
        name: row.try_get("name")?,
        secret_hash: hash.try_into().map_err(|_| Error::Corrupt("operator_tokens.secret_hash".to_owned()))?,
        scopes: row.try_get("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_null("expires_at")?,
        last_used_at: row.time_or_null("last_used_at")?,
    })
}

/// Notes that a token was used. Writes at most every ten minutes, so that reading stays reading.
pub async fn touch(store: &Store, token: OperatorTokenId) -> Result<()> {
    sqlx::query(
        "UPDATE operator_tokens SET last_used_at = now()
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '10 minutes')",
    )
    .bind(token.0)
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Makes a token. `scopes` empty: everything.
pub async fn mint(tx: &mut Tx, name: &str, scopes: &[String]) -> Result<Minted> {
    mint_until(tx, name, scopes, None).await
}

/// Makes a token that ceases to be valid at `expires_at`.
pub async fn mint_until(tx: &mut Tx, name: &str, scopes: &[String], expires_at: Option<Timestamp>) -> Result<Minted> {
    let id = OperatorTokenId(Uuid::now_v7());
    let secret = fresh_secret(SECRET_PREFIX);
    sqlx::query("INSERT INTO operator_tokens (id, name, secret_hash, scopes, expires_at) VALUES ($1, $2, $3, $4, $5)")
        .bind(id.0)
        .bind(name)
        .bind(&hash_secret(secret.reveal())[..])
        .bind(scopes)
        .bind(expires_at.map(|at| at.to_sqlx()))
        .execute(&mut **tx)
        .await?;
    Ok(Minted { id, secret })
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: OperatorTokenId,
    /// The display name.
    pub name: String,
    /// What it may do; empty: everything.
    pub scopes: Vec<String>,
    /// When it ceases to be valid.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was last seen in use, within ten minutes.
    pub last_used_at: Option<Timestamp>,
}

/// Every token there ever was, the newest first.
pub async fn list(store: &Store) -> Result<Vec<Listed>> {
    let rows = sqlx::query(
        "SELECT id, name, scopes, expires_at, revoked_at, last_used_at FROM operator_tokens ORDER BY created_at DESC, id",
    )
    .fetch_all(store.pool())
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Listed {
                id: OperatorTokenId(row.try_get("id")?),
                name: row.try_get("name")?,
                scopes: row.try_get("scopes")?,
                expires_at: row.time_or_null("expires_at")?,
                revoked_at: row.time_or_null("revoked_at")?,
                last_used_at: row.time_or_null("last_used_at")?,
            })
        })
        .collect()
}

/// Revokes a token. False if there is none that is still valid.
pub async fn revoke(tx: &mut Tx, token: OperatorTokenId) -> Result<bool> {
    let done = sqlx::query("UPDATE operator_tokens SET revoked_at = now() WHERE id = $1 AND revoked_at IS NULL")
        .bind(token.0)
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() == 1)
}

/// The first operator's token, which may do everything. Does nothing and returns `None` where there has been one
/// already; two processes that try at once make one.
pub async fn bootstrap(store: &Store) -> Result<Option<Minted>> {
    crate::tenancy::installation(store).await?;
    let mut tx = store.begin().await?;
    // The row that every installation has exactly one of serves as the lock.
    sqlx::query("SELECT FROM installation FOR UPDATE").execute(&mut *tx).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM operator_tokens)").fetch_one(&mut *tx).await?;
    if exists {
        return Ok(None);
    }
    let minted = mint(&mut tx, "first operator", &[]).await?;
    tx.commit().await?;
    Ok(Some(minted))
}

/// Writes one entry of the operators' audit, in the transaction of the change. `detail` is what was asked, without
/// secrets.
pub async fn record(tx: &mut Tx, origin: Origin, operation: &str, subject: &str, detail: &Value) -> Result<()> {
    sqlx::query(
        "INSERT INTO operator_audit (token_id, operation, subject, request_id, detail) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(origin.token.map(|token| token.0))
    .bind(operation)
    .bind(subject)
    .bind(origin.request_id)
    .bind(detail)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
