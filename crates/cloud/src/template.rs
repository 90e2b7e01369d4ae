//! Templates: images of the catalogue in a region. Making a server fetches its image where it is missing; an operator may
//! have it brought there before.

use crate::site::{self, Site};
use crate::{Operator, Result};
use async_trait::async_trait;
use model::ids::{ImageId, RegionSlug, WorkflowId};
use model::refusal::{Code, Refusal};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;
use store::workflow::Inserted;
use store::{Store, Tx, operators};
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Brings an image's bytes to a region.
pub struct FetchTemplate;

/// Which, where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchInput {
    /// The image.
    pub image: ImageId,
    /// The region.
    pub region: RegionSlug,
}

impl Recorded for FetchInput {
    fn sample() -> Self {
        Self { image: ImageId(7), region: RegionSlug::from("local") }
    }
}

impl Kind for FetchTemplate {
    const KIND: &'static str = "region.fetch_image";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(3600);
    type Input = FetchInput;
}

/// The workflow.
pub(crate) fn definition() -> Definition<Site> {
    Definition::of::<FetchTemplate>(steps![Fetch])
}

/// Fetches the bytes and writes down that they are there.
pub struct Fetch;

#[async_trait]
impl Step<Site> for Fetch {
    type Memo = ();
    const NAME: &'static str = "fetch_template";
    const AWAITS: &'static str = "the image's download";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let input = run.input::<FetchTemplate>()?;
        let source = {
            let mut connection = cx.store.connection().await?;
            store::images::source(&mut connection, input.image).await?
        };
        let Some(source) = source else {
            return Ok(Outcome::refuse(Code::ImageUnavailable.as_str(), "The image is not on offer any more."));
        };
        match crate::image::fetch::ensure(cx, run, &input.region, input.image, &source).await? {
            Outcome::Done(()) => {}
            other => return Ok(other),
        }
        let seen = cx.provider(&input.region)?.find_image(&cx.image(input.image)).await.map_err(site::fault)?;
        if let Some(seen) = seen {
            saw(run.tx().await?, &input.region, input.image, seen.stored_bytes).await?;
        }
        Ok(Outcome::done(()))
    }
}

/// Writes down that an image's bytes are in a region.
pub(crate) async fn saw(
    tx: &mut Tx,
    region: &RegionSlug,
    image: ImageId,
    bytes: u64,
) -> std::result::Result<(), Fault> {
    store::templates::record(tx, region, image, i64::try_from(bytes).unwrap_or(i64::MAX)).await?;
    Ok(())
}

/// Asks for an image of the catalogue to be brought to a region. Asked twice, the second answer is a refusal that says
/// so.
pub async fn fetch(store: &Store, operator: &Operator, region: &RegionSlug, image: ImageId) -> Result<WorkflowId> {
    store::regions::get(store, region).await?.ok_or_else(Refusal::not_found)?;
    let mut tx = store.begin().await?;
    if !store::templates::offered(&mut tx, region, image).await? {
        let message = format!("Image {image} is no available image of the catalogue, or not for region `{region}`.");
        return Err(Refusal::new(Code::ImageUnavailable, message).at("image").into());
    }
    let input = FetchInput { image, region: region.clone() };
    let new = NewWorkflow::of::<FetchTemplate>(format!("template:{region}/{image}"), &input);
    let id = new.id();
    if new.insert(&mut tx).await? != Inserted::New {
        return Err(Refusal::conflict("The image is being fetched already.").into());
    }
    let subject = format!("region:{region}");
    operators::record(&mut tx, operator.origin(), "template.fetch", &subject, &json!({ "image": image })).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(id)
}

/// Looks which images of the catalogue are at hand in a region; how many. Seldom needed: bytes come and go by our own doing
/// but for what an operator does at the provider.
pub async fn look(site: &Site, region: &RegionSlug) -> std::result::Result<usize, Fault> {
    let provider = site.provider(region)?;
    let mut seen = Vec::new();
    for image in store::templates::listed(&site.store, region).await? {
        if let Some(found) = provider.find_image(&site.image(image)).await.map_err(site::fault)? {
            seen.push((image, i64::try_from(found.stored_bytes).unwrap_or(i64::MAX)));
        }
    }
    let mut tx = site.store.begin().await?;
    store::templates::replace(&mut tx, region, &seen).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(seen.len())
}
