//! Numbers of guests, where a provider numbers them. Ours come from a reserved range and are claimed here first; the
//! schema's function `claim_guest_number` says how.

use crate::{Result, Tx};
use model::ids::{RegionSlug, ServerId};

/// The number that the server has, or a new one of the range (both ends count). `None`: the range is used up.
pub async fn claim(tx: &mut Tx, region: &RegionSlug, server: ServerId, range: (u32, u32)) -> Result<Option<i64>> {
    Ok(sqlx::query_scalar("SELECT claim_guest_number($1, $2, $3, $4)")
        .bind(region.as_str())
        .bind(server.0)
        .bind(i64::from(range.0))
        .bind(i64::from(range.1.max(range.0)))
        .fetch_one(&mut **tx)
        .await?)
}

/// Gives the server's number to the stranger that was found under it; how many numbers the server has lost so.
pub async fn lose(tx: &mut Tx, server: ServerId) -> Result<i64> {
    sqlx::query("UPDATE guest_numbers SET server_id = NULL, lost_by = $1 WHERE server_id = $1 AND freed_at IS NULL")
        .bind(server.0)
        .execute(&mut **tx)
        .await?;
    Ok(sqlx::query_scalar("SELECT count(*) FROM guest_numbers WHERE lost_by = $1")
        .bind(server.0)
        .fetch_one(&mut **tx)
        .await?)
}

/// Takes a number for a guest that had it before it was ours. `false`: another server of ours has it.
pub async fn take(tx: &mut Tx, region: &RegionSlug, server: ServerId, number: i64) -> Result<bool> {
    let taken = sqlx::query(
        "INSERT INTO guest_numbers AS n (region, number, server_id) VALUES ($1, $2, $3)
         ON CONFLICT (region, number) DO UPDATE SET server_id = $3, lost_by = NULL, claimed_at = now(), freed_at = NULL
         WHERE n.server_id IS NULL OR n.freed_at IS NOT NULL OR n.server_id = $3",
    )
    .bind(region.as_str())
    .bind(number)
    .bind(server.0)
    .execute(&mut **tx)
    .await?;
    Ok(taken.rows_affected() == 1)
}

/// Gives the server's number back. It rests for a day before it is given again. Giving back nothing is fine.
pub async fn release(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query("UPDATE guest_numbers SET freed_at = now() WHERE server_id = $1 AND freed_at IS NULL")
        .bind(server.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Frees the numbers that strangers had and that nothing at the provider has any more.
pub async fn forget_strangers(tx: &mut Tx, region: &RegionSlug) -> Result<u64> {
    let freed = sqlx::query(
        "UPDATE guest_numbers n SET freed_at = now() WHERE n.region = $1 AND n.server_id IS NULL AND n.freed_at IS NULL
           AND n.claimed_at < now() - interval '5 minutes'
           AND NOT EXISTS (SELECT FROM strangers s WHERE s.region = $1 AND s.name = n.number::text)",
    )
    .bind(region.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(freed.rows_affected())
}
