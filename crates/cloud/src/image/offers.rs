//! Giving a snapshot to another team: offered by one, taken by the other. The bytes stay where they are; the row changes
//! hands.

use super::verbs::{admit_one_more, own, urn, visible};
use crate::record::record;
use crate::{Caller, Result};
use model::ids::{ImageId, TeamId};
use model::refusal::{Code, Refusal};
use model::states::{ImageKind, ImageStatus};
use serde_json::json;
use store::Store;
use store::images::Entry;
use store::images::transfers::{self, Recipient};

/// The longest address (RFC 5321).
const LONGEST_EMAIL: usize = 254;

/// To whom an image is offered, as the client worded it: one of the two.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The address of a team.
    pub email: Option<String>,
    /// The id of a team.
    pub team: Option<String>,
}

/// Offers a snapshot. Nothing is said of whether there is such a team: an offer to nobody waits until it is cancelled.
pub async fn offer(store: &Store, caller: &Caller, image: ImageId, offer: &Offer) -> Result<i32> {
    let recipient = recipient(offer)?;
    if recipient == Recipient::Team(caller.team) {
        return Err(Refusal::field("recipient_uuid", "The image is this team's already.").into());
    }
    let mut tx = store.tenant(caller.team).await?;
    let found = own(&mut tx, caller.team, image).await?;
    can_be_given(&found)?;
    let Some(transfer) = transfers::offer(&mut tx, caller.team, image, &recipient).await? else {
        let message = "The image is on offer already. Cancel that offer first.";
        return Err(Refusal::conflict(message).into());
    };
    let to = match &recipient {
        Recipient::Team(team) => team.to_string(),
        Recipient::Email(email) => email.clone(),
    };
    record(&mut tx, caller, "image_transfer.create", &urn(image), &json!({ "transfer_id": transfer, "to": to }))
        .await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(transfer)
}

/// Takes an offered image, within the quota of the team that takes it.
pub async fn accept(store: &Store, caller: &Caller, image: ImageId, transfer: i64, team: &str) -> Result<()> {
    if team.parse() != Ok(caller.team) {
        let message = "It has to be the team of the token that takes the image.";
        return Err(Refusal::field("recipient_uuid", message).into());
    }
    let transfer = transfer_id(transfer)?;
    let mut tx = store.tenant(caller.team).await?;
    if !transfers::is_offered(&mut tx, caller.team, image, transfer).await? {
        return Err(Refusal::not_found().into());
    }
    admit_one_more(&mut tx, caller.team).await?;
    if !transfers::accept(&mut tx, transfer).await? {
        let message = "The image cannot be taken at the moment: something is being done with it. Try again.";
        return Err(Refusal::new(Code::PendingEvent, message).into());
    }
    // It is this team's from here on, or nothing is committed.
    visible(&mut tx, caller.team, image).await?;
    let detail = json!({ "transfer_id": transfer });
    record(&mut tx, caller, "image_transfer.accept", &urn(image), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Takes an own offer back.
pub async fn cancel(store: &Store, caller: &Caller, image: ImageId, transfer: i64) -> Result<()> {
    let transfer = transfer_id(transfer)?;
    let mut tx = store.tenant(caller.team).await?;
    if !transfers::cancel(&mut tx, caller.team, image, transfer).await? {
        return Err(Refusal::not_found().into());
    }
    let detail = json!({ "transfer_id": transfer });
    record(&mut tx, caller, "image_transfer.cancel", &urn(image), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Does not take what was offered.
pub async fn decline(store: &Store, caller: &Caller, image: ImageId, transfer: i64) -> Result<()> {
    let transfer = transfer_id(transfer)?;
    let mut tx = store.tenant(caller.team).await?;
    if !transfers::decline(&mut tx, caller.team, image, transfer).await? {
        return Err(Refusal::not_found().into());
    }
    let detail = json!({ "transfer_id": transfer });
    record(&mut tx, caller, "image_transfer.decline", &urn(image), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

fn recipient(offer: &Offer) -> Result<Recipient> {
    match (&offer.email, &offer.team) {
        (Some(_), Some(_)) => {
            Err(Refusal::field("recipient_uuid", "Name the recipient by address or by team, not both.").into())
        }
        (None, None) => Err(Refusal::field("recipient_email", "Name the recipient, by address or by team.").into()),
        (None, Some(team)) => match team.parse::<TeamId>() {
            Ok(team) => Ok(Recipient::Team(team)),
            Err(_) => Err(Refusal::field("recipient_uuid", "It has to be the UUID of a team.").into()),
        },
        (Some(email), None) => {
            let (name, host) = email.split_once('@').unwrap_or_default();
            let printable = !email.chars().any(|letter| letter.is_control() || letter.is_whitespace());
            if name.is_empty() || host.is_empty() || email.len() > LONGEST_EMAIL || !printable {
                return Err(Refusal::field("recipient_email", "It has to be an e-mail address.").into());
            }
            // As PostgreSQL's lower() does it for all that stands in addresses.
            Ok(Recipient::Email(email.to_lowercase()))
        }
    }
}

fn can_be_given(image: &Entry) -> Result<()> {
    if image.kind != ImageKind::Snapshot {
        let message = "Only snapshots can be given to another team. Convert a backup first.";
        return Err(Refusal::new(Code::Unsupported, message).into());
    }
    if image.status != ImageStatus::Available {
        return Err(Refusal::new(Code::WrongState, "The snapshot is not available yet. Try again when it is.").into());
    }
    Ok(())
}

/// No offer has a number that its column cannot hold.
fn transfer_id(id: i64) -> Result<i32> {
    Ok(i32::try_from(id).map_err(|_| Refusal::not_found())?)
}
