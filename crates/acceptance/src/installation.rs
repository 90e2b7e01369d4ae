//! A whole Cairn, as a person would start it: the real daemon process in a directory of its own, with its own
//! PostgreSQL and its own QEMU guests. Whatever a failed test leaves behind ends with it.

use crate::contract::Contract;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Store;
use store::private::PrivatePostgres;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take before a test fails. A value that is waited for ends the wait at once.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The slug under which the test's image is in the catalogue.
pub const IMAGE: &str = "debian-12-x64";

/// A place for one installation.
pub struct Installation {
    directory: TempDir,
    http: u16,
    https: u16,
    image: PathBuf,
    range: String,
    settings: Vec<(String, String)>,
    /// Held by those that would otherwise starve each other; see [`Installation::with_empty_image`].
    turn: Option<MutexGuard<'static, ()>>,
}

/// The daemon's process; killed when dropped.
pub struct Daemon {
    child: Child,
}

impl Installation {
    /// A new one whose catalogue's [`IMAGE`] is `image`.
    pub fn new(image: &Path) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // Started by root, the database runs as another user and has to get in.
        let open = std::fs::Permissions::from_mode(0o755);
        let directory = tempfile::Builder::new().prefix("cairn-").permissions(open).tempdir().unwrap();
        // Both are held until both are known, or the second could be the first again.
        let (http, https) = (free_port(), free_port());
        let (http, https) = (http.local_addr().unwrap().port(), https.local_addr().unwrap().port());
        let settings = vec![
            ("CAIRN_LIMITS_REQUESTS_PER_HOUR".to_owned(), "10000000".to_owned()),
            ("CAIRN_LIMITS_REQUESTS_PER_MINUTE".to_owned(), "10000000".to_owned()),
        ];
        let catalogue = directory.path().join("catalogue.toml");
        let range = free_range();
        let text = model::catalogue::DEFAULT.replace("198.18.64.0/20", &range);
        std::fs::write(&catalogue, text).unwrap();
        let mut installation = Self { directory, http, https, image: image.to_owned(), range, settings, turn: None };
        installation.settings.push(("CAIRN_CATALOGUE".to_owned(), catalogue.display().to_string()));
        installation
    }

    /// A disk without an operating system: enough for everything but logging in. Boots to the firmware's screen.
    ///
    /// One at a time in a test process: the tests that use it make many guests, or judge by the clock of a deadline,
    /// and two cores have to do for all of them.
    pub async fn with_empty_image() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let mut installation = Self::new(Path::new("/"));
        installation.turn = Some(turn);
        installation.image = installation.directory.path().join("empty.qcow2");
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2"])
            .arg(&installation.image)
            .arg("64M")
            .status()
            .await
            .expect("qemu-img runs; script/test installs it");
        assert!(made.success());
        installation
    }

    /// Sets an environment variable of the daemon.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A file below the daemon's data directory.
    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("data").join(name)
    }

    /// The public range, a /24 of this installation's own, without the last number: `198.18.7.`.
    pub fn range_prefix(&self) -> &str {
        self.range.trim_end_matches("0/24")
    }

    /// A directory for the test's own files.
    pub fn scratch(&self) -> &Path {
        self.directory.path()
    }

    /// The plain address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    /// The address over TLS, for clients that insist on it; trusted by `ca.pem` in the data directory.
    pub fn secure_url(&self) -> String {
        format!("https://127.0.0.1:{}", self.https)
    }

    /// The first token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.file("token")).unwrap().trim().to_owned()
    }

    /// The first operator's token.
    pub fn operator_token(&self) -> String {
        std::fs::read_to_string(self.file("operator-token")).unwrap().trim().to_owned()
    }

    /// A client with the first operator's token.
    pub fn operator(&self) -> Client {
        self.client_with(self.operator_token())
    }

    /// What the daemon has logged since it was last started.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Starts `cairnd dev` and waits until it is ready.
    pub async fn start(&self) -> Daemon {
        let daemon = self.spawn("dev", &[]).await;
        self.ready(daemon).await
    }

    /// Starts `cairnd serve` on a database of the test's and waits until it is ready.
    pub async fn serve(&self, database: &str) -> Daemon {
        let daemon = self.spawn("serve", &[("DATABASE_URL", database)]).await;
        self.ready(daemon).await
    }

    /// Starts another role (`work`, `observe`) or command (`migrate`) on a database of the test's.
    pub async fn role(&self, role: &str, database: &str) -> Daemon {
        self.spawn(role, &[("DATABASE_URL", database)]).await
    }

    async fn spawn(&self, role: &str, more: &[(&str, &str)]) -> Daemon {
        let program = program("cairnd").await;
        let log = std::fs::File::options().create(true).append(true).open(self.directory.path().join("log")).unwrap();
        let child = Command::new(program)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("CAIRN_CONFIG", "/dev/null")
            .env("NO_COLOR", "1")
            .envs(self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str())))
            .envs(more.iter().copied())
            .args([role, "--data-dir", self.file("").to_str().unwrap()])
            .args(["--listen-http", &format!("127.0.0.1:{}", self.http)])
            .args(["--listen-https", &format!("127.0.0.1:{}", self.https)])
            .args(["--image-file", &format!("{IMAGE}={}", self.image.display())])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Daemon { child }
    }

    async fn ready(&self, mut daemon: Daemon) -> Daemon {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !client.get(self.url("/readyz")).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = daemon.child.try_wait().unwrap();
            assert!(ended.is_none() && Instant::now() < deadline, "{ended:?}; the log:\n{}", self.log());
            sleep(Duration::from_millis(25)).await;
        }
        daemon
    }

    /// A client with the first token.
    pub fn client(&self) -> Client {
        self.client_with(self.token())
    }

    /// A client with another token.
    pub fn client_with(&self, token: String) -> Client {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        Client { http, base: self.url(""), token }
    }

    /// The database of the running daemon, with all rights.
    pub async fn store(&self) -> Store {
        let url = PrivatePostgres::url_of_running(&self.file("postgres"), "cairn").await.expect("the database runs");
        Store::connect(&url, 4).await.unwrap()
    }

    /// The processes that have this place in their command line: guests, the database, the daemon.
    pub fn processes(&self) -> Vec<(i32, String)> {
        let place = self.directory.path().to_str().unwrap();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            if line.contains(place) {
                found.push((pid, line));
            }
        }
        found
    }

    /// The pids of the guests.
    pub fn guests(&self) -> Vec<i32> {
        let emulators = self.processes().into_iter().filter(|(_, line)| line.contains("qemu-system"));
        emulators.map(|(pid, _)| pid).collect()
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        for (pid, line) in self.processes() {
            let gently = line.contains("postgres");
            let _ = kill(Pid::from_raw(pid), if gently { Signal::SIGQUIT } else { Signal::SIGKILL });
        }
        // A test that failed has not deleted its servers; their networks must not be in the way of the next run.
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> =
                log.lines().rev().filter(|line| !line.contains("answered status=2")).take(40).collect();
            eprintln!("the end of the daemon's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
            sweep(self.range_prefix());
        }
    }
}

/// Removes the interfaces of the installation whose public bridge has an address that begins like this. On a thread of
/// its own, because a destructor cannot await.
fn sweep(prefix: &str) {
    let prefix = prefix.to_owned();
    let sweeping = std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(sweep_links(&prefix));
    });
    let _ = sweeping.join();
}

async fn sweep_links(prefix: &str) {
    let Ok(output) = Command::new("ip").args(["-j", "address", "show"]).output().await else { return };
    let links: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let alias = |link: &Value| link["ifalias"].as_str().unwrap_or_default().to_owned();
    let public = links.iter().find(|link| {
        let addresses = link["addr_info"].as_array().into_iter().flatten();
        addresses.into_iter().any(|address| address["local"].as_str().is_some_and(|local| local.starts_with(prefix)))
    });
    // `cairn:<installation>:…`
    let Some(mark) = public.and_then(|link| alias(link).split(':').nth(1).map(|id| format!("cairn:{id}:"))) else {
        return;
    };
    for link in links.iter().filter(|link| alias(link).starts_with(&mark)) {
        if let Some(name) = link["ifname"].as_str() {
            let _ = Command::new("ip").args(["link", "delete", name]).output().await;
        }
    }
}

impl Daemon {
    /// Waits until it ends by itself.
    pub async fn done(mut self) -> ExitStatus {
        timeout(PATIENCE, self.child.wait()).await.expect("it did not end").unwrap()
    }

    /// Sends a signal and waits for the end.
    pub async fn end(mut self, signal: Signal) -> ExitStatus {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
        timeout(PATIENCE, self.child.wait()).await.expect("it did not end").unwrap()
    }
}

/// A client of the API whose every answer is held against the contract.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// The bearer token.
    pub token: String,
}

impl Client {
    /// Sends a request. The answer's status and body; checked where it is one of `/v2`.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        self.send_with(method, path, &[], body).await
    }

    /// Sends a body that need not be JSON; nothing is held against the contract, which says nothing about such. Status
    /// 0 where the other side hung up before it had heard it all, which is when its answer can be lost.
    pub async fn send_bytes(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
        let request = self.request(method, path).header("content-type", "application/json").body(body);
        let Ok(answer) = request.send().await else { return (0, Value::Null) };
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    }

    /// Without a token there is no header for one.
    fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// The same as [`Client::send`], with further headers.
    pub async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        let status = answer.status().as_u16();
        let headers: Vec<(String, Vec<u8>)> =
            answer.headers().iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())).collect();
        let bytes = answer.bytes().await.unwrap();
        if path.starts_with("/v2/")
            && let Some(contract) = Contract::load()
        {
            let checked = contract.check(method, path, status, headers, &bytes);
            if let Err(violations) = checked {
                panic!("{violations}\n{}", String::from_utf8_lossy(&bytes));
            }
        }
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// GET; the answer has to be 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    /// POST; the answer has to be a 2xx.
    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.send("POST", path, Some(body.clone())).await;
        assert!((200..300).contains(&status), "POST {path} {body}: {status} {answer}");
        answer
    }

    /// Orders a server of the smallest size; its id and its action's.
    pub async fn order(&self, name: &str) -> (i64, i64) {
        let body = json!({ "name": name, "size": "s-1vcpu-512mb-10gb", "image": IMAGE });
        let answer = self.post("/v2/droplets", body).await;
        (answer["droplet"]["id"].as_i64().unwrap(), answer["links"]["actions"][0]["id"].as_i64().unwrap())
    }

    /// Asks something of a server and waits for the end; the action.
    pub async fn act(&self, server: i64, body: Value) -> Value {
        let action = self.post(&format!("/v2/droplets/{server}/actions"), body).await;
        self.ended(action["action"]["id"].as_i64().unwrap()).await
    }

    /// Keeps a copy of a server's disk; its id.
    pub async fn snapshot(&self, server: i64, name: &str) -> i64 {
        let done = self.act(server, json!({ "type": "snapshot", "name": name })).await;
        assert_eq!(done["status"], "completed", "{done}");
        let kept = self.get(&format!("/v2/droplets/{server}/snapshots")).await["snapshots"].take();
        kept.as_array().unwrap().iter().find(|one| one["name"] == name).unwrap()["id"].as_i64().unwrap()
    }

    /// Waits until an action is no longer in progress; the action.
    pub async fn ended(&self, action: i64) -> Value {
        let path = format!("/v2/actions/{action}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let action = self.get(&path).await["action"].take();
            if action["status"] != "in-progress" {
                return action;
            }
            if Instant::now() > deadline {
                let detail = self.get(&format!("/cloud/v1{}", &path[3..])).await;
                panic!("an action does not end: {detail:#}");
            }
            sleep(Duration::from_millis(25)).await;
        }
    }
}

/// One of the workspace's programs, built once a test process, so that what is tested is what stands here.
pub async fn program(name: &str) -> PathBuf {
    static BUILT: OnceCell<PathBuf> = OnceCell::const_new();
    let directory = BUILT
        .get_or_init(|| async {
            // Beside the test's own program: target/debug/deps/… → target/debug.
            let directory = std::env::current_exe().unwrap().ancestors().nth(2).unwrap().to_owned();
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build
                .args(["build", "--quiet", "--package", "cairnd", "--package", "cairn"])
                .current_dir(crate::workspace());
            if directory.ends_with("release") {
                build.arg("--release");
            }
            assert!(build.status().await.unwrap().success(), "cairnd does not build");
            directory
        })
        .await;
    directory.join(name)
}

fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A public range that no other installation of this host uses: two bridges with one address would answer for each
/// other. A /24 of 198.18.0.0/15, which is set aside for benchmarks (RFC 2544).
fn free_range() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = (std::process::id() * 7 + NEXT.fetch_add(1, Ordering::Relaxed)) % 512;
        let range = format!("198.{}.{}.0/24", 18 + number / 256, number % 256);
        let routes = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
        let little_endian = format!("00{:02X}{:02X}C6", number % 256, 18 + number / 256);
        if !routes.contains(&little_endian) {
            return range;
        }
    }
}
