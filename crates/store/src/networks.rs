//! VPCs and address pools.

use crate::servers::Vpc;
use crate::{Result, Tx};
use ipnet::Ipv4Net;
use model::ids::{RegionSlug, ServerId, TeamId, VpcId};
use sqlx::PgConnection;
use uuid::Uuid;

/// The team's default VPC of a region, made at the first server there.
///
/// Two requests may race here; the loser of the unique index reads the winner's.
pub async fn default_vpc(tx: &mut Tx, team: TeamId, region: &RegionSlug, range: Ipv4Net) -> Result<Vpc> {
    let name = format!("default-{region}");
    // The first address is the gateway's by custom, even though a private network has no way out yet.
    let first = range.hosts().nth(1).unwrap_or(range.network());
    let last = range.hosts().last().unwrap_or(range.broadcast());
    sqlx::query(
        "WITH vpc AS (
             INSERT INTO vpcs (id, team_id, region, name, ip_range, is_default) VALUES ($1, $2, $3, $4, $5, true)
             ON CONFLICT DO NOTHING RETURNING id)
         INSERT INTO address_pools (id, region, name, vpc_id, team_id, range, first, last, next)
         SELECT $6, $3, 'vpc-' || id, id, $2, $5, $7, $8, $7 FROM vpc",
    )
    .bind(Uuid::now_v7())
    .bind(team.0)
    .bind(region.as_str())
    .bind(name)
    .bind(ipnet::IpNet::V4(range))
    .bind(Uuid::now_v7())
    .bind(std::net::IpAddr::V4(first))
    .bind(std::net::IpAddr::V4(last))
    .execute(&mut **tx)
    .await?;
    let (id, pool): (Uuid, Uuid) = sqlx::query_as(
        "SELECT v.id, p.id FROM vpcs v JOIN address_pools p ON p.vpc_id = v.id
         WHERE v.team_id = $1 AND v.region = $2 AND v.is_default",
    )
    .bind(team.0)
    .bind(region.as_str())
    .fetch_one(&mut **tx)
    .await?;
    Ok(Vpc { id: VpcId(id), region: region.clone(), pool })
}

/// The pools that a server has an address of: its region's public one if it asked for it, and its VPC's unless its region
/// is known to have no private networks.
pub async fn pools_of(tx: &mut Tx, server: ServerId) -> Result<Vec<Uuid>> {
    Ok(sqlx::query_scalar(
        "SELECT p.id FROM servers s JOIN regions r ON r.slug = s.region JOIN address_pools p
           ON (p.vpc_id = s.vpc_id AND coalesce((r.capabilities -> 'private_networks')::boolean, true))
              OR (s.public_networking AND p.id = (SELECT o.id FROM address_pools o
                  WHERE o.region = s.region AND o.vpc_id IS NULL ORDER BY o.name LIMIT 1))
         WHERE s.id = $1 ORDER BY p.vpc_id NULLS FIRST",
    )
    .bind(server.0)
    .fetch_all(&mut **tx)
    .await?)
}

/// The VPCs of a server in which another one stays: it has an address there, and nobody has asked to destroy it.
pub async fn stayed_in(connection: &mut PgConnection, server: ServerId) -> Result<Vec<VpcId>> {
    let vpcs: Vec<Uuid> = sqlx::query_scalar(
        "SELECT DISTINCT p.vpc_id FROM addresses a
         JOIN address_pools p ON p.id = a.pool_id AND p.vpc_id IS NOT NULL
         JOIN addresses o ON o.pool_id = a.pool_id AND o.server_id <> a.server_id
         JOIN servers s ON s.id = o.server_id AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL
         WHERE a.server_id = $1",
    )
    .bind(server.0)
    .fetch_all(connection)
    .await?;
    Ok(vpcs.into_iter().map(VpcId).collect())
}
