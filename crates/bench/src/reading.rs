//! One server, and pages of two hundred of many.

use crate::ground::Team;
use crate::load::Client;
use crate::table::percentile;
use anyhow::{Result, ensure};
use std::time::{Duration, Instant};

const GETS: usize = 2000;
const PAGE: usize = 200;
const PAGES: usize = 5;
const ROUNDS: usize = 10;

/// How long reading takes, one client.
pub(crate) struct Read {
    /// `GET /v2/droplets/ID`.
    pub(crate) one_p50: Duration,
    /// The same.
    pub(crate) one_p99: Duration,
    /// One of the first five pages.
    pub(crate) page_p50: Duration,
    /// The last page that is full, which is read past all others.
    pub(crate) last_page_p50: Duration,
}

/// Reads what a team has, which must be `at_least` so many servers.
pub(crate) async fn measure(port: u16, team: &Team, at_least: usize) -> Result<Read> {
    let mut client = Client::connect(port, &team.token).await?;
    let answer = client.expect(200, "GET", &page_path(1), "").await?;
    let answer: serde_json::Value = serde_json::from_slice(answer)?;
    let total = usize::try_from(answer["meta"]["total"].as_u64().unwrap_or_default())?;
    ensure!(total >= at_least, "only {total} servers to list");
    let rows = answer["droplets"].as_array().into_iter().flatten();
    let ids: Vec<i64> = rows.filter_map(|server| server["id"].as_i64()).collect();
    let mut ones = Vec::with_capacity(GETS);
    for id in ids.iter().cycle().take(GETS) {
        ones.push(timed(&mut client, &format!("/v2/droplets/{id}")).await?);
    }
    let last = (total / PAGE).max(1);
    let (mut pages, mut lasts) = (Vec::new(), Vec::new());
    for page in (1..=PAGES).cycle().take(PAGES * ROUNDS) {
        pages.push(timed(&mut client, &page_path(page)).await?);
    }
    for _ in 0..ROUNDS {
        lasts.push(timed(&mut client, &page_path(last)).await?);
    }
    Ok(Read {
        one_p50: percentile(&mut ones, 50),
        one_p99: percentile(&mut ones, 99),
        page_p50: percentile(&mut pages, 50),
        last_page_p50: percentile(&mut lasts, 50),
    })
}

fn page_path(page: usize) -> String {
    format!("/v2/droplets?per_page={PAGE}&page={page}")
}

async fn timed(client: &mut Client, path: &str) -> Result<Duration> {
    let sent = Instant::now();
    client.expect(200, "GET", path, "").await?;
    Ok(sent.elapsed())
}
