//! `cairn admin team`: whose servers there are.

use super::get;
use crate::failure::Result;
use crate::find as names;
use crate::print::Shown;
use crate::session::Session;
use clap::Subcommand;
use uuid::Uuid;
use wire::admin::{Team, TeamAmount};

/// What can be done with teams.
#[derive(Debug, Subcommand)]
pub(super) enum TeamCommand {
    /// List teams, and how much of their quotas they use
    List,
}

impl Shown for Team {
    const COLUMNS: &'static [&'static str] =
        &["ID", "NAME", "ORGANIZATION", "SERVERS", "VCPUS", "MEMORY (MiB)", "DISK (GB)", "CREATED"];

    fn row(&self) -> Vec<String> {
        let of = |amount: TeamAmount| format!("{} of {}", amount.used, amount.limit);
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.organization.clone(),
            of(self.servers),
            of(self.vcpus),
            of(self.memory_mib),
            of(self.disk_gb),
            self.created_at.to_string(),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }
}

/// Does it.
pub(super) async fn run(command: TeamCommand, session: &Session) -> Result<()> {
    let TeamCommand::List = command;
    session.printer.many(&session.client.list::<Team>(&get(&[&"teams"]), "teams").await?)
}

/// A team's id, from that or from a name that only one has.
pub(super) async fn find(session: &Session, text: &str) -> Result<Uuid> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let found = session.client.list::<Team>(&get(&[&"teams"]).query("name", text), "teams").await?;
    let found = names::only(found, text, |team| team.id.to_string());
    Ok(found.map_err(|failure| failure.during(format!("team {text}")).suggest("cairn admin team list"))?.value.id)
}
