//! The daemon: `cairnd serve | work | observe | migrate | dev | operator-token`. The roles are one binary and share nothing
//! but the database; this crate only reads the configuration, starts them in the right order and stops them in the
//! opposite one.

mod arguments;
mod background;
mod certificates;
mod checksums;
mod demonstration;
mod dev;
mod figures;
mod files;
mod listen;
mod logs;
mod operator_tokens;
mod prepare;
mod providers;
mod regions;
mod roles;
mod secret_key;
mod settings;
mod setup;
mod smtp;
mod stopping;

use anyhow::Result;
use arguments::{Arguments, Command};
use clap::Parser;
use roles::Role;
use settings::Settings;
use std::io::Write;
use std::process::ExitCode;
use store::Store;

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
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("BUG: two TLS providers"))?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(command(arguments.command.clone(), settings))
}

async fn command(command: Command, settings: Settings) -> Result<()> {
    files::ensure_directory(&settings.data_dir)?;
    let stopping = stopping::on_signals()?;
    let role = match command {
        Command::Dev => {
            secret_key::ensure(&settings)?;
            return dev::run(&settings, stopping).await;
        }
        Command::Migrate => return migrate(&settings).await,
        Command::OperatorToken(command) => return operator_tokens::run(&settings, command).await,
        Command::Serve => Role::Serve,
        Command::Work => Role::Work,
        Command::Observe => Role::Observe,
    };
    let url = settings.require_database()?;
    let sockets = roles::sockets(&settings, &[role])?;
    let store = Store::connect(url, settings.database_connections).await?;
    roles::run(&settings, store, &[role], sockets, stopping).await
}

async fn migrate(settings: &Settings) -> Result<()> {
    let store = Store::connect(settings.require_database()?, settings.database_connections).await?;
    prepare::database(settings, &store).await?;
    tracing::info!("the database is at this version, and the catalogue is applied");
    Ok(())
}
