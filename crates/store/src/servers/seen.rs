//! What was seen of a server. One writer (`cloud::server::observe`), ordered by generation: a look that began earlier
//! never overwrites one that began later.

use crate::{Result, Tx};
use model::ids::ServerId;
use model::states::Power;

/// One look, in the table's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Running or not; `None`: the guest was not there.
    pub power: Option<Power>,
    /// A forwarded SSH port.
    pub ssh: Option<(String, u16)>,
}

/// Drawn before looking.
pub async fn next_generation(tx: &mut Tx) -> Result<i64> {
    Ok(sqlx::query_scalar("SELECT nextval('sightings')").fetch_one(&mut **tx).await?)
}

/// Writes a look. `None`: an older one, not written. `Some(changed)`: written, and whether it says something new.
pub async fn record(tx: &mut Tx, server: ServerId, generation: Option<i64>, seen: &Seen) -> Result<Option<bool>> {
    // Without a generation the look is being written as it happens, by the one worker that holds the server's lease.
    Ok(sqlx::query_scalar(
        "WITH before AS (SELECT id, seen_power, seen_ssh_host, seen_ssh_port FROM servers WHERE id = $1 FOR NO KEY UPDATE),
              look AS (SELECT coalesce($2, nextval('sightings')) AS generation)
         UPDATE servers s SET seen_power = $3, seen_ssh_host = $4, seen_ssh_port = $5, seen_at = clock_timestamp(),
                seen_generation = look.generation
         FROM before b, look WHERE s.id = b.id AND s.seen_generation < look.generation
         RETURNING (b.seen_power, b.seen_ssh_host, b.seen_ssh_port) IS DISTINCT FROM ($3, $4, $5)",
    )
    .bind(server.0)
    .bind(generation)
    .bind(seen.power.map(Power::as_str))
    .bind(seen.ssh.as_ref().map(|(host, _)| host.as_str()))
    .bind(seen.ssh.as_ref().map(|(_, port)| i32::from(*port)))
    .fetch_optional(&mut **tx)
    .await?)
}

/// Writes a look at a server that answered, by the worker that holds its lease: the server is its tenant's from its first
/// answer on. A look that began later keeps its word.
pub async fn answered(tx: &mut Tx, server: ServerId, seen: &Seen, wanted: Option<Power>) -> Result<()> {
    sqlx::query(
        "UPDATE servers s SET answered_at = coalesce(s.answered_at, clock_timestamp()), wanted_power = coalesce($2, s.wanted_power),
                seen_power    = CASE WHEN s.seen_generation < g.generation THEN $3 ELSE s.seen_power END,
                seen_ssh_host = CASE WHEN s.seen_generation < g.generation THEN $4 ELSE s.seen_ssh_host END,
                seen_ssh_port = CASE WHEN s.seen_generation < g.generation THEN $5 ELSE s.seen_ssh_port END,
                seen_at       = CASE WHEN s.seen_generation < g.generation THEN clock_timestamp() ELSE s.seen_at END,
                seen_generation = greatest(s.seen_generation, g.generation)
         FROM (SELECT nextval('sightings') AS generation) g WHERE s.id = $1",
    )
    .bind(server.0)
    .bind(wanted.map(Power::as_str))
    .bind(seen.power.map(Power::as_str))
    .bind(seen.ssh.as_ref().map(|(host, _)| host.as_str()))
    .bind(seen.ssh.as_ref().map(|(_, port)| i32::from(*port)))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
