//! `cairn admin migration`: servers that move from one host to another.

use super::things::{InRegion, find_server};
use super::{below, get};
use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::session::Session;
use crate::waiting::{Deadline, Timeout, Waiting};
use clap::{Args, Subcommand};
use uuid::Uuid;
use wire::admin::{Migration, MigrationCreate, MigrationState};

/// What can be done with migrations.
#[derive(Debug, Subcommand)]
pub(super) enum MigrationCommand {
    /// List migrations, the newest first
    List(InRegion),
    /// Show a migration
    Get {
        /// Which one
        id: Uuid,
    },
    /// Move a server to another host, and wait until it is there
    Start(StartArguments),
    /// Wait until a migration is over
    Watch {
        /// Which one
        id: Uuid,
        #[command(flatten)]
        timeout: Timeout,
    },
}

/// What is moved, and where to.
#[derive(Debug, Args)]
pub(super) struct StartArguments {
    /// Which server, by id or by a name that only one has
    server: String,
    /// The host to move it to, by id or name; chosen for you if not given
    #[arg(long, value_name = "HOST")]
    to: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

impl Shown for Migration {
    const COLUMNS: &'static [&'static str] =
        &["ID", "SERVER", "REGION", "FROM", "TO", "REASON", "STATE", "PROGRESS", "STARTED"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.server.clone(),
            self.region.clone(),
            self.from.clone().unwrap_or_default(),
            self.to.clone().unwrap_or_default(),
            self.reason.clone(),
            state(self.state).to_owned(),
            self.progress.clone().unwrap_or_default(),
            self.started_at.to_string(),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.row()).collect();
        lines.extend([
            ("DETAIL", self.sentence.clone().unwrap_or_default()),
            ("FINISHED", self.finished_at.map(|time| time.to_string()).unwrap_or_default()),
        ]);
        lines
    }
}

const fn state(state: MigrationState) -> &'static str {
    match state {
        MigrationState::Running => "running",
        MigrationState::Completed => "completed",
        MigrationState::Failed => "failed",
        MigrationState::Cancelled => "cancelled",
        MigrationState::Unknown => "unknown",
    }
}

/// Whether it is over without the server having moved.
pub(super) fn unfinished(migration: &Migration) -> bool {
    matches!(migration.state, MigrationState::Failed | MigrationState::Cancelled)
}

/// Does it.
pub(super) async fn run(command: MigrationCommand, session: &Session) -> Result<()> {
    match command {
        MigrationCommand::List(of) => {
            let call = get(&[&"migrations"]).query_if("region", of.region);
            session.printer.many(&session.client.list::<Migration>(&call, "migrations").await?)
        }
        MigrationCommand::Get { id } => session.printer.one(&look(session, id).await?),
        MigrationCommand::Watch { id, timeout } => session.printer.one(&over(session, id, timeout.deadline()).await?),
        MigrationCommand::Start(arguments) => start(arguments, session).await,
    }
}

async fn start(arguments: StartArguments, session: &Session) -> Result<()> {
    let server = find_server(session, &arguments.server).await?;
    let host_id = match &arguments.to {
        Some(host) => Some(super::host::find(session, host, Some(&server.region)).await?.value.id),
        None => None,
    };
    let deadline = arguments.waiting.deadline();
    let call = Call::post(&below(&[&"migrations"]), &MigrationCreate { server_id: server.id, host_id })?;
    let begun = session.client.one::<Migration>(&call, "migration").await;
    let begun = begun.map_err(|failure| failure.during(format!("cannot move {}", server.name)))?;
    if arguments.waiting.no_wait {
        return session.printer.one(&begun);
    }
    session.printer.one(&over(session, begun.value.id, deadline).await?)
}

async fn look(session: &Session, id: Uuid) -> Result<Document<Migration>> {
    let found = session.client.one(&get(&[&"migrations", &id]), "migration").await;
    found.map_err(|failure| failure.during(format!("migration {id}")))
}

/// Those of these that are over.
pub(super) async fn ended(session: &Session, ids: &[Uuid]) -> Result<Vec<Migration>> {
    let mut over = Vec::new();
    for id in ids {
        let migration = look(session, *id).await?.value;
        if migration.finished_at.is_some() {
            over.push(migration);
        }
    }
    Ok(over)
}

/// Waits until it is over; fails if the server has not moved.
async fn over(session: &Session, id: Uuid, mut deadline: Deadline) -> Result<Document<Migration>> {
    loop {
        let look = look(session, id).await;
        if let Some(migration) = deadline.bear(session, look)? {
            let told = migration.value.sentence.clone().unwrap_or_else(|| state(migration.value.state).to_owned());
            if unfinished(&migration.value) {
                let sentence = format!("{} was not moved: {told}", migration.value.server);
                return Err(Failure::new(Ending::Refused, sentence).suggest("cairn admin alert list"));
            }
            if migration.value.finished_at.is_some() {
                return Ok(migration);
            }
            let progress = migration.value.progress.clone().unwrap_or_default();
            session.progress.stands(&migration.value.server, &told, &progress);
        }
        let again = deadline.pause(1, &format!("migration {id}")).await;
        again.map_err(|failure| failure.suggest(format!("cairn admin migration watch {id}")))?;
    }
}
