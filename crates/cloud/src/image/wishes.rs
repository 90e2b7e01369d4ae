//! What a request asks of an image that exists, with the workflows that do it: keep a backup, be in a region.

use super::life::subject;
use super::verbs::{admit_one_more, known_region, own, urn};
use crate::record::record;
use crate::site::{self, Site};
use crate::{Caller, Result};
use async_trait::async_trait;
use model::ids::{ImageId, RegionSlug};
use model::refusal::{Code, Refusal};
use model::states::{ImageKind, ImageStatus};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use store::actions::{Action, NewAction, ResourceType};
use store::images::Entry;
use store::workflow::Inserted;
use store::{Store, Tx};
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Make a snapshot of a backup, so that it is kept.
    Convert,
    /// Be in this region, too.
    Transfer(String),
}

/// Makes a snapshot of a backup.
pub struct Convert;

/// Sees to it that an image's bytes are in a region.
pub struct Transfer;

/// Which image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConvertInput {
    /// The image.
    pub image: ImageId,
}

/// Which image, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferInput {
    /// The image.
    pub image: ImageId,
    /// Where it is to be.
    pub region: RegionSlug,
}

impl Recorded for ConvertInput {
    fn sample() -> Self {
        Self { image: ImageId(7) }
    }
}

impl Recorded for TransferInput {
    fn sample() -> Self {
        Self { image: ImageId(7), region: RegionSlug::from("local") }
    }
}

impl Kind for Convert {
    const KIND: &'static str = "image.convert";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ConvertInput;
}

impl Kind for Transfer {
    const KIND: &'static str = "image.transfer";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = TransferInput;
}

/// The workflows of this file.
pub fn definitions() -> Vec<Definition<Site>> {
    vec![Definition::of::<Convert>(steps![KeepBackup]), Definition::of::<Transfer>(steps![FindBytes])]
}

/// Asks one image of the team.
pub async fn ask(store: &Store, caller: &Caller, image: ImageId, wish: &Wish) -> Result<Action> {
    let mut tx = store.tenant(caller.team).await?;
    let found = own(&mut tx, caller.team, image).await?;
    if found.status != ImageStatus::Available {
        return Err(Refusal::new(Code::WrongState, "The image is not available yet. Try again when it is.").into());
    }
    let action = match wish {
        Wish::Convert => {
            if found.kind != ImageKind::Backup {
                let message = "Only a backup can be made a snapshot, and this image is none.";
                return Err(Refusal::new(Code::WrongState, message).into());
            }
            admit_one_more(&mut tx, caller.team).await?;
            begin::<Convert>(&mut tx, caller, &found, "convert", &ConvertInput { image }).await?
        }
        Wish::Transfer(slug) => {
            let region = RegionSlug::from(slug.as_str());
            transferable(&mut tx, &found, &region).await?;
            begin::<Transfer>(&mut tx, caller, &found, "transfer", &TransferInput { image, region }).await?
        }
    };
    record(&mut tx, caller, "image.action", &urn(image), &json!({ "type": action.kind })).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(action)
}

/// Providers do not hand disks to each other, and fetching an address again may bring other bytes under the same id. So an
/// image can only be where it is already.
async fn transferable(tx: &mut Tx, image: &Entry, region: &RegionSlug) -> Result<()> {
    if image.regions.iter().any(|known| known == region.as_str()) {
        return Ok(());
    }
    known_region(tx, region).await?;
    let message = "Images are not copied between regions yet. Bring it there anew, or make the server where it is.";
    Err(Refusal::new(Code::Unsupported, message).at("region").into())
}

/// Writes the action and its workflow down. The image's own workflow is the parent: its deletion calls this off.
async fn begin<K: Kind>(tx: &mut Tx, caller: &Caller, image: &Entry, kind: &str, input: &K::Input) -> Result<Action> {
    let pending = || Refusal::new(Code::PendingEvent, "Image already has a pending event.");
    let mut new = NewWorkflow::of::<K>(subject(image.id), input).team(caller.team);
    if let Some(life) = image.workflow {
        new = new.parent(life);
    }
    let region = image.regions.first().map(|slug| RegionSlug::from(slug.as_str()));
    let action = NewAction {
        team: caller.team,
        workflow: new.id(),
        direction: "make",
        kind,
        resource_type: ResourceType::Image,
        resource_id: image.id.0,
        region: region.as_ref(),
    };
    let action = store::actions::begin(tx, &action).await?.ok_or_else(pending)?;
    match new.insert(tx).await? {
        Inserted::New => Ok(action),
        Inserted::Busy => Err(pending().into()),
        Inserted::ParentLeaving => Err(Refusal::not_found().into()),
    }
}

/// Takes the backup out of its schedule.
pub struct KeepBackup;

#[async_trait]
impl Step<Site> for KeepBackup {
    type Memo = ();
    const NAME: &'static str = "keep_backup";

    async fn make(&self, _cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let image = run.input::<Convert>()?.image;
        store::images::convert(run.tx().await?, image).await?;
        Ok(Outcome::done(()))
    }
}

/// Looks whether the bytes really are where the row says.
pub struct FindBytes;

#[async_trait]
impl Step<Site> for FindBytes {
    type Memo = ();
    const NAME: &'static str = "find_bytes";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let input = run.input::<Transfer>()?;
        let found = cx.provider(&input.region)?.find_image(&cx.image(input.image)).await.map_err(site::fault)?;
        Ok(match found {
            Some(_) => Outcome::done(()),
            None => Outcome::refuse(
                Code::ImageUnavailable.as_str(),
                "The image's bytes are not in this region any more. Choose another image.",
            ),
        })
    }
}
