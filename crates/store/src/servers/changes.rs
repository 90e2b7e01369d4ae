//! Changes of a server's own row: wishes by requests, facts by the workflows that carried a wish out.

use crate::{Result, Tx};
use model::catalogue::Gpus;
use model::ids::{ImageId, RegionSlug, ServerId, SizeSlug, TeamId, WorkflowId};
use model::states::Power;
use sqlx::Row as _;
use uuid::Uuid;

/// A server that was just marked as to be destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Which.
    pub server: ServerId,
    /// The workflow to unmake.
    pub workflow: WorkflowId,
    /// Where.
    pub region: RegionSlug,
}

/// Marks servers of the team as to be destroyed: no longer listed, their quota still held until they are gone.
/// Returns those that were not marked before.
pub async fn request_destroy(tx: &mut Tx, team: TeamId, servers: &[i32]) -> Result<Vec<Leaving>> {
    let rows = sqlx::query(
        "UPDATE servers SET destroy_requested_at = clock_timestamp()
         WHERE team_id = $1 AND id = ANY($2) AND deleted_at IS NULL AND destroy_requested_at IS NULL
         RETURNING id, workflow_id, region",
    )
    .bind(team.0)
    .bind(servers)
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Leaving {
                server: ServerId(row.try_get("id")?),
                workflow: WorkflowId(row.try_get::<Uuid, _>("workflow_id")?),
                region: RegionSlug(row.try_get("region")?),
            })
        })
        .collect()
}

/// Ids of the team's servers that have this tag.
pub async fn ids_tagged(tx: &mut Tx, team: TeamId, tag: &str) -> Result<Vec<i32>> {
    Ok(sqlx::query_scalar(
        "SELECT s.id FROM servers s JOIN tagged t ON t.team_id = s.team_id AND t.resource_type = 'droplet'
             AND t.resource_id = s.id::text AND t.tag = $2
         WHERE s.team_id = $1 AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL ORDER BY s.id",
    )
    .bind(team.0)
    .bind(tag)
    .fetch_all(&mut **tx)
    .await?)
}

/// The server is on its way out because its making was refused.
pub async fn destroy(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query(
        "UPDATE servers SET destroy_requested_at = coalesce(destroy_requested_at, clock_timestamp()) WHERE id = $1",
    )
    .bind(server.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The server is gone: the row stays as a record, its secrets and its tags do not.
pub async fn erase(tx: &mut Tx, server: ServerId) -> Result<()> {
    sqlx::query(
        "WITH untagged AS (
             DELETE FROM tagged t USING servers s
             WHERE s.id = $1 AND t.team_id = s.team_id AND t.resource_type = 'droplet' AND t.resource_id = s.id::text)
         UPDATE servers SET deleted_at = clock_timestamp(), user_data = NULL, public_keys = '{}',
                destroy_requested_at = coalesce(destroy_requested_at, clock_timestamp())
         WHERE id = $1 AND deleted_at IS NULL",
    )
    .bind(server.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What power is wanted.
pub async fn set_wanted_power(tx: &mut Tx, server: ServerId, power: Power) -> Result<()> {
    sqlx::query("UPDATE servers SET wanted_power = $2 WHERE id = $1")
        .bind(server.0)
        .bind(power.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The server's name.
pub async fn set_name(tx: &mut Tx, server: ServerId, name: &str) -> Result<()> {
    sqlx::query("UPDATE servers SET name = $2 WHERE id = $1").bind(server.0).bind(name).execute(&mut **tx).await?;
    Ok(())
}

/// The disk was made anew from this image, for this incarnation.
pub async fn set_image(tx: &mut Tx, server: ServerId, image: ImageId, incarnation: &str) -> Result<()> {
    sqlx::query("UPDATE servers SET image_id = $2, incarnation = $3 WHERE id = $1")
        .bind(server.0)
        .bind(image.0)
        .bind(incarnation)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Whether backups are taken, and when; the first one in the next window that opens.
pub async fn set_backups(
    tx: &mut Tx,
    team: TeamId,
    server: ServerId,
    policy: Option<&serde_json::Value>,
) -> Result<()> {
    sqlx::query(
        "UPDATE servers SET backups = $3::jsonb IS NOT NULL, backup_policy = $3, backups_served_at = clock_timestamp()
         WHERE team_id = $1 AND id = $2",
    )
    .bind(team.0)
    .bind(server.0)
    .bind(policy)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// What a server holds while it changes its size: the larger of both, so that neither outcome exceeds anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Growth {
    /// vCPUs.
    pub vcpus: i32,
    /// MiB.
    pub memory_mib: i32,
    /// GB.
    pub disk_gb: i32,
    /// GPUs; what it has and what it gets are of one kind.
    pub gpus: Option<Gpus>,
}

impl Growth {
    /// The kind of the GPUs and how many, as reservations have them.
    fn devices(&self) -> Result<(Option<&str>, Option<i32>)> {
        let Some(gpus) = &self.gpus else { return Ok((None, None)) };
        let count = i32::try_from(gpus.count).map_err(|_| crate::Error::Corrupt(format!("{} GPUs", gpus.count)))?;
        Ok((Some(&gpus.mapping), Some(count)))
    }
}

/// Reserves this much (or gives the difference back).
pub async fn reserve_growth(tx: &mut Tx, server: ServerId, growth: &Growth) -> Result<()> {
    let (mapping, count) = growth.devices()?;
    sqlx::query(
        "UPDATE reservations SET vcpus = $2, memory_mib = $3, disk_gb = $4, gpu_mapping = $5, gpu_count = $6
         WHERE server_id = $1",
    )
    .bind(server.0)
    .bind(growth.vcpus)
    .bind(growth.memory_mib)
    .bind(growth.disk_gb)
    .bind(mapping)
    .bind(count)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The server has this size now.
pub async fn set_resources(tx: &mut Tx, server: ServerId, size: &SizeSlug, has: &Growth) -> Result<()> {
    let (mapping, count) = has.devices()?;
    sqlx::query(
        "WITH held AS (
             UPDATE reservations SET vcpus = $3, memory_mib = $4, disk_gb = $5, gpu_mapping = $6, gpu_count = $7
             WHERE server_id = $1)
         UPDATE servers SET size = $2, vcpus = $3, memory_mib = $4, disk_gb = $5, gpu = $8 WHERE id = $1",
    )
    .bind(server.0)
    .bind(size.as_str())
    .bind(has.vcpus)
    .bind(has.memory_mib)
    .bind(has.disk_gb)
    .bind(mapping)
    .bind(count)
    .bind(has.gpus.as_ref().map(sqlx::types::Json))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
