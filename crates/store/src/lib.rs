//! PostgreSQL: the only truth. Every SQL statement of the product stands in this crate, one file per
//! aggregate; `migrations/` holds the schema, whose constraints are the last line of defence.
//!
//! Two kinds of access, two types:
//! - [`Store::tenant`] opens a transaction under the `cairn_api` role with `cairn.team` set, so that
//!   row-level security hides every row of every other team even if a query forgets its filter;
//! - [`Store::begin`] opens one with the rights of the daemon itself, for workers, observers and operators.

use model::ids::{OrganizationId, TeamId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool, Postgres, Transaction};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

pub mod actions;
pub mod addresses;
pub mod alerts;
pub mod audit;
pub mod catalogue;
pub mod events;
pub mod glances;
pub mod guest_numbers;
pub mod hosts;
pub mod idempotency;
pub mod images;
pub mod keys;
pub mod mails;
pub mod migrations;
pub mod networks;
pub mod operators;
pub mod private;
pub mod probes;
pub mod quota;
pub mod readiness;
pub mod regions;
pub mod retention;
mod rows;
pub mod servers;
pub mod storages;
pub mod strangers;
pub mod tags;
pub mod teams;
pub mod templates;
pub mod tenancy;
#[cfg(feature = "testing")]
pub mod testing;
pub mod usage;
pub mod workflow;

/// What can go wrong between the product and its database.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The statement or the connection failed.
    #[error("the database refused or could not be reached")]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error("a migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// A row holds what its constraints should have excluded.
    #[error("a stored value cannot be read: {0}")]
    Corrupt(String),
    /// The lease that this transaction was begun under belongs to another worker now.
    #[error("the lease was taken by another worker")]
    Fenced,
}

/// The result of a store call.
pub type Result<T> = std::result::Result<T, Error>;

/// A transaction; rolls back when dropped.
pub type Tx = Transaction<'static, Postgres>;

/// A connection, in a transaction or not.
pub type Connection = sqlx::PgConnection;

/// The handle to the database. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    shelf: std::sync::Arc<catalogue::shelf::Place>,
}

/// A beginning that is carried to its end whether or not somebody waits for it.
struct Whole(Option<Beginning>);

type Beginning = Pin<Box<dyn Future<Output = sqlx::Result<Tx>> + Send>>;

impl Future for Whole {
    type Output = sqlx::Result<Tx>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(beginning) = &mut self.0 else { return Poll::Ready(Err(sqlx::Error::WorkerCrashed)) };
        let begun = beginning.as_mut().poll(context);
        if begun.is_ready() {
            self.0 = None;
        }
        begun
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        // Without a runtime there is nothing left that could use the connection.
        if let (Some(beginning), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(beginning);
        }
    }
}

/// A transaction in which nothing is said for so long is ended by the database, and its locks with it: whoever opened it is
/// cut off, or stands still, and no other worker is to wait for that.
const STANDS_STILL: &str = "30s";

/// A lock that is not had within this is given up, and what wanted it is tried again: a lock that is held on purpose is
/// held for milliseconds.
const LOCK_IS_AWAITED: &str = "10s";

/// The schema, up and down.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("./migrations");

impl Store {
    /// Connects to `url` (`postgres://…`, or a socket directory as `postgres:///name?host=/dir`) with at most
    /// `connections` connections.
    pub async fn connect(url: &str, connections: u32) -> Result<Self> {
        // Every statement is used again and again, and none gains from knowing its values: planning a large one anew costs
        // more than running it, and left to itself PostgreSQL does so five times on each connection.
        let options = PgConnectOptions::from_str(url)?
            .application_name("cairnd")
            .options([("plan_cache_mode", "force_generic_plan")])
            .options([("idle_in_transaction_session_timeout", STANDS_STILL), ("lock_timeout", LOCK_IS_AWAITED)]);
        let pool =
            PgPoolOptions::new().max_connections(connections).test_before_acquire(false).connect_with(options).await?;
        Ok(Self { pool, shelf: std::sync::Arc::default() })
    }

    /// Brings the schema up to this build's version. Another process that is doing so is waited for, however long.
    pub async fn migrate(&self) -> Result<()> {
        let mut connection = self.pool.acquire().await?;
        connection.close_on_drop();
        sqlx::query("SET lock_timeout = 0").execute(&mut *connection).await?;
        Ok(MIGRATIONS.run(&mut *connection).await?)
    }

    /// The connection pool, for statements of this crate and for figures about it.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A connection with the daemon's own rights, for a single statement that needs no transaction.
    pub async fn connection(&self) -> Result<sqlx::pool::PoolConnection<Postgres>> {
        Ok(self.pool.acquire().await?)
    }

    /// Begins a transaction with the daemon's own rights (workers, observers, operators).
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_whole("BEGIN".to_owned()).await
    }

    /// Begins a transaction, to the end even when nobody waits for it any more.
    ///
    /// A client that goes away drops the future of its request. Dropped between sending BEGIN and hearing its answer, sqlx
    /// 0.9 does not know that a transaction is open, and gives the connection back to the pool with it: with the role and
    /// the team of one request, for the next one to run in. So a beginning that nobody waits for any more
    /// goes on as a task of its own; its transaction is then dropped whole, which rolls it back.
    async fn begin_whole(&self, statement: String) -> Result<Tx> {
        let pool = self.pool.clone();
        let beginning = Box::pin(async move { pool.begin_with(AssertSqlSafe(statement)).await });
        Ok(Whole(Some(beginning)).await?)
    }

    /// Begins a transaction that can see and write only `team`'s rows. One round trip.
    pub async fn tenant(&self, team: TeamId) -> Result<Tx> {
        // A UUID prints as hex digits and dashes only, so it is safe inside the statement; binding it
        // would cost a second round trip on every request.
        let begin = format!("BEGIN; SET LOCAL ROLE cairn_api; SET LOCAL cairn.team = '{}'", team.0);
        self.begin_whole(begin).await
    }

    /// Begins a transaction about an organization, made by somebody who acts for one of its teams: it can see and write the
    /// rows of that team, and what belongs to the organization as a whole (members, roles, teams and their tokens). One
    /// round trip.
    pub async fn organization(&self, organization: OrganizationId, team: TeamId) -> Result<Tx> {
        let begin = format!(
            "BEGIN; SET LOCAL ROLE cairn_api; SET LOCAL cairn.team = '{}'; SET LOCAL cairn.organization = '{}'",
            team.0, organization.0
        );
        self.begin_whole(begin).await
    }
}
