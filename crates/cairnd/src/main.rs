//! The daemon: `cairnd serve | work | observe | migrate | dev`. The roles are one binary and share nothing but the
//! database; this crate only reads the configuration, starts them in the right order and stops them in the
//! opposite one.

mod arguments;
mod certificates;
mod files;
mod listen;
mod logs;
mod settings;
mod stopping;

use anyhow::Result;
use arguments::{Arguments, Command};
use clap::Parser;
use settings::Settings;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do about a stderr that cannot be written to.
            let _ = writeln!(std::io::stderr(), "cairnd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let settings = Settings::read(&arguments.flags, &|name| std::env::var(name).ok())?;
    logs::start(&settings);
    // Two providers are in the tree; without a choice, rustls would refuse to pick one.
    rustls::crypto::ring::default_provider().install_default().map_err(|_| anyhow::anyhow!("BUG: two TLS providers"))?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command(arguments.command, settings))
}

async fn command(command: Command, settings: Settings) -> Result<()> {
    files::ensure_directory(&settings.data_dir)?;
    let stopping = stopping::on_signals()?;
    match command {
        Command::Migrate => anyhow::bail!("not wired yet"),
        _ => {
            settings.require_database()?;
            let certificates = certificates::Certificates::from_settings(&settings);
            listen::Sockets::open(&settings)?.serve(axum::Router::new(), certificates, stopping).await
        }
    }
}
