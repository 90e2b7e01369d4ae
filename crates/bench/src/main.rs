//! The performance table: what a decision about a host costs, what an accepted request costs, what a guest's start
//! costs beside one started by hand, what an idle installation occupies. Run by `script/bench`; `docs/benchmarks.md`
//! says what each row means.
//!
//! Two programs in one. `bench run` is the load generator and the stopwatch. What it measures are other processes: the
//! real `cairnd`, and for the rows that no real guests could keep up with `bench cloud`, which is the API and the
//! workflow engine over a provider whose every answer is immediate. What they measure it on is a private PostgreSQL and,
//! for the rows about a cluster, `bench simulate`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a table for the person who runs it, and its progress")]

mod by_hand;
mod cloud_process;
mod cluster;
mod commits;
mod daemon;
mod ground;
mod guests;
mod instant;
mod load;
mod looks;
mod placement;
mod processes;
mod rates;
mod reading;
mod rows;
mod simulated;
mod table;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use table::Table;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything and print the table.
    Run(Run),
    /// The API and the engine over the instant provider, in one process. Started by `run`.
    Cloud {
        /// Where the database is.
        database: String,
    },
    /// A simulated Proxmox VE cluster in which nothing lasts, in one process. Started by `run`.
    Simulate,
    /// The observer, which looks at the simulated cluster twenty times. Started by `run`.
    Look(looks::Look),
}

/// What is measured and with what.
#[derive(clap::Args)]
struct Run {
    /// The daemon.
    #[arg(long)]
    cairnd: PathBuf,
    /// A Debian image to boot; without it nothing is booted.
    #[arg(long)]
    image: Option<PathBuf>,
    /// How often each side boots.
    #[arg(long, default_value_t = 3)]
    boots: usize,
    /// Only these parts, separated by commas: placement, rates, cluster, daemon, guests, boots.
    #[arg(long, value_delimiter = ',', default_values = ["placement", "rates", "cluster", "daemon", "guests", "boots"])]
    parts: Vec<String>,
    /// Also show which statements the database spends its time on. Costs some of it.
    #[arg(long)]
    statements: bool,
    #[command(flatten)]
    extent: cluster::Extent,
    /// Where the figures are written.
    #[arg(long)]
    figures: PathBuf,
}

impl Run {
    fn wants(&self, part: &str) -> bool {
        self.parts.iter().any(|wanted| wanted == part)
    }
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Run(run) => {
            // One thread: the load generator must not take more of the machine than it has to.
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&run))
        }
        Command::Cloud { database } => on_all_processors(cloud_process::run(&database)),
        Command::Simulate => on_all_processors(simulated::run()),
        Command::Look(look) => on_all_processors(looks::run(&look)),
    }
}

fn on_all_processors(process: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(process)
}

async fn measure(run: &Run) -> Result<()> {
    let mut table = Table::new();
    table.count("load_average_hundredths_before", processes::load_hundredths());
    if run.wants("placement") {
        placement::measure(&mut table)?;
    }
    if run.wants("rates") {
        rates::measure(&run.cairnd, run.statements, &mut table).await?;
    }
    if run.wants("cluster") {
        cluster::measure(&run.cairnd, run.statements, &run.extent, &mut table).await?;
    }
    if run.wants("daemon") {
        daemon::measure(&run.cairnd, &mut table).await?;
    }
    if run.wants("guests") {
        guests::until_process(&run.cairnd, &mut table).await?;
    }
    if let Some(image) = run.image.as_ref().filter(|_| run.wants("boots")) {
        guests::until_login(&run.cairnd, image, run.boots, &mut table).await?;
    }
    table.count("load_average_hundredths_after", processes::load_hundredths());
    table.print();
    table.write(&run.figures)
}
