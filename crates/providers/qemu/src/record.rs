//! What is kept of a guest: `guest.json`, the only memory there is of it across restarts.

use crate::layout::GuestPlace;
use provider::{Fault, ImageRef, Interface, Mark, Resources, Result};
use serde::{Deserialize, Serialize};

/// A guest as recorded. The seed is not in here: it holds secrets and has its own file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Whose guest it is.
    pub(crate) mark: Mark,
    /// The server's name for humans.
    pub(crate) title: String,
    /// What the disk started as.
    pub(crate) image: ImageRef,
    /// CPU, memory, disk.
    pub(crate) resources: Resources,
    /// NICs, public first.
    pub(crate) interfaces: Vec<Interface>,
    /// The number of the current disk and its base.
    pub(crate) disk: u64,
    /// The number of the current seed.
    pub(crate) seed: u64,
    /// The token of the last finished rebuild.
    #[serde(default)]
    pub(crate) rebuilt: Option<String>,
    /// The forwarded SSH port, with user-mode networking.
    #[serde(default)]
    pub(crate) ssh_port: Option<u16>,
    /// The user that QEMU runs as, when that is not our own.
    #[serde(default)]
    pub(crate) user: Option<u32>,
}

/// What stands at a guest's place.
#[derive(Debug)]
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A directory that we did not make, or no longer understand.
    Unreadable(String),
    /// A guest.
    Guest(Box<Record>),
}

/// Far more than a record needs.
const LARGEST: u64 = 1 << 20;

impl Record {
    /// Looks at a guest's place.
    pub(crate) fn read(place: &GuestPlace) -> Result<Found> {
        match crate::durable::read_bounded(&place.record(), LARGEST)? {
            Some(text) => Ok(match serde_json::from_slice(&text) {
                Ok(record) => Found::Guest(Box::new(record)),
                Err(error) => Found::Unreadable(format!("{}: {error}", place.record().display())),
            }),
            None if place.directory.exists() => {
                Ok(Found::Unreadable(format!("{} has no guest.json", place.directory.display())))
            }
            None => Ok(Found::Nothing),
        }
    }

    /// Writes it, atomically.
    pub(crate) fn write(&self, place: &GuestPlace) -> Result<()> {
        let text = serde_json::to_vec_pretty(self);
        let text = text.map_err(|error| Fault::bug(format!("writing a guest's record: {error}")))?;
        crate::durable::replace(&place.record(), &text, 0o600)
    }
}
