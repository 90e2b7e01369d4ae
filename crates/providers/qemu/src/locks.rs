//! Locks between everything that works on one state directory: the tasks of this process, and other processes
//! (`cairnd work` and `cairnd observe` may be two). They are `flock`s, so the kernel releases them when a process dies.

use provider::{Fault, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    path: PathBuf,
    _file: File,
}

impl Held {
    /// Gives the lock up together with its file, for a name that will not be used again.
    pub(crate) fn retire(self) {
        // Whoever waits for it notices that the file is no longer the one at that path, and takes a new one.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "a lock file stays");
        }
    }
}

/// Takes the lock if it is free.
pub(crate) fn try_take(directory: &Path, name: &str) -> Result<Option<Held>> {
    let path = directory.join(name);
    let io = |error: &std::io::Error| crate::fault::from_io(format!("locking {}", path.display()), error);
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| io(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(io(&error)),
        }
        let ours = file.metadata().map_err(|error| io(&error))?.ino();
        match std::fs::metadata(&path) {
            Ok(found) if found.ino() == ours => return Ok(Some(Held { path, _file: file })),
            _ => {} // retired between our opening and locking it: take the new one
        }
    }
}

/// Takes the lock, waiting for it at most this long.
pub(crate) async fn take(directory: &Path, name: &str, patience: Duration) -> Result<Held> {
    let end = Instant::now() + patience;
    let mut pause = Duration::from_millis(2);
    loop {
        if let Some(held) = try_take(directory, name)? {
            return Ok(held);
        }
        if Instant::now() >= end {
            return Err(Fault::transient(format!("{name} is busy with other work")));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
