//! `cairn context`: the stored installations.

use crate::arguments::Global;
use crate::contexts::{self, Contexts, Environment};
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::progress::Progress;
use clap::Subcommand;
use serde::Serialize;
use std::path::PathBuf;

/// What can be done with stored installations.
#[derive(Debug, Subcommand)]
pub(crate) enum ContextCommand {
    /// List stored installations
    List,
    /// Show a stored installation, by default the current one; never its token
    Show {
        /// Which one
        name: Option<String>,
    },
    /// Use a stored installation from now on
    Use {
        /// Which one
        name: String,
    },
    /// Forget an installation, with its token
    Remove {
        /// Which one
        name: String,
    },
}

/// A context without its secret.
#[derive(Debug, Serialize)]
struct Entry {
    name: String,
    current: bool,
    url: String,
    ca: Option<PathBuf>,
}

impl Entry {
    fn of(contexts: &Contexts, name: &str) -> Result<Document<Self>> {
        let context = contexts.get(name)?;
        Document::of(Self {
            name: name.to_owned(),
            current: contexts.current.as_deref() == Some(name),
            url: context.url.clone(),
            ca: context.ca.clone(),
        })
    }
}

impl Shown for Entry {
    const COLUMNS: &'static [&'static str] = &["NAME", "CURRENT", "URL", "CA"];

    fn row(&self) -> Vec<String> {
        let current = if self.current { "yes" } else { "" };
        let ca = self.ca.as_ref().map_or_else(String::new, |path| path.display().to_string());
        vec![self.name.clone(), current.to_owned(), self.url.clone(), ca]
    }

    fn word(&self) -> String {
        self.name.clone()
    }
}

/// Does it.
pub(crate) fn run(command: ContextCommand, global: &Global) -> Result<()> {
    let path = contexts::path()?;
    let mut contexts = Contexts::read(&path)?;
    let progress = Progress::new(global.loudness());
    match command {
        ContextCommand::List => {
            let entries: Result<Vec<_>> = contexts.all.keys().map(|name| Entry::of(&contexts, name)).collect();
            global.printer().many(&entries?)
        }
        ContextCommand::Show { name } => {
            let environment = Environment::read()?.choice.context;
            let name = name.or(global.context.clone()).or(environment).or(contexts.current.clone());
            let name = name.ok_or_else(|| {
                Failure::new(Ending::NotFound, "there is no current context")
                    .suggest("cairn login, or cairn context use NAME")
            })?;
            global.printer().one(&Entry::of(&contexts, &name)?)
        }
        ContextCommand::Use { name } => {
            contexts.get(&name)?;
            contexts.current = Some(name.clone());
            contexts.write(&path)?;
            progress.say(&format!("The context `{name}` is used from now on."));
            Ok(())
        }
        ContextCommand::Remove { name } => {
            if contexts.all.remove(&name).is_none() {
                return Err(contexts.unknown(&name));
            }
            contexts.current = contexts.current.filter(|current| *current != name);
            contexts.write(&path)?;
            progress.say(&format!("The context `{name}` is forgotten."));
            Ok(())
        }
    }
}
