//! A running `cairnd dev` on free ports, in a directory of its own.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const PATIENCE: Duration = Duration::from_secs(60);

/// A place for one installation.
pub(crate) struct Place {
    directory: TempDir,
    http: u16,
    https: u16,
}

impl Place {
    pub(crate) fn new() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Started by root, the database runs as another user and has to get in.
        let open = std::fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("cairnd-").permissions(open).tempdir().unwrap();
        // Both are held until both are known, or the second could be the first again.
        let (http, https) = (free_port(), free_port());
        let ports = (http.local_addr().unwrap().port(), https.local_addr().unwrap().port());
        Self { directory, http: ports.0, https: ports.1 }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.file(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.file(name)).unwrap().permissions().mode() & 0o777
    }

    /// The pid of the private PostgreSQL.
    pub(crate) fn postgres(&self) -> i32 {
        self.read("postgres/postmaster.pid").lines().next().unwrap().parse().unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    pub(crate) fn secure_url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.https)
    }

    /// A client that trusts this installation's authority and nobody else.
    pub(crate) fn client(&self) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.read("ca.pem").as_bytes()).unwrap();
        reqwest::Client::builder().no_proxy().tls_certs_only([authority]).timeout(PATIENCE).build().unwrap()
    }

    /// Starts the daemon and waits until it is ready.
    pub(crate) async fn start(&self) -> Daemon {
        let log = std::fs::File::create(self.directory.path().join("log")).unwrap();
        let child = cairnd(self.directory.path())
            .args(["dev", "--data-dir", self.file("").to_str().unwrap()])
            .args(["--listen-http", &format!("127.0.0.1:{}", self.http)])
            .args(["--listen-https", &format!("127.0.0.1:{}", self.https)])
            .args(["--qemu-networking", "user"])
            .stdout(std::fs::File::create(self.directory.path().join("out")).unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !client.get(self.url("/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}; the log:\n{}", self.log());
            sleep(Duration::from_millis(50)).await;
        }
        daemon
    }

    /// Starts another role beside the daemon, on its database, and waits until it is ready; with where it tells its figures.
    pub(crate) async fn start_role(&self, role: &str) -> (Daemon, String) {
        let url = store::private::PrivatePostgres::url_of_running(&self.file("postgres"), "cairn").await.unwrap();
        let at = free_port().local_addr().unwrap().to_string();
        let child = cairnd(self.directory.path())
            .args([role, "--data-dir", self.directory.path().join(role).to_str().unwrap()])
            .args(["--listen-metrics", &at])
            .env("DATABASE_URL", url)
            .spawn()
            .unwrap();
        let mut daemon = Daemon { child };
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !client.get(format!("http://{at}/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}");
            sleep(Duration::from_millis(50)).await;
        }
        (daemon, at)
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    pub(crate) fn out(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("out")).unwrap()
    }

    /// The processes that have this place in their command line.
    pub(crate) fn processes(&self) -> Vec<String> {
        let place = self.directory.path().to_str().unwrap();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(place))
            .collect()
    }
}

impl Drop for Place {
    /// Whatever a failed test left behind must not outlive it.
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.file("postgres/postmaster.pid")).ok();
        if let Some(pid) = pid.and_then(|text| text.lines().next()?.parse().ok()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGQUIT);
        }
    }
}

/// The process; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Sends a signal and waits for the end.
    pub(crate) async fn end(mut self, signal: Signal) -> ExitStatus {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it did not end").unwrap()
    }
}

/// The daemon's program without anything of this machine's configuration.
pub(crate) fn cairnd(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cairnd"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", home);
    command.env("CAIRN_CONFIG", "/dev/null").env("NO_COLOR", "1");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}
