//! What can be asked of a server that exists.

use super::confirmation::Confirmation;
use crate::client::Call;
use crate::failure::{Failure, Result};
use crate::find;
use crate::session::Session;
use crate::waiting::{self, Started, Waiting};
use clap::Args;
use wire::action::Action;
use wire::reference::IdOrSlug;
use wire::server::Server;
use wire::server_action::{ServerActionKind, ServerActionRequest};

/// For start, stop, shutdown, reboot and power-cycle.
#[derive(Debug, Args)]
pub(crate) struct PowerArguments {
    /// Which one, by id or name
    server: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// For resize.
#[derive(Debug, Args)]
pub(crate) struct ResizeArguments {
    /// Which one, by id or name
    server: String,
    /// The new size: see `cairn size list`
    #[arg(long, value_name = "SLUG")]
    size: String,
    /// Let the disk grow, too; the server can never become smaller again
    #[arg(long)]
    disk: bool,
    #[command(flatten)]
    waiting: Waiting,
}

/// For rebuild and restore.
#[derive(Debug, Args)]
pub(crate) struct ImageArguments {
    /// Which one, by id or name
    server: String,
    /// What to put onto its disk, by id, slug or name
    image: String,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    waiting: Waiting,
}

/// For rename.
#[derive(Debug, Args)]
pub(crate) struct RenameArguments {
    /// Which one, by id or name
    server: String,
    /// The new name
    name: String,
    #[command(flatten)]
    waiting: Waiting,
}

/// For snapshot.
#[derive(Debug, Args)]
pub(crate) struct SnapshotArguments {
    /// Which one, by id or name
    server: String,
    /// What to call the snapshot; chosen for you if not given
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// Starts, stops or restarts a server.
pub(crate) async fn power(kind: ServerActionKind, arguments: PowerArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    ask(session, &server, ServerActionRequest::new(kind), arguments.waiting).await
}

/// Gives a server another size.
pub(crate) async fn resize(arguments: ResizeArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    let request = ServerActionRequest {
        size: Some(arguments.size),
        disk: Some(arguments.disk),
        ..ServerActionRequest::new(ServerActionKind::Resize)
    };
    ask(session, &server, request, arguments.waiting).await
}

/// Puts an image onto a server's disk.
pub(crate) async fn image(kind: ServerActionKind, arguments: ImageArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    let image = match kind {
        // Only an id will do.
        ServerActionKind::Restore => IdOrSlug::Id(find::image(session, &arguments.image).await?.value.id.0.into()),
        _ => find::image_reference(session, &arguments.image).await?,
    };
    let question =
        format!("Put {} onto the disk of {} (id {})? What is on it is lost.", arguments.image, server.name, server.id);
    arguments.confirmation.ask(&question)?;
    let request = ServerActionRequest { image: Some(image), ..ServerActionRequest::new(kind) };
    ask(session, &server, request, arguments.waiting).await
}

/// Gives a server another name.
pub(crate) async fn rename(arguments: RenameArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    let request =
        ServerActionRequest { name: Some(arguments.name), ..ServerActionRequest::new(ServerActionKind::Rename) };
    ask(session, &server, request, arguments.waiting).await
}

/// Keeps a copy of a server's disk.
pub(crate) async fn snapshot(arguments: SnapshotArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    let request = ServerActionRequest { name: arguments.name, ..ServerActionRequest::new(ServerActionKind::Snapshot) };
    ask(session, &server, request, arguments.waiting).await
}

/// Asks, waits and prints the action.
async fn ask(session: &Session, server: &Server, request: ServerActionRequest, waiting: Waiting) -> Result<()> {
    let during = |failure: Failure| {
        failure.during(format!("cannot {} {}", request.kind.as_str().replace('_', " "), server.name))
    };
    let deadline = waiting.deadline();
    let call = Call::post(&[&"v2", &"droplets", &server.id, &"actions"], &request)?;
    let action = session.client.one::<Action>(&call, "action").await.map_err(during)?;
    if waiting.no_wait {
        return session.printer.one(&action);
    }
    let started = Started { subject: server.name.clone(), action: action.value.id };
    session.printer.one(&waiting::action(session, started, deadline).await?)
}
