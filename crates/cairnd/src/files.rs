//! Files in the data directory.

use anyhow::{Context, Result};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Readable by everybody.
pub(crate) const PUBLIC: u32 = 0o644;
/// Readable by the daemon's own user.
pub(crate) const PRIVATE: u32 = 0o600;

/// Makes the directory if it is not there.
pub(crate) fn ensure_directory(path: &Path) -> Result<()> {
    // Searchable by all: the private PostgreSQL runs as another user below it when the daemon runs as root, and
    // users are pointed at ca.pem. What is secret in it is protected file by file.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .with_context(|| format!("the data directory {} cannot be made", path.display()))
}

/// Writes a file in one piece: whoever reads it sees the old content or the new one.
pub(crate) fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&fresh)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&fresh, path));
    written.with_context(|| format!("{} cannot be written", path.display()))
}
