//! `cairn completion` and `cairn man`: what is made from the command line's own description.

use crate::arguments::Arguments;
use crate::failure::{Failure, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::path::PathBuf;

/// Write the manual pages
#[derive(Debug, Args)]
pub(crate) struct ManArguments {
    /// The directory to write them to; made if it is not there
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints a completion script.
pub(crate) fn completion(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "cairn", &mut script);
    crate::print::bytes(&script)
}

/// Writes one page for each command.
pub(crate) fn pages(arguments: &ManArguments) -> Result<()> {
    let directory = &arguments.directory;
    let written = std::fs::create_dir_all(directory).and_then(|()| {
        let command = Arguments::command().disable_help_subcommand(true);
        clap_mangen::generate_to(command, directory)
    });
    written.map_err(|error| Failure::file("write the manual pages to", directory, &error))
}
