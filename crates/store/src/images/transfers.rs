//! Images that are offered to another team. Row-level security shows an offer to the two teams that it is between.

use crate::{Result, Tx};
use model::ids::{ImageId, TeamId};

/// To whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// A team, by its id.
    Team(TeamId),
    /// Whichever team has this address, in small letters.
    Email(String),
}

/// Writes an offer down. `None`: the image is on offer already.
pub async fn offer(tx: &mut Tx, team: TeamId, image: ImageId, recipient: &Recipient) -> Result<Option<i32>> {
    let (to_team, to_email) = match recipient {
        Recipient::Team(team) => (Some(team.0), None),
        Recipient::Email(email) => (None, Some(email.as_str())),
    };
    Ok(sqlx::query_scalar(
        "INSERT INTO image_transfers (image_id, team_id, recipient_team, recipient_email) VALUES ($2, $1, $3, $4)
         ON CONFLICT (image_id) WHERE status = 'pending' DO NOTHING RETURNING id",
    )
    .bind(team.0)
    .bind(image.0)
    .bind(to_team)
    .bind(to_email)
    .fetch_optional(&mut **tx)
    .await?)
}

/// Takes an own offer back. False: there is none that is pending.
pub async fn cancel(tx: &mut Tx, team: TeamId, image: ImageId, transfer: i32) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE image_transfers SET status = 'cancelled', ended_at = clock_timestamp()
         WHERE id = $3 AND image_id = $2 AND team_id = $1 AND status = 'pending'",
    )
    .bind(team.0)
    .bind(image.0)
    .bind(transfer)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Does not take what was offered. False: there is no such offer to this team.
pub async fn decline(tx: &mut Tx, team: TeamId, image: ImageId, transfer: i32) -> Result<bool> {
    let done = sqlx::query(
        "UPDATE image_transfers SET status = 'declined', ended_at = clock_timestamp()
         WHERE id = $3 AND image_id = $2 AND team_id <> $1 AND status = 'pending'",
    )
    .bind(team.0)
    .bind(image.0)
    .bind(transfer)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether there is such an offer to this team.
pub async fn is_offered(tx: &mut Tx, team: TeamId, image: ImageId, transfer: i32) -> Result<bool> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM image_transfers
                        WHERE id = $3 AND image_id = $2 AND team_id <> $1 AND status = 'pending')",
    )
    .bind(team.0)
    .bind(image.0)
    .bind(transfer)
    .fetch_one(&mut **tx)
    .await?)
}

/// Takes what was offered to the transaction's team: from here on the image is that team's. False: it cannot be taken
/// at the moment.
pub async fn accept(tx: &mut Tx, transfer: i32) -> Result<bool> {
    Ok(sqlx::query_scalar("SELECT accept_image_transfer($1)").bind(transfer).fetch_one(&mut **tx).await?)
}
