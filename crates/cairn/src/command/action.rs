//! `cairn action`: what was asked for, and how far it is.

use crate::client::Call;
use crate::document::Document;
use crate::failure::Result;
use crate::session::Session;
use crate::waiting::{self, Started, Timeout};
use clap::Subcommand;
use model::ids::ActionId;
use wire::action::Action;
use wire::cloud::Workflow;

/// What can be done with actions.
#[derive(Debug, Subcommand)]
pub(crate) enum ActionCommand {
    /// List actions, the newest first
    List,
    /// Show an action
    Get {
        /// Which one
        id: ActionId,
    },
    /// Show how an action goes, step by step: attempts, what is waited for, what last went wrong
    Steps {
        /// Which one
        id: ActionId,
    },
    /// Wait until actions are done
    Watch {
        /// Which ones
        #[arg(required = true, value_name = "ID")]
        ids: Vec<ActionId>,
        #[command(flatten)]
        timeout: Timeout,
    },
}

/// Does it.
pub(crate) async fn run(command: ActionCommand, session: &Session) -> Result<()> {
    match command {
        ActionCommand::List => {
            session.printer.many(&session.client.list::<Action>(&Call::get(&[&"v2", &"actions"]), "actions").await?)
        }
        ActionCommand::Get { id } => {
            let action = session.client.one::<Action>(&Call::get(&[&"v2", &"actions", &id]), "action").await;
            session.printer.one(&action.map_err(|failure| failure.during(format!("action {id}")))?)
        }
        ActionCommand::Steps { id } => {
            let call = Call::get(&[&"cloud", &"v1", &"actions", &id]);
            let workflow = session.client.one::<Workflow>(&call, "workflow").await;
            session.printer.one(&workflow.map_err(|failure| failure.during(format!("action {id}")))?)
        }
        ActionCommand::Watch { ids, timeout } => {
            let one = ids.len() == 1;
            let started = ids.into_iter().map(|action| Started { subject: format!("action {action}"), action });
            let outcomes = waiting::actions(session, started.collect(), timeout.deadline()).await?;
            let (done, failed) = split(outcomes);
            match done.first() {
                Some(action) if one => session.printer.one(action)?,
                _ if one => {}
                _ => session.printer.many(&done)?,
            }
            failed
        }
    }
}

/// Those that are done, and the first failure. The others were the same person's wish; they are said, too.
pub(crate) fn split(outcomes: Vec<Result<Document<Action>>>) -> (Vec<Document<Action>>, Result<()>) {
    let mut done = Vec::new();
    let mut failed = Ok(());
    for outcome in outcomes {
        match outcome {
            Ok(action) => done.push(action),
            Err(failure) if failed.is_ok() => failed = Err(failure),
            Err(failure) => crate::progress::failure(&failure),
        }
    }
    (done, failed)
}
