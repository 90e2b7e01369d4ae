//! `cairn snapshot`: kept copies of servers' disks.

use super::confirmation::Confirmation;
use crate::client::Call;
use crate::failure::Result;
use crate::find;
use crate::session::Session;
use clap::Subcommand;
use wire::snapshot::Snapshot;

/// What can be done with snapshots. They are taken by `cairn server snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// List snapshots
    List {
        /// Only those of this server, by id or name
        #[arg(long)]
        server: Option<String>,
    },
    /// Show a snapshot
    Get {
        /// Which one, by id or name
        snapshot: String,
    },
    /// Delete a snapshot
    Delete {
        /// Which one, by id or name
        snapshot: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Does it.
pub(crate) async fn run(command: SnapshotCommand, session: &Session) -> Result<()> {
    match command {
        SnapshotCommand::List { server } => {
            let of = match server {
                Some(server) => Some(find::server(session, &server).await?.value.id.to_string()),
                None => None,
            };
            let call = Call::get(&[&"v2", &"snapshots"]).query("resource_type", "droplet");
            let mut all = session.client.list::<Snapshot>(&call, "snapshots").await?;
            all.retain(|snapshot| of.as_ref().is_none_or(|id| snapshot.value.resource_id == *id));
            session.printer.many(&all)
        }
        SnapshotCommand::Get { snapshot } => session.printer.one(&find::snapshot(session, &snapshot).await?),
        SnapshotCommand::Delete { snapshot, confirmation } => {
            let found = find::snapshot(session, &snapshot).await?.value;
            let called = format!("{} (id {})", found.name, found.id);
            confirmation.ask(&format!("Delete the snapshot {called}?"))?;
            let deleted = session.client.command(&Call::delete(&[&"v2", &"snapshots", &found.id])).await;
            deleted.map_err(|failure| failure.during(format!("cannot delete the snapshot {called}")))?;
            session.progress.say(&format!("{called}: deleted"));
            Ok(())
        }
    }
}
