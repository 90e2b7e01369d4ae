//! GPUs: what a server with some cannot be, said at the request; and what is said when its host has none free after all.

use super::create::CreateServers;
use crate::Result;
use model::catalogue::Gpus;
use model::ids::RegionSlug;
use model::refusal::{Code, Refusal};
use model::states::GuestKind;
use provider::{Capabilities, FaultKind};
use store::servers::{Image, Server, Size, Work};
use workflow::{Followed, Outcome};

fn refuse<T>(field: &str, message: impl Into<String>) -> Result<T> {
    Err(Refusal::new(Code::Unsupported, message).at(field).into())
}

/// Whether such a server can be made there.
pub(super) fn check_create(
    request: &CreateServers,
    size: &Size,
    image: &Image,
    region: &RegionSlug,
    capabilities: Capabilities,
) -> Result<()> {
    if size.gpus.is_none() {
        return Ok(());
    }
    check_region(size, region, capabilities)?;
    if image.guest == GuestKind::Container {
        return refuse("image", format!("{NO_CONTAINERS} Choose an image of a disk, or a size without GPUs."));
    }
    if request.high_availability {
        return refuse("cloud.high_availability", format!("{NO_AVAILABILITY} Leave it out, or choose a size without."));
    }
    Ok(())
}

const NO_CONTAINERS: &str = "GPUs are given to virtual machines only, and of the image containers are made.";
const NO_AVAILABILITY: &str =
    "A server with GPUs cannot be kept available: where it would be started again, none may be free.";

fn check_region(size: &Size, region: &RegionSlug, capabilities: Capabilities) -> Result<()> {
    if capabilities.gpus {
        return Ok(());
    }
    refuse("size", format!("Size `{}` comes with GPUs, and region `{region}` has none. Choose another one.", size.slug))
}

/// Whether a server can get this size. What it holds meanwhile: as many as it has and gets.
pub(super) fn check_resize(server: &Server, size: &Size, capabilities: Capabilities) -> Result<Option<Gpus>> {
    let Some(wanted) = &size.gpus else { return Ok(server.gpus.clone()) };
    check_region(size, &server.region, capabilities)?;
    if server.image.guest == GuestKind::Container {
        return refuse("size", "GPUs are given to virtual machines only, and the server is a container.");
    }
    if server.high_availability {
        return refuse("size", NO_AVAILABILITY);
    }
    match &server.gpus {
        Some(has) if has.mapping != wanted.mapping => {
            let message = "Its GPUs cannot be exchanged for others at once. Resize it to a size without GPUs first.";
            refuse("size", message)
        }
        Some(has) if has.count > wanted.count => Ok(Some(has.clone())),
        _ => Ok(Some(wanted.clone())),
    }
}

/// GPUs as providers are told of them.
pub(crate) fn devices(gpus: Option<&Gpus>) -> Option<provider::Gpus> {
    gpus.map(|gpus| provider::Gpus { mapping: gpus.mapping.clone(), count: gpus.count })
}

/// The answer where a server was not started because its host has no GPU free. The books said that it has: somebody
/// uses them who is not ours, or some are broken. To start it again and again would help nobody.
pub(super) fn taken(work: &Work, followed: Option<&Followed>) -> Option<Outcome<()>> {
    let gpus = work.gpus.as_ref()?;
    let failure = crate::site::failed(followed).filter(|failure| failure.kind == FaultKind::Full)?;
    let host = work.host.as_ref().map_or("?", |(_, name)| name);
    tracing::error!(server = %work.id, host, mapping = %gpus.mapping, detail = %failure.detail,
        "a server cannot be started because its host has no GPU free, although none of ours has them");
    let message = "The server's host has no GPU free for it: something else is using them. Try another region or size, or ask \
                   your operator to look at the host's devices.";
    Some(Outcome::refuse(Code::NoCapacity.as_str(), message))
}
