//! `kill -9` of the daemon at every step of a create and of a delete, before and after that step's commit; then a
//! restart. What was begun is finished or undone, nothing is left over, and a guest that runs keeps running.
//!
//! The moment is exact: a trigger makes the commit of the chosen step wait for a lock that the test holds, so the step
//! has had its effect and the daemon stands between effect and commit when it is killed.

use acceptance::figures;
use acceptance::installation::{Client, Installation, PATIENCE};
use nix::sys::signal::Signal;
use sqlx::{Connection, PgConnection, Row};
use std::time::Duration;
use store::Store;
use tokio::time::{Instant, sleep};

/// The advisory lock that the commit waits for.
const GATE: i64 = 7_734;

/// Where the daemon is killed relative to the commit of the step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Moment {
    /// The effect is there, its record is not.
    BeforeCommit,
    /// The record is there, the daemon has not heard of it.
    AfterCommit,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_killed_at_any_step_loses_nothing() {
    let installation = Installation::with_empty_image().await.set("CAIRN_WORK_LEASE_SECONDS", "1");
    let mut daemon = installation.start().await;
    let client = installation.client();
    let (bystander, action) = client.order("bystander").await;
    assert_eq!(client.ended(action).await["status"], "completed");
    let bystander_pid = installation.guests();
    assert_eq!(bystander_pid.len(), 1);
    let before = Books::read(&installation).await;

    let mut cases = 0;
    for direction in ["make", "unmake"] {
        for step in cloud::progress::step_names("server") {
            for moment in [Moment::BeforeCommit, Moment::AfterCommit] {
                let named = format!("{direction} {step} {moment:?}");
                daemon = one(&installation, &client, daemon, direction, step, moment, &named).await;
                assert_eq!(installation.guests(), bystander_pid, "{named}: the bystander keeps running, alone");
                assert_eq!(Books::read(&installation).await, before, "{named}: the books balance");
                cases += 1;
            }
        }
    }

    let (status, _) = client.send("DELETE", &format!("/v2/droplets/{bystander}"), None).await;
    assert_eq!(status, 204);
    wait_for("the bystander's end", async || installation.guests().is_empty()).await;
    daemon.end(Signal::SIGTERM).await;
    figures::write("crash", &[("kill -9 cases", cases)]);
}

async fn one(
    installation: &Installation,
    client: &Client,
    daemon: acceptance::installation::Daemon,
    direction: &str,
    step: &str,
    moment: Moment,
    named: &str,
) -> acceptance::installation::Daemon {
    let store = installation.store().await;
    let mut gate = store.connection().await.unwrap();
    let server = if direction == "unmake" {
        let (server, action) = client.order("victim").await;
        assert_eq!(client.ended(action).await["status"], "completed", "{named}");
        Some(server)
    } else {
        None
    };
    shut(&mut gate, direction, step).await;
    let (server, action) = match server {
        None => client.order("victim").await,
        Some(server) => {
            let (status, _) = client.send("DELETE", &format!("/v2/droplets/{server}"), None).await;
            assert_eq!(status, 204, "{named}");
            (server, newest_action(&store, server).await)
        }
    };
    let waiting = waiting_backend(&store, named).await;
    daemon.end(Signal::SIGKILL).await;
    if moment == Moment::BeforeCommit {
        let ended: bool = sqlx::query_scalar("SELECT pg_terminate_backend($1, 10000)")
            .bind(waiting)
            .fetch_one(&mut *gate)
            .await
            .unwrap();
        assert!(ended, "{named}: the commit's backend ends");
    }
    open(&mut gate).await;
    drop(gate);
    store.pool().close().await;

    let daemon = installation.start().await;
    assert_eq!(client.ended(action).await["status"], "completed", "{named}");
    if direction == "make" {
        assert_eq!(client.get(&format!("/v2/droplets/{server}")).await["droplet"]["status"], "active", "{named}");
        assert_eq!(installation.guests().len(), 2, "{named}: one guest for one order");
        let (status, _) = client.send("DELETE", &format!("/v2/droplets/{server}"), None).await;
        assert_eq!(status, 204, "{named}");
        let store = installation.store().await;
        let action = newest_action(&store, server).await;
        assert_eq!(client.ended(action).await["status"], "completed", "{named}");
    }
    let (status, _) = client.send("GET", &format!("/v2/droplets/{server}"), None).await;
    assert_eq!(status, 404, "{named}");
    daemon
}

/// Makes the commit of `step` wait for [`GATE`], which this connection takes.
async fn shut(connection: &mut PgConnection, direction: &str, step: &str) {
    sqlx::query("SELECT pg_advisory_lock($1)").bind(GATE).execute(&mut *connection).await.unwrap();
    let trigger = format!(
        "CREATE OR REPLACE FUNCTION crash_gate() RETURNS trigger LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_advisory_xact_lock_shared({GATE}); RETURN NEW; END $$;
         CREATE TRIGGER crash_gate BEFORE INSERT OR UPDATE ON workflow_steps FOR EACH ROW
         WHEN (NEW.direction = '{direction}' AND NEW.name = '{step}' AND NEW.state = 'done')
         EXECUTE FUNCTION crash_gate()"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(trigger)).execute(connection).await.unwrap();
}

async fn open(connection: &mut PgConnection) {
    sqlx::query("SELECT pg_advisory_unlock($1)").bind(GATE).execute(&mut *connection).await.unwrap();
    let mut tries = 0;
    // The commit that was let through may hold the table for a moment.
    while let Err(error) =
        sqlx::raw_sql("DROP TRIGGER IF EXISTS crash_gate ON workflow_steps").execute(&mut *connection).await
    {
        tries += 1;
        assert!(tries < 5, "{error}");
    }
}

/// The backend that waits for the gate.
async fn waiting_backend(store: &Store, named: &str) -> i32 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let waiting: Option<i32> =
            sqlx::query_scalar("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = $1 AND NOT granted")
                .bind(sqlx::postgres::types::Oid(u32::try_from(GATE).unwrap()))
                .fetch_optional(store.pool())
                .await
                .unwrap();
        if let Some(pid) = waiting {
            return pid;
        }
        assert!(Instant::now() < deadline, "{named}: the step is never committed");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn newest_action(store: &Store, server: i64) -> i64 {
    let id: i32 =
        sqlx::query_scalar("SELECT max(id) FROM actions WHERE resource_type = 'droplet' AND resource_id = $1")
            .bind(i32::try_from(server).unwrap())
            .fetch_one(store.pool())
            .await
            .unwrap();
    i64::from(id)
}

/// Everything that must be as before when a server has come and gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Books {
    rows: Vec<(String, i64)>,
    interfaces: Vec<String>,
    files: Vec<String>,
}

impl Books {
    pub(crate) async fn read(installation: &Installation) -> Self {
        let url =
            store::private::PrivatePostgres::url_of_running(&installation.file("postgres"), "cairn").await.unwrap();
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let rows = sqlx::query(
            "SELECT 'reservations' AS name, count(*) FROM reservations
             UNION ALL SELECT 'addresses', count(*) FROM addresses WHERE server_id IS NOT NULL
             UNION ALL SELECT 'usage', count(*) FROM usage_ranges WHERE upper_inf(span)
             UNION ALL SELECT 'servers', count(*) FROM servers WHERE deleted_at IS NULL
             UNION ALL SELECT 'workflows', count(*) FROM workflows WHERE state IN ('ready', 'parked')
             UNION ALL SELECT 'actions', count(*) FROM actions WHERE completed_at IS NULL
             UNION ALL SELECT 'alerts', count(*) FROM alerts WHERE resolved_at IS NULL ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap();
        let rows = rows.iter().map(|row| (row.get("name"), row.get("count"))).collect();
        Self { rows, interfaces: interfaces(installation).await, files: files(&installation.file("qemu")) }
    }

    /// Without what the first server brings and later ones find: the images that were fetched, the network's lock.
    pub(crate) fn without_images(mut self) -> Self {
        self.files.retain(|file| !file.contains("/images/") && !file.ends_with("/locks/network"));
        self
    }
}

/// The interfaces of this host that the installation has marked as its own. Others come and go beside it.
pub(crate) async fn interfaces(installation: &Installation) -> Vec<String> {
    let id = store::tenancy::installation(&installation.store().await).await.unwrap();
    let mut names: Vec<String> = std::fs::read_dir("/sys/class/net")
        .unwrap()
        .flatten()
        .filter(|entry| {
            std::fs::read_to_string(entry.path().join("ifalias")).is_ok_and(|of| of.contains(&id.to_string()))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// The guests' directories and the images.
fn files(directory: &std::path::Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            let path = entry.path();
            // What a running guest writes is its own business; that it has a directory is ours.
            let own = directory.file_name().is_some_and(|name| name == "guests");
            found.push(path.display().to_string());
            if path.is_dir() && !own {
                open.push(path);
            }
        }
    }
    found.sort();
    found
}

pub(crate) async fn wait_for(what: &str, mut true_now: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !true_now().await {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        sleep(Duration::from_millis(50)).await;
    }
}
