//! Asking before something is lost.

use crate::failure::{Ending, Failure, Result};
use clap::Args;
use std::io::{IsTerminal, Write};

/// Whether to ask.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Confirmation {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Confirmation {
    /// Asks, unless it was answered beforehand. Without a person to ask, the answer is no.
    pub(crate) fn ask(self, question: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("there is nobody to ask: {question}")).suggest("--yes"));
        }
        let mut stderr = std::io::stderr();
        // Nothing is left to do about a stderr that cannot be written to; the answer is still awaited.
        let _ = write!(stderr, "{} [y/N] ", crate::print::visible(question)).and_then(|()| stderr.flush());
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        read.map_err(|error| Failure::new(Ending::Refused, format!("no answer: {error}")))?;
        match answer.trim().to_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::new(Ending::Refused, "nothing was done")),
        }
    }
}
