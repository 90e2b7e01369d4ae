//! Servers on a Proxmox VE cluster: the real `cairnd`, one process a role, over the simulator in a process of its own in
//! which nothing lasts. What remains is what Cairn, PostgreSQL and the requests between Cairn and the cluster cost.

use crate::commits;
use crate::daemon::{Installation, Running};
use crate::ground::{Ground, Place, Team};
use crate::load::{self, Client, Request};
use crate::looks;
use crate::processes::{self, Cpu};
use crate::reading;
use crate::rows;
use crate::simulated::{self, Cluster};
use crate::table::{Table, percentile};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const CLIENTS: usize = 32;
/// Made before anything is counted: the image is fetched, each node has its template, connections are open.
const WARM: usize = 64;
/// Made one after the other, to count what each takes.
const COUNTED: usize = 20;
/// The observer looks every ten seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How much of everything.
#[derive(clap::Args)]
pub(crate) struct Extent {
    /// Cluster: so many servers are made at once, and deleted at once.
    #[arg(long, default_value_t = 1000)]
    creates: usize,
    /// Cluster: so many guests the observer looks at.
    #[arg(long, default_value_t = 2000)]
    scanned: usize,
    /// Cluster: so many servers stand when memory is weighed and reading is timed.
    #[arg(long, default_value_t = 10_000)]
    standing: usize,
    /// Cluster: so many servers the rows of which are read at last.
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
}

/// The three roles, each with its own directory.
struct Daemons {
    serve: (Installation, Running),
    work: (Installation, Running),
    observe: (Installation, Running),
}

impl Daemons {
    async fn start(cairnd: &Path, place: &Place, token: &str) -> Result<Self> {
        let start = |role: &str| -> Result<(Installation, Running)> {
            let mut installation = Installation::new(cairnd)?;
            installation.set("DATABASE_URL", &place.url);
            let running = installation.start(role)?;
            Ok((installation, running))
        };
        let daemons = Self { serve: start("serve")?, work: start("work")?, observe: start("observe")? };
        daemons.serve.0.answered("/v2/account", token).await?;
        Ok(daemons)
    }

    fn port(&self) -> u16 {
        self.serve.0.port()
    }

    fn pids(&self) -> Result<[i32; 3]> {
        Ok([self.serve.1.pid()?, self.work.1.pid()?, self.observe.1.pid()?])
    }
}

pub(crate) async fn measure(cairnd: &Path, statements: bool, extent: &Extent, table: &mut Table) -> Result<()> {
    let ground = Ground::start(statements).await?;
    let rate = commits::rate(&ground.postgres.url("postgres"), CLIENTS).await?;
    table.number("cluster_postgres_commits_per_s_32_connections", rate);
    let cluster = Cluster::start(&ground).await?;
    let place = ground.place("cluster", &cluster.catalogue(ground.path())?).await?;
    let warm = place.team("warm").await?;
    let daemons = Daemons::start(cairnd, &place, &warm.token).await?;
    load::in_turn(daemons.port(), &warm.token, CLIENTS, 202, orders(WARM)).await?;
    place.all_active(&warm, WARM).await?;

    counting(&place, &cluster, &daemons, table).await?;
    making_and_unmaking(&ground, &place, &cluster, &daemons, extent.creates, table).await?;
    standing(&ground, &place, &cluster, daemons, extent, table).await?;
    ground.stop().await
}

fn orders(count: usize) -> Vec<Request> {
    (0..count).map(|number| ("POST", "/v2/droplets".to_owned(), load::order(number))).collect()
}

/// What one create comes to in requests to the cluster and, where they are watched, in statements.
async fn counting(place: &Place, cluster: &Cluster, daemons: &Daemons, table: &mut Table) -> Result<()> {
    let team = place.team("counted").await?;
    let before = cluster.requests().await?.len();
    place.show_statements().await?;
    for number in 1..=COUNTED {
        load::in_turn(daemons.port(), &team.token, 1, 202, orders(1)).await?;
        place.all_active(&team, number).await?;
    }
    let requests = cluster.requests().await?;
    let requests = requests.get(before..).context("too many requests to count")?;
    let each = |count: usize| ratio(count, COUNTED);
    table.number("cluster_requests_per_create", each(requests.len()));
    for (request, count) in simulated::tally(requests) {
        eprintln!("{:>8.2}  {request}", each(count));
    }
    if let Some((statements, commits)) = place.statements_and_commits().await? {
        table.number("cluster_statements_per_create", each(usize::try_from(statements)?));
        table.number("cluster_commits_per_create", each(usize::try_from(commits)?));
    }
    place.show_statements().await
}

async fn making_and_unmaking(
    ground: &Ground,
    place: &Place,
    cluster: &Cluster,
    daemons: &Daemons,
    count: usize,
    table: &mut Table,
) -> Result<()> {
    let team = place.team("made").await?;
    let [serve, work, observe] = daemons.pids()?;
    let cairn = [serve, work, observe];
    let start =
        || (Cpu::start(&cairn), Cpu::start(&[ground.postgres.pid()]), cluster.pid().map(|pid| Cpu::start(&[pid])));
    let (ours, postgres, theirs) = start();
    let theirs = theirs?;
    let began = Instant::now();
    let mut ordered = load::in_turn(daemons.port(), &team.token, CLIENTS, 202, orders(count)).await?;
    place.all_active(&team, count).await?;
    table.number("cluster_servers_to_active_per_s_32_clients", rate(count, began.elapsed()));
    table.number("cluster_create_cpu_ms_cairnd_and_postgres", ours.ms_per(count) + postgres.ms_per(count));
    table.number("cluster_create_cpu_ms_cairnd", ours.ms_per(count));
    table.number("cluster_create_cpu_ms_postgres", postgres.ms_per(count));
    table.number("cluster_create_cpu_ms_simulator", theirs.ms_per(count));
    table.time("cluster_post_32_clients_p50", percentile(&mut ordered.times, 50));
    place.show_statements().await?;

    let deletions = deletions(daemons.port(), &team).await?;
    ensure!(deletions.len() == count, "{} of {count} servers to delete", deletions.len());
    let (ours, postgres, _) = start();
    let began = Instant::now();
    load::in_turn(daemons.port(), &team.token, CLIENTS, 204, deletions).await?;
    place.all_gone(&team, count).await?;
    table.number("cluster_servers_deleted_per_s_32_clients", rate(count, began.elapsed()));
    table.number("cluster_delete_cpu_ms_cairnd_and_postgres", ours.ms_per(count) + postgres.ms_per(count));
    place.show_statements().await
}

/// A request for the end of each of a team's servers.
async fn deletions(port: u16, team: &Team) -> Result<Vec<Request>> {
    let mut client = Client::connect(port, &team.token).await?;
    let mut requests = Vec::new();
    for page in 1.. {
        let path = format!("/v2/droplets?per_page=200&page={page}");
        let answer: serde_json::Value = serde_json::from_slice(client.expect(200, "GET", &path, "").await?)?;
        let found = answer["droplets"].as_array().cloned().unwrap_or_default();
        if found.is_empty() {
            break;
        }
        let ids = found.iter().filter_map(|server| server["id"].as_i64());
        requests.extend(ids.map(|id| ("DELETE", format!("/v2/droplets/{id}"), String::new())));
    }
    Ok(requests)
}

/// What many servers cost that only stand there: a look at them, memory, reading.
async fn standing(
    ground: &Ground,
    place: &Place,
    cluster: &Cluster,
    daemons: Daemons,
    extent: &Extent,
    table: &mut Table,
) -> Result<()> {
    let team = place.team("standing").await?;
    load::in_turn(daemons.port(), &team.token, 1, 202, orders(1)).await?;
    place.all_active(&team, 1).await?;
    rows::widen(place, &team).await?;
    let others = WARM + COUNTED;
    grow(place, &team, daemons.port(), 1, extent.scanned.saturating_sub(others)).await?;

    let Daemons { serve, work, observe: (observing, running) } = daemons;
    running.stop().await?;
    let looked = looks::measure(place, cluster, ground.postgres.pid()).await?;
    table.count("cluster_guests_in_a_look", u64::try_from(looked.guests)?);
    table.number("cluster_look_ms", looked.whole);
    table.number("cluster_look_cpu_ms_cairn", looked.ours);
    table.number("cluster_look_cpu_ms_postgres", looked.postgres);

    let running = observing.start("observe")?;
    let so_far = extent.scanned.saturating_sub(others).max(1);
    grow(place, &team, serve.0.port(), so_far, extent.standing.saturating_sub(others)).await?;
    looked_twice(place).await?;
    read(place, &team, serve.0.port(), table).await?;
    let daemons = Daemons { serve, work, observe: (observing, running) };
    weigh(ground, &daemons, table)?;

    // Nothing of what follows is at the cluster.
    let Daemons { serve, work, observe } = daemons;
    work.1.stop().await?;
    observe.1.stop().await?;
    let there = extent.standing.saturating_sub(others).max(so_far);
    rows::copy(place, &team, extent.rows.saturating_sub(there)).await?;
    read(place, &team, serve.0.port(), table).await
}

/// Makes a team's servers up to so many.
async fn grow(place: &Place, team: &Team, port: u16, from: usize, to: usize) -> Result<()> {
    load::in_turn(port, &team.token, CLIENTS, 202, orders(to.saturating_sub(from))).await?;
    place.all_active(team, to.max(from)).await
}

/// Waits until a look has begun and ended.
async fn looked_twice(place: &Place) -> Result<()> {
    let begun = async || -> Result<i64> {
        Ok(sqlx::query_scalar("SELECT last_value FROM sightings").fetch_one(place.store.pool()).await?)
    };
    let before = begun().await?;
    let deadline = Instant::now() + PATIENCE;
    while begun().await? < before + 2 {
        ensure!(Instant::now() < deadline, "nobody looks at the region");
        sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn read(place: &Place, team: &Team, port: u16, table: &mut Table) -> Result<()> {
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM servers WHERE team_id = $1 AND deleted_at IS NULL")
        .bind(team.id.0)
        .fetch_one(place.store.pool())
        .await?;
    let read = reading::measure(port, team, 1).await?;
    table.time(&format!("cluster_get_one_among_{rows}_p50"), read.one_p50);
    table.time(&format!("cluster_get_one_among_{rows}_p99"), read.one_p99);
    table.time(&format!("cluster_list_page_of_200_among_{rows}_p50"), read.page_p50);
    table.time(&format!("cluster_list_last_page_of_200_among_{rows}_p50"), read.last_page_p50);
    Ok(())
}

fn weigh(ground: &Ground, daemons: &Daemons, table: &mut Table) -> Result<()> {
    for (role, pid) in ["serve", "work", "observe"].into_iter().zip(daemons.pids()?) {
        let resident = processes::memory(&[pid]).resident;
        table.number(&format!("cluster_standing_cairnd_{role}_rss_mib"), processes::mebibytes(resident));
    }
    let database = processes::memory(&processes::family(ground.postgres.pid()));
    table.number("cluster_standing_postgres_pss_mib", processes::mebibytes(database.proportional));
    Ok(())
}

fn rate(count: usize, whole: Duration) -> f64 {
    ratio(count, 1) / whole.as_secs_f64()
}

fn ratio(count: usize, of: usize) -> f64 {
    let float = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    float(count) / float(of)
}
