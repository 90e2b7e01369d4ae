//! Mails that wait to be sent, and those that were. A mail is written in the transaction of what it tells of, so that there
//! is none about what never happened.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::Row as _;
use std::time::Duration;

/// What is kept of an error.
const LONGEST_ERROR: usize = 1000;

/// One mail.
#[derive(Clone, PartialEq, Eq)]
pub struct Mail {
    /// The address, 3 to 320 characters.
    pub to: String,
    /// One line, up to 255 characters, without anything secret.
    pub subject: String,
    /// The text, up to 65536 characters. What is secret stands here and nowhere else: it is erased once the mail is over.
    pub text: String,
}

impl std::fmt::Debug for Mail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mail").field("to", &self.to).field("subject", &self.subject).finish_non_exhaustive()
    }
}

/// Writes a mail, to be sent once the transaction is committed. Works in every kind of transaction.
pub async fn enqueue(tx: &mut Tx, mail: &Mail) -> Result<()> {
    sqlx::query("INSERT INTO mails (recipient, subject, body) VALUES ($1, $2, $3)")
        .bind(&mail.to)
        .bind(&mail.subject)
        .bind(&mail.text)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A mail that this worker has taken up.
#[derive(Clone, Debug)]
pub struct Taken {
    /// Its number.
    pub id: i64,
    /// How often it was taken up, this time included.
    pub attempt: i32,
    /// When it was written.
    pub created_at: Timestamp,
    /// What is to be sent.
    pub mail: Mail,
}

/// Takes up at most `limit` mails that are due at `now`, the longest due first. For `lease`, no other worker takes them.
pub async fn take(store: &Store, now: Timestamp, lease: Duration, limit: i64) -> Result<Vec<Taken>> {
    let rows = sqlx::query(
        "UPDATE mails SET attempts = attempts + 1, next_at = $1 + make_interval(secs => $2) WHERE id IN (
             SELECT id FROM mails WHERE next_at <= $1 ORDER BY next_at, id LIMIT $3 FOR UPDATE SKIP LOCKED)
         RETURNING id, attempts, created_at, recipient, subject, body",
    )
    .bind(now.to_sqlx())
    .bind(lease.as_secs_f64())
    .bind(limit)
    .fetch_all(store.pool())
    .await?;
    let mut taken = rows
        .iter()
        .map(|row| {
            Ok(Taken {
                id: row.try_get("id")?,
                attempt: row.try_get("attempts")?,
                created_at: row.time("created_at")?,
                mail: Mail {
                    to: row.try_get("recipient")?,
                    subject: row.try_get("subject")?,
                    text: row.try_get("body")?,
                },
            })
        })
        .collect::<Result<Vec<_>>>()?;
    taken.sort_by_key(|one| one.id);
    Ok(taken)
}

/// What became of a mail that was taken up.
#[derive(Clone, Debug)]
pub enum Fate<'a> {
    /// The server for mail has it.
    Sent,
    /// To be tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Why it was not sent.
        error: &'a str,
    },
    /// Not to be tried again.
    GivenUp {
        /// Why it was not sent.
        error: &'a str,
    },
}

/// Writes down what became of a mail, unless another worker has taken it up since.
pub async fn end(store: &Store, taken: &Taken, fate: &Fate<'_>) -> Result<()> {
    let (sent, again, error) = match fate {
        Fate::Sent => (true, None, None),
        Fate::Again { at, error } => (false, Some(*at), Some(*error)),
        Fate::GivenUp { error } => (false, None, Some(*error)),
    };
    sqlx::query(
        "UPDATE mails SET next_at = $3, sent_at = CASE WHEN $4 THEN now() END,
             given_up_at = CASE WHEN NOT $4 AND $3 IS NULL THEN now() END,
             body = CASE WHEN $3 IS NULL THEN '' ELSE body END, last_error = left($5, $6)
         WHERE id = $1 AND attempts = $2 AND next_at IS NOT NULL",
    )
    .bind(taken.id)
    .bind(taken.attempt)
    .bind(again.map(|at| at.to_sqlx()))
    .bind(sent)
    .bind(error)
    .bind(i32::try_from(LONGEST_ERROR).unwrap_or(i32::MAX))
    .execute(store.pool())
    .await?;
    Ok(())
}

/// What has not been sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// How many mails.
    pub count: i64,
    /// When the oldest of them was written.
    pub oldest: Option<Timestamp>,
    /// Why one of them could not be sent the last time that was tried.
    pub last_error: Option<String>,
}

/// What waits to be sent.
pub async fn waiting(store: &Store) -> Result<Waiting> {
    let row = sqlx::query(
        "SELECT count(*), min(created_at) AS oldest,
                (array_agg(last_error ORDER BY id DESC) FILTER (WHERE last_error IS NOT NULL))[1] AS last_error
         FROM mails WHERE next_at IS NOT NULL",
    )
    .fetch_one(store.pool())
    .await?;
    Ok(Waiting {
        count: row.try_get("count")?,
        oldest: row.time_or_null("oldest")?,
        last_error: row.try_get("last_error")?,
    })
}

/// Gives up what was written before `before` and never sent: what it says is not true any more. How many.
pub async fn give_up(store: &Store, before: Timestamp) -> Result<u64> {
    let over = sqlx::query(
        "UPDATE mails SET next_at = NULL, given_up_at = now(), body = ''
         WHERE next_at IS NOT NULL AND created_at < $1",
    )
    .bind(before.to_sqlx())
    .execute(store.pool())
    .await?;
    Ok(over.rows_affected())
}

/// Forgets mails that are over and were written before `before`; how many.
pub async fn forget(store: &Store, before: Timestamp, limit: i64) -> Result<u64> {
    let gone = sqlx::query(
        "DELETE FROM mails WHERE id IN (
             SELECT id FROM (SELECT id, created_at, next_at FROM mails ORDER BY id LIMIT $2) AS oldest
             WHERE created_at < $1 AND next_at IS NULL)",
    )
    .bind(before.to_sqlx())
    .bind(limit)
    .execute(store.pool())
    .await?;
    Ok(gone.rows_affected())
}
