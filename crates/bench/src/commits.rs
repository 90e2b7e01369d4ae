//! What the same PostgreSQL on the same disk can commit at all: one row, one statement, one commit.

use anyhow::Result;
use sqlx::{Connection, Executor, PgConnection};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const FOR: Duration = Duration::from_secs(3);

/// Commits a second of so many connections.
pub(crate) async fn rate(url: &str, connections: usize) -> Result<f64> {
    let mut first = PgConnection::connect(url).await?;
    first.execute("CREATE TABLE IF NOT EXISTS bench_commits (id bigint GENERATED ALWAYS AS IDENTITY, n int)").await?;
    first.close().await?;
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(PgConnection::connect(url).await?);
    }
    let began = Instant::now();
    let mut tasks: JoinSet<sqlx::Result<u32>> = JoinSet::new();
    for mut connection in open {
        tasks.spawn(async move {
            let mut count = 0_u32;
            while began.elapsed() < FOR {
                sqlx::query("INSERT INTO bench_commits (n) VALUES (1)").execute(&mut connection).await?;
                count += 1;
            }
            Ok(count)
        });
    }
    let mut commits = 0;
    while let Some(count) = tasks.join_next().await {
        commits += count??;
    }
    Ok(f64::from(commits) / began.elapsed().as_secs_f64())
}
