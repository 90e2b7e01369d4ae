//! The database that the rates are measured on: a private PostgreSQL as `cairnd dev` has it, with `fsync`, on the disk.

use anyhow::{Context, Result, bail};
use model::catalogue::Catalogue;
use model::ids::{OrganizationId, TeamId};
use model::quota::Limits;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};
use store::Store;
use store::private::PrivatePostgres;
use tempfile::TempDir;
use tokio::time::sleep;

/// The region of the instant provider, and of the simulated cluster.
pub(crate) const REGION: &str = "bench";

macro_rules! goods {
    () => {
        r#"
[[size]]
slug = "small"
description = "Basic"
vcpus = 1
memory_mib = 1024
disk_gb = 10
transfer_tb = 1
price_monthly = 6
price_hourly = 0.00893

[[image]]
slug = "bench"
name = "Benchmark"
distribution = "Debian"
url = "https://127.0.0.1/bench.qcow2"
checksum = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
min_disk_gb = 4
default_user = "debian"
"#
    };
}

/// The addresses of a default VPC are the narrowest bound: no team may be given more than 4,093 servers.
pub(crate) const CATALOGUE: &str = concat!(
    r#"
[[region]]
slug = "bench"
name = "Benchmark"
provider = "instant"
vpc_range = "10.116.0.0/16"

[[region.pool]]
name = "public"
kind = "public_nat"
range = "198.18.0.0/15"
"#,
    goods!()
);

/// What every region of the bench offers.
pub(crate) const GOODS: &str = goods!();

const LIMITS: Limits = Limits {
    servers: 1_000_000,
    vcpus: 1_000_000,
    memory_mib: 1 << 40,
    disk_gb: 1 << 40,
    snapshots: 1000,
    ssh_keys: 1000,
};

/// Nothing takes this long that is still under way.
const STUCK: Duration = Duration::from_secs(60);

/// A directory that PostgreSQL's own account can enter, gone with the value.
pub(crate) fn directory() -> Result<TempDir> {
    let open = std::fs::Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix("cairn-bench-").permissions(open).tempdir()?)
}

/// A running PostgreSQL with databases for measurements.
pub(crate) struct Ground {
    /// The server.
    pub(crate) postgres: PrivatePostgres,
    directory: TempDir,
    statements: bool,
}

/// One database with the schema, the catalogue and an organization.
pub(crate) struct Place {
    /// For whoever serves it.
    pub(crate) url: String,
    /// For looking behind its back.
    pub(crate) store: Store,
    organization: OrganizationId,
    statements: bool,
}

/// A team of its own, with a quota that nobody reaches.
pub(crate) struct Team {
    /// Its id.
    pub(crate) id: TeamId,
    /// Its token.
    pub(crate) token: String,
}

impl Ground {
    pub(crate) async fn start(statements: bool) -> Result<Self> {
        let directory = directory()?;
        let watched = [("shared_preload_libraries", "pg_stat_statements"), ("pg_stat_statements.track_planning", "on")];
        let settings = if statements { &watched[..] } else { &[] };
        let postgres = PrivatePostgres::start_with(&directory.path().join("postgres"), settings).await?;
        Ok(Self { postgres, directory, statements })
    }

    /// For logs.
    pub(crate) fn path(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub(crate) async fn place(&self, name: &str, catalogue: &str) -> Result<Place> {
        self.postgres.create_database_if_missing(name).await?;
        let url = self.postgres.url(name);
        let store = Store::connect(&url, 4).await?;
        store.migrate().await?;
        let catalogue = Catalogue::parse(catalogue).map_err(|error| anyhow::anyhow!("the catalogue: {error}"))?;
        store::catalogue::apply(&store, &catalogue).await?;
        let made = store::tenancy::bootstrap(&store, "Bench", "First", "bench@localhost.localdomain").await?;
        if self.statements {
            sqlx::query("CREATE EXTENSION pg_stat_statements").execute(store.pool()).await?;
        }
        Ok(Place {
            statements: self.statements,
            url,
            store,
            organization: made.context("the database was not new")?.organization,
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        Ok(self.postgres.stop().await?)
    }
}

impl Place {
    pub(crate) async fn team(&self, name: &str) -> Result<Team> {
        let mut tx = self.store.begin().await?;
        let email = "bench@localhost.localdomain";
        let id = store::tenancy::create_team(&mut tx, self.organization, name, email, LIMITS).await?;
        let token = store::tenancy::mint_token(&mut tx, id, "bench", &[]).await?;
        tx.commit().await?;
        Ok(Team { id, token: token.secret.reveal().to_owned() })
    }

    /// Says what the database was busy with since it was last asked.
    pub(crate) async fn show_statements(&self) -> Result<()> {
        if !self.statements {
            return Ok(());
        }
        let rows: Vec<(i64, f64, f64, String)> = sqlx::query_as(
            "SELECT calls, total_plan_time / calls, total_exec_time / calls,
                    left(regexp_replace(query, '\\s+', ' ', 'g'), 100)
             FROM pg_stat_statements WHERE calls > 0 AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
             ORDER BY total_plan_time + total_exec_time DESC LIMIT 16",
        )
        .fetch_all(self.store.pool())
        .await?;
        eprintln!("   calls  plan ms  exec ms  statement");
        for (calls, plan, run, text) in rows {
            eprintln!("{calls:>8} {plan:>8.3} {run:>8.3}  {text}");
        }
        sqlx::query("SELECT pg_stat_statements_reset()").execute(self.store.pool()).await?;
        Ok(())
    }

    /// Statements and COMMITs since [`Self::show_statements`] was last asked; `None`: they are not watched.
    pub(crate) async fn statements_and_commits(&self) -> Result<Option<(i64, i64)>> {
        if !self.statements {
            return Ok(None);
        }
        // Our own looks at how far it is are nobody's cost.
        let row = sqlx::query_as(
            "SELECT coalesce(sum(calls), 0)::bigint, coalesce(sum(calls) FILTER (WHERE query ILIKE 'commit%'), 0)::bigint
             FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
               AND query NOT LIKE 'SELECT count(*) FROM workflows%'",
        );
        Ok(Some(row.fetch_one(self.store.pool()).await?))
    }

    /// Waits until so many of a team's servers have come up.
    pub(crate) async fn all_active(&self, team: &Team, count: usize) -> Result<()> {
        self.all_in(team, "resting", count).await
    }

    /// Waits until so many of a team's servers are gone.
    pub(crate) async fn all_gone(&self, team: &Team, count: usize) -> Result<()> {
        self.all_in(team, "undone", count).await
    }

    /// What one of those that are not in this state says of itself.
    async fn a_straggler(&self, team: &Team, state: &str) -> Result<String> {
        let said: Option<String> = sqlx::query_scalar(
            "SELECT concat_ws(' · ', subject, state, direction, step_name, waiting_for, last_error, refusal::text)
             FROM workflows WHERE team_id = $1 AND state <> $2 ORDER BY created_at LIMIT 1",
        )
        .bind(team.id.0)
        .bind(state)
        .fetch_optional(self.store.pool())
        .await?;
        Ok(said.unwrap_or_default())
    }

    async fn all_in(&self, team: &Team, state: &str, count: usize) -> Result<()> {
        let wanted = i64::try_from(count)?;
        let (mut best, mut moved) = (0, Instant::now());
        loop {
            let now: i64 = sqlx::query_scalar("SELECT count(*) FROM workflows WHERE team_id = $1 AND state = $2")
                .bind(team.id.0)
                .bind(state)
                .fetch_one(self.store.pool())
                .await?;
            if now >= wanted {
                return Ok(());
            }
            if now > best {
                (best, moved) = (now, Instant::now());
            }
            if moved.elapsed() > STUCK {
                bail!(
                    "{now} of {wanted} servers are {state}, and no more follow; {}",
                    self.a_straggler(team, state).await?
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
