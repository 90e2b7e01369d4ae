//! More rows than anybody would wait for: copies of a server that was really made, with everything that making it has
//! written. Only its guest is not copied, so nobody may look at the region afterwards.

use crate::ground::{Place, Team};
use anyhow::Result;
use sqlx::AssertSqlSafe;

/// Servers are numbered, and so are their addresses; the workflows' and usage ranges' ids are anything.
const COPIES: &str = "
    CREATE TEMPORARY TABLE copies ON COMMIT DROP AS
    SELECT k, nextval('servers_id_seq')::int AS id, gen_random_uuid() AS workflow, hosts.ids[1 + k % cardinality(hosts.ids)] AS host
    FROM generate_series(0, $1 - 1) AS k, (SELECT array_agg(id ORDER BY name) AS ids FROM hosts) AS hosts";

/// The team's newest server.
const ORIGINAL: &str = "
    CREATE TEMPORARY TABLE original ON COMMIT DROP AS
    SELECT id, workflow_id FROM servers WHERE team_id = $1 AND answered_at IS NOT NULL AND deleted_at IS NULL
    ORDER BY id DESC LIMIT 1";

/// Every table that says something of a server: which of its rows `p` are the original's `o`, and what differs in copy `c`.
const TABLES: [(&str, &str, &str); 9] = [
    (
        "workflows",
        "p.id = o.workflow_id",
        "'id', c.workflow, 'subject', 'server:' || c.id, 'input', jsonb_build_object('server', c.id)",
    ),
    ("workflow_steps", "p.workflow_id = o.workflow_id", "'workflow_id', c.workflow"),
    ("servers", "p.id = o.id", "'id', c.id, 'name', 'copy-' || c.id, 'workflow_id', c.workflow, 'host_id', c.host"),
    ("reservations", "p.server_id = o.id", "'server_id', c.id, 'host_id', c.host"),
    (
        "guest_numbers",
        "p.server_id = o.id",
        "'server_id', c.id, 'number', (SELECT max(number) FROM guest_numbers) + 1 + c.k",
    ),
    (
        "actions",
        "p.workflow_id = o.workflow_id",
        "'id', nextval('actions_id_seq'), 'resource_id', c.id, 'workflow_id', c.workflow",
    ),
    (
        "events",
        "p.urn = 'do:droplet:' || o.id",
        "'entry', nextval('events_entry_seq'), 'id', NULL, 'urn', 'do:droplet:' || c.id",
    ),
    (
        "audit_events",
        "p.urn = 'do:droplet:' || o.id",
        "'id', nextval('audit_events_id_seq'), 'urn', 'do:droplet:' || c.id",
    ),
    ("usage_ranges", "p.urn = 'do:droplet:' || o.id", "'id', gen_random_uuid(), 'urn', 'do:droplet:' || c.id"),
];

/// The next addresses of the pools that the original has addresses of, skipping the batch that is rows already.
const ADDRESSES: &str = "
    WITH pool AS (
        SELECT p.id, p.next FROM address_pools p JOIN addresses a ON a.pool_id = p.id JOIN original o ON a.server_id = o.id
    ), made AS (
        INSERT INTO addresses (pool_id, address, team_id, server_id, claimed_at)
        SELECT pool.id, pool.next + c.k, $1, c.id, now() FROM pool, copies c
    )
    UPDATE address_pools p SET next = p.next + (SELECT count(*) FROM copies) FROM pool WHERE p.id = pool.id";

/// Gives the team's private network room for a million servers.
pub(crate) async fn widen(place: &Place, team: &Team) -> Result<()> {
    for statement in [
        "UPDATE address_pools SET range = '10.0.0.0/8', last = '10.255.255.254' WHERE team_id = $1",
        "UPDATE vpcs SET ip_range = '10.0.0.0/8' WHERE team_id = $1",
    ] {
        sqlx::query(statement).bind(team.id.0).execute(place.store.pool()).await?;
    }
    Ok(())
}

/// Writes `count` copies of the team's newest server, and lets PostgreSQL look at what it has then.
pub(crate) async fn copy(place: &Place, team: &Team, count: usize) -> Result<()> {
    let mut tx = place.store.pool().begin().await?;
    sqlx::query(ORIGINAL).bind(team.id.0).execute(&mut *tx).await?;
    sqlx::query(COPIES).bind(i64::try_from(count)?).execute(&mut *tx).await?;
    for (table, whose, differs) in TABLES {
        let statement = format!(
            "INSERT INTO {table} OVERRIDING SYSTEM VALUE
             SELECT made.* FROM original o JOIN {table} p ON {whose} CROSS JOIN copies c
             CROSS JOIN LATERAL jsonb_populate_record(p, jsonb_build_object({differs})) AS made"
        );
        // The words are those of the table above.
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *tx).await?;
    }
    sqlx::query(ADDRESSES).bind(team.id.0).execute(&mut *tx).await?;
    tx.commit().await?;
    sqlx::query("VACUUM ANALYZE").execute(place.store.pool()).await?;
    Ok(())
}
