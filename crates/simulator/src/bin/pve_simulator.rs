//! `pve-simulator`: a simulated Proxmox VE cluster in a process of its own.

use anyhow::Context;
use clap::Parser;
use simulator::{Fleet, Profile, Scenario, Simulator};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// A simulated Proxmox VE cluster. Prints its URLs, fingerprints, token and control port, and runs until it is stopped.
#[derive(Parser)]
struct Arguments {
    /// The scenario, or a profile of many clusters, in TOML; without it, three equal nodes.
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
    match read(arguments.scenario.as_deref())? {
        Wanted::One(scenario) => {
            let mut simulator = Simulator::start_at(*scenario, arguments.listen).await?;
            let control = simulator.open_control(arguments.control).await?;
            say(&[("", &simulator)], &control)?;
            tokio::signal::ctrl_c().await?;
        }
        Wanted::Many(profile) => {
            let mut fleet = Fleet::start_at(&profile, arguments.listen).await?;
            let control = fleet.open_control(arguments.control).await?;
            let clusters: Vec<_> = fleet.clusters.iter().map(|(name, one)| (name.as_str(), one)).collect();
            say(&clusters, &control)?;
            tokio::signal::ctrl_c().await?;
        }
    }
    Ok(())
}

/// What a file asks for.
enum Wanted {
    One(Box<Scenario>),
    Many(Profile),
}

fn read(path: Option<&Path>) -> anyhow::Result<Wanted> {
    let Some(path) = path else { return Ok(Wanted::One(Box::default())) };
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let table: toml::Table = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
    // A scenario has a name of this key, a profile a list.
    let wanted = if table.get("cluster").is_some_and(toml::Value::is_array) {
        table.try_into().map(Wanted::Many)
    } else {
        table.try_into().map(Wanted::One)
    };
    wanted.with_context(|| format!("reading {}", path.display()))
}

/// One line each: `cluster NAME` where there are several, `entry NODE URL FINGERPRINT`, `token …`; at last `control URL`.
fn say(clusters: &[(&str, &Simulator)], control: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for (name, simulator) in clusters {
        if !name.is_empty() {
            writeln!(out, "cluster {name}")?;
        }
        for entry in &simulator.entries {
            let node = if entry.node.is_empty() { "any" } else { &entry.node };
            writeln!(out, "entry {node} {} {}", entry.url, entry.fingerprint_sha256)?;
        }
        if let Some(token) = &simulator.token {
            writeln!(out, "token {token}")?;
        }
    }
    writeln!(out, "control {control}")?;
    out.flush()
}
