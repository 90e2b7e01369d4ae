//! Requests a second and milliseconds a request. First against the real `cairnd serve` with no worker anywhere, which is
//! what accepting costs; then against one process that also makes what it accepts, with the instant provider.

use crate::cloud_process::LOG_FILTER;
use crate::commits;
use crate::daemon::Installation;
use crate::ground::{CATALOGUE, Ground, Place};
use crate::load::{self, Measured, order, order_unlike_others};
use crate::processes::Cpu;
use crate::reading;
use crate::table::{Table, percentile};
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// Clients and requests of each. A team has at most 4,093 servers, a default VPC's addresses.
const LOADS: [(usize, usize); 3] = [(1, 400), (8, 130), (32, 75)];
const TEAMS: usize = 8;

pub(crate) async fn measure(cairnd: &Path, statements: bool, table: &mut Table) -> Result<()> {
    let ground = Ground::start(statements).await?;
    for connections in [1, 8, 32] {
        let rate = commits::rate(&ground.postgres.url("postgres"), connections).await?;
        table.number(&format!("postgres_commits_per_s_{connections}_connections"), rate);
    }
    serving(cairnd, &ground, table).await?;
    working(&ground, table).await?;
    ground.stop().await
}

async fn serving(cairnd: &Path, ground: &Ground, table: &mut Table) -> Result<()> {
    let place = ground.place("serving", CATALOGUE).await?;
    // Placement and requests know hosts by what a provider said of them; nobody asks one here.
    let mut installation = Installation::new(cairnd)?;
    installation.set("DATABASE_URL", &place.url);
    let warm = place.team("warm").await?;
    table.time("cold_start_serve", installation.cold_start("serve", &warm.token).await?);
    let running = installation.start("serve")?;
    installation.answered("/v2/account", &warm.token).await?;
    load::order_servers(installation.port(), &[warm.token.as_str(); 8], 10, order).await?;

    let mut thousand = None;
    for (clients, each) in LOADS {
        let team = place.team(&format!("serve-{clients}")).await?;
        let cpu = Cpu::start(&[running.pid()?, ground.postgres.pid()]);
        let measured =
            load::order_servers(installation.port(), &vec![team.token.as_str(); clients], each, order).await?;
        let cpu = cpu.ms_per(clients * each);
        place.show_statements().await?;
        post_rows(table, "serve_only", clients, measured);
        table.number(&format!("post_serve_only_{clients}_clients_cpu_ms_per_request"), cpu);
        if clients == 8 {
            thousand = Some(team);
        }
    }
    let mut teams = Vec::new();
    for number in 0..TEAMS {
        teams.push(place.team(&format!("of-eight-{number}")).await?);
    }
    let (clients, each) = LOADS[2];
    let tokens: Vec<&str> = teams.iter().map(|team| team.token.as_str()).cycle().take(clients).collect();
    let measured = load::order_servers(installation.port(), &tokens, each, order).await?;
    post_rows(table, "serve_only_8_teams", clients, measured);
    let unlike = place.team("unlike").await?;
    let tokens = vec![unlike.token.as_str(); clients];
    let measured = load::order_servers(installation.port(), &tokens, each, order_unlike_others).await?;
    post_rows(table, "serve_only_no_two_alike", clients, measured);
    let thousand = thousand.context("no load of eight clients")?;
    let read = reading::measure(installation.port(), &thousand, 1000).await?;
    table.time("get_one_p50", read.one_p50);
    table.time("get_one_p99", read.one_p99);
    table.time("list_page_of_200_among_1000_p50", read.page_p50);
    running.stop().await
}

async fn working(ground: &Ground, table: &mut Table) -> Result<()> {
    let place = ground.place("working", CATALOGUE).await?;
    let (child, port) = cloud(&place, ground).await?;
    let pid = i32::try_from(child.id().context("it has ended")?)?;
    let warm = place.team("warm").await?;
    load::order_servers(port, &[warm.token.as_str(); 8], 10, order).await?;
    place.all_active(&warm, 80).await?;
    for (clients, each) in LOADS {
        let team = place.team(&format!("work-{clients}")).await?;
        let cpu = Cpu::start(&[pid, ground.postgres.pid()]);
        let began = Instant::now();
        let measured = load::order_servers(port, &vec![team.token.as_str(); clients], each, order).await?;
        let ordered = clients * each;
        place.all_active(&team, ordered).await?;
        let (whole, cpu) = (began.elapsed(), cpu.ms_per(ordered));
        place.show_statements().await?;
        post_rows(table, "with_work", clients, measured);
        if clients == 32 {
            let count = f64::from(u32::try_from(ordered)?);
            table.number("servers_to_active_per_s_32_clients", count / whole.as_secs_f64());
            table.number("cpu_ms_per_server_cairn_and_postgres", cpu);
        }
    }
    drop(child);
    Ok(())
}

/// Starts `bench cloud`; its process and its port. It ends with the value.
async fn cloud(place: &Place, ground: &Ground) -> Result<(Child, u16)> {
    let log = std::fs::File::create(ground.path().join("cloud.log"))?;
    let mut child = Command::new(std::env::current_exe()?)
        .args(["cloud", &place.url])
        .env("RUST_LOG", LOG_FILTER)
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line).await?;
    let port = line.trim().parse().with_context(|| {
        let log = std::fs::read_to_string(ground.path().join("cloud.log")).unwrap_or_default();
        format!("the cloud did not start: {log}")
    })?;
    Ok((child, port))
}

fn post_rows(table: &mut Table, how: &str, clients: usize, mut measured: Measured) {
    let name = format!("post_{how}_{clients}_clients");
    table.time(&format!("{name}_p50"), percentile(&mut measured.times, 50));
    table.time(&format!("{name}_p99"), percentile(&mut measured.times, 99));
    table.number(&format!("{name}_accepted_per_s"), measured.rate());
}
