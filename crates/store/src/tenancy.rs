//! Organizations, teams, tokens and quotas.

use crate::rows::Columns as _;
use crate::{Error, Result, Store, Tx};
use ipnet::IpNet;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::authority::{OrganizationRole, Role, ScopeSet, Standing};
use model::ids::{InstallationId, OrganizationId, RoleId, ServiceAccountId, TeamId, TokenId, UserId};
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
    /// The organization that the team belongs to.
    pub organization: OrganizationId,
    /// Whose it is, where it is a person's.
    pub user: Option<UserId>,
    /// Whose it is, where it is a program's.
    pub service_account: Option<ServiceAccountId>,
    /// The display name.
    pub name: String,
    /// SHA-256 of the secret.
    pub secret_hash: [u8; 32],
    /// What it was made for. Empty, or with `*`: everything that its owner may.
    pub scopes: Vec<String>,
    /// What it may do: its scopes, as far as its owner's roles go at this moment.
    pub authority: ScopeSet,
    /// From where it may be used; empty: from everywhere.
    pub networks: Vec<IpNet>,
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
    /// Its first owner, who has no way to sign in yet.
    pub user: UserId,
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

/// What is read of a token, with the roles that its owner has at this moment.
const AUTHENTICATED: &str =
    "SELECT k.id, k.team_id, t.organization_id, k.user_id, k.service_account_id, k.name, k.secret_hash,
        k.scopes, k.networks, k.created_at, k.expires_at, k.last_used_at,
        o.role AS organization_role, coalesce(m.role, a.role) AS team_role, r.scopes AS role_scopes
    FROM tokens k
    JOIN teams t ON t.id = k.team_id AND t.closed_at IS NULL
    JOIN organizations g ON g.id = t.organization_id AND g.closed_at IS NULL
    LEFT JOIN users u ON u.id = k.user_id
    LEFT JOIN service_accounts a ON a.id = k.service_account_id
    LEFT JOIN organization_members o ON o.organization_id = t.organization_id AND o.user_id = k.user_id
    LEFT JOIN team_members m ON m.team_id = k.team_id AND m.user_id = k.user_id
    LEFT JOIN roles r ON r.id = coalesce(m.role_id, a.role_id)
    WHERE k.secret_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
      AND u.disabled_at IS NULL AND a.closed_at IS NULL";

/// The token whose secret has this hash, unless it is revoked or expired, or its owner, its team or its organization is not
/// there any more. One round trip, outside of any team's view: whose token it is, is what is asked.
pub async fn authenticate(store: &Store, secret_hash: &[u8; 32]) -> Result<Option<Token>> {
    let row = sqlx::query(AUTHENTICATED).bind(&secret_hash[..]).fetch_optional(store.pool()).await?;
    row.as_ref().map_or(Ok(None), token)
}

/// The token of a row; `None` if whose it is has no part in the team (any more).
fn token(row: &PgRow) -> Result<Option<Token>> {
    let hash: Vec<u8> = row.try_get("secret_hash")?;
    let scopes: Vec<String> = row.try_get("scopes")?;
    let user = row.try_get::<Option<Uuid>, _>("user_id")?.map(UserId);
    let service_account = row.try_get::<Option<Uuid>, _>("service_account_id")?.map(ServiceAccountId);
    let Some(standing) = standing(row, user.is_none() && service_account.is_none())?.scopes() else { return Ok(None) };
    Ok(Some(Token {
        id: TokenId(row.try_get("id")?),
        team: TeamId(row.try_get("team_id")?),
        organization: OrganizationId(row.try_get("organization_id")?),
        user,
        service_account,
        name: row.try_get("name")?,
        secret_hash: hash.try_into().map_err(|_| Error::Corrupt("tokens.secret_hash".to_owned()))?,
        authority: ScopeSet::held(&scopes).intersection(standing),
        scopes,
        networks: row.try_get("networks")?,
        created_at: row.time("created_at")?,
        expires_at: row.time_or_null("expires_at")?,
        last_used_at: row.time_or_null("last_used_at")?,
    }))
}

/// The roles of a row. A token that is nobody's is the team's own, and may do what the team's owner may.
fn standing(row: &PgRow, nobodys: bool) -> Result<Standing> {
    if nobodys {
        return Ok(Standing { team: Some(Role::Owner), ..Standing::default() });
    }
    Ok(Standing {
        organization: row.word_or_null("organization_role")?,
        team: row.word_or_null("team_role")?,
        custom: row.try_get("role_scopes")?,
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

/// Whose token it is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The team's own: it may do what the team's owner may.
    Team,
    /// A person's: it may do what they may, as long as they may.
    User(UserId),
    /// A program's.
    ServiceAccount(ServiceAccountId),
}

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken<'a> {
    /// The team for which it acts.
    pub team: TeamId,
    /// Whose it is.
    pub owner: Owner,
    /// The display name.
    pub name: &'a str,
    /// What it is for; empty: everything that its owner may.
    pub scopes: &'a [String],
    /// From where it may be used; empty: from everywhere.
    pub networks: &'a [IpNet],
    /// When it ceases to be valid.
    pub expires_at: Option<Timestamp>,
}

/// Makes a token of the team's own. `scopes` empty: everything that a team's owner may.
pub async fn mint_token(tx: &mut Tx, team: TeamId, name: &str, scopes: &[String]) -> Result<Minted> {
    mint(tx, &NewToken { team, owner: Owner::Team, name, scopes, networks: &[], expires_at: None }).await
}

/// Makes a token.
pub async fn mint(tx: &mut Tx, new: &NewToken<'_>) -> Result<Minted> {
    let id = TokenId(Uuid::now_v7());
    let secret = fresh_secret(SECRET_PREFIX);
    let (user, service_account) = match new.owner {
        Owner::Team => (None, None),
        Owner::User(user) => (Some(user.0), None),
        Owner::ServiceAccount(account) => (None, Some(account.0)),
    };
    sqlx::query(
        "INSERT INTO tokens (id, team_id, user_id, service_account_id, name, secret_hash, scopes, networks, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.0)
    .bind(new.team.0)
    .bind(user)
    .bind(service_account)
    .bind(new.name)
    .bind(&hash_secret(secret.reveal())[..])
    .bind(new.scopes)
    .bind(new.networks)
    .bind(new.expires_at.map(|end| end.to_sqlx()))
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

/// Makes a user, unless there is one of this address (in small letters) already: then that one.
pub async fn create_user(tx: &mut Tx, email: &str, name: &str) -> Result<UserId> {
    let id = sqlx::query_scalar(
        "INSERT INTO users (id, email, name) VALUES ($1, lower($2), $3)
         ON CONFLICT (email) DO UPDATE SET email = excluded.email RETURNING id",
    )
    .bind(Uuid::now_v7())
    .bind(email)
    .bind(name)
    .fetch_one(&mut **tx)
    .await?;
    Ok(UserId(id))
}

/// Makes somebody a member of an organization in this role, or changes the role that they have there.
pub async fn set_organization_role(
    tx: &mut Tx,
    organization: OrganizationId,
    user: UserId,
    role: OrganizationRole,
) -> Result<()> {
    sqlx::query(
        "INSERT INTO organization_members (organization_id, user_id, role) VALUES ($1, $2, $3)
         ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role",
    )
    .bind(organization.0)
    .bind(user.0)
    .bind(role.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What somebody is in a team.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TeamRole {
    /// A role that every installation has.
    Usual(Role),
    /// One of the organization's own.
    Own(RoleId),
}

/// Makes somebody a member of a team in this role, or changes the role that they have there.
pub async fn set_team_role(tx: &mut Tx, team: TeamId, user: UserId, role: TeamRole) -> Result<()> {
    let (usual, own) = match role {
        TeamRole::Usual(role) => (Some(role.as_str()), None),
        TeamRole::Own(role) => (None, Some(role.0)),
    };
    sqlx::query(
        "INSERT INTO team_members (team_id, user_id, role, role_id) VALUES ($1, $2, $3, $4)
         ON CONFLICT (team_id, user_id) DO UPDATE SET role = excluded.role, role_id = excluded.role_id",
    )
    .bind(team.0)
    .bind(user.0)
    .bind(usual)
    .bind(own)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The first hour of an installation: its id, one organization, one team, one owner, one token that may do everything. Does
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
    let user = create_user(&mut tx, email, "First owner").await?;
    set_organization_role(&mut tx, organization, user, OrganizationRole::Owner).await?;
    let owner = Owner::User(user);
    let new = NewToken { team, owner, name: "first token", scopes: &[], networks: &[], expires_at: None };
    let token = mint(&mut tx, &new).await?;
    tx.commit().await?;
    Ok(Some(Bootstrapped { organization, team, user, token }))
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
