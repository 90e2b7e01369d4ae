//! What each command does.

pub(crate) mod account;
pub(crate) mod action;
pub(crate) mod admin;
pub(crate) mod confirmation;
pub(crate) mod console;
pub(crate) mod context;
pub(crate) mod events;
pub(crate) mod image;
pub(crate) mod login;
pub(crate) mod manual;
pub(crate) mod server;
pub(crate) mod server_action;
pub(crate) mod server_create;
pub(crate) mod server_delete;
pub(crate) mod snapshot;
pub(crate) mod ssh;
pub(crate) mod ssh_key;
pub(crate) mod tag;

use crate::arguments::{Arguments, Command};
use crate::failure::Result;
use crate::session::Session;

/// Does what the command line says.
pub(crate) async fn run(arguments: Arguments) -> Result<()> {
    let Arguments { global, command } = arguments;
    let session = || Session::open(&global);
    match command {
        Command::Login(login) => Box::pin(login::run(login, &global)).await,
        Command::Context(command) => context::run(command, &global),
        Command::Completion { shell } => manual::completion(shell),
        Command::Man(man) => manual::pages(&man),
        Command::Server(command) => Box::pin(server::run(*command, &session()?)).await,
        Command::Image(command) => Box::pin(image::run(command, &session()?)).await,
        Command::Snapshot(command) => Box::pin(snapshot::run(command, &session()?)).await,
        Command::SshKey(command) => Box::pin(ssh_key::run(command, &session()?)).await,
        Command::Size(account::SizeCommand::List) => account::sizes(&session()?).await,
        Command::Region(account::RegionCommand::List) => account::regions(&session()?).await,
        Command::Tag(command) => Box::pin(tag::run(command, &session()?)).await,
        Command::Action(command) => Box::pin(action::run(command, &session()?)).await,
        Command::Events(events) => Box::pin(events::run(events, &session()?)).await,
        Command::Account => account::show(&session()?).await,
        Command::Admin(admin) => Box::pin(admin::run(*admin, &global)).await,
        Command::Quota => account::quota(&session()?).await,
    }
}
