//! `cairn ssh-key`: keys that may log in to new servers.

use super::confirmation::Confirmation;
use crate::client::Call;
use crate::failure::{Failure, Result};
use crate::find;
use crate::session::Session;
use clap::Subcommand;
use model::ssh::PublicKey;
use std::path::PathBuf;
use wire::key::{SshKey, SshKeyCreate, SshKeyUpdate};

/// What can be done with keys. KEY is an id, a fingerprint, or a name that only one key has.
#[derive(Debug, Subcommand)]
pub(crate) enum SshKeyCommand {
    /// List SSH keys
    List,
    /// Show an SSH key
    Get {
        /// Which one, by id, fingerprint or name
        key: String,
    },
    /// Register an SSH key
    Create {
        /// What it is called
        name: String,
        /// The public key [default: ~/.ssh/id_ed25519.pub]
        #[arg(long, value_name = "FILE")]
        public_key_file: Option<PathBuf>,
    },
    /// Give an SSH key another name
    Rename {
        /// Which one, by id, fingerprint or name
        key: String,
        /// The new name
        name: String,
    },
    /// Forget an SSH key; servers that have it keep it
    Delete {
        /// Which one, by id, fingerprint or name
        key: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Does it.
pub(crate) async fn run(command: SshKeyCommand, session: &Session) -> Result<()> {
    match command {
        SshKeyCommand::List => {
            let call = Call::get(&[&"v2", &"account", &"keys"]);
            session.printer.many(&session.client.list::<SshKey>(&call, "ssh_keys").await?)
        }
        SshKeyCommand::Get { key } => session.printer.one(&find::ssh_key(session, &key).await?),
        SshKeyCommand::Create { name, public_key_file } => {
            let public_key = read(public_key_file)?;
            let call = Call::post(&[&"v2", &"account", &"keys"], &SshKeyCreate { name: name.clone(), public_key })?;
            let made = session.client.one::<SshKey>(&call, "ssh_key").await;
            session.printer.one(&made.map_err(|failure| failure.during(format!("cannot register {name}")))?)
        }
        SshKeyCommand::Rename { key, name } => {
            let id = find::ssh_key(session, &key).await?.value.id;
            let call = Call::put(&[&"v2", &"account", &"keys", &id], &SshKeyUpdate { name: Some(name) })?;
            let renamed = session.client.one::<SshKey>(&call, "ssh_key").await;
            session.printer.one(&renamed.map_err(|failure| failure.during(format!("cannot rename {key}")))?)
        }
        SshKeyCommand::Delete { key, confirmation } => {
            let found = find::ssh_key(session, &key).await?.value;
            let called = format!("{} (id {})", found.name, found.id);
            confirmation.ask(&format!("Delete the SSH key {called}?"))?;
            let deleted = session.client.command(&Call::delete(&[&"v2", &"account", &"keys", &found.id])).await;
            deleted.map_err(|failure| failure.during(format!("cannot delete the SSH key {called}")))?;
            session.progress.say(&format!("{called}: deleted"));
            Ok(())
        }
    }
}

/// The line of a public key's file. Checked here, so that a private key given by mistake stays on this machine.
fn read(file: Option<PathBuf>) -> Result<String> {
    let file = match (file, std::env::var_os("HOME")) {
        (Some(file), _) => file,
        (None, Some(home)) => PathBuf::from(home).join(".ssh").join("id_ed25519.pub"),
        (None, None) => return Err(Failure::usage("which key is missing").suggest("--public-key-file FILE")),
    };
    let text = std::fs::read_to_string(&file).map_err(|error| {
        Failure::file("read the public key", &file, &error)
            .suggest("--public-key-file FILE; ssh-keygen -t ed25519 makes a key")
    })?;
    let key =
        PublicKey::parse(&text).map_err(|refusal| Failure::usage(format!("{} {}", file.display(), refusal.message)))?;
    Ok(key.line().to_owned())
}
