//! `cairn server delete`.

use super::action;
use super::confirmation::Confirmation;
use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Result};
use crate::find;
use crate::session::Session;
use crate::waiting::{self, Deadline, Started, Waiting};
use clap::Args;
use wire::action::Action;
use wire::server::Server;

/// Delete servers, with their disks
///
/// Asks first, and waits until they are gone. Snapshots stay.
#[derive(Debug, Args)]
pub(crate) struct DeleteArguments {
    /// Which ones, by id or name
    #[arg(required = true, value_name = "SERVER")]
    servers: Vec<String>,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    waiting: Waiting,
}

/// Deletes servers.
pub(crate) async fn run(arguments: DeleteArguments, session: &Session) -> Result<()> {
    let mut servers = Vec::new();
    // All are found before one is deleted, so that a mistyped name costs nothing.
    for name in &arguments.servers {
        let server = find::server(session, name).await?;
        if !servers.iter().any(|known: &Document<Server>| known.value.id == server.value.id) {
            servers.push(server);
        }
    }
    let names: Vec<_> = servers.iter().map(|server| called(&server.value)).collect();
    arguments.confirmation.ask(&format!("Delete {} with everything on its disk?", names.join(", ")))?;
    let deadline = arguments.waiting.deadline();
    for server in &servers {
        let deleted = session.client.command(&Call::delete(&[&"v2", &"droplets", &server.value.id])).await;
        deleted.map_err(|failure| failure.during(format!("cannot delete {}", called(&server.value))))?;
    }
    if !arguments.waiting.no_wait {
        gone(session, servers, deadline).await?;
    }
    Ok(())
}

fn called(server: &Server) -> String {
    format!("{} (id {})", server.name, server.id)
}

/// Waits until none of them is there any more. Cairn lists a server no longer once its deletion was asked for, and has an
/// action for it; other clouds of this API list it until it is gone.
async fn gone(session: &Session, servers: Vec<Document<Server>>, deadline: Deadline) -> Result<()> {
    let call = Call::get(&[&"v2", &"actions"]).query("per_page", 200);
    // A token need not be allowed to see actions.
    let newest = match session.client.envelope(&call).await {
        Ok(mut envelope) => envelope.take_list::<Action>("actions")?,
        Err(_) => Vec::new(),
    };
    let (mut started, mut rest) = (Vec::new(), Vec::new());
    for server in servers {
        let resource = i64::from(server.value.id.0);
        let ours = |action: &&Document<Action>| {
            let Action { kind, resource_type, resource_id, .. } = &action.value;
            kind == "destroy" && resource_type == "droplet" && *resource_id == Some(resource)
        };
        match newest.iter().find(ours) {
            Some(action) => started.push(Started { subject: server.value.name.clone(), action: action.value.id }),
            None => rest.push(server),
        }
    }
    let outcomes = waiting::actions(session, started, deadline.clone()).await?;
    unlisted(session, rest, deadline).await?;
    action::split(outcomes).1
}

/// Waits until none of them is listed any more.
async fn unlisted(session: &Session, mut servers: Vec<Document<Server>>, mut deadline: Deadline) -> Result<()> {
    loop {
        let mut left = Vec::new();
        for server in servers {
            let Server { id, name, .. } = &server.value;
            let look = session.client.one::<Server>(&Call::get(&[&"v2", &"droplets", id]), "droplet").await;
            match look {
                Err(failure) if failure.ending == Ending::NotFound => {
                    session.progress.stands(name, "deleted", "");
                    continue;
                }
                look => {
                    if let Some(seen) = deadline.bear(session, look)? {
                        say(session, &seen.value);
                    }
                }
            }
            left.push(server);
        }
        let Some(first) = left.first() else { break };
        deadline
            .pause(left.len(), &format!("deleting {}", called(&first.value)))
            .await
            .map_err(|failure| failure.suggest(format!("cairn server get {}", first.value.id)))?;
        servers = left;
    }
    session.progress.finish();
    Ok(())
}

fn say(session: &Session, server: &Server) {
    let state = server.cloud.as_ref().map_or("is being deleted", |cloud| cloud.state.as_str());
    let error = server.cloud.as_ref().and_then(|cloud| cloud.last_error.as_ref());
    let error = error.map_or_else(String::new, |error| format!(" (last error: {error})"));
    session.progress.stands(&server.name, &format!("{state}{error}"), "");
}
