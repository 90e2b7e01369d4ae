//! `cairn admin alert`: what somebody should look at.

use super::{below, get};
use crate::client::Call;
use crate::failure::Result;
use crate::print::Shown;
use crate::session::Session;
use clap::Subcommand;
use wire::admin::Alert;

/// What can be done with alerts.
#[derive(Debug, Subcommand)]
pub(super) enum AlertCommand {
    /// List alerts, the newest first
    List {
        /// Also those that are over
        #[arg(long)]
        all: bool,
    },
    /// Say that somebody knows; an alert stays open until what it speaks of is over
    Ack {
        /// Which ones
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
    },
}

impl Shown for Alert {
    const COLUMNS: &'static [&'static str] = &["ID", "SEVERITY", "SINCE", "STATE", "SUBJECT", "MESSAGE"];

    fn row(&self) -> Vec<String> {
        let state = match (self.resolved_at, self.acknowledged_at) {
            (Some(_), _) => "over",
            (None, Some(_)) => "acknowledged",
            (None, None) => "open",
        };
        vec![
            self.id.to_string(),
            self.severity.clone(),
            self.raised_at.to_string(),
            state.to_owned(),
            self.subject.clone(),
            self.message.clone(),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }
}

/// Does it.
pub(super) async fn run(command: AlertCommand, session: &Session) -> Result<()> {
    match command {
        AlertCommand::List { all } => {
            let call = get(&[&"alerts"]).query_if("all", all.then_some(true));
            session.printer.many(&session.client.list::<Alert>(&call, "alerts").await?)
        }
        AlertCommand::Ack { ids } => {
            let mut known = Vec::new();
            for id in ids {
                let path = below(&[&"alerts", &id, &"acknowledge"]);
                let call = Call::post(&path, &serde_json::json!({}))?.repeatable();
                let alert = session.client.one::<Alert>(&call, "alert").await;
                known.push(alert.map_err(|failure| failure.during(format!("alert {id}")))?);
            }
            session.printer.many(&known)
        }
    }
}
