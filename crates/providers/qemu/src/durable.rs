//! Files that are either there as a whole or not at all, also after a power cut.

use provider::{Fault, Result};
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Runs blocking file work off the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Fault::bug(format!("file work ended abnormally: {error}"))),
    }
}

/// Writes a new file with this mode and flushes it to the disk.
pub(crate) fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
        file.write_all(content)?;
        file.sync_all()
    };
    write().map_err(|error| crate::fault::from_io(format!("writing {}", path.display()), &error))
}

/// Replaces a file: temporary name, flush, rename, flush of the directory.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let temporary = path.with_extension("new");
    write_new(&temporary, content, mode)?;
    rename(&temporary, path)
}

/// Renames within one directory and flushes it, so that the new name survives a power cut.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    let io = |error: &std::io::Error| crate::fault::from_io(format!("renaming {}", from.display()), error);
    std::fs::rename(from, to).map_err(|error| io(&error))?;
    match to.parent() {
        Some(parent) => sync_directory(parent),
        None => Ok(()),
    }
}

/// Flushes a directory's entries.
pub(crate) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| crate::fault::from_io(format!("flushing {}", path.display()), &error))
}

/// Reads a file of at most `limit` bytes without following a symbolic link: some of what we read lies in a
/// directory that a guest's QEMU may write to. `None` when there is no such file.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    let nofollow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(nofollow.bits()).unwrap_or_default();
    let read = || -> std::io::Result<Vec<u8>> {
        let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(std::io::Error::other("not a regular file"));
        }
        let mut content = Vec::new();
        file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        Ok(content)
    };
    match read() {
        Ok(content) if content.len() as u64 > limit => {
            Err(Fault::bug(format!("{} is larger than {limit} bytes", path.display())))
        }
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(crate::fault::from_io(format!("reading {}", path.display()), &error)),
    }
}

/// Removes a file or a whole directory; absent is fine.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let removed = match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => std::fs::remove_dir_all(path),
        Ok(_) => std::fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(crate::fault::from_io(format!("removing {}", path.display()), &error)),
    }
}
