//! The private PostgreSQL through its lives: started, stopped, killed, left behind.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sqlx::Executor;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use store::Store;
use store::private::{Error, PrivatePostgres};

/// A data directory that goes with the test. In the temporary directory, because the account that the database
/// runs as must be able to get there, which is not so for a workspace under /root.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cairn-pg-{name}-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    fn data(&self) -> PathBuf {
        self.0.join("database")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// For what is not about durability; a disk that syncs slowly would make these tests slow. The first one does without.
const UNSYNCED: &[(&str, &str)] = &[("fsync", "off")];

async fn start(place: &Place) -> Result<PrivatePostgres, Error> {
    PrivatePostgres::start_with(&place.data(), UNSYNCED).await
}

async fn write(server: &PrivatePostgres, value: i32) {
    let store = Store::connect(&server.url("cairn"), 2).await.unwrap();
    let insert = sqlx::AssertSqlSafe(format!("CREATE TABLE IF NOT EXISTS t (v int); INSERT INTO t VALUES ({value})"));
    store.pool().execute(insert).await.unwrap();
}

async fn written(server: &PrivatePostgres) -> Vec<i32> {
    let store = Store::connect(&server.url("cairn"), 2).await.unwrap();
    sqlx::query_scalar("SELECT v FROM t ORDER BY v").fetch_all(store.pool()).await.unwrap()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{what}: not within 30 s");
}

fn alive(pid: i32) -> bool {
    // A killed child of ours stays a zombie until it is collected; only a living process has a program.
    std::fs::read_link(format!("/proc/{pid}/exe")).is_ok()
}

fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn starts_stops_and_starts_again_with_its_data() {
    let place = Place::new("life");
    let server = PrivatePostgres::start(&place.data()).await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    write(&server, 1).await;
    closed_to_others(&place.data());
    let pid = server.pid();
    server.stop().await.unwrap();
    assert!(!alive(pid));

    let server = PrivatePostgres::start(&place.data()).await.unwrap();
    assert_eq!(written(&server).await, [1]);
    let pid = server.pid();
    drop(server);
    until("a dropped server ends", || !alive(pid)).await;
    let log = std::fs::read_to_string(place.data().join("server.log")).unwrap();
    assert!(!log.contains("was not properly shut down"), "{log}");
}

fn closed_to_others(data: &Path) {
    let found = std::fs::metadata(data).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o700);
    let socket = std::fs::metadata(data.join(".s.PGSQL.5432")).unwrap();
    assert_eq!(socket.permissions().mode() & 0o777, 0o700);
    assert_ne!(socket.uid(), 0, "PostgreSQL must not run as root");
}

#[tokio::test]
async fn a_dropped_server_is_waited_for_by_the_next_start() {
    let place = Place::new("handover");
    let first = start(&place).await.unwrap();
    let before = first.pid();
    drop(first);
    let second = start(&place).await.unwrap();
    assert_ne!(second.pid(), before);
    second.create_database_if_missing("cairn").await.unwrap();
    write(&second, 1).await;
    second.stop().await.unwrap();
}

#[tokio::test]
async fn recovers_after_the_postmaster_was_killed() {
    let place = Place::new("killed");
    let server = start(&place).await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    write(&server, 1).await;
    let pid = server.pid();
    kill_now(pid);
    drop(server);

    let server = start(&place).await.unwrap();
    assert_ne!(server.pid(), pid);
    assert_eq!(written(&server).await, [1]);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_that_names_a_stranger_is_not_believed() {
    let place = Place::new("stranger");
    let server = start(&place).await.unwrap();
    server.stop().await.unwrap();
    // As after a restart of a container: the pid in the file belongs to a program that has nothing to do with it.
    let file = place.data().join("postmaster.pid");
    let noted = format!("{}\n{}\n0\n5432\n\n\n", std::process::id(), place.data().display());
    std::fs::write(&file, noted).unwrap();
    let server = start(&place).await.unwrap();
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_server_left_by_a_dead_daemon_is_adopted_and_stopped() {
    let place = Place::new("adopted");
    let server = start(&place).await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    write(&server, 1).await;
    let pid = server.pid();
    server.detach(); // what `kill -9` of the daemon leaves: a server, and no lock

    let adopted = start(&place).await.unwrap();
    assert_eq!(adopted.pid(), pid);
    assert_eq!(written(&adopted).await, [1]);
    adopted.stop().await.unwrap();
    assert!(!alive(pid));
}

#[tokio::test]
async fn a_second_daemon_is_refused_while_the_first_lives() {
    let place = Place::new("twice");
    let first = start(&place).await.unwrap();
    let second = start(&place).await;
    assert!(matches!(second, Err(Error::InUse(_))), "{second:?}");
    assert!(alive(first.pid()));
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_with_a_long_name_gets_a_short_socket() {
    let place = Place::new("long");
    let data = place.0.join("d".repeat(60)).join("e".repeat(60));
    let server = PrivatePostgres::start_with(&data, UNSYNCED).await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    write(&server, 7).await;
    let url = server.url("cairn");
    server.stop().await.unwrap();
    let socket = url.split("host=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    assert!(socket.len() < 90, "{socket}");
    std::fs::remove_dir_all(socket).unwrap();
}

#[tokio::test]
async fn a_half_made_cluster_is_made_anew() {
    let place = Place::new("half");
    let forming = place.0.join("database.new");
    std::fs::create_dir(&forming).unwrap();
    std::fs::write(forming.join("PG_VERSION"), "15").unwrap();
    start(&place).await.unwrap().stop().await.unwrap();
    assert!(!forming.exists());
}

#[tokio::test]
async fn a_closed_parent_is_named() {
    if !nix::unistd::geteuid().is_root() {
        return; // only root lends the database to an account that could be shut out
    }
    let place = Place::new("closed");
    std::fs::set_permissions(&place.0, std::fs::Permissions::from_mode(0o700)).unwrap();
    let refused = start(&place).await.unwrap_err();
    assert!(matches!(&refused, Error::Closed { directory, .. } if *directory == place.0), "{refused}");
}
