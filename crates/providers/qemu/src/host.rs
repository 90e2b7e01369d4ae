//! What this host has and can do.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

/// How guests' processors run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Acceleration {
    /// Hardware virtualization.
    Kvm,
    /// Translation by QEMU.
    Translation,
}

/// KVM needs more than its device: where the processor does not announce virtualization, the device may be there
/// and guests hang.
pub(crate) fn acceleration() -> Acceleration {
    let announced = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        let flags = text.lines().filter(|line| line.starts_with("flags")).flat_map(str::split_whitespace);
        flags.into_iter().any(|flag| flag == "svm" || flag == "vmx")
    });
    let opens = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
    if announced && opens { Acceleration::Kvm } else { Acceleration::Translation }
}

/// The group that may use `/dev/kvm`.
pub(crate) fn kvm_group() -> Option<u32> {
    std::fs::metadata("/dev/kvm").ok().map(|found| found.gid())
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether a user without any right of its own could reach files below this directory.
pub(crate) fn everyone_may_pass(directory: &Path) -> bool {
    directory.ancestors().all(|ancestor| {
        ancestor.as_os_str().is_empty()
            || std::fs::metadata(ancestor).is_ok_and(|found| found.permissions().mode() & 0o001 != 0)
    })
}

/// Threads that can run at once.
pub(crate) fn processors() -> u32 {
    std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok()).unwrap_or(1)
}

/// Memory in MiB.
pub(crate) fn memory_mib() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}

/// Size and free space of the file system below a directory, in GB.
pub(crate) fn disk_gb(directory: &Path) -> std::io::Result<(u64, u64)> {
    let found = rustix::fs::statvfs(directory)?;
    let gigabytes = |blocks: u64| blocks.saturating_mul(found.f_frsize) / 1_000_000_000;
    Ok((gigabytes(found.f_blocks), gigabytes(found.f_bavail)))
}
