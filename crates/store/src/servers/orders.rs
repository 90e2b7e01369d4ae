//! Orders to destroy a server together with snapshots of it, and how far they are.

use crate::rows::Columns as _;
use crate::{Result, Tx};
use jiff::Timestamp;
use model::ids::{ImageId, ServerId, TeamId};
use sqlx::Row as _;

/// Something that was ordered to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Going {
    /// Its id.
    pub id: i32,
    /// Its name.
    pub name: String,
    /// When it was gone.
    pub gone_at: Option<Timestamp>,
}

/// An order and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestroyOrder {
    /// The server.
    pub server: Going,
    /// The snapshots.
    pub snapshots: Vec<Going>,
}

impl DestroyOrder {
    /// When the last of it was gone; `None` while something is left.
    pub fn completed_at(&self) -> Option<Timestamp> {
        let all = self.snapshots.iter().chain([&self.server]);
        all.map(|going| going.gone_at).collect::<Option<Vec<_>>>()?.into_iter().max()
    }
}

/// Writes an order down, in place of an earlier one for the same server.
pub async fn order_destroy(tx: &mut Tx, team: TeamId, server: ServerId, snapshots: &[ImageId]) -> Result<()> {
    let ids: Vec<i32> = snapshots.iter().map(|image| image.0).collect();
    sqlx::query(
        "INSERT INTO destroy_orders (server_id, team_id, snapshots) VALUES ($1, $2, $3)
         ON CONFLICT (server_id) DO UPDATE SET snapshots = $3, requested_at = now()",
    )
    .bind(server.0)
    .bind(team.0)
    .bind(ids)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The order for a server, if there is one.
pub async fn destroy_order(tx: &mut Tx, team: TeamId, server: ServerId) -> Result<Option<DestroyOrder>> {
    let row = sqlx::query(
        "SELECT s.id, s.name, s.deleted_at AS gone_at, o.snapshots
         FROM destroy_orders o JOIN servers s ON s.id = o.server_id WHERE o.team_id = $1 AND o.server_id = $2",
    )
    .bind(team.0)
    .bind(server.0)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let ids: Vec<i32> = row.try_get("snapshots")?;
    let snapshots = sqlx::query(
        "SELECT id, name, erased_at AS gone_at FROM images WHERE team_id = $1 AND id = ANY($2) ORDER BY id",
    )
    .bind(team.0)
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    Ok(Some(DestroyOrder { server: going(&row)?, snapshots: snapshots.iter().map(going).collect::<Result<_>>()? }))
}

fn going(row: &sqlx::postgres::PgRow) -> Result<Going> {
    Ok(Going { id: row.try_get("id")?, name: row.try_get("name")?, gone_at: row.time_or_null("gone_at")? })
}
