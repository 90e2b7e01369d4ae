//! `pve-simulator`: a simulated Proxmox VE cluster in a process of its own.

use anyhow::Context;
use clap::Parser;
use simulator::{Scenario, Simulator};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// A simulated Proxmox VE cluster. Prints its URLs, fingerprints, token and control port, and runs until it is stopped.
#[derive(Parser)]
struct Arguments {
    /// The scenario, in TOML; without it, three equal nodes.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Where the first entry listens; the others follow it. 0 takes any free ports.
    #[arg(long, default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8006))]
    listen: SocketAddr,
    /// Where the control port listens.
    #[arg(long, default_value_t = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8005))]
    control: SocketAddr,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let scenario = match arguments.scenario {
        None => Scenario::default(),
        Some(path) => {
            let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?
        }
    };
    let mut simulator = Simulator::start_at(scenario, arguments.listen).await?;
    let control = simulator.open_control(arguments.control).await?;
    let mut out = std::io::stdout().lock();
    for entry in &simulator.entries {
        writeln!(out, "entry {} {} {}", entry.node, entry.url, entry.fingerprint_sha256)?;
    }
    if let Some(token) = &simulator.token {
        writeln!(out, "token {token}")?;
    }
    writeln!(out, "control {control}")?;
    out.flush()?;
    drop(out);
    tokio::signal::ctrl_c().await?;
    Ok(())
}
