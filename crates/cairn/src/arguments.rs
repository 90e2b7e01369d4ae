//! The command line as a whole. What each command takes stands with the command.

use crate::command::{account, action, admin, context, events, image, login, manual, server, snapshot, ssh_key, tag};
use crate::contexts::Choice;
use crate::print::{Output, Printer};
use crate::progress::Loudness;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// The command line client of Cairn.
///
/// Data goes to stdout, everything else to stderr. Commands that start something wait until it is done.
///
/// Exit codes: 0 done; 1 refused or failed; 2 wrong command line; 3 not logged in, or not allowed; 4 not found;
/// 5 not done in time; 6 server not reached; 7 server broke; 130 interrupted.
#[derive(Debug, Parser)]
#[command(name = "cairn", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    /// For every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// Which one.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// How data is printed: table (for people), json or yaml (the API's objects), name (one word each)
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value = "table",
        hide_possible_values = true
    )]
    output: Output,
    /// Which stored installation to use [env: CAIRN_CONTEXT]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Where the installation is [env: CAIRN_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Certificate authorities to trust instead of this machine's, a PEM file [env: CAIRN_CA]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say which requests are made
    #[arg(short, long, global = true)]
    verbose: bool,
}

impl Global {
    /// How data is printed.
    pub(crate) fn printer(&self) -> Printer {
        Printer { output: self.output }
    }

    /// How much is said.
    pub(crate) fn loudness(&self) -> Loudness {
        match (self.quiet, self.verbose) {
            (true, _) => Loudness::Quiet,
            (false, true) => Loudness::Verbose,
            (false, false) => Loudness::Ordinary,
        }
    }

    /// Which installation is meant.
    pub(crate) fn choice(&self) -> Choice {
        Choice { context: self.context.clone(), url: self.url.clone(), ca: self.ca.clone() }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Login(login::LoginArguments),
    /// The installations that are stored
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Servers
    #[command(subcommand)]
    Server(Box<server::ServerCommand>),
    /// What servers are made from
    #[command(subcommand)]
    Image(image::ImageCommand),
    /// Kept copies of servers' disks
    #[command(subcommand)]
    Snapshot(snapshot::SnapshotCommand),
    /// Keys that may log in to new servers
    #[command(subcommand)]
    SshKey(ssh_key::SshKeyCommand),
    /// How big servers can be
    #[command(subcommand)]
    Size(account::SizeCommand),
    /// Where servers can stand
    #[command(subcommand)]
    Region(account::RegionCommand),
    /// Words to find things by
    #[command(subcommand)]
    Tag(tag::TagCommand),
    /// What was asked for, and how far it is
    #[command(subcommand)]
    Action(action::ActionCommand),
    Events(events::EventsArguments),
    /// Who the token acts for
    Account,
    /// What the team may have, and what it has
    Quota,
    Admin(Box<admin::AdminArguments>),
    /// Print a shell's completion script
    Completion {
        /// For which shell
        shell: Shell,
    },
    Man(manual::ManArguments),
}
