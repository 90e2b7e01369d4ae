//! Bringing an image's bytes to a region: the one step that servers' lives, rebuilds and images' lives share.

use crate::site::{self, Site};
use model::ids::{ImageId, RegionSlug};
use model::refusal::Code;
use provider::{FaultKind, ImageSource};
use std::time::Duration;
use workflow::{Fault, Outcome, Run};

/// How long after a failed download the next one begins.
const AGAIN: Duration = Duration::from_secs(10);

/// The sentence for a download that ended with a final no.
const UNFETCHABLE: &str = "The image could not be fetched or is not what its checksum says. Choose another one, or ask your operator to look at the log.";

/// Ensures that the bytes are at hand. Follows the provider's task; a final no becomes a refusal.
pub(crate) async fn ensure(
    cx: &Site,
    run: &mut Run<Site>,
    region: &RegionSlug,
    image: ImageId,
    source: &serde_json::Value,
) -> Result<Outcome<()>, Fault> {
    let provider = cx.provider(region)?;
    let name = cx.image(image);
    if provider.find_image(&name).await.map_err(site::fault)?.is_some() {
        return Ok(Outcome::done(()));
    }
    if let Some(failure) = site::failed(run.followed()) {
        tracing::warn!(%image, detail = %failure.detail, "fetching an image failed");
        if matches!(failure.kind, FaultKind::Refused) {
            return Ok(Outcome::refuse(Code::ImageUnavailable.as_str(), UNFETCHABLE));
        }
        // The next one resumes where this one stopped; not at once, because the other end is somebody else's server.
        return Ok(Outcome::wait_for("another try at fetching the image", AGAIN));
    }
    begin(cx, region, image, source).await
}

async fn begin(
    cx: &Site,
    region: &RegionSlug,
    image: ImageId,
    source: &serde_json::Value,
) -> Result<Outcome<()>, Fault> {
    let source = site::image_source(source)?;
    if source == ImageSource::Snapshot {
        return Ok(Outcome::refuse(
            Code::ImageUnavailable.as_str(),
            "The snapshot's bytes are not in this region any more. Choose another image.",
        ));
    }
    let answer = cx.provider(region)?.ensure_image(&cx.image(image), &source).await;
    Ok(match site::settle(answer, Code::ImageUnavailable, UNFETCHABLE)? {
        Ok(begun) => site::follow(begun, ()),
        Err(refusal) => refusal,
    })
}
