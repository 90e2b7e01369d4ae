//! What a guest shows: its serial console and its screen.
//!
//! QEMU keeps the last MiB of the console in memory, so that a guest may write for ever and a restart of ours loses
//! nothing. Reading takes it out of there; what was taken is kept in `console.log`, the last MiB of it. What a guest
//! wrote between the last look and its own end is lost.

use crate::command_line::CONSOLE;
use crate::durable::{self, blocking};
use crate::guests::Owned;
use crate::layout::GuestPlace;
use crate::process;
use crate::qmp::Qmp;
use crate::region::Region;
use base64::Engine;
use provider::{Fault, GuestRef, Result};
use serde_json::json;
use std::path::{Path, PathBuf};

/// How much is kept.
const KEPT: usize = 1 << 20;
/// How much is taken out at once; base64 makes it a third more, which fits into a line.
const CHUNK: usize = 256 << 10;
/// A picture of the largest screen that the emulated card has, uncompressed.
const LARGEST_PICTURE: u64 = 64 << 20;
const PICTURE: &str = "screen.png";

impl Region {
    /// See [`provider::Provider::console_log`].
    pub(crate) async fn console_log(&self, guest: &GuestRef, limit: usize) -> Result<Vec<u8>> {
        let owned = self.present(guest).await?;
        if process::find(&owned.place, &owned.record)?.is_some() {
            fetch(&owned.place).await?;
        }
        let path = owned.place.console();
        let log = blocking(move || durable::read_bounded(&path, KEPT as u64)).await?.unwrap_or_default();
        Ok(log[log.len().saturating_sub(limit)..].to_vec())
    }

    /// Saves the console before its keeper ends. Worth a try, never a reason to fail.
    pub(crate) async fn drain_console(&self, owned: &Owned) {
        if let Err(fault) = fetch(&owned.place).await {
            tracing::debug!(guest = owned.place.name, fault = %fault.detail, "the console was not saved");
        }
    }

    /// See [`provider::Provider::screenshot`].
    pub(crate) async fn screenshot(&self, guest: &GuestRef) -> Result<Vec<u8>> {
        let owned = self.present(guest).await?;
        if process::find(&owned.place, &owned.record)?.is_none() {
            return Err(Fault::refused(format!("{} is not running", guest.name)));
        }
        let path = owned.place.run().join(PICTURE);
        let before = path.clone();
        blocking(move || durable::remove(&before)).await?;
        let mut monitor = Qmp::connect(&owned.place.run()).await?;
        monitor.call("screendump", json!({"filename": path, "format": "png"})).await?;
        blocking(move || {
            let picture = durable::read_bounded(&path, LARGEST_PICTURE)?;
            durable::remove(&path)?;
            picture.ok_or_else(|| Fault::transient("QEMU drew no picture"))
        })
        .await
    }
}

/// Moves what QEMU keeps into the log.
async fn fetch(place: &GuestPlace) -> Result<()> {
    let mut monitor = Qmp::connect(&place.run()).await?;
    let mut fresh = Vec::new();
    // A guest that writes faster than we read must not keep us here.
    while fresh.len() <= KEPT {
        let arguments = json!({"device": CONSOLE, "size": CHUNK, "format": "base64"});
        let answer = monitor.call("ringbuf-read", arguments).await?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(answer.as_str().unwrap_or_default());
        let bytes = bytes.map_err(|error| Fault::bug(format!("ringbuf-read answered no base64: {error}")))?;
        if bytes.is_empty() {
            break;
        }
        fresh.extend_from_slice(&bytes);
    }
    if fresh.is_empty() {
        return Ok(());
    }
    let path = place.console();
    blocking(move || append(&path, fresh)).await
}

fn append(path: &Path, fresh: Vec<u8>) -> Result<()> {
    let mut log = durable::read_bounded(path, KEPT as u64)?.unwrap_or_default();
    log.extend(fresh);
    let surplus = log.len().saturating_sub(KEPT);
    durable::replace(&PathBuf::from(path), &log[surplus..], 0o600)
}
