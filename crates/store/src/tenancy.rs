//! Organizations, teams, tokens and quotas.

use crate::rows::Columns as _;
use crate::{Error, Result, Store, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::{InstallationId, OrganizationId, TeamId, TokenId};
use model::quota::Limits;
use sha2::{Digest, Sha256};
use sqlx::Row;
use sqlx::postgres::PgRow;
use std::fmt::Write as _;
use uuid::Uuid;

/// What every secret of a token begins with, so that a scanner for leaked secrets can tell it.
pub const SECRET_PREFIX: &str = "cairn_";

/// The limits that a new team begins with.
pub const USUAL_LIMITS: Limits =
    Limits { servers: 25, vcpus: 200, memory_mib: 400 * 1024, disk_gb: 4000, snapshots: 100, ssh_keys: 100 };

/// A token as authentication needs it. Never the secret, which is not kept anywhere.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its id.
    pub id: TokenId,
    /// The team for which it acts.
    pub team: TeamId,
    /// The display name.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// What it may do. Empty, or with `*`: everything.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ceases to be valid.
    pub expires_at: Option<Timestamp>,
    /// When it was last seen in use, within ten minutes.
    pub last_used_at: Option<Timestamp>,
}

/// A secret, shown once: when it is made.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// The secret itself. To be handed to its owner, never to be written anywhere.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A token that was just made.
#[derive(Clone, Debug)]
pub struct Minted {
    /// Its id.
    pub id: TokenId,
    /// Its secret.
    pub secret: Secret,
}

/// What [`bootstrap`] made.
#[derive(Clone, Debug)]
pub struct Bootstrapped {
    /// The first organization.
    pub organization: OrganizationId,
    /// Its first team.
    pub team: TeamId,
    /// The first token, which may do everything.
    pub token: Minted,
}

/// A team, as `GET /v2/account` shows it.
#[derive(Clone, Debug)]
pub struct Account {
    /// The team.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Where its mail goes.
    pub email: String,
    /// How many servers it may have.
    pub server_limit: i32,
}

/// SHA-256 of a secret, by which a token is found.
pub fn hash_secret(secret: &str) -> [u8; 32] {
    Sha256::digest(secret.as_bytes()).into()
}

/// The token whose secret has this hash, unless it is revoked or expired. One round trip, outside of any
/// team's view: whose token it is, is what is asked.
pub async fn authenticate(store: &Store, secret_hash: &[u8; 32]) -> Result<Option<Token>> {
    let row = sqlx::query(
        "SELECT id, team_id, name, secret_hash, scopes, created_at, expires_at, last_used_at
         FROM tokens
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
        id: TokenId(row.try_get("id")?),
        team: TeamId(row.try_get("team_id")?),
        name: row.try_get("name")?,
        secret_hash: hash.try_into().map_err(|_| Error::Corrupt("tokens.secret_hash".to_owned()))?,
        scopes: row.try_get("scopes")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_null("expires_at")?,
        last_used_at: row.time_or_null("last_used_at")?,
    })
}

/// Notes that a token was used. Writes at most every ten minutes, so that reading stays reading.
pub async fn touch(store: &Store, token: TokenId) -> Result<()> {
    sqlx::query(
        "UPDATE tokens SET last_used_at = now()
         WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < now() - interval '10 minutes')",
    )
    .bind(token.0)
    .execute(store.pool())
    .await?;
    Ok(())
}

/// Makes a token for `team`. `scopes` empty: everything.
pub async fn mint_token(tx: &mut Tx, team: TeamId, name: &str, scopes: &[String]) -> Result<Minted> {
    mint_token_until(tx, team, name, scopes, None).await
}

/// Makes a token that ceases to be valid at `expires_at`.
pub async fn mint_token_until(
    tx: &mut Tx,
    team: TeamId,
    name: &str,
    scopes: &[String],
    expires_at: Option<Timestamp>,
) -> Result<Minted> {
    let id = TokenId(Uuid::now_v7());
    let secret = fresh_secret(SECRET_PREFIX);
    sqlx::query(
        "INSERT INTO tokens (id, team_id, name, secret_hash, scopes, expires_at) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.0)
    .bind(team.0)
    .bind(name)
    .bind(&hash_secret(secret.reveal())[..])
    .bind(scopes)
    .bind(expires_at.map(|end| end.to_sqlx()))
    .execute(&mut **tx)
    .await?;
    Ok(Minted { id, secret })
}

/// `prefix` and 256 bits as hexadecimal digits. The hash folds the 488 random bits of four version 4 UUIDs, six bits of each
/// of which are fixed.
pub(crate) fn fresh_secret(prefix: &str) -> Secret {
    let mut hasher = Sha256::new();
    for _ in 0..4 {
        hasher.update(Uuid::new_v4().as_bytes());
    }
    let mut secret = prefix.to_owned();
    for byte in hasher.finalize() {
        // Writing to a String does not fail.
        let _ = write!(secret, "{byte:02x}");
    }
    Secret(secret)
}

/// Revokes a token of `team`. False if there is none that is still valid. A trigger tells every process.
pub async fn revoke_token(tx: &mut Tx, team: TeamId, token: TokenId) -> Result<bool> {
    let done =
        sqlx::query("UPDATE tokens SET revoked_at = now() WHERE id = $1 AND team_id = $2 AND revoked_at IS NULL")
            .bind(token.0)
            .bind(team.0)
            .execute(&mut **tx)
            .await?;
    Ok(done.rows_affected() == 1)
}

/// Makes an organization.
pub async fn create_organization(tx: &mut Tx, name: &str) -> Result<OrganizationId> {
    let id = OrganizationId(Uuid::now_v7());
    sqlx::query("INSERT INTO organizations (id, name) VALUES ($1, $2)")
        .bind(id.0)
        .bind(name)
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

/// Makes a team with its limits.
pub async fn create_team(
    tx: &mut Tx,
    organization: OrganizationId,
    name: &str,
    email: &str,
    limits: Limits,
) -> Result<TeamId> {
    let id = TeamId(Uuid::now_v7());
    let small = |limit: i64| i32::try_from(limit).unwrap_or(i32::MAX);
    sqlx::query(
        "WITH team AS (INSERT INTO teams (id, organization_id, name, email) VALUES ($1, $2, $3, $4) RETURNING id)
         INSERT INTO quotas (team_id, servers, vcpus, memory_mib, disk_gb, snapshots, ssh_keys)
         SELECT id, $5, $6, $7, $8, $9, $10 FROM team",
    )
    .bind(id.0)
    .bind(organization.0)
    .bind(name)
    .bind(email)
    .bind(small(limits.servers))
    .bind(small(limits.vcpus))
    .bind(limits.memory_mib)
    .bind(limits.disk_gb)
    .bind(small(limits.snapshots))
    .bind(small(limits.ssh_keys))
    .execute(&mut **tx)
    .await?;
    Ok(id)
}

/// The first hour of an installation: its id, one organization, one team, one token that may do everything. Does
/// nothing and returns `None` where a team exists already; two processes that try at once make one of each.
pub async fn bootstrap(store: &Store, organization: &str, team: &str, email: &str) -> Result<Option<Bootstrapped>> {
    installation(store).await?;
    let mut tx = store.begin().await?;
    // The row that every installation has exactly one of serves as the lock.
    sqlx::query("SELECT FROM installation FOR UPDATE").execute(&mut *tx).await?;
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM teams)").fetch_one(&mut *tx).await?;
    if exists {
        return Ok(None);
    }
    let organization = create_organization(&mut tx, organization).await?;
    let team = create_team(&mut tx, organization, team, email, USUAL_LIMITS).await?;
    let token = mint_token(&mut tx, team, "first token", &[]).await?;
    tx.commit().await?;
    Ok(Some(Bootstrapped { organization, team, token }))
}

/// The id of this installation, chosen the first time anybody asks.
pub async fn installation(store: &Store) -> Result<InstallationId> {
    sqlx::query("INSERT INTO installation (id) VALUES ($1) ON CONFLICT DO NOTHING")
        .bind(Uuid::now_v7())
        .execute(store.pool())
        .await?;
    let id = sqlx::query_scalar("SELECT id FROM installation").fetch_one(store.pool()).await?;
    Ok(InstallationId(id))
}

/// The team of a request.
pub async fn account(store: &Store, team: TeamId) -> Result<Account> {
    let mut tx = store.tenant(team).await?;
    let row =
        sqlx::query("SELECT t.name, t.email, q.servers FROM teams t JOIN quotas q ON q.team_id = t.id WHERE t.id = $1")
            .bind(team.0)
            .fetch_one(&mut *tx)
            .await?;
    Ok(Account {
        team,
        name: row.try_get("name")?,
        email: row.try_get("email")?,
        server_limit: row.try_get("servers")?,
    })
}
