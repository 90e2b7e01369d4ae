//! The real daemon as a process: started, timed, weighed, stopped.

use crate::ground;
use crate::load::Client;
use crate::processes;
use crate::table::{Table, percentile};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::sleep;

/// How often a start is timed.
const STARTS: usize = 5;
/// After this long with nothing to do, a daemon is idle.
const SETTLED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(120);

/// A place for one installation.
pub(crate) struct Installation {
    program: PathBuf,
    directory: TempDir,
    http: u16,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

/// The daemon's process. Ends with the value, and so does everything that `cairnd dev` started.
pub(crate) struct Running {
    child: Child,
    place: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        // Guests and the database outlive the daemon, which is what they are for; after a measurement they must not.
        for pid in processes::numbers().filter(|pid| processes::command_line(*pid).join(" ").contains(&self.place)) {
            let gently = processes::command_line(pid).first().is_some_and(|program| program.ends_with("postgres"));
            let _ = kill(Pid::from_raw(pid), if gently { Signal::SIGQUIT } else { Signal::SIGKILL });
        }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id().context("cairnd has ended")?)?)
    }

    /// As an operator stops it.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(self.pid()?), Signal::SIGTERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

impl Installation {
    pub(crate) fn new(program: &Path) -> Result<Self> {
        let (http, https) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        let (http, https) = (http.local_addr()?.port(), https.local_addr()?.port());
        let arguments = vec![format!("--listen-http=127.0.0.1:{http}"), format!("--listen-https=127.0.0.1:{https}")];
        let environment = [("CAIRN_CONFIG", "/dev/null"), ("NO_COLOR", "1")];
        let limits = ["CAIRN_LIMITS_REQUESTS_PER_HOUR", "CAIRN_LIMITS_REQUESTS_PER_MINUTE"];
        let environment = environment.into_iter().chain(limits.map(|name| (name, "100000000")));
        Ok(Self {
            program: program.to_owned(),
            directory: ground::directory()?,
            http,
            environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            arguments,
        })
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    pub(crate) fn argument(&mut self, argument: String) {
        self.arguments.push(argument);
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn port(&self) -> u16 {
        self.http
    }

    /// The first token of `cairnd dev`.
    pub(crate) fn token(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.data().join("token"))?.trim().to_owned())
    }

    /// Starts a role.
    pub(crate) fn start(&self, role: &str) -> Result<Running> {
        let log = std::fs::File::options().create(true).append(true).open(self.directory.path().join("log"))?;
        let child = Command::new(&self.program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .arg(role)
            .arg("--data-dir")
            .arg(self.data())
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        Ok(Running { child, place: self.directory.path().to_string_lossy().into_owned() })
    }

    /// Waits for the first answer to a request that needs the database.
    pub(crate) async fn answered(&self, path: &str, token: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Ok(mut client) = Client::connect(self.http, token).await
                && client.expect(200, "GET", path, "").await.is_ok()
            {
                return Ok(());
            }
            sleep(Duration::from_millis(2)).await;
        }
        let log = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        bail!("cairnd does not answer; its log:\n{log}")
    }

    /// Process start to first answer, the median of several.
    pub(crate) async fn cold_start(&self, role: &str, token: &str) -> Result<Duration> {
        let mut times = Vec::new();
        for _ in 0..STARTS {
            let began = Instant::now();
            let running = self.start(role)?;
            self.answered("/v2/account", token).await?;
            times.push(began.elapsed());
            running.stop().await?;
        }
        Ok(percentile(&mut times, 50))
    }
}

/// Idle memory and cold start of `cairnd dev`, whose database is its own.
pub(crate) async fn measure(program: &Path, table: &mut Table) -> Result<()> {
    let installation = Installation::new(program)?;
    let first = installation.start("dev")?;
    installation.answered("/readyz", "").await?;
    first.stop().await?;
    let token = installation.token()?;
    table.time("cold_start_dev_with_its_postgres", installation.cold_start("dev", &token).await?);

    let running = installation.start("dev")?;
    installation.answered("/v2/account", &token).await?;
    sleep(SETTLED).await;
    let cairnd = processes::memory(&[running.pid()?]);
    table.number("idle_cairnd_rss_mib", processes::mebibytes(cairnd.resident));
    table.number("idle_cairnd_pss_mib", processes::mebibytes(cairnd.proportional));
    let postmaster = processes::postmaster(&installation.data().join("postgres")).context("no PostgreSQL")?;
    let database = processes::memory(&processes::family(postmaster));
    table.number("idle_postgres_pss_mib", processes::mebibytes(database.proportional));
    running.stop().await
}
