//! What an operator has to look at. At most one open alert of a kind and subject.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use model::ids::OperatorTokenId;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row as _};

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Good to know; acknowledging it closes it.
    Info,
    /// Works, but not for long, or not as well as it should.
    Warning,
    /// Somebody is harmed.
    Error,
}

impl Severity {
    /// The word in the table.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Raises an alert unless it is open already.
pub async fn raise(tx: &mut Tx, kind: &str, subject: &str, message: &str) -> Result<()> {
    raise_as(tx, Severity::Error, kind, subject, message).await
}

/// Raises an alert of this urgency. One that is open already says what is true now; an operator who has seen it is not
/// bothered again.
pub async fn raise_as(tx: &mut Tx, severity: Severity, kind: &str, subject: &str, message: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO alerts AS a (kind, subject, message, severity, raised_at) VALUES ($1, $2, $3, $4, clock_timestamp())
         ON CONFLICT (subject, kind) WHERE resolved_at IS NULL DO UPDATE SET message = excluded.message
             WHERE a.message <> excluded.message",
    )
    .bind(kind)
    .bind(subject)
    .bind(message)
    .bind(severity.as_str())
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

/// Closes whatever is open about a subject: it is gone.
pub async fn resolve_all(tx: &mut Tx, subject: &str) -> Result<()> {
    sqlx::query(
        "UPDATE alerts SET resolved_at = greatest(clock_timestamp(), raised_at) WHERE subject = $1 AND resolved_at IS NULL",
    )
    .bind(subject)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What the newest alert of a kind and subject says, if it is open or was raised after `since`.
pub async fn latest(store: &Store, kind: &str, subject: &str, since: Timestamp) -> Result<Option<String>> {
    Ok(sqlx::query_scalar(
        "SELECT message FROM alerts WHERE kind = $1 AND subject = $2 AND (resolved_at IS NULL OR raised_at >= $3)
         ORDER BY raised_at DESC, id DESC LIMIT 1",
    )
    .bind(kind)
    .bind(subject)
    .bind(since.to_sqlx())
    .fetch_optional(store.pool())
    .await?)
}

/// Kind and subject of every open alert of these kinds.
pub async fn open(tx: &mut Tx, kinds: &[&str]) -> Result<Vec<(String, String)>> {
    Ok(sqlx::query_as("SELECT kind, subject FROM alerts WHERE resolved_at IS NULL AND kind = ANY ($1)")
        .bind(kinds)
        .fetch_all(&mut **tx)
        .await?)
}

/// An alert as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its id.
    pub id: i64,
    /// What kind of thing it is, such as `host_offline`.
    pub kind: String,
    /// What it is about: `host:<id>`, `server:42`, `region:demo`.
    pub subject: String,
    /// In words.
    pub message: String,
    /// `info`, `warning` or `error`.
    pub severity: String,
    /// Since when.
    pub raised_at: Timestamp,
    /// When an operator said that they know.
    pub acknowledged_at: Option<Timestamp>,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, kind, subject, message, severity, raised_at, acknowledged_at, resolved_at";

fn read(row: &PgRow) -> Result<Alert> {
    Ok(Alert {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        message: row.try_get("message")?,
        severity: row.try_get("severity")?,
        raised_at: row.time("raised_at")?,
        acknowledged_at: row.time_or_null("acknowledged_at")?,
        resolved_at: row.time_or_null("resolved_at")?,
    })
}

/// Which alerts a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those that are not over.
    Open,
    /// All of them.
    All,
}

/// One page, open ones first, then newest first, and the count of all.
pub async fn list(store: &Store, which: Which, limit: i64, offset: i64) -> Result<(Vec<Alert>, i64)> {
    let open_only = which == Which::Open;
    let statement = format!(
        "SELECT {COLUMNS} FROM alerts WHERE NOT $1 OR resolved_at IS NULL
         ORDER BY (resolved_at IS NULL) DESC, raised_at DESC, id DESC LIMIT $2 OFFSET $3"
    );
    let rows =
        sqlx::query(AssertSqlSafe(statement)).bind(open_only).bind(limit).bind(offset).fetch_all(store.pool()).await?;
    let total = sqlx::query_scalar("SELECT count(*) FROM alerts WHERE NOT $1 OR resolved_at IS NULL")
        .bind(open_only)
        .fetch_one(store.pool())
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// One alert.
pub async fn get(store: &Store, id: i64) -> Result<Option<Alert>> {
    let statement = format!("SELECT {COLUMNS} FROM alerts WHERE id = $1");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id).fetch_optional(store.pool()).await?;
    row.as_ref().map(read).transpose()
}

/// An operator knows of it. What is only good to know is closed by that. `None`: there is no such alert.
pub async fn acknowledge(tx: &mut Tx, id: i64, by: OperatorTokenId) -> Result<Option<Alert>> {
    let statement = format!(
        "UPDATE alerts SET acknowledged_at = coalesce(acknowledged_at, clock_timestamp()),
             acknowledged_by = coalesce(acknowledged_by, $2),
             resolved_at = CASE WHEN severity = 'info' THEN coalesce(resolved_at, greatest(clock_timestamp(), raised_at))
                                ELSE resolved_at END
         WHERE id = $1 RETURNING {COLUMNS}"
    );
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id).bind(by.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(read).transpose()
}
