//! A guest's QEMU process: started so that it outlives us, found again by what it is and not by a number alone.

use crate::command_line::PIDFILE;
use crate::layout::{GuestPlace, machine_id};
use crate::lines::Lines;
use crate::qmp::{self, Qmp};
use crate::record::Record;
use provider::{Fault, Result};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::{ChildStderr, Command};
use tokio::time::Instant;

/// A start takes some twenty milliseconds; a busy host is given time.
const START: Duration = Duration::from_secs(30);
/// What QEMU says while it starts is read up to here.
const COMPLAINT: u64 = 16 << 10;

/// A process that was seen to be the guest's.
#[derive(Debug)]
pub(crate) struct Process {
    /// Its number, good only as long as the descriptor says that it lives.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since the host's boot.
    pub(crate) started: u64,
    descriptor: OwnedFd,
}

/// The guest's process, if it runs.
pub(crate) fn find(place: &GuestPlace, record: &Record) -> Result<Option<Process>> {
    let Some(text) = crate::durable::read_bounded(&place.run().join(PIDFILE), 64)? else { return Ok(None) };
    let number = std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<i32>().ok());
    Ok(number.and_then(|number| recognise(number, &machine_id(&record.mark).to_string())))
}

/// Looks through all processes: for a guest whose pidfile is gone.
pub(crate) fn search(record: &Record) -> Option<Process> {
    let machine = machine_id(&record.mark).to_string();
    numbers().find_map(|number| recognise(number, &machine))
}

/// The machine ids (or none) of every QEMU on this host.
pub(crate) fn every_machine() -> Vec<Option<String>> {
    let emulator = |words: &[String]| words.first().is_some_and(|first| first.contains("qemu-system-"));
    numbers().map(command).filter(|words| emulator(words)).map(|words| machine_of(&words)).collect()
}

fn numbers() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()))
}

fn command(number: i32) -> Vec<String> {
    let text = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
    text.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn machine_of(words: &[String]) -> Option<String> {
    words.iter().position(|word| word == "-uuid").and_then(|position| words.get(position + 1)).cloned()
}

/// The process with this number, if it is the QEMU of this machine. The descriptor is taken first: what is read
/// afterwards is either that process's or shows that it is gone, so a reused number cannot deceive us.
fn recognise(number: i32, machine: &str) -> Option<Process> {
    let descriptor = rustix::process::pidfd_open(Pid::from_raw(number)?, PidfdFlags::NONBLOCK).ok()?;
    // `setsid` has the same arguments for the moment before it becomes QEMU.
    let words = command(number);
    if !words.first().is_some_and(|first| first.contains("qemu")) || machine_of(&words).as_deref() != Some(machine) {
        return None;
    }
    let started = start_time(number)?;
    Some(Process { pid: u32::try_from(number).ok()?, started, descriptor })
}

/// Field 22 of `/proc/N/stat`; `None` for a process that has ended.
fn start_time(number: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

impl Process {
    /// Waits for the end; tells whether it came in time.
    pub(crate) async fn ended_within(&self, limit: Duration) -> Result<bool> {
        let end = Instant::now() + limit;
        let mut pause = Duration::from_millis(1);
        while !self.has_ended()? {
            if Instant::now() > end {
                return Ok(false);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(50));
        }
        Ok(true)
    }

    /// A process descriptor is readable once its process has ended. (Tokio's own waiting on one is an unsafe call.)
    fn has_ended(&self) -> Result<bool> {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut polled = [PollFd::new(&self.descriptor, PollFlags::IN)];
        match rustix::event::poll(&mut polled, Some(&at_once)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(crate::fault::from_io("watching a guest's process", &error.into())),
        }
    }

    /// Pulls the plug and waits until it is gone.
    pub(crate) async fn kill(&self) -> Result<()> {
        match rustix::process::pidfd_send_signal(&self.descriptor, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(crate::fault::from_io("ending a guest's process", &error.into())),
        }
        if self.ended_within(Duration::from_secs(20)).await? {
            return Ok(());
        }
        Err(Fault::transient(format!("process {} does not end (its disk may hang)", self.pid)))
    }
}

/// Whom QEMU runs as, when we are root.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity {
    /// User, and the group of the same number.
    pub(crate) user: u32,
    /// The group that opens `/dev/kvm`, where that is used.
    pub(crate) device: Option<u32>,
}

/// Starts QEMU and waits until it answers at its monitor.
///
/// `setsid --fork` and not `-daemonize`: the latter forks after the sandbox is up, which `spawn=deny` forbids. The
/// process belongs to a session of its own (no Ctrl-C, no hang-up) and to init (no zombie of ours).
pub(crate) async fn start(
    qemu: &Path,
    arguments: &[String],
    place: &GuestPlace,
    record: &Record,
    identity: Option<Identity>,
) -> Result<Process> {
    let run = place.run();
    for stale in [PIDFILE, qmp::SOCKET, crate::agent::SOCKET] {
        crate::durable::remove(&run.join(stale))?;
    }
    let mut command = command_as(identity);
    command.arg("--fork").arg(qemu).args(arguments).current_dir(&run);
    // Our environment may hold secrets, and the guest's user can read its own process's.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_else(|| "/usr/sbin:/usr/bin:/sbin:/bin".into()));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| crate::fault::from_io("running setsid", &error))?;
    let complaints = child.stderr.take();
    let status = child.wait().await.map_err(|error| crate::fault::from_io("waiting for setsid", &error))?;
    if !status.success() {
        let said = all_of(complaints).await;
        return Err(crate::fault::from_program("setsid", &said));
    }
    match wait_until_ready(&run, complaints).await {
        Ok(()) => {}
        Err(fault) => {
            if let Some(process) = search(record) {
                process.kill().await?;
            }
            return Err(fault);
        }
    }
    find(place, record)?.ok_or_else(|| Fault::transient("QEMU answered and was gone"))
}

/// `setsid`, through `setpriv` where rights are to be given up.
fn command_as(identity: Option<Identity>) -> Command {
    let Some(Identity { user, device }) = identity else { return Command::new("setsid") };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={user}"), format!("--regid={user}")]);
    match device {
        Some(group) => command.arg(format!("--groups={group}")),
        None => command.arg("--clear-groups"),
    };
    command.args(["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all", "setsid"]);
    command
}

async fn all_of(stream: Option<ChildStderr>) -> String {
    let mut said = Vec::new();
    if let Some(stream) = stream
        && let Err(error) = stream.take(COMPLAINT).read_to_end(&mut said).await
    {
        tracing::debug!(%error, "QEMU's complaint broke off");
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Ready when the monitor greets. QEMU's standard error ends early only when QEMU does.
async fn wait_until_ready(run: &Path, complaints: Option<ChildStderr>) -> Result<()> {
    let end = Instant::now() + START;
    let died = all_of(complaints);
    tokio::pin!(died);
    loop {
        if let Ok(lines) = Lines::connect(run, qmp::SOCKET).await {
            return tokio::select! {
                greeted = Qmp::negotiate(lines) => greeted.map(drop),
                said = &mut died => Err(crate::fault::from_program("qemu", &said)),
            };
        }
        tokio::select! {
            said = &mut died => return Err(crate::fault::from_program("qemu", &said)),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
        if Instant::now() > end {
            return Err(Fault::transient("QEMU did not open its monitor in time"));
        }
    }
}
