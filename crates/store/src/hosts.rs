//! Hosts and regions as their providers describe them.

use crate::{Result, Tx};
use model::ids::RegionSlug;
use uuid::Uuid;

/// A host as it is to be recorded: what may be sold of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name at the provider.
    pub name: String,
    /// vCPUs for sale.
    pub vcpus: i32,
    /// MiB for sale.
    pub memory_mib: i64,
    /// GB for sale.
    pub disk_gb: i64,
    /// It answers.
    pub online: bool,
}

/// Writes a region's hosts down. A host in maintenance stays there; one that is no longer listed is gone.
pub async fn record(tx: &mut Tx, region: &RegionSlug, hosts: &[Host]) -> Result<()> {
    for host in hosts {
        sqlx::query(
            "INSERT INTO hosts (id, region, name, vcpus, memory_mib, disk_gb, state, seen_at)
             VALUES ($1, $2, $3, $4, $5, $6, CASE WHEN $7 THEN 'up' ELSE 'gone' END, clock_timestamp())
             ON CONFLICT (region, name) DO UPDATE SET vcpus = $4, memory_mib = $5, disk_gb = $6,
                 seen_at = clock_timestamp(),
                 state = CASE WHEN hosts.state = 'maintenance' THEN 'maintenance' WHEN $7 THEN 'up' ELSE 'gone' END",
        )
        .bind(Uuid::now_v7())
        .bind(region.as_str())
        .bind(&host.name)
        .bind(host.vcpus)
        .bind(host.memory_mib)
        .bind(host.disk_gb)
        .bind(host.online)
        .execute(&mut **tx)
        .await?;
    }
    let names: Vec<&str> = hosts.iter().map(|host| host.name.as_str()).collect();
    sqlx::query("UPDATE hosts SET state = 'gone' WHERE region = $1 AND name <> ALL ($2) AND state <> 'gone'")
        .bind(region.as_str())
        .bind(names)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes down what the region's provider can do.
pub async fn record_capabilities(tx: &mut Tx, region: &RegionSlug, capabilities: &serde_json::Value) -> Result<()> {
    sqlx::query("UPDATE regions SET capabilities = $2 WHERE slug = $1 AND capabilities IS DISTINCT FROM $2")
        .bind(region.as_str())
        .bind(capabilities)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The region's settings as the operator wrote them.
pub async fn settings(tx: &mut Tx, region: &RegionSlug) -> Result<Option<serde_json::Value>> {
    Ok(sqlx::query_scalar("SELECT settings FROM regions WHERE slug = $1")
        .bind(region.as_str())
        .fetch_optional(&mut **tx)
        .await?)
}
