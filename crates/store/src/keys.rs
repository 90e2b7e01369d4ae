//! Registered SSH keys.

use crate::{Result, Store, Tx};
use model::ids::{SshKeyId, TeamId};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A key as stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Its id.
    pub id: SshKeyId,
    /// The display name.
    pub name: String,
    /// One line as in `authorized_keys`.
    pub public_key: String,
    /// MD5 in colon-separated hexadecimal.
    pub fingerprint: String,
}

/// Which key is meant.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// The one with this id.
    Id(SshKeyId),
    /// The one with this fingerprint.
    Fingerprint(&'a str),
}

const COLUMNS: &str = "id, name, public_key, fingerprint";

impl Which<'_> {
    /// The condition, with the team as `$1` and the value as `$2`.
    fn condition(self) -> &'static str {
        match self {
            Which::Id(_) => "team_id = $1 AND id = $2::integer",
            Which::Fingerprint(_) => "team_id = $1 AND fingerprint = $2",
        }
    }

    fn value(self) -> String {
        match self {
            Which::Id(id) => id.to_string(),
            Which::Fingerprint(text) => text.to_owned(),
        }
    }
}

fn read(row: &PgRow) -> Result<Key> {
    Ok(Key {
        id: SshKeyId(row.try_get("id")?),
        name: row.try_get("name")?,
        public_key: row.try_get("public_key")?,
        fingerprint: row.try_get("fingerprint")?,
    })
}

/// One page of a team's keys, the oldest first, and how many there are.
pub async fn list(store: &Store, team: TeamId, limit: i64, offset: i64) -> Result<(Vec<Key>, i64)> {
    let mut tx = store.tenant(team).await?;
    let rows = sqlx::query(
        "SELECT id, name, public_key, fingerprint FROM ssh_keys WHERE team_id = $1 ORDER BY id LIMIT $2 OFFSET $3",
    )
    .bind(team.0)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut *tx)
    .await?;
    let total = count(&mut tx, team).await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One key of a team.
pub async fn find(store: &Store, team: TeamId, which: Which<'_>) -> Result<Option<Key>> {
    let mut tx = store.tenant(team).await?;
    let statement = format!("SELECT {COLUMNS} FROM ssh_keys WHERE {}", which.condition());
    let row =
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(team.0).bind(which.value()).fetch_optional(&mut *tx).await?;
    row.as_ref().map(read).transpose()
}

/// How many keys a team has.
pub async fn count(tx: &mut Tx, team: TeamId) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM ssh_keys WHERE team_id = $1").bind(team.0).fetch_one(&mut **tx).await?)
}

/// Registers a key. `None`: the team has one with this fingerprint already.
pub async fn insert(
    tx: &mut Tx,
    team: TeamId,
    name: &str,
    public_key: &str,
    fingerprint: &str,
) -> Result<Option<SshKeyId>> {
    let id: Option<i32> = sqlx::query_scalar(
        "INSERT INTO ssh_keys (team_id, name, public_key, fingerprint) VALUES ($1, $2, $3, $4)
         ON CONFLICT (team_id, fingerprint) DO NOTHING RETURNING id",
    )
    .bind(team.0)
    .bind(name)
    .bind(public_key)
    .bind(fingerprint)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(id.map(SshKeyId))
}

/// Gives a key another name (`None`: keeps its own) and returns it. `None`: there is no such key.
pub async fn rename(tx: &mut Tx, team: TeamId, which: Which<'_>, name: Option<&str>) -> Result<Option<Key>> {
    let statement =
        format!("UPDATE ssh_keys SET name = coalesce($3, name) WHERE {} RETURNING {COLUMNS}", which.condition());
    let row = sqlx::query(sqlx::AssertSqlSafe(statement))
        .bind(team.0)
        .bind(which.value())
        .bind(name)
        .fetch_optional(&mut **tx)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Removes a key. `None`: there is no such key. Servers that were given it keep it.
pub async fn delete(tx: &mut Tx, team: TeamId, which: Which<'_>) -> Result<Option<Key>> {
    let statement = format!("DELETE FROM ssh_keys WHERE {} RETURNING {COLUMNS}", which.condition());
    let row =
        sqlx::query(sqlx::AssertSqlSafe(statement)).bind(team.0).bind(which.value()).fetch_optional(&mut **tx).await?;
    row.as_ref().map(read).transpose()
}
