//! `cairn admin host`: the machines that carry servers, keeping new ones off them, and emptying them.

use super::migration::{ended, unfinished};
use super::things::{InRegion, yes};
use super::{below, get};
use crate::client::Call;
use crate::command::confirmation::Confirmation;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::find as names;
use crate::print::Shown;
use crate::session::Session;
use crate::waiting::{Deadline, Waiting};
use clap::{Args, Subcommand, ValueEnum};
use std::fmt::Write as _;
use uuid::Uuid;
use wire::admin::{Host, HostAmounts, HostDrain, HostState, HostUpdate};

/// What can be done with hosts. HOST is an id, a name that only one has, or REGION/NAME.
#[derive(Debug, Subcommand)]
pub(super) enum HostCommand {
    /// List hosts, with what may be sold of them and what is reserved
    List(InRegion),
    /// Show a host
    Get {
        /// Which one, by id, name or REGION/NAME
        host: String,
    },
    /// Empty a host: no new servers, and each that it has moves elsewhere
    Drain(DrainArguments),
    /// Keep new servers off a host, or let them on again
    Maintenance {
        /// Which one, by id, name or REGION/NAME
        host: String,
        /// `on`: no new servers; those that it has stay. `off`: as usual, which also ends emptying it
        switch: Switch,
    },
    /// Say which words placement may go by; none takes them away
    Tag {
        /// Which one, by id, name or REGION/NAME
        host: String,
        /// The words, in place of those that it has
        #[arg(value_name = "WORD")]
        tags: Vec<String>,
    },
}

/// Whether something holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Switch {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// Which host, and how long to wait.
#[derive(Debug, Args)]
pub(super) struct DrainArguments {
    /// Which one, by id, name or REGION/NAME
    host: String,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    waiting: Waiting,
}

impl Shown for Host {
    const COLUMNS: &'static [&'static str] =
        &["REGION", "NAME", "STATE", "SERVERS", "VCPUS", "MEMORY (MiB)", "DISK (GB)", "GPUS", "TAGS"];

    fn row(&self) -> Vec<String> {
        let of = |amount: fn(&HostAmounts) -> i64| format!("{} of {}", amount(&self.reserved), amount(&self.capacity));
        vec![
            self.region.clone(),
            self.name.clone(),
            state(self),
            self.servers.to_string(),
            of(|amounts| amounts.vcpus),
            of(|amounts| amounts.memory_mib),
            of(|amounts| amounts.disk_gb),
            gpus(self),
            self.tags.join(", "),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("ID", self.id.to_string())];
        lines.extend(Self::COLUMNS.iter().copied().zip(self.row()));
        lines.extend([
            ("VERSION", self.version.clone().unwrap_or_default()),
            ("ARCHITECTURE", self.architecture.clone().unwrap_or_default()),
            ("SEEN", self.seen_at.map(|time| time.to_string()).unwrap_or_default()),
            ("DRAINING", yes(self.draining)),
        ]);
        lines
    }
}

/// `1 of 2 a100`, for each kind.
fn gpus(host: &Host) -> String {
    let kinds = host.gpus.iter().map(|gpus| format!("{} of {} {}", gpus.reserved, gpus.total, gpus.mapping));
    kinds.collect::<Vec<_>>().join(", ")
}

fn state(host: &Host) -> String {
    let word = match host.state {
        HostState::Up => "up",
        HostState::Maintenance if host.draining => "draining",
        HostState::Maintenance => "maintenance",
        HostState::Gone => "gone",
        HostState::Unknown => "unknown",
    };
    word.to_owned()
}

/// Does it.
pub(super) async fn run(command: HostCommand, session: &Session) -> Result<()> {
    match command {
        HostCommand::List(of) => {
            let call = get(&[&"hosts"]).query_if("region", of.region);
            session.printer.many(&session.client.list::<Host>(&call, "hosts").await?)
        }
        HostCommand::Get { host } => session.printer.one(&find(session, &host, None).await?),
        HostCommand::Drain(arguments) => drain(arguments, session).await,
        HostCommand::Maintenance { host, switch } => {
            let update = HostUpdate { maintenance: Some(switch == Switch::On), ..HostUpdate::default() };
            change(session, &host, &update).await
        }
        HostCommand::Tag { host, tags } => {
            change(session, &host, &HostUpdate { tags: Some(tags), ..HostUpdate::default() }).await
        }
    }
}

async fn change(session: &Session, host: &str, update: &HostUpdate) -> Result<()> {
    let found = find(session, host, None).await?.value;
    let changed = session.client.one::<Host>(&Call::put(&below(&[&"hosts", &found.id]), update)?, "host").await;
    session.printer.one(&changed.map_err(|failure| failure.during(format!("host {host}")))?)
}

/// A host, by id, by `REGION/NAME`, or by a name that only one has.
pub(super) async fn find(session: &Session, text: &str, region: Option<&str>) -> Result<Document<Host>> {
    let about = |failure: Failure| {
        let missing = failure.ending == Ending::NotFound;
        let failure = failure.during(format!("host {text}"));
        if missing { failure.suggest("cairn admin host list") } else { failure }
    };
    if let Ok(id) = text.parse::<Uuid>() {
        return session.client.one(&get(&[&"hosts", &id]), "host").await.map_err(about);
    }
    let (region, name) = match text.split_once('/') {
        Some((region, name)) => (Some(region), name),
        None => (region, text),
    };
    let call = get(&[&"hosts"]).query_if("region", region);
    let mut found = session.client.list::<Host>(&call, "hosts").await?;
    found.retain(|host| host.value.name == name);
    names::only(found, text, |host| format!("{}/{}", host.region, host.name)).map_err(about)
}

/// Empties a host, and waits until nothing stands on it.
async fn drain(arguments: DrainArguments, session: &Session) -> Result<()> {
    let DrainArguments { host, confirmation, waiting } = arguments;
    let found = find(session, &host, None).await?.value;
    let (name, count) = (format!("{}/{}", found.region, found.name), found.servers);
    confirmation.ask(&format!("Take {name} out of use and move {count} server(s) away?"))?;
    let deadline = waiting.deadline();
    let call = Call::post(&below(&[&"hosts", &found.id, &"drain"]), &serde_json::json!({}))?.repeatable();
    let begun = session.client.whole::<HostDrain>(&call).await;
    let begun = begun.map_err(|failure| failure.during(format!("cannot empty {name}")))?.value;
    if waiting.no_wait || begun.host.servers == 0 {
        return session.printer.one(&Document::of(begun.host)?);
    }
    session.printer.one(&emptied(session, &name, &begun, deadline).await?)
}

/// Waits. What could not move is told when everything that was begun is over.
async fn emptied(session: &Session, name: &str, begun: &HostDrain, mut deadline: Deadline) -> Result<Document<Host>> {
    loop {
        let look = session.client.one::<Host>(&get(&[&"hosts", &begun.host.id]), "host").await;
        if let Some(host) = deadline.bear(session, look)? {
            if host.value.servers == 0 {
                return Ok(host);
            }
            let left = host.value.servers;
            session.progress.stands(name, &format!("{left} server(s) left"), "");
            let over = ended(session, &begun.migrations).await?;
            if over.len() == begun.migrations.len() && begun.waiting == 0 {
                return Err(stayed(name, left, &over));
            }
        }
        deadline.pause(begun.migrations.len(), &format!("emptying {name}")).await?;
    }
}

fn stayed(name: &str, left: i64, over: &[wire::admin::Migration]) -> Failure {
    let mut sentence = format!("{left} server(s) stay on {name}");
    for migration in over.iter().filter(|migration| unfinished(migration)) {
        let why = migration.sentence.clone().unwrap_or_else(|| "no reason is known".to_owned());
        // Writing to a string cannot fail.
        let _ = write!(sentence, "; {}: {why}", migration.server);
    }
    Failure::new(Ending::Refused, sentence).suggest("cairn admin migration list; then drain it again")
}
