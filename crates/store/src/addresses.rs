//! Addresses: rows that are claimed with `SKIP LOCKED`, so that two claims never wait for, or get, the same one.
//!
//! A claim first returns what its owner already has. A pool turns its range into rows in batches as they are needed.

use crate::rows::Columns as _;
use crate::{Result, Tx};
use ipnet::Ipv4Net;
use model::ids::{ServerId, TeamId, VpcId};
use sqlx::{PgConnection, Row as _};
use std::net::Ipv4Addr;
use uuid::Uuid;

/// How many addresses become rows at a time.
const BATCH: i64 = 256;

/// An address that a server has, with what its network-config needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The owner.
    pub server: ServerId,
    /// The pool's name: the public network, or the VPC's.
    pub pool: String,
    /// A public pool on the operator's own bridge: nothing is translated.
    pub bridged: bool,
    /// The VPC whose pool it is; `None` for a public one.
    pub vpc: Option<VpcId>,
    /// The address.
    pub address: Ipv4Addr,
    /// The pool's range.
    pub range: Ipv4Net,
    /// The range's gateway, where it has one.
    pub gateway: Option<Ipv4Addr>,
}

/// Claims one address of each of `pools` for each of `servers`. Returns how many were missing, because the pools are
/// exhausted; the caller then gives up and rolls back.
pub async fn claim(tx: &mut Tx, team: TeamId, servers: &[ServerId], pools: &[Uuid]) -> Result<usize> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let mut missing = 0;
    for pool in pools {
        let mut open = claim_free(tx, team, &ids, *pool).await?;
        while open > 0 {
            if !extend(tx, *pool).await? {
                break;
            }
            open = claim_free(tx, team, &ids, *pool).await?;
        }
        missing += open;
    }
    Ok(missing)
}

/// One pass over the free rows; how many servers are still without an address of this pool.
async fn claim_free(tx: &mut Tx, team: TeamId, servers: &[i32], pool: Uuid) -> Result<usize> {
    let claimed: i64 = sqlx::query_scalar(
        "WITH wanting AS (
             -- Selected, so that the array's length does not make a plan of its own for every call; and counted, because
             -- NOT EXISTS becomes a join with every address that the pool has given away.
             SELECT id, row_number() OVER (ORDER BY id) AS nth FROM unnest((SELECT $1::int[])) AS id
             WHERE (SELECT count(*) FROM addresses a WHERE a.server_id = id AND a.pool_id = $2) = 0
         ), free AS (
             SELECT address, row_number() OVER (ORDER BY address) AS nth FROM (
                 SELECT address FROM addresses WHERE pool_id = $2 AND server_id IS NULL
                 ORDER BY address LIMIT (SELECT count(*) FROM wanting) FOR UPDATE SKIP LOCKED
             ) AS locked
         ), taken AS (
             UPDATE addresses a SET server_id = w.id, team_id = $3, claimed_at = now()
             FROM free f JOIN wanting w USING (nth) WHERE a.pool_id = $2 AND a.address = f.address
             RETURNING 1
         )
         SELECT (SELECT count(*) FROM wanting) - (SELECT count(*) FROM taken)",
    )
    .bind(servers)
    .bind(pool)
    .bind(team.0)
    .fetch_one(&mut **tx)
    .await?;
    Ok(usize::try_from(claimed).unwrap_or(0))
}

/// Turns the next batch of the pool's range into rows. `false` when the range is used up.
///
/// Whoever waits here for the pool's lock finds the batch that the other one made, and claims from it.
async fn extend(tx: &mut Tx, pool: Uuid) -> Result<bool> {
    let made: i64 = sqlx::query_scalar(
        "WITH pool AS (
             SELECT id, next, last FROM address_pools WHERE id = $1 FOR NO KEY UPDATE
         ), moved AS (
             UPDATE address_pools p SET next = least(pool.next + $2, pool.last + 1) FROM pool
             WHERE p.id = pool.id AND pool.next <= pool.last
             RETURNING pool.next AS first, p.next AS past
         ), made AS (
             INSERT INTO addresses (pool_id, address)
             SELECT $1, first + n FROM moved, generate_series(0, (past - first) - 1) AS n
             RETURNING 1
         )
         SELECT count(*) FROM made",
    )
    .bind(pool)
    .bind(BATCH)
    .fetch_one(&mut **tx)
    .await?;
    Ok(made > 0)
}

/// Everything that `servers` have, public addresses first.
pub async fn of(connection: &mut PgConnection, servers: &[ServerId]) -> Result<Vec<Claimed>> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    let rows = sqlx::query(
        "SELECT a.server_id, a.address, p.name, p.kind IS NOT DISTINCT FROM 'public_bridged' AS bridged, p.vpc_id, p.range, p.gateway
         FROM addresses a JOIN address_pools p ON p.id = a.pool_id
         WHERE a.server_id = ANY($1) ORDER BY a.server_id, p.vpc_id NULLS FIRST, a.address",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Claimed {
                server: ServerId(row.try_get("server_id")?),
                pool: row.try_get("name")?,
                bridged: row.try_get("bridged")?,
                vpc: row.try_get::<Option<Uuid>, _>("vpc_id")?.map(VpcId),
                address: row.address("address")?,
                range: row.range("range")?,
                gateway: row.address_or_null("gateway")?,
            })
        })
        .collect()
}

/// Gives back everything that `server` has. Giving back nothing is fine.
pub async fn release(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query("UPDATE addresses SET server_id = NULL, team_id = NULL, claimed_at = NULL WHERE server_id = $1")
        .bind(server.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
