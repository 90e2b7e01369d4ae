//! `cairn server`.

use super::server_action::{self, ImageArguments, PowerArguments, RenameArguments, ResizeArguments, SnapshotArguments};
use super::server_create::{self, CreateArguments};
use super::server_delete::{self, DeleteArguments};
use super::{console, ssh};
use crate::client::Call;
use crate::failure::Result;
use crate::find;
use crate::session::Session;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use wire::action::Action;
use wire::server::Server;
use wire::server_action::ServerActionKind;

/// What can be done with servers. SERVER is an id, or a name that only one server has.
#[derive(Debug, Subcommand)]
pub(crate) enum ServerCommand {
    Create(CreateArguments),
    /// List servers
    List(ListArguments),
    /// Show a server
    Get {
        /// Which one, by id or name
        server: String,
    },
    Delete(DeleteArguments),
    Ssh(ssh::SshArguments),
    Console(console::ConsoleArguments),
    /// Save a picture of a server's screen, a PNG file
    Screenshot {
        /// Which server, by id or name
        server: String,
        /// Where to; `-` is stdout
        file: PathBuf,
    },
    /// Start a server
    Start(PowerArguments),
    /// Stop a server at once, as if the power were cut
    Stop(PowerArguments),
    /// Ask a server to stop by itself
    Shutdown(PowerArguments),
    /// Ask a server to restart by itself
    Reboot(PowerArguments),
    /// Restart a server at once, as if the power were cut for a moment
    PowerCycle(PowerArguments),
    /// Give a server another size
    Resize(ResizeArguments),
    /// Make a server's disk anew from an image; what is on it is lost
    Rebuild(ImageArguments),
    /// Put a snapshot or backup back onto a server's disk; what is on it is lost
    Restore(ImageArguments),
    /// Give a server another name
    Rename(RenameArguments),
    /// Keep a copy of a server's disk
    Snapshot(SnapshotArguments),
    /// List what was asked of a server, the newest first
    Actions {
        /// Which one, by id or name
        server: String,
    },
}

/// Which servers to list.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only those of this name
    #[arg(long)]
    name: Option<String>,
}

/// Does it.
pub(crate) async fn run(command: ServerCommand, session: &Session) -> Result<()> {
    use ServerActionKind as Kind;
    match command {
        ServerCommand::Create(arguments) => Box::pin(server_create::run(arguments, session)).await,
        ServerCommand::List(arguments) => list(arguments, session).await,
        ServerCommand::Get { server } => session.printer.one(&find::server(session, &server).await?),
        ServerCommand::Delete(arguments) => Box::pin(server_delete::run(arguments, session)).await,
        ServerCommand::Ssh(arguments) => ssh::run(arguments, session).await,
        ServerCommand::Console(arguments) => Box::pin(console::run(arguments, session)).await,
        ServerCommand::Screenshot { server, file } => console::screenshot(session, &server, &file).await,
        ServerCommand::Start(arguments) => server_action::power(Kind::PowerOn, arguments, session).await,
        ServerCommand::Stop(arguments) => server_action::power(Kind::PowerOff, arguments, session).await,
        ServerCommand::Shutdown(arguments) => server_action::power(Kind::Shutdown, arguments, session).await,
        ServerCommand::Reboot(arguments) => server_action::power(Kind::Reboot, arguments, session).await,
        ServerCommand::PowerCycle(arguments) => server_action::power(Kind::PowerCycle, arguments, session).await,
        ServerCommand::Resize(arguments) => server_action::resize(arguments, session).await,
        ServerCommand::Rebuild(arguments) => server_action::image(Kind::Rebuild, arguments, session).await,
        ServerCommand::Restore(arguments) => server_action::image(Kind::Restore, arguments, session).await,
        ServerCommand::Rename(arguments) => server_action::rename(arguments, session).await,
        ServerCommand::Snapshot(arguments) => server_action::snapshot(arguments, session).await,
        ServerCommand::Actions { server } => {
            let id = find::server(session, &server).await?.value.id;
            let call = Call::get(&[&"v2", &"droplets", &id, &"actions"]);
            session.printer.many(&session.client.list::<Action>(&call, "actions").await?)
        }
    }
}

async fn list(arguments: ListArguments, session: &Session) -> Result<()> {
    let ListArguments { tag, name } = arguments;
    // The API narrows by one of the two.
    let asked = if tag.is_some() { None } else { name.as_ref() };
    // Without either, those with GPUs are left out unless they are asked for.
    let all = (tag.is_none() && asked.is_none()).then_some("all");
    let call = Call::get(&[&"v2", &"droplets"]).query_if("type", all);
    let call = call.query_if("tag_name", tag.as_ref()).query_if("name", asked);
    let mut servers = session.client.list::<Server>(&call, "droplets").await?;
    servers.retain(|server| name.as_ref().is_none_or(|name| server.value.name == *name));
    session.printer.many(&servers)
}
