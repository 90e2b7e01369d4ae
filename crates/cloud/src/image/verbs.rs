//! What a request can do to images: bring one, change what it says of itself, delete it.

use super::life::{ImageInput, ImageLife, subject};
use crate::record::record;
use crate::{Caller, Error, Result};
use model::catalogue::Distribution;
use model::ids::{ImageId, RegionSlug, TeamId};
use model::image_url::{ImageUrl, Reach};
use model::names::{ImageName, TagName};
use model::quota::{self, Amounts, Ask};
use model::refusal::{Code, Refusal};
use model::states::{GuestKind, ImageKind, ImageStatus};
use provider::{Capabilities, ImageSource};
use serde_json::json;
use store::images::{Change, Entry, NewCustom};
use store::servers::ImageChoice;
use store::{Store, Tx};
use workflow::{NewWorkflow, UNMAKE};

/// The longest description.
const LONGEST_DESCRIPTION: usize = 4096;

/// The most tags that one image may be given when it is made.
const MOST_TAGS: usize = 100;

/// An image that a team brings, as the client worded it.
#[derive(Clone, Debug)]
pub struct BringImage {
    /// The name.
    pub name: String,
    /// Where its bytes are.
    pub url: String,
    /// The region that fetches and keeps it.
    pub region: String,
    /// The distribution; what is none of the known words is `Unknown`.
    pub distribution: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// What of an image is to change, as the client worded it.
#[derive(Clone, Debug, Default)]
pub struct ChangeImage {
    /// The name.
    pub name: Option<String>,
    /// What it says of itself.
    pub description: Option<String>,
    /// The distribution.
    pub distribution: Option<String>,
}

/// Accepts an image: its bytes are fetched after the answer. It is not a rebuild's or a server's business that the
/// address may answer otherwise later: what was fetched once is what the image is.
pub async fn bring(store: &Store, caller: &Caller, request: &BringImage, reach: Reach) -> Result<Entry> {
    let name = ImageName::parse(&request.name)?;
    let url = ImageUrl::parse(&request.url, reach)?;
    let description = described(request.description.as_deref())?.unwrap_or_default();
    let tags = tags(&request.tags)?;
    let region = RegionSlug::from(request.region.as_str());
    let mut tx = store.tenant(caller.team).await?;
    known_region(&mut tx, &region).await?;
    admit_one_more(&mut tx, caller.team).await?;
    let guest = GuestKind::made_of(url.as_str());
    if guest == GuestKind::Container {
        let capabilities = store::servers::capabilities(&mut tx, &region).await?;
        let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap_or_default();
        crate::server::containers::check_region(&region, capabilities, "url")?;
    }
    let source = ImageSource::Url { url: url.as_str().to_owned(), checksum: None };
    let source = serde_json::to_value(source).map_err(|error| Error::Bug(format!("an image source: {error}")))?;
    let new = NewCustom {
        team: caller.team,
        name: name.as_str(),
        description,
        distribution: distribution(request.distribution.as_deref()).as_str(),
        source: &source,
        guest,
        region: &region,
        tags: &tags,
    };
    let image = store::images::insert_custom(&mut tx, &new).await?;
    let input = ImageInput { image, region: region.clone(), server: None };
    let life = NewWorkflow::of::<ImageLife>(subject(image), &input).team(caller.team);
    store::images::set_workflow(&mut tx, image, life.id()).await?;
    life.insert(&mut tx).await?;
    let detail = json!({ "name": name.as_str(), "url": url.shown(), "region": region });
    record(&mut tx, caller, "image.create", &urn(image), &detail).await?;
    let image = visible(&mut tx, caller.team, image).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(image)
}

/// Changes what one of the team's images says of itself.
pub async fn change(store: &Store, caller: &Caller, image: ImageId, change: &ChangeImage) -> Result<Entry> {
    let name = change.name.as_deref().map(ImageName::parse).transpose()?;
    let changed = Change {
        name: name.as_ref().map(ImageName::as_str),
        description: described(change.description.as_deref())?,
        distribution: change.distribution.as_deref().map(|word| distribution(Some(word)).as_str()),
    };
    let mut tx = store.tenant(caller.team).await?;
    own(&mut tx, caller.team, image).await?;
    if !store::images::update(&mut tx, caller.team, image, &changed).await? {
        return Err(Refusal::not_found().into());
    }
    let detail = json!({ "name": changed.name, "distribution": changed.distribution });
    record(&mut tx, caller, "image.update", &urn(image), &detail).await?;
    let image = visible(&mut tx, caller.team, image).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(image)
}

/// Deletes one of the team's images, whatever its kind.
pub async fn delete(store: &Store, caller: &Caller, image: ImageId) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    own(&mut tx, caller.team, image).await?;
    leave(&mut tx, caller.team, image).await?;
    record(&mut tx, caller, "image.delete", &urn(image), &json!({})).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Deletes a snapshot, and nothing that is none.
pub async fn delete_snapshot(store: &Store, caller: &Caller, image: ImageId) -> Result<()> {
    let mut tx = store.tenant(caller.team).await?;
    snapshot(visible(&mut tx, caller.team, image).await?)?;
    leave(&mut tx, caller.team, image).await?;
    record(&mut tx, caller, "snapshot.delete", &urn(image), &json!({})).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// An image that is a snapshot and can be used; one that is still being made is not there yet.
pub fn snapshot(image: Entry) -> Result<Entry> {
    match (image.kind, image.status) {
        (ImageKind::Snapshot, ImageStatus::Available) => Ok(image),
        (ImageKind::Snapshot, _) => Err(Refusal::not_found().into()),
        // The specification's words.
        _ => Err(Refusal::new(Code::BadRequest, "the resource is not a snapshot").into()),
    }
}

/// The part of deleting that requests and the schedule share: not listed from here on, the workflow turns round.
pub(crate) async fn leave(tx: &mut Tx, team: TeamId, image: ImageId) -> Result<()> {
    if store::images::in_use(tx, team, image).await? {
        let message = "A server's disk is being made from this image at the moment. Try again when that is done.";
        return Err(Refusal::new(Code::InUse, message).into());
    }
    let leaving = store::images::request_delete(tx, team, image).await?.ok_or_else(Refusal::not_found)?;
    if let Some(workflow) = leaving.workflow {
        store::workflow::wish(&mut **tx, workflow, UNMAKE, None).await?;
    }
    Ok(())
}

/// An image that the team may see.
pub(crate) async fn visible(tx: &mut Tx, team: TeamId, image: ImageId) -> Result<Entry> {
    Ok(store::images::get(tx, team, &ImageChoice::Id(image)).await?.ok_or_else(Refusal::not_found)?)
}

/// An image that is the team's own, to do something with.
pub(crate) async fn own(tx: &mut Tx, team: TeamId, image: ImageId) -> Result<Entry> {
    let image = visible(tx, team, image).await?;
    if image.public {
        let message = "This image belongs to the operator's catalogue. Only images of your own can be changed.";
        return Err(Refusal::new(Code::Forbidden, message).into());
    }
    Ok(image)
}

/// One more image within the team's limit; under the lock that orders what the team asks for.
pub(crate) async fn admit_one_more(tx: &mut Tx, team: TeamId) -> Result<()> {
    let quota = store::quota::lock(tx).await?;
    let used = Amounts { snapshots: store::images::count_kept(tx, team).await?, ..quota.used };
    Ok(quota::admit(&quota.limits, &used, &Ask::snapshot())?)
}

/// A region that takes new things.
pub(crate) async fn known_region(tx: &mut Tx, region: &RegionSlug) -> Result<()> {
    let message = match store::images::region(tx, region).await? {
        Some(true) => return Ok(()),
        Some(false) => format!("Region `{region}` takes nothing new at the moment."),
        None => "There is no such region. GET /v2/regions lists them.".to_owned(),
    };
    Err(Refusal::new(Code::RegionUnavailable, message).at("region").into())
}

/// An image's name in events and audit.
pub fn urn(image: ImageId) -> String {
    format!("do:image:{image}")
}

/// The specification: any other word is accepted, and `Unknown` is used in its place.
fn distribution(word: Option<&str>) -> Distribution {
    let known = word.and_then(|word| serde_json::from_value(json!(word)).ok());
    known.unwrap_or(Distribution::Unknown)
}

fn described(text: Option<&str>) -> Result<Option<&str>> {
    match text {
        Some(text) if text.len() > LONGEST_DESCRIPTION => {
            let message = format!("may have at most {LONGEST_DESCRIPTION} bytes.");
            Err(Refusal::field("description", message).into())
        }
        text => Ok(text),
    }
}

fn tags(asked: &[String]) -> Result<Vec<String>> {
    if asked.len() > MOST_TAGS {
        return Err(Refusal::field("tags", format!("An image has at most {MOST_TAGS} tags.")).into());
    }
    let mut tags: Vec<String> = Vec::with_capacity(asked.len());
    for (index, tag) in asked.iter().enumerate() {
        let tag = TagName::parse(tag).map_err(|refusal| refusal.at(format!("tags[{index}]")))?;
        // Capitals make no difference to a tag.
        if !tags.iter().any(|known| known.eq_ignore_ascii_case(tag.as_str())) {
            tags.push(tag.as_str().to_owned());
        }
    }
    Ok(tags)
}
