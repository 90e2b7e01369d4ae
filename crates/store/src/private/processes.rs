//! Which processes belong to a data directory.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

/// Every PostgreSQL process (server or backend) whose working directory is `directory`. A pid alone proves
/// nothing: it may have been given to another program since; each PostgreSQL process stands in its data directory.
pub(super) fn living(directory: &Path) -> Vec<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| is_ours(*pid, directory))
        .collect()
}

/// Whether `pid` is a living PostgreSQL process of `directory`. A zombie has no working directory, so it is not.
pub(super) fn is_ours(pid: i32, directory: &Path) -> bool {
    let process = Path::new("/proc").join(pid.to_string());
    let program = fs::read_link(process.join("exe")).unwrap_or_default();
    // After an upgrade of the package the link reads `…/postgres (deleted)`.
    let named = program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("postgres"));
    named && fs::read_link(process.join("cwd")).is_ok_and(|stands| stands == directory)
}

/// The pid that the server noted in its data directory, living or not.
pub(super) fn postmaster(directory: &Path) -> Option<i32> {
    let noted = fs::read_to_string(directory.join("postmaster.pid")).ok()?;
    noted.lines().next()?.trim().parse().ok().filter(|pid| *pid > 1)
}

/// Sends `with`; a process that has gone meanwhile is fine.
pub(super) fn signal(pid: i32, with: Signal) {
    if pid > 1
        && let Err(error) = kill(Pid::from_raw(pid), with)
    {
        tracing::debug!(pid, %error, "the signal found nobody");
    }
}
