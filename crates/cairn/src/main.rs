//! The command line client. It speaks HTTP to an installation and knows nothing of what is behind it.
//!
//! stdout is for data, and only `print` writes to it; what else is to be said goes to stderr through `progress`.

mod arguments;
mod client;
mod command;
mod contexts;
mod document;
mod failure;
mod find;
mod print;
mod progress;
mod session;
mod shown;
mod waiting;

use arguments::Arguments;
use clap::Parser;
use failure::{Ending, Failure};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::failure(&failure);
            failure.ending.into()
        }
    }
}

fn run(arguments: Arguments) -> failure::Result<()> {
    // Two providers are in the tree; without a choice, rustls would refuse to pick one.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| Failure::new(Ending::Broken, "BUG: two TLS providers"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Ending::Refused, format!("cannot start: {error}")))?;
    runtime.block_on(async {
        tokio::select! {
            outcome = Box::pin(command::run(arguments)) => outcome,
            _ = tokio::signal::ctrl_c() => {
                Err(Failure::new(Ending::Interrupted, "interrupted; what the server was asked for goes on")
                    .suggest("cairn action list shows what is under way"))
            }
        }
    })
}
