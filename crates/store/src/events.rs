//! Events: what changed, for whoever follows. Numbered in the order in which they became visible (the trigger
//! `number_event`), so that a reader who has seen one number has seen everything below it.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use jiff::Timestamp;
use model::ids::TeamId;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgListener, PgRow};

/// One event.
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// What happened, such as `droplet.create`.
    pub kind: String,
    /// To what.
    pub urn: String,
    /// What is worth knowing about it.
    pub body: Value,
}

/// Writes an event. At commit it gets its number, and `NOTIFY events` with the team's id goes out.
pub async fn append(tx: &mut Tx, team: TeamId, kind: &str, urn: &str, body: &Value) -> Result<()> {
    sqlx::query("INSERT INTO events (team_id, kind, urn, body) VALUES ($1, $2, $3, $4)")
        .bind(team.0)
        .bind(kind)
        .bind(urn)
        .bind(body)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The next events of a team after the number `id`, at most `limit`.
pub async fn after(store: &Store, team: TeamId, id: i64, limit: i64) -> Result<Vec<Event>> {
    let mut tx = store.tenant(team).await?;
    let rows =
        sqlx::query("SELECT id, at, kind, urn, body FROM events WHERE team_id = $1 AND id > $2 ORDER BY id LIMIT $3")
            .bind(team.0)
            .bind(id)
            .bind(limit)
            .fetch_all(&mut *tx)
            .await?;
    tx.commit().await?;
    rows.iter().map(read).collect()
}

/// The number of the newest event of a team; 0 if there is none.
pub async fn newest(store: &Store, team: TeamId) -> Result<i64> {
    let mut tx = store.tenant(team).await?;
    let id = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM events WHERE team_id = $1")
        .bind(team.0)
        .fetch_one(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(id)
}

fn read(row: &PgRow) -> Result<Event> {
    Ok(Event {
        id: row.try_get("id")?,
        at: row.time("at")?,
        kind: row.try_get("kind")?,
        urn: row.try_get("urn")?,
        body: row.try_get("body")?,
    })
}

/// What a process is told by the database.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notice {
    /// There are new events of a team.
    Events(TeamId),
    /// A token was revoked or changed.
    Tokens,
}

/// One connection that listens. It is taken out of the pool for as long as it lives.
pub struct Listener(PgListener);

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listener")
    }
}

impl Listener {
    /// Begins to listen for events and for changes of tokens.
    pub async fn connect(store: &Store) -> Result<Self> {
        let mut listener = PgListener::connect_with(store.pool()).await?;
        // A loss must be told at once: until there is a new connection, anything may be missed.
        listener.eager_reconnect(false);
        listener.listen_all(["events", "tokens"]).await?;
        Ok(Self(listener))
    }

    /// Waits for the next notice. `None`, or an error: the connection was lost, connect again.
    pub async fn next(&mut self) -> Result<Option<Notice>> {
        loop {
            let Some(notification) = self.0.try_recv().await? else { return Ok(None) };
            match notification.channel() {
                "tokens" => return Ok(Some(Notice::Tokens)),
                "events" => {
                    if let Ok(team) = notification.payload().parse() {
                        return Ok(Some(Notice::Events(team)));
                    }
                }
                _ => {}
            }
        }
    }
}
