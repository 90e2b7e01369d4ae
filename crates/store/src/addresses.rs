//! Addresses: rows that are claimed with `SKIP LOCKED`, so that two claims never wait for, or get, the same one.
//!
//! A claim first finds what its owner already has. A pool turns its range into rows in batches as they are needed
//! (`claim_addresses` in `migrations/0010_lean_create.up.sql`).

use crate::rows::Columns as _;
use crate::{Result, Tx};
use ipnet::Ipv4Net;
use model::ids::{ServerId, TeamId, VpcId};
use sqlx::{PgConnection, Row as _};
use std::net::Ipv4Addr;
use uuid::Uuid;

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
pub async fn claim(tx: &mut Tx, team: TeamId, servers: &[ServerId], pools: &[Uuid]) -> Result<i64> {
    let ids: Vec<i32> = servers.iter().map(|server| server.0).collect();
    Ok(sqlx::query_scalar("SELECT claim_addresses($1, $2, $3)")
        .bind(team.0)
        .bind(ids)
        .bind(pools)
        .fetch_one(&mut **tx)
        .await?)
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

/// Everything that `server` has, after one address of each network that it is on has been claimed. Mostly it has them
/// already: then that is all that is asked. What it has of its VPC goes back where its region turned out to have no private
/// networks after the request. `None`: a pool is exhausted, or there is no network for it at all.
pub async fn owned(tx: &mut Tx, team: TeamId, server: ServerId) -> Result<Option<Vec<Claimed>>> {
    let pools = crate::networks::pools_of(tx, server).await?;
    if pools.is_empty() {
        return Ok(None);
    }
    let owned = of(tx, &[server]).await?;
    if owned.len() > pools.len() {
        release_private(tx, server, &pools).await?;
        return of(tx, &[server]).await.map(Some);
    }
    if owned.len() == pools.len() {
        return Ok(Some(owned));
    }
    if claim(tx, team, &[server], &pools).await? > 0 {
        return Ok(None);
    }
    of(tx, &[server]).await.map(Some)
}

/// Gives back the addresses of VPCs that `server` has, but for those of `pools`.
async fn release_private(tx: &mut Tx, server: ServerId, pools: &[Uuid]) -> Result<()> {
    sqlx::query(
        "UPDATE addresses a SET server_id = NULL, team_id = NULL, claimed_at = NULL FROM address_pools p
         WHERE a.server_id = $1 AND p.id = a.pool_id AND p.vpc_id IS NOT NULL AND p.id <> ALL ($2)",
    )
    .bind(server.0)
    .bind(pools)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives back everything that `server` has. Giving back nothing is fine.
pub async fn release(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query("UPDATE addresses SET server_id = NULL, team_id = NULL, claimed_at = NULL WHERE server_id = $1")
        .bind(server.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
