//! CPU and memory limits by control groups, version 2 or 1, where we may make any.

use provider::Resources;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
/// The scheduler's period in microseconds.
const PERIOD: u64 = 100_000;

/// What of control groups works here.
#[derive(Clone, Debug)]
pub(crate) enum Limits {
    /// Nothing.
    None,
    /// One hierarchy.
    Unified(PathBuf),
    /// One hierarchy per controller.
    Separate {
        /// Our group in the CPU controller's.
        cpu: PathBuf,
        /// Our group in the memory controller's.
        memory: PathBuf,
    },
}

impl Limits {
    /// No limits.
    pub(crate) fn none() -> Self {
        Self::None
    }

    /// Finds out what works, by making our own group and reading back its controls.
    pub(crate) fn open(name: &str) -> Self {
        let root = Path::new(ROOT);
        if root.join("cgroup.controllers").exists() {
            let group = root.join(name);
            // The root's controllers may be handed on already; a failure shows in what the group then lacks.
            attempt(&root.join("cgroup.subtree_control"), "+cpu +memory");
            make(&group);
            attempt(&group.join("cgroup.subtree_control"), "+cpu +memory");
            let probe = group.join("probe");
            let works = make(&probe) && probe.join("cpu.max").exists() && probe.join("memory.max").exists();
            remove(&probe);
            return if works { Self::Unified(group) } else { Self::None };
        }
        let (cpu, memory) = (root.join("cpu").join(name), root.join("memory").join(name));
        let works = make(&cpu) && make(&memory);
        if works && cpu.join("cpu.cfs_quota_us").exists() && memory.join("memory.limit_in_bytes").exists() {
            return Self::Separate { cpu, memory };
        }
        Self::None
    }

    /// Whether limits are enforced at all.
    pub(crate) fn enforced(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Puts a guest's process under its limits. CPU: its virtual CPUs and half a thread for QEMU's own work. Memory:
    /// the guest's and what QEMU needs beside it (translated code, disk caches, the screen).
    pub(crate) fn apply(&self, guest: &str, resources: &Resources, process: u32) {
        let quota = u64::from(resources.vcpus) * PERIOD + PERIOD / 2;
        let mib = u64::from(resources.memory_mib);
        let memory = ((mib + mib / 8 + 1024) << 20).to_string();
        let process = process.to_string();
        let settings: Vec<(PathBuf, &str, String)> = match self {
            Self::None => return,
            Self::Unified(group) => {
                let group = group.join(guest);
                let weight = (u64::from(resources.vcpus) * 100).clamp(1, 10_000).to_string();
                vec![
                    (group.clone(), "cpu.max", format!("{quota} {PERIOD}")),
                    (group.clone(), "cpu.weight", weight),
                    (group.clone(), "memory.max", memory),
                    (group, "cgroup.procs", process),
                ]
            }
            Self::Separate { cpu, memory: hierarchy } => {
                let (cpu, hierarchy) = (cpu.join(guest), hierarchy.join(guest));
                vec![
                    (cpu.clone(), "cpu.cfs_period_us", PERIOD.to_string()),
                    (cpu.clone(), "cpu.cfs_quota_us", quota.to_string()),
                    (cpu.clone(), "cpu.shares", (u64::from(resources.vcpus) * 1024).to_string()),
                    (hierarchy.clone(), "memory.limit_in_bytes", memory),
                    (cpu, "cgroup.procs", process.clone()),
                    (hierarchy, "cgroup.procs", process),
                ]
            }
        };
        for (group, file, value) in settings {
            make(&group);
            if !attempt(&group.join(file), &value) {
                tracing::warn!(guest, file, value, "a limit could not be set");
            }
        }
    }

    /// Removes a guest's groups; they are empty once its process has ended.
    pub(crate) fn remove(&self, guest: &str) {
        match self {
            Self::None => {}
            Self::Unified(group) => remove(&group.join(guest)),
            Self::Separate { cpu, memory } => [cpu, memory].iter().for_each(|group| remove(&group.join(guest))),
        }
    }

    /// Removes our own groups if no guest is in them.
    pub(crate) fn close(&self) {
        match self {
            Self::None => {}
            Self::Unified(group) => remove(group),
            Self::Separate { cpu, memory } => [cpu, memory].iter().for_each(|group| remove(group)),
        }
    }
}

fn make(group: &Path) -> bool {
    group.is_dir() || std::fs::create_dir(group).is_ok()
}

fn remove(group: &Path) {
    if let Err(error) = std::fs::remove_dir(group)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::debug!(group = %group.display(), %error, "a control group stays");
    }
}

fn attempt(file: &Path, value: &str) -> bool {
    std::fs::write(file, value).is_ok()
}
