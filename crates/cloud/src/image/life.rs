//! An image's life: its bytes. A snapshot takes them from a guest, a custom image from a URL; both are deleted by
//! walking the same list backwards.

use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::{ImageId, RegionSlug, ServerId};
use model::refusal::Code;
use provider::FaultKind;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, steps};

/// The workflow of a team's own image.
pub struct ImageLife;

/// Which, where, from whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageInput {
    /// The image.
    pub image: ImageId,
    /// Where its bytes are, or will be.
    pub region: RegionSlug,
    /// The server that it is taken from; `None` for one that is fetched.
    pub server: Option<ServerId>,
}

impl Recorded for ImageInput {
    fn sample() -> Self {
        Self { image: ImageId(7), region: RegionSlug::from("local"), server: Some(ServerId(42)) }
    }
}

impl Kind for ImageLife {
    const KIND: &'static str = "image";
    const SHAPE: Shape = Shape::Lifecycle;
    const MADE_WITHIN: Duration = Duration::from_secs(900);
    type Input = ImageInput;
}

/// The workflows' word for an image.
pub fn subject(image: ImageId) -> String {
    format!("image:{image}")
}

/// The steps, in order.
pub fn definition() -> Definition<Site> {
    Definition::of::<ImageLife>(steps![HoldBytes, RecordImage])
}

/// Brings the bytes into being.
pub struct HoldBytes;

#[async_trait]
impl Step<Site> for HoldBytes {
    type Memo = ();
    const NAME: &'static str = "hold_bytes";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let input = run.input::<ImageLife>()?;
        match input.server {
            Some(server) => take(cx, run, &input, server).await,
            None => {
                let source = {
                    let mut connection = cx.store.connection().await?;
                    store::images::source(&mut connection, input.image).await?
                };
                let Some(source) = source else { return Ok(deleted()) };
                super::fetch::ensure(cx, run, &input.region, input.image, &source).await
            }
        }
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let input = run.input::<ImageLife>()?;
        let provider = cx.provider(&input.region)?;
        Ok(site::follow(provider.delete_image(&cx.image(input.image)).await.map_err(site::fault)?, ()))
    }
}

/// The tenant was faster than the worker; the wish to unmake is on its way, or has arrived.
fn deleted() -> Outcome<()> {
    Outcome::refuse(Code::Cancelled.as_str(), "The image was deleted before it was made.")
}

async fn take(cx: &Site, run: &mut Run<Site>, input: &ImageInput, server: ServerId) -> Result<Outcome<()>, Fault> {
    let provider = cx.provider(&input.region)?;
    let image = cx.image(input.image);
    if provider.find_image(&image).await.map_err(site::fault)?.is_some() {
        return Ok(Outcome::done(()));
    }
    if let Some(failure) = site::failed(run.followed()).filter(|failure| failure.kind == FaultKind::Refused) {
        tracing::warn!(%server, detail = %failure.detail, "a snapshot failed");
        return Ok(Outcome::refuse(Code::ProviderRefused.as_str(), "The disk could not be copied."));
    }
    let work = {
        let mut connection = cx.store.connection().await?;
        store::servers::work(&mut connection, server).await?
    };
    let Some(work) = work.filter(|work| !work.leaving) else {
        return Ok(Outcome::refuse(Code::GuestLost.as_str(), "The server was deleted before its disk was copied."));
    };
    let guest = cx.placed_guest(&work)?;
    let answer = provider.snapshot_guest(&guest, &image).await;
    Ok(match site::settle(answer, Code::ProviderRefused, "The disk could not be copied.")? {
        Ok(begun) => site::follow(begun, ()),
        Err(refusal) => refusal,
    })
}

/// Writes down how large it is; from here on it can be used.
pub struct RecordImage;

#[async_trait]
impl Step<Site> for RecordImage {
    type Memo = ();
    const NAME: &'static str = "record_image";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let input = run.input::<ImageLife>()?;
        let seen = cx.provider(&input.region)?.find_image(&cx.image(input.image)).await.map_err(site::fault)?;
        let Some(seen) = seen else {
            return Ok(Outcome::refuse(
                Code::ImageUnavailable.as_str(),
                "The image's bytes were removed by someone else.",
            ));
        };
        let stored = i64::try_from(seen.stored_bytes).unwrap_or(i64::MAX);
        let gigabytes = i32::try_from(seen.virtual_bytes.div_ceil(1_000_000_000)).unwrap_or(i32::MAX);
        // The smallest disk for a copy of a server is that server's; the row says so already.
        let least = if input.server.is_some() { None } else { Some(gigabytes) };
        store::images::set_available(run.tx().await?, input.image, stored, least).await?;
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let image = run.input::<ImageLife>()?.image;
        store::images::set_unavailable(run.tx().await?, image).await?;
        Ok(Outcome::done(()))
    }
}
