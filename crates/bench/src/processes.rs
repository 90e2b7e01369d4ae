//! What the kernel says of processes: memory, processor time, who is whose child.

use std::path::Path;
use std::time::Duration;

/// Clock ticks a second of `/proc/PID/stat` (fixed by the kernel's interface to user space).
const TICKS: u64 = 100;

/// The one-minute load average, times hundred.
pub(crate) fn load_hundredths() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let hundredths = text.split(' ').next().and_then(|word| word.replace('.', "").parse().ok());
    hundredths.unwrap_or_default()
}

/// Every process number.
pub(crate) fn numbers() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
}

/// The words of a process's command line.
pub(crate) fn command_line(pid: i32) -> Vec<String> {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// The fields of `/proc/PID/stat` after the name, which may hold anything; the first is the state.
fn status(pid: i32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rfind(')').map_or("", |end| &text[end + 1..]);
    after.split_whitespace().map(str::to_owned).collect()
}

/// A process and its children.
pub(crate) fn family(parent: i32) -> Vec<i32> {
    let parent_text = parent.to_string();
    let children = numbers().filter(|pid| status(*pid).get(1) == Some(&parent_text));
    std::iter::once(parent).chain(children).collect()
}

/// Processor time of a process and its children; that of children that ended is their parent's.
pub(crate) fn processor_time(parent: i32) -> Duration {
    let ticks = |pid: i32, fields: std::ops::Range<usize>| -> u64 {
        let status = status(pid);
        let words = status.get(fields).unwrap_or_default();
        words.iter().filter_map(|word| word.parse::<u64>().ok()).sum()
    };
    // Fields 14 to 17 of the manual: utime, stime, cutime, cstime. The state, its third, is our zeroth.
    let family = family(parent).into_iter();
    let ticks: u64 = family.map(|pid| if pid == parent { ticks(pid, 11..15) } else { ticks(pid, 11..13) }).sum();
    Duration::from_millis(ticks * 1000 / TICKS)
}

/// What processes and their children have used of the processors since a moment.
pub(crate) struct Cpu {
    pids: Vec<i32>,
    at_start: Duration,
}

impl Cpu {
    /// Begins to count.
    pub(crate) fn start(pids: &[i32]) -> Self {
        Self { pids: pids.to_vec(), at_start: Self::sum(pids) }
    }

    fn sum(pids: &[i32]) -> Duration {
        pids.iter().map(|pid| processor_time(*pid)).sum()
    }

    /// Together, so far.
    pub(crate) fn since(&self) -> Duration {
        Self::sum(&self.pids).saturating_sub(self.at_start)
    }

    /// Milliseconds for each of `count`, so far.
    pub(crate) fn ms_per(&self, count: usize) -> f64 {
        self.since().as_secs_f64() * 1000.0 / f64::from(u32::try_from(count.max(1)).unwrap_or(u32::MAX))
    }
}

/// What processes occupy, in KiB.
#[derive(Clone, Copy, Default)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in full.
    pub(crate) resident: u64,
    /// Proportional: shared pages divided among those that share them.
    pub(crate) proportional: u64,
}

/// What these processes occupy together.
pub(crate) fn memory(pids: &[i32]) -> Memory {
    pids.iter().fold(Memory::default(), |sum, pid| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let value = |key: &str| -> u64 {
            let line = text.lines().find(|line| line.starts_with(key));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or_default()
        };
        Memory { resident: sum.resident + value("Rss:"), proportional: sum.proportional + value("Pss:") }
    })
}

/// In MiB.
pub(crate) fn mebibytes(kibibytes: u64) -> f64 {
    f64::from(u32::try_from(kibibytes).unwrap_or(u32::MAX)) / 1024.0
}

/// The server of the PostgreSQL cluster in `directory`.
pub(crate) fn postmaster(directory: &Path) -> Option<i32> {
    std::fs::read_to_string(directory.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
}

/// Waits for somebody else's child to end.
pub(crate) async fn gone(pid: i32) {
    while Path::new(&format!("/proc/{pid}")).exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
