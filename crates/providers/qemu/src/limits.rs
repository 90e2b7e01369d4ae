//! CPU and memory limits by control groups, version 2 or 1, where we may make any.

use provider::Resources;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

    /// Finds out what works, by making groups, looking at their controls and removing them again: our groups exist
    /// only while a guest is in them.
    pub(crate) fn open(name: &str) -> Self {
        let root = Path::new(ROOT);
        let unified = root.join("cgroup.controllers").exists();
        let limits = if unified {
            Self::Unified(root.join(name))
        } else {
            Self::Separate { cpu: root.join("cpu").join(name), memory: root.join("memory").join(name) }
        };
        // The process's number makes it a name of its own: two of us may look at the same time.
        let probe = format!("probe-{}", std::process::id());
        let controls = if unified { ["cpu.max", "memory.max"] } else { ["cpu.cfs_quota_us", "memory.limit_in_bytes"] };
        let groups = limits.groups();
        groups.iter().for_each(|group| prepare(group));
        let works = groups.iter().all(|group| make(&group.join(&probe)))
            && controls.iter().all(|control| groups.iter().any(|group| group.join(&probe).join(control).exists()));
        for group in groups {
            remove(&group.join(&probe));
            remove(group);
        }
        if works { limits } else { Self::None }
    }

    /// The groups above the guests'.
    fn groups(&self) -> Vec<&PathBuf> {
        match self {
            Self::None => Vec::new(),
            Self::Unified(group) => vec![group],
            Self::Separate { cpu, memory } => vec![cpu, memory],
        }
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
        self.groups().into_iter().for_each(|group| prepare(group));
        for (group, file, value) in settings {
            make(&group);
            if !attempt(&group.join(file), &value) {
                tracing::warn!(guest, file, value, "a limit could not be set");
            }
        }
    }

    /// Removes a guest's groups, and ours with the last one. The threads of a process that has just ended may be in
    /// them for another moment.
    pub(crate) async fn remove(&self, guest: &str) {
        for group in self.groups() {
            let mut attempts = 0;
            while !remove(&group.join(guest)) && attempts < 40 {
                attempts += 1;
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            remove(group);
        }
    }
}

/// Makes our group and hands the controllers on to the groups in it (version 2; the other has no such file).
fn prepare(group: &Path) {
    let hand_on = |group: &Path| attempt(&group.join("cgroup.subtree_control"), "+cpu +memory");
    group.parent().map(hand_on);
    make(group);
    hand_on(group);
}

fn make(group: &Path) -> bool {
    group.is_dir() || std::fs::create_dir(group).is_ok()
}

/// Whether it is gone.
fn remove(group: &Path) -> bool {
    match std::fs::remove_dir(group) {
        Ok(()) => true,
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Writes a control that exists; an ordinary file must not appear where there is none.
fn attempt(file: &Path, value: &str) -> bool {
    let opened = std::fs::OpenOptions::new().write(true).open(file);
    opened.and_then(|mut file| std::io::Write::write_all(&mut file, value.as_bytes())).is_ok()
}
