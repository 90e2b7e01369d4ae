//! What a container cannot be given and cannot do: said at the request, before anything starts. Everything else is the same
//! for machines and containers.

use super::create::CreateServers;
use super::wishes::Wish;
use crate::Result;
use model::ids::RegionSlug;
use model::refusal::{Code, Refusal};
use model::states::GuestKind;
use provider::Capabilities;
use store::servers::{Image, Server};

fn refuse(field: &str, message: impl Into<String>) -> Result<()> {
    Err(Refusal::new(Code::Unsupported, message).at(field).into())
}

/// Whether such a server can be made there.
pub(super) fn check_create(
    request: &CreateServers,
    image: &Image,
    region: &RegionSlug,
    capabilities: Capabilities,
) -> Result<()> {
    if image.guest == GuestKind::Machine {
        return Ok(());
    }
    check_region(region, capabilities, "image")?;
    if request.user_data.is_some() {
        return refuse("user_data", "Containers take no `user_data`. Leave it out, or choose an image of a disk.");
    }
    if request.backups.is_some() {
        return refuse("backups", format!("{NO_COPIES} Leave `backups` out, or choose an image of a disk."));
    }
    Ok(())
}

/// Whether an image of which containers are made can be used in a region.
pub(crate) fn check_region(region: &RegionSlug, capabilities: Capabilities, field: &str) -> Result<()> {
    if capabilities.containers {
        return Ok(());
    }
    let message = format!(
        "The image is an archive, of which containers are made, and region `{region}` runs none. Choose an image of a disk, \
         or another region."
    );
    refuse(field, message)
}

/// Why there are neither snapshots nor backups.
const NO_COPIES: &str = "A container's disk cannot be copied into an image.";

/// Whether a server that is there can be asked for it.
pub(super) fn check_wish(server: &Server, wish: &Wish) -> Result<()> {
    if server.image.guest == GuestKind::Machine {
        return Ok(());
    }
    match wish {
        Wish::Snapshot(_) | Wish::EnableBackups(_) | Wish::ChangeBackupPolicy(_) => {
            refuse("type", format!("{NO_COPIES} Copy what is in it from inside the server."))
        }
        Wish::Rebuild(_) | Wish::Restore(_) => refuse(
            "type",
            "A container's disk is not made anew in place. Make a new server from the image, and delete this one.",
        ),
        _ => Ok(()),
    }
}

/// Whether a machine's disk can be made anew from the image.
pub(super) fn check_rebuild(image: &Image) -> Result<()> {
    match image.guest {
        GuestKind::Machine => Ok(()),
        GuestKind::Container => refuse(
            "image",
            "The image is an archive, of which containers are made, and the server is a virtual machine. Choose an image of \
             a disk.",
        ),
    }
}
