//! A real, migrated PostgreSQL database for a test, in a few tens of milliseconds.
//!
//! ```no_run
//! # async fn example() {
//! let database = store::testing::database().await;
//! let tx = database.store().begin().await.unwrap();
//! # }
//! ```
//!
//! All test processes of a workspace share one private cluster in the temporary directory (its name is made from
//! the workspace's path, so it is never more than one). It stays when a run ends or is killed, and the next run
//! uses it again; one that does not run any more is thrown away and made anew, because it runs without `fsync`.
//! A template database per state of the migrations is made once, under a lock; each test gets a copy.
//!
//! `CAIRN_TEST_DATABASE_URL` names another server to use instead; its user must be allowed to create databases
//! and roles.
//!
//! Everything here panics when it fails, as a test should.
#![allow(clippy::expect_used, clippy::panic, reason = "test support: a failure here is a failed test")]

use crate::private::{self, PrivatePostgres};
use crate::{MIGRATIONS, Store};
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::OnceCell;

/// Names another server than the private one.
const ELSEWHERE: &str = "CAIRN_TEST_DATABASE_URL";
/// What a test left behind (it was killed) is dropped after this long.
const STALE: Duration = Duration::from_secs(3600);
/// Per process, so that a large heap of left-overs delays no one test for long.
const SWEEP: usize = 40;
const CONNECTIONS: u32 = 8;
/// Speed over durability: this cluster never outlives its processes.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("max_connections", "400"),
    ("shared_buffers", "64MB"),
    ("max_wal_size", "1GB"),
    ("checkpoint_timeout", "1h"),
];

/// One test's own database, dropped with the value.
#[derive(Debug)]
pub struct TestDatabase {
    store: Store,
    server: String,
    name: String,
}

impl TestDatabase {
    /// A store connected to it, with the daemon's own rights.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its connection URL, for a second store or another process.
    pub fn url(&self) -> String {
        with_database(&self.server, &self.name)
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (std::mem::take(&mut self.server), std::mem::take(&mut self.name));
        // The test's own runtime cannot be waited on from here. A database that stays is swept an hour later.
        let dropping = std::thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                if let Ok(mut connection) = connect(&server).await {
                    let _ = drop_database(&mut connection, &name, "WITH (FORCE)").await;
                }
            });
        });
        let _ = dropping.join();
    }
}

/// A new database with this build's schema and nothing in it.
pub async fn database() -> TestDatabase {
    let server = server().await;
    let mut connection = connect(&server).await.expect("connect to the test server");
    for _ in 0..5 {
        let template = template(&server, &mut connection).await;
        let name = fresh_name();
        match create(&mut connection, &name, &template).await {
            Ok(()) => return opened(server, name).await,
            // Another process with other migrations may have swept it between our look and our copy.
            Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("3D000") => {}
            Err(error) => panic!("copy the template database: {error}"),
        }
    }
    panic!("the template database vanished five times in a row");
}

/// A new database without any schema, for tests of the migrations.
pub async fn empty_database() -> TestDatabase {
    let server = server().await;
    let mut connection = connect(&server).await.expect("connect to the test server");
    let name = fresh_name();
    create(&mut connection, &name, "template0").await.expect("create an empty test database");
    opened(server, name).await
}

async fn opened(server: String, name: String) -> TestDatabase {
    let url = with_database(&server, &name);
    let store = Store::connect(&url, CONNECTIONS).await.expect("connect to the test database");
    TestDatabase { store, server, name }
}

/// The URL of the server all tests of this process use.
async fn server() -> String {
    static SERVER: OnceCell<String> = OnceCell::const_new();
    SERVER
        .get_or_init(|| async {
            let url = match std::env::var(ELSEWHERE) {
                Ok(url) if !url.is_empty() => url,
                _ => cluster().await,
            };
            sweep(&url).await;
            url
        })
        .await
        .clone()
}

/// The workspace's cluster: used as it runs, or replaced.
async fn cluster() -> String {
    let directory = cluster_directory();
    // Two processes may come here at once. The second one waits inside `start_with` for the first to let go.
    if let Some(url) = PrivatePostgres::running(&directory).await {
        return url;
    }
    let started = PrivatePostgres::start_afresh(&directory, SETTINGS).await;
    let server = started.unwrap_or_else(|error| panic!("the tests need PostgreSQL: {}", sentence(&error)));
    let url = server.url("postgres");
    server.detach();
    url
}

fn sentence(error: &private::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

fn cluster_directory() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut hash = Sha256::new();
    hash.update(workspace.as_os_str().as_encoded_bytes());
    for (key, value) in SETTINGS {
        hash.update(format!("{key}={value};"));
    }
    // One per account: root's cluster belongs to `postgres` and is closed to others.
    std::env::temp_dir().join(format!("cairn-test-{}-{}", nix::unistd::geteuid(), short(hash)))
}

fn short(hash: Sha256) -> String {
    hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    PgConnectOptions::from_str(url)?.disable_statement_logging().connect().await
}

/// `url` with another database in it.
fn with_database(url: &str, name: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(before, query)| (before, query));
    let authority = before.find("://").map_or(0, |scheme| scheme + 3);
    let path = before[authority..].find('/').map_or(before.len(), |slash| authority + slash);
    let question = if query.is_empty() { "" } else { "?" };
    format!("{}/{name}{question}{query}", &before[..path])
}

fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The time in the name lets a later run see how old it is.
fn fresh_name() -> String {
    format!("test_{}_{}", seconds_now(), uuid::Uuid::new_v4().simple())
}

async fn create(connection: &mut PgConnection, name: &str, template: &str) -> sqlx::Result<()> {
    let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
    connection.execute(AssertSqlSafe(create)).await.map(|_| ())
}

async fn drop_database(connection: &mut PgConnection, name: &str, how: &str) -> sqlx::Result<()> {
    connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} {how}"))).await.map(|_| ())
}

/// The name of the template with this build's schema, made if need be. Nobody connects to it, so copies never wait.
async fn template(server: &str, connection: &mut PgConnection) -> String {
    let mut hash = Sha256::new();
    for migration in MIGRATIONS.iter() {
        hash.update(migration.version.to_be_bytes());
        hash.update(migration.sql.as_str());
    }
    let ending = short(hash);
    if let Some(there) = find_template(connection, &ending).await {
        return there;
    }
    const TEMPLATES: i64 = 0x0063_6169_726e;
    sqlx::query("SELECT pg_advisory_lock($1)").bind(TEMPLATES).execute(&mut *connection).await.expect("lock");
    let name = match find_template(connection, &ending).await {
        Some(there) => there,
        None => {
            let forming = format!("forming_{}_{ending}", seconds_now());
            drop_database(connection, &forming, "WITH (FORCE)").await.expect("drop an unfinished template");
            create(connection, &forming, "template0").await.expect("create the template database");
            let store = Store::connect(&with_database(server, &forming), 1).await.expect("connect to the template");
            store.migrate().await.unwrap_or_else(|error| panic!("migrate the template database: {error:?}"));
            store.pool().close().await;
            let name = forming.replace("forming", "template");
            let finish = format!("ALTER DATABASE {forming} RENAME TO {name}");
            connection.execute(AssertSqlSafe(finish)).await.expect("name the template");
            name
        }
    };
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(TEMPLATES).execute(&mut *connection).await.expect("unlock");
    name
}

async fn find_template(connection: &mut PgConnection, ending: &str) -> Option<String> {
    sqlx::query_scalar(r"SELECT datname::text FROM pg_database WHERE datname LIKE 'template\_%\_' || $1 LIMIT 1")
        .bind(ending)
        .fetch_optional(connection)
        .await
        .expect("look for the template")
}

/// Drops what killed runs and older schemas left behind; what is in use stays, because nothing is forced.
async fn sweep(server: &str) {
    let mut connection = connect(server).await.expect("connect to the test server");
    let names: Vec<String> = sqlx::query_scalar(
        r"SELECT datname::text FROM pg_database WHERE datname ~ '^(test|forming|template)_\d+_' ORDER BY datname",
    )
    .fetch_all(&mut connection)
    .await
    .expect("list the databases");
    let oldest = seconds_now().saturating_sub(STALE.as_secs());
    let kept: HashSet<String> = newest_template(&names).into_iter().collect();
    let stale = |name: &&String| age_mark(name).is_some_and(|made| made < oldest) && !kept.contains(*name);
    for name in names.iter().filter(stale).take(SWEEP) {
        let _ = drop_database(&mut connection, name, "").await;
    }
}

/// The template made last is most likely the one this run is about to copy.
fn newest_template(names: &[String]) -> Option<String> {
    names.iter().filter(|name| name.starts_with("template_")).max_by_key(|name| age_mark(name)).cloned()
}

fn age_mark(name: &str) -> Option<u64> {
    name.split('_').nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_in_a_url_is_replaced() {
        assert_eq!(with_database("postgres:///postgres?host=/d&user=x", "t"), "postgres:///t?host=/d&user=x");
        assert_eq!(with_database("postgres://me:pw@db.example:5433/a", "t"), "postgres://me:pw@db.example:5433/t");
        assert_eq!(with_database("postgres://db.example", "t"), "postgres://db.example/t");
    }

    #[test]
    fn the_age_is_read_from_the_name() {
        assert_eq!(age_mark("test_1700000000_ab"), Some(1_700_000_000));
        assert_eq!(age_mark("postgres"), None);
    }
}
