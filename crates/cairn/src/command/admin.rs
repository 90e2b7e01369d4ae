//! `cairn admin`: what operators do. Another audience than everything else here, with tokens of another kind.

mod add;
mod alert;
mod ask;
mod certificate;
mod choice;
mod findings;
mod guest;
mod host;
mod login;
mod migration;
mod policy;
mod proxmox;
mod region;
mod secret;
mod team;
mod things;

use crate::arguments::Global;
use crate::client::{Call, Token};
use crate::failure::{Failure, Result};
use crate::session::Session;
use clap::{Args, Subcommand};
use std::fmt::Display;
use std::path::PathBuf;

/// Run the installation: regions, hosts, and what is on them (for operators)
///
/// Takes an operator's token, which opens this and nothing else; a team's token does not open it. `cairnd dev` writes
/// the first one to `operator-token` in its data directory; elsewhere `cairnd operator-token create` prints one.
#[derive(Debug, Args)]
pub(crate) struct AdminArguments {
    /// Read the operator's token from this file instead; `-` is stdin [env: CAIRN_OPERATOR_TOKEN]
    #[arg(long, global = true, value_name = "FILE")]
    operator_token_file: Option<PathBuf>,
    #[command(subcommand)]
    command: AdminCommand,
}

/// What operators can do.
#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Store an operator's token with an installation
    ///
    /// With the current context, or with the installation that --url or --context names. The token is tried before it
    /// is stored, in the file that only its owner can read; a team's token that is stored there stays.
    Login,
    /// Show whose token is used
    Whoami,
    /// Where servers can stand: clusters, hosts, locations
    #[command(subcommand)]
    Region(Box<region::RegionCommand>),
    /// The machines that carry servers
    #[command(subcommand)]
    Host(host::HostCommand),
    /// What disks are kept on
    #[command(subcommand)]
    Storage(things::StorageCommand),
    /// The images of the catalogue in each region
    #[command(subcommand)]
    Template(things::TemplateCommand),
    /// Guests that are not ours, and taking them over
    #[command(subcommand)]
    Guest(guest::GuestCommand),
    /// Servers that move from one host to another
    #[command(subcommand)]
    Migration(migration::MigrationCommand),
    /// What somebody should look at
    #[command(subcommand)]
    Alert(alert::AlertCommand),
    /// Servers of all teams
    #[command(subcommand)]
    Server(things::ServerCommand),
    /// Whose servers there are
    #[command(subcommand)]
    Team(team::TeamCommand),
}

/// Does it.
pub(crate) async fn run(arguments: AdminArguments, global: &Global) -> Result<()> {
    let AdminArguments { operator_token_file: file, command } = arguments;
    if matches!(command, AdminCommand::Login) {
        return Box::pin(login::run(file.as_deref(), global)).await.map_err(advise);
    }
    let token = file.as_deref().map(|file| super::login::given(Some(file), "")).transpose()?;
    Box::pin(ask_for(command, global, token)).await.map_err(advise)
}

async fn ask_for(command: AdminCommand, global: &Global, token: Option<Token>) -> Result<()> {
    let session = &Session::open_as_operator(global, token)?;
    match command {
        AdminCommand::Login => Ok(()),
        AdminCommand::Whoami => login::whoami(session).await,
        AdminCommand::Region(command) => Box::pin(region::run(*command, session)).await,
        AdminCommand::Host(command) => Box::pin(host::run(command, session)).await,
        AdminCommand::Storage(command) => things::storages(command, session).await,
        AdminCommand::Template(command) => things::templates(command, session).await,
        AdminCommand::Guest(command) => guest::run(command, session).await,
        AdminCommand::Migration(command) => Box::pin(migration::run(command, session)).await,
        AdminCommand::Alert(command) => alert::run(command, session).await,
        AdminCommand::Server(command) => things::servers(command, session).await,
        AdminCommand::Team(command) => team::run(command, session).await,
    }
}

/// What a team's command would suggest leads nowhere here.
fn advise(mut failure: Failure) -> Failure {
    let advice = match failure.code.as_deref() {
        Some("unauthorized") => "cairn admin login, to store an operator's token that is valid",
        Some("forbidden") => "an operator's token with that scope: --operator-token-file, or cairn admin login",
        Some("pending_event") => "again in a while; cairn admin migration list shows what moves",
        Some("wrong_state") => "cairn admin region list, cairn admin host list: in which state it is, and why",
        Some("no_capacity") => "cairn admin host list shows which hosts have room",
        Some("in_use") => "cairn admin server list shows what stands there",
        Some("region_unavailable") => "cairn admin region list",
        Some("quota_exceeded") => "cairn admin team list shows what each team has; --over-quota",
        _ => return failure,
    };
    failure.suggestion = Some(advice.to_owned());
    failure
}

/// Asks for something of `/admin/v1`.
fn get(path: &[&dyn Display]) -> Call {
    Call::get(&below(path))
}

fn below<'a>(path: &[&'a dyn Display]) -> Vec<&'a dyn Display> {
    let mut whole: Vec<&dyn Display> = vec![&"admin", &"v1"];
    whole.extend(path);
    whole
}
