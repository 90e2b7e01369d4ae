//! `cairn admin guest`: guests that are not ours, and taking them over.

use super::things::InRegion;
use super::{below, get, team};
use crate::client::Call;
use crate::command::confirmation::Confirmation;
use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::session::Session;
use crate::waiting::{Deadline, Waiting};
use clap::{Args, Subcommand};
use uuid::Uuid;
use wire::admin::{AdoptedGuest, Adoption, AdoptionState, Guest, GuestAdopt, GuestKind, GuestPower};

/// What can be done with guests that are not ours.
#[derive(Debug, Subcommand)]
pub(super) enum GuestCommand {
    /// List guests that are not ours, as they were last seen
    List(InRegion),
    /// Make a guest a server of a team, and wait until it is one; it is neither stopped nor changed
    Adopt(AdoptArguments),
}

/// Which guest, and whose it becomes.
#[derive(Debug, Args)]
pub(super) struct AdoptArguments {
    /// Its number or name at the provider
    guest: String,
    /// The region that it is in
    #[arg(long, value_name = "SLUG")]
    region: String,
    /// The team whose server it becomes, by id or by a name that only one has
    #[arg(long, value_name = "TEAM")]
    team: String,
    /// What the server is called; as the guest is called there if not given
    #[arg(long)]
    name: Option<String>,
    /// The size under which it is counted; the smallest that is at least as big if not given
    #[arg(long, value_name = "SLUG")]
    size: Option<String>,
    /// Give it to the team although its quota has no room for it
    #[arg(long)]
    over_quota: bool,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    waiting: Waiting,
}

impl Shown for Guest {
    const COLUMNS: &'static [&'static str] =
        &["REGION", "HOST", "GUEST", "TITLE", "KIND", "POWER", "VCPUS", "MEMORY", "DISK", "OWNER"];

    fn row(&self) -> Vec<String> {
        let kind = match self.kind {
            GuestKind::Machine => "machine",
            GuestKind::Container => "container",
            GuestKind::Unknown => "unknown",
        };
        let power = match self.power {
            Some(GuestPower::Running) => "running",
            Some(GuestPower::Stopped) => "stopped",
            Some(GuestPower::Unknown) | None => "unknown",
        };
        vec![
            self.region.clone(),
            self.host.clone(),
            self.name.clone(),
            self.title.clone(),
            kind.to_owned(),
            power.to_owned(),
            self.vcpus.to_string(),
            format!("{} MiB", self.memory_mib),
            format!("{} GB", self.disk_gb),
            self.owner.clone().unwrap_or_default(),
        ]
    }

    fn word(&self) -> String {
        self.name.clone()
    }
}

impl Shown for AdoptedGuest {
    const COLUMNS: &'static [&'static str] = &["SERVER", "WORKFLOW"];

    fn row(&self) -> Vec<String> {
        vec![self.server_id.to_string(), self.workflow_id.to_string()]
    }

    fn word(&self) -> String {
        self.server_id.to_string()
    }
}

/// Does it.
pub(super) async fn run(command: GuestCommand, session: &Session) -> Result<()> {
    match command {
        GuestCommand::List(of) => {
            let call = get(&[&"guests"]).query_if("region", of.region);
            session.printer.many(&session.client.list::<Guest>(&call, "guests").await?)
        }
        GuestCommand::Adopt(arguments) => adopt(arguments, session).await,
    }
}

async fn adopt(arguments: AdoptArguments, session: &Session) -> Result<()> {
    let AdoptArguments { guest, region, team, name, size, over_quota, confirmation, waiting } = arguments;
    confirmation.ask(&format!("Make guest {guest} of {region} a server of team {team}, which pays for it?"))?;
    let team_id = team::find(session, &team).await?;
    let over_quota = over_quota.then_some(true);
    let body = GuestAdopt { region: region.clone(), guest: guest.clone(), team_id, name, size, over_quota };
    let deadline = waiting.deadline();
    let call = Call::post(&below(&[&"guests", &"adopt"]), &body)?;
    let adopted = session.client.whole::<AdoptedGuest>(&call).await;
    let adopted = adopted.map_err(|failure| failure.during(format!("cannot adopt {guest} of {region}")))?;
    if waiting.no_wait {
        session.progress.say(&format!(
            "{guest} is being taken over; cairn admin server list --region {region} shows it, and an alert says if it could \
             not be"
        ));
    } else {
        over(session, &format!("{guest} of {region}"), adopted.value.workflow_id, deadline).await?;
    }
    session.printer.one(&adopted)
}

/// Waits until a guest is a server; fails if it was left as it was.
async fn over(session: &Session, guest: &str, workflow: Uuid, mut deadline: Deadline) -> Result<()> {
    loop {
        let look = session.client.one::<Adoption>(&get(&[&"guests", &"adoptions", &workflow]), "adoption").await;
        if let Some(adoption) = deadline.bear(session, look)? {
            let said = adoption.value.sentence.unwrap_or_default();
            match adoption.value.state {
                AdoptionState::Completed => {
                    session.progress.stands(guest, &format!("is server {}", adoption.value.server_id), "");
                    return Ok(());
                }
                AdoptionState::Failed => {
                    let failure = Failure::new(Ending::Refused, format!("{guest} was not adopted: {said}"));
                    return Err(failure.suggest("cairn admin guest adopt again, when that is mended"));
                }
                AdoptionState::Running | AdoptionState::Unknown => {
                    session.progress.stands(guest, "is being taken over", &said);
                }
            }
        }
        let again = deadline.pause(1, &format!("adopting {guest}")).await;
        again.map_err(|failure| failure.suggest("cairn admin alert list"))?;
    }
}
