//! A private PostgreSQL: a cluster that `cairnd dev` and the tests create, start, adopt and stop themselves.
//!
//! What is true of it:
//! - It listens on a Unix socket only, in a directory of mode 0700. Reaching the socket *is* the
//!   authentication (`trust`), so only the account it runs as, and root, can.
//! - It never runs as root. Started by root it runs as `postgres`, or `nobody` where that does not exist.
//! - It is a process group of its own: Ctrl-C in the terminal reaches the daemon, which then stops the database.
//! - One process at a time holds a data directory (`DIR.lock`). A server that outlived its daemon (`kill -9`)
//!   is adopted by the next start; the remains of a killed server are waited for, then recovered from.
//! - `fsync` stays on. The sizes are for a laptop: a small buffer cache, few background processes.
//!
//! Linux only: which processes belong to a data directory is read from `/proc`.

mod account;
mod binaries;
mod processes;

use account::Account;
use binaries::Binaries;
use nix::libc;
use nix::sys::signal::Signal;
use processes::{is_ours, living, postmaster, signal};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;
use tokio::process::Child;
use tokio::time::{Instant, sleep};

/// The role that owns everything in a private cluster.
const OWNER: &str = "cairn";
/// Long enough for crash recovery of a laptop's database on a slow disk.
const START_DEADLINE: Duration = Duration::from_secs(120);
/// A fast shutdown writes one checkpoint.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Another start or stop in progress is waited for; a daemon that simply runs is not.
const LOCK_DEADLINE: Duration = Duration::from_secs(5);
/// Backends notice within milliseconds that their postmaster is gone, unless they are busy computing.
const ORPHAN_DEADLINE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
/// `sun_path` has 108 bytes, of which PostgreSQL's file name and the final NUL take 15.
const SOCKET_DIRECTORY_LIMIT: usize = 92;
const LOG_LIMIT: u64 = 8 << 20;

/// Small on purpose: what an idle installation occupies is a published figure.
const SETTINGS: &[(&str, &str)] = &[
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("max_connections", "60"),
    ("shared_buffers", "48MB"),
    ("huge_pages", "off"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    ("max_logical_replication_workers", "0"),
    ("max_worker_processes", "4"),
    ("autovacuum_max_workers", "2"),
    ("jit", "off"),
    // Plans are kept, and follow what the statistics said when they were made: a new installation fills within seconds.
    ("autovacuum_naptime", "10s"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// Why a private PostgreSQL could not be had. The sentences are for the person who started the daemon.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable server program.
    #[error("PostgreSQL {needed} is not installed (found: {found}). On Debian or Ubuntu: apt install postgresql")]
    NotInstalled {
        /// The version that would do, in words.
        needed: String,
        /// The versions that are there, in words.
        found: String,
    },
    /// The account that the database must run as cannot get to its directory.
    #[error(
        "the database runs as user {user}, who may not enter {directory}; choose a data directory outside of it, \
         such as /var/lib/cairn, or open it with: chmod o+x {directory}"
    )]
    Closed {
        /// The account.
        user: String,
        /// The closed directory.
        directory: PathBuf,
    },
    /// Neither `postgres` nor `nobody` exists.
    #[error("PostgreSQL must not run as root, and there is no user postgres or nobody to run it as")]
    NoAccount,
    /// The directory is there and is not a data directory of ours.
    #[error("{directory} cannot hold the database: {why}")]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Another process holds the data directory.
    #[error("another process uses the database in {0}; stop it first, or choose another data directory")]
    InUse(PathBuf),
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {output}")]
    Failed {
        /// Which one.
        program: &'static str,
        /// The last it said.
        output: String,
    },
    /// A deadline passed.
    #[error("PostgreSQL in {directory} did not {what} within {seconds} s; its log: {log}")]
    Deadline {
        /// The data directory.
        directory: PathBuf,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// The end of its log.
        log: String,
    },
    /// A file operation failed.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A statement failed.
    #[error("the private database refused a statement")]
    Database(#[from] sqlx::Error),
}

type Result<T> = std::result::Result<T, Error>;

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error + '_ {
    move |source| Error::File { path: path.to_owned(), source }
}

/// A running private PostgreSQL. Dropping it asks the server for a fast shutdown without waiting for it;
/// [`PrivatePostgres::stop`] waits.
#[derive(Debug)]
pub struct PrivatePostgres {
    directory: PathBuf,
    socket_directory: PathBuf,
    pid: i32,
    /// `None` where the server was adopted: it is not our child then.
    child: Option<Child>,
    /// Held as long as the server is ours; `None` once it was stopped or let go.
    lock: Option<File>,
}

impl PrivatePostgres {
    /// Brings up the cluster in `directory` (created if missing) and waits until it accepts connections.
    pub async fn start(directory: &Path) -> Result<Self> {
        Self::start_with(directory, &[]).await
    }

    /// Like [`PrivatePostgres::start`], with server settings that win over the usual ones. A server that is
    /// adopted keeps the settings it was started with.
    pub async fn start_with(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let directory = settle(directory)?;
        let lock = lock(&directory, LOCK_DEADLINE).await?;
        Self::start_locked(directory, lock, settings).await
    }

    async fn start_locked(directory: PathBuf, lock: File, settings: &[(&str, &str)]) -> Result<Self> {
        let deadline = Instant::now() + START_DEADLINE;
        let account = Account::for_directory(&directory)?;
        let written_by = data_version(&directory)?;
        let binaries = Binaries::find(written_by).await?;
        if written_by.is_none() {
            initialize(&directory, &account, &binaries, settings).await?;
        }
        let socket_directory = socket_directory(&directory, &account)?;
        let mut server = Self { directory, socket_directory, pid: 0, child: None, lock: Some(lock) };
        if let Some(pid) = server.survivor(deadline).await? {
            tracing::info!(pid, directory = %server.directory.display(), "adopted the running PostgreSQL");
            server.pid = pid;
            return Ok(server);
        }
        server.spawn(&account, &binaries, settings)?;
        server.accepting(deadline).await?;
        tracing::info!(pid = server.pid, directory = %server.directory.display(), "started PostgreSQL");
        Ok(server)
    }

    /// The URL of the `postgres` database of the cluster in `directory`, if it accepts connections right now.
    /// Takes no lock: for processes that share a cluster which none of them holds.
    #[cfg(feature = "testing")]
    pub(crate) async fn running(directory: &Path) -> Option<String> {
        let directory = settle(directory).ok()?;
        let account = Account::for_directory(&directory).ok()?;
        postmaster(&directory).filter(|pid| is_ours(*pid, &directory))?;
        let socket_directory = socket_directory(&directory, &account).ok()?;
        answers(&socket_directory).await.ok().map(|()| url(&socket_directory, "postgres"))
    }

    /// The URL of `database` in the running cluster of `directory`, for tests that look behind a daemon's back.
    #[cfg(feature = "testing")]
    pub async fn url_of_running(directory: &Path, database: &str) -> Option<String> {
        Self::running(directory).await?;
        let directory = settle(directory).ok()?;
        let account = Account::for_directory(&directory).ok()?;
        Some(url(&socket_directory(&directory, &account).ok()?, database))
    }

    /// Like [`PrivatePostgres::start_with`], but data that no living server holds is thrown away first.
    #[cfg(feature = "testing")]
    pub(crate) async fn start_afresh(directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let directory = settle(directory)?;
        let lock = lock(&directory, START_DEADLINE).await?;
        if living(&directory).is_empty() && directory.exists() {
            fs::remove_dir_all(&directory).map_err(at(&directory))?;
        }
        Self::start_locked(directory, lock, settings).await
    }

    /// The connection URL of `database`, for [`crate::Store::connect`].
    pub fn url(&self, database: &str) -> String {
        url(&self.socket_directory, database)
    }

    /// The process id of the server.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Creates `name`, owned by the cluster's owner, unless it is there.
    pub async fn create_database_if_missing(&self, name: &str) -> Result<()> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        let there: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        if !there {
            let create = format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\""));
            sqlx::query(AssertSqlSafe(create)).execute(&mut connection).await?;
        }
        Ok(connection.close().await?)
    }

    /// Stops the server: open transactions are rolled back, connections closed, a checkpoint written.
    pub async fn stop(mut self) -> Result<()> {
        for (with, patience) in [(Signal::SIGINT, STOP_DEADLINE), (Signal::SIGQUIT, ORPHAN_DEADLINE)] {
            if is_ours(self.pid, &self.directory) {
                signal(self.pid, with);
            }
            if self.gone(patience).await {
                self.lock = None;
                return Ok(());
            }
        }
        self.lock = None;
        Err(self.late("stop", STOP_DEADLINE + ORPHAN_DEADLINE))
    }

    /// Lets go of the server and leaves it running; the next start in this directory adopts it.
    pub fn detach(mut self) {
        self.lock = None;
    }

    /// The server that an earlier life left behind, once it accepts connections; `None` once nothing of it lives.
    async fn survivor(&self, deadline: Instant) -> Result<Option<i32>> {
        let orphans_go = Instant::now() + ORPHAN_DEADLINE;
        loop {
            let living = living(&self.directory);
            match postmaster(&self.directory).filter(|pid| living.contains(pid)) {
                Some(pid) if answers(&self.socket_directory).await.is_ok() => return Ok(Some(pid)),
                // Starting, recovering or stopping: either it answers in the end, or it goes.
                Some(_) => {}
                None if living.is_empty() => break,
                // Backends without a postmaster. Nothing can be lost with them: what follows is crash recovery.
                None if Instant::now() > orphans_go => living.iter().for_each(|pid| signal(*pid, Signal::SIGKILL)),
                None => {}
            }
            if Instant::now() > deadline {
                return Err(self.late("answer or end", START_DEADLINE));
            }
            sleep(POLL).await;
        }
        // PostgreSQL itself can be fooled by a pid that was given to another process since; we have looked.
        match fs::remove_file(self.directory.join("postmaster.pid")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(at(&self.directory.join("postmaster.pid"))(error))
            }
            _ => Ok(None),
        }
    }

    fn spawn(&mut self, account: &Account, binaries: &Binaries, settings: &[(&str, &str)]) -> Result<()> {
        let log = open_log(&log_path(&self.directory), account)?;
        let mut command = account.command(&binaries.postgres());
        command.arg("-D").arg(&self.directory);
        for (key, value) in SETTINGS.iter().chain(settings) {
            command.arg("-c").arg(format!("{key}={value}"));
        }
        command.arg("-c").arg(format!("unix_socket_directories={}", quoted(&self.socket_directory)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().map_err(at(&binaries.postgres()))?;
        self.pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        self.child = Some(child);
        Ok(())
    }

    /// Waits until the server that was just spawned accepts connections.
    async fn accepting(&mut self, deadline: Instant) -> Result<()> {
        loop {
            if answers(&self.socket_directory).await.is_ok() {
                return Ok(());
            }
            if let Some(child) = &mut self.child
                && child.try_wait().map_err(at(&self.directory))?.is_some()
            {
                return Err(Error::Failed { program: "postgres", output: log_tail(&self.directory) });
            }
            if Instant::now() > deadline {
                return Err(self.late("accept connections", START_DEADLINE));
            }
            sleep(POLL).await;
        }
    }

    /// Whether the server ended within `patience`.
    async fn gone(&mut self, patience: Duration) -> bool {
        if let Some(child) = &mut self.child {
            return tokio::time::timeout(patience, child.wait()).await.is_ok();
        }
        let deadline = Instant::now() + patience;
        while is_ours(self.pid, &self.directory) {
            if Instant::now() > deadline {
                return false;
            }
            sleep(POLL).await;
        }
        true
    }

    fn late(&self, what: &'static str, after: Duration) -> Error {
        Error::Deadline {
            directory: self.directory.clone(),
            what,
            seconds: after.as_secs(),
            log: log_tail(&self.directory),
        }
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if !is_ours(self.pid, &self.directory) {
            return;
        }
        signal(self.pid, Signal::SIGINT);
        // The lock goes when the server has gone, so that no start adopts a server that is about to end.
        let (pid, directory) = (self.pid, std::mem::take(&mut self.directory));
        std::thread::spawn(move || {
            while is_ours(pid, &directory) {
                std::thread::park_timeout(POLL);
            }
            drop(lock);
        });
    }
}

/// Whether the server behind `socket_directory` accepts connections.
async fn answers(socket_directory: &Path) -> std::result::Result<(), sqlx::Error> {
    // The port is in the URL, so PGPORT and its kin in our environment do not lead elsewhere.
    let options = PgConnectOptions::from_str(&url(socket_directory, "postgres"))?.disable_statement_logging();
    options.connect().await?.close().await
}

/// The URL of `database` behind a socket in `socket_directory`.
fn url(socket_directory: &Path, database: &str) -> String {
    let host = encoded(&socket_directory.to_string_lossy());
    format!("postgres:///{}?host={host}&port=5432&user={OWNER}&sslmode=disable", encoded(database))
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// A path as one element of a PostgreSQL list setting.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('"', "\"\""))
}

/// The absolute, link-free form of `directory`, whose parent is created: `/proc` shows only that form.
fn settle(directory: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(directory).map_err(at(directory))?;
    let unusable = || Error::Unusable { directory: absolute.clone(), why: "it has no name of its own".to_owned() };
    let (parent, name) = absolute.parent().zip(absolute.file_name()).ok_or_else(unusable)?;
    fs::create_dir_all(parent).map_err(at(parent))?;
    let settled = fs::canonicalize(parent).map_err(at(parent))?.join(name);
    Ok(fs::canonicalize(&settled).unwrap_or(settled))
}

fn beside(directory: &Path, ending: &str) -> PathBuf {
    let mut name = directory.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

async fn lock(directory: &Path, patience: Duration) -> Result<File> {
    let path = beside(directory, ".lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .map_err(at(&path))?;
    let deadline = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => {
                return Err(Error::InUse(directory.to_owned()));
            }
            Err(TryLockError::WouldBlock) => sleep(POLL).await,
        }
    }
}

/// The major version that wrote `directory`; `None` where there is nothing yet.
fn data_version(directory: &Path) -> Result<Option<u32>> {
    let unusable = |why: &str| Error::Unusable { directory: directory.to_owned(), why: why.to_owned() };
    match fs::read_to_string(directory.join("PG_VERSION")) {
        Ok(version) => version.trim().parse().map(Some).map_err(|_| unusable("its PG_VERSION is not a number")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let filled = fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
            if filled { Err(unusable("it is not empty and not a PostgreSQL data directory")) } else { Ok(None) }
        }
        Err(error) => Err(at(directory)(error)),
    }
}

/// Creates the cluster beside its place and moves it there whole: an interrupted `initdb` leaves no half cluster.
async fn initialize(directory: &Path, account: &Account, binaries: &Binaries, settings: &[(&str, &str)]) -> Result<()> {
    let forming = beside(directory, ".new");
    match fs::remove_dir_all(&forming) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&forming)(error)),
        _ => {}
    }
    fs::create_dir(&forming).map_err(at(&forming))?;
    account.own(&forming)?;
    // A cluster that never syncs gains nothing from being synced once.
    let unsynced = settings.contains(&("fsync", "off")).then_some("--no-sync");
    let output = account
        .command(&binaries.initdb())
        .args(unsynced)
        .arg("-D")
        .arg(&forming)
        .args(["--username", OWNER, "--auth-local=trust", "--auth-host=reject"])
        .args(["--encoding=UTF8", "--no-locale", "--data-checksums", "--no-instructions"])
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(at(&binaries.initdb()))?;
    if !output.status.success() {
        return Err(Error::Failed { program: "initdb", output: String::from_utf8_lossy(&output.stderr).into_owned() });
    }
    fs::rename(&forming, directory).map_err(at(directory))
}

/// Where the socket stands: the data directory itself, which has the right mode, unless its name is too long.
fn socket_directory(directory: &Path, account: &Account) -> Result<PathBuf> {
    if directory.as_os_str().len() <= SOCKET_DIRECTORY_LIMIT {
        return Ok(directory.to_owned());
    }
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let short = PathBuf::from(format!("/tmp/cairn-{}-{name}", account.uid()));
    match fs::create_dir(&short) {
        Ok(()) => account.own(&short)?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(at(&short)(error)),
    }
    // /tmp is everyone's: what stands there under our name must be ours, and closed.
    let found = fs::symlink_metadata(&short).map_err(at(&short))?;
    if !found.is_dir() || found.uid() != account.uid() || found.permissions().mode() & 0o077 != 0 {
        let why = "it was made by someone else, or is open to others".to_owned();
        return Err(Error::Unusable { directory: short, why });
    }
    Ok(short)
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

/// Opens the log for appending; one that has grown long is put aside first.
fn open_log(path: &Path, account: &Account) -> Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.len() > LOG_LIMIT) {
        fs::rename(path, beside(path, ".old")).map_err(at(path))?;
    }
    // Not through a link: the directory belongs to the database's account while we may be root.
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
        .map_err(at(path))?;
    account.own(path)?;
    Ok(log)
}

/// The last lines of the server's log, for an error message.
fn log_tail(directory: &Path) -> String {
    let text = fs::read(log_path(directory)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let text = text.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_carries_any_directory_name() {
        assert_eq!(
            url(Path::new("/a b/c&d"), "x"),
            "postgres:///x?host=/a%20b/c%26d&port=5432&user=cairn&sslmode=disable"
        );
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_refused() {
        let directory = std::env::temp_dir().join(format!("cairn-private-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert!(matches!(data_version(&directory), Ok(None)));
        fs::write(directory.join("letter.txt"), "dear").unwrap();
        assert!(matches!(data_version(&directory), Err(Error::Unusable { .. })));
        fs::write(directory.join("PG_VERSION"), "17\n").unwrap();
        assert!(matches!(data_version(&directory), Ok(Some(17))));
        fs::remove_dir_all(&directory).unwrap();
    }
}
