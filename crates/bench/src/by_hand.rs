//! A guest without Cairn: the command line, the base image and the seed of a guest that Cairn started, with an overlay
//! made as Cairn makes it, in a directory of its own.

use crate::processes;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// What a guest by hand is started from.
pub(crate) struct Template {
    words: Vec<String>,
    from: String,
    to: PathBuf,
    disk_bytes: u64,
}

/// A guest that was started by hand; killed when dropped.
pub(crate) struct Guest {
    child: Child,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Guest {
    /// Pulls the plug and waits until it is gone, and its taps free.
    pub(crate) async fn stop(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }
}

impl Template {
    /// Of the guest that is this process; its base and its seed are copied to `to`.
    pub(crate) fn of(pid: i32, to: &Path) -> Result<Self> {
        let words = processes::command_line(pid);
        let disk =
            words.iter().find(|word| word.contains("\"node-name\":\"disk\"")).context("a guest without a disk")?;
        let disk: Value = serde_json::from_str(disk)?;
        let file =
            |value: &Value| value["file"]["filename"].as_str().map(PathBuf::from).context("a disk without a file");
        let (overlay, base) = (file(&disk)?, file(&disk["backing"])?);
        let seed =
            words.iter().find(|word| word.contains("\"node-name\":\"seed\"")).context("a guest without a seed")?;
        let seed = file(&serde_json::from_str(seed)?)?;
        let from = overlay.parent().context("a disk without a directory")?;
        let name = |path: &Path| path.file_name().map(|name| to.join(name)).context("a file without a name");
        std::fs::create_dir_all(to.join("run"))?;
        std::fs::hard_link(&base, name(&base)?)?;
        std::fs::copy(&seed, name(&seed)?)?;
        Ok(Self {
            from: from.to_string_lossy().into_owned(),
            to: to.to_owned(),
            disk_bytes: virtual_size(&overlay)?,
            words,
        })
    }

    /// Makes the overlay and starts QEMU.
    pub(crate) async fn start(&self) -> Result<Guest> {
        let to = self.to.to_string_lossy();
        let words: Vec<String> = self.words.iter().map(|word| word.replace(&self.from, &to)).collect();
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "base-1.qcow2"])
            .arg(self.to.join("disk-1.qcow2"))
            .arg(self.disk_bytes.to_string())
            .status()
            .await?;
        ensure!(made.success(), "qemu-img does not work");
        let (program, arguments) = words.split_first().context("an empty command line")?;
        let log = std::fs::File::create(self.to.join("log"))?;
        let child = Command::new(program)
            .args(arguments)
            .current_dir(self.to.join("run"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Guest { child })
    }
}

/// Bytes 24 to 31 of a qcow2 header.
fn virtual_size(file: &Path) -> Result<u64> {
    use std::io::Read;
    let mut head = [0_u8; 32];
    std::fs::File::open(file)?.read_exact(&mut head)?;
    let size: [u8; 8] = head[24..].try_into()?;
    Ok(u64::from_be_bytes(size))
}

/// Waits until a login works. Attempts begin when the port's banner comes, so that few of them burden the guest.
pub(crate) async fn login(host: &str, key: &Path, deadline: Instant) -> Result<()> {
    while Instant::now() < deadline {
        if banner(host).await && attempt(host, key).await? {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("nobody can log in at {host}")
}

async fn banner(host: &str) -> bool {
    use tokio::io::AsyncReadExt;
    let look = async {
        let mut stream = TcpStream::connect((host, 22)).await.ok()?;
        let mut first = [0_u8; 4];
        stream.read_exact(&mut first).await.ok()?;
        Some(&first == b"SSH-")
    };
    timeout(Duration::from_secs(2), look).await.ok().flatten() == Some(true)
}

async fn attempt(host: &str, key: &Path) -> Result<bool> {
    let options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "ConnectTimeout=20"];
    let status = Command::new("ssh")
        .arg("-i")
        .arg(key)
        .args(options.iter().flat_map(|option| ["-o", option]))
        .args([&format!("root@{host}"), "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await?;
    Ok(status.success())
}
