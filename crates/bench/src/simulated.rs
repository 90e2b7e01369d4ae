//! A simulated Proxmox VE cluster in a process of its own, in which nothing lasts.

use crate::ground::{GOODS, Ground, REGION};
use crate::load::Client;
use anyhow::{Context, Result};
use serde_json::Value;
use simulator::{ClockKind, Scenario, Simulator, TOKEN_SECRET};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// As many as the instant provider has.
const NODES: usize = 16;
/// What each node has, so that it is never why a server is not placed.
const PROCESSORS: u32 = 2048;
const MEMORY: u64 = 4 << 40;
const STORAGE: u64 = 100 << 40;

/// `bench simulate`: prints URL, fingerprint and control port in one line, and runs until it is killed.
pub(crate) async fn run() -> Result<()> {
    let mut simulator = Simulator::start(scenario()).await?;
    let control = simulator.open_control(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{} {} {control}", simulator.url, simulator.fingerprint_sha256)?;
    stdout.flush()?;
    std::future::pending().await
}

fn scenario() -> Scenario {
    let mut scenario = Scenario::cluster_of(NODES).with_clock(ClockKind::Instant);
    for node in &mut scenario.nodes {
        (node.cpus, node.memory) = (PROCESSORS, MEMORY);
    }
    for storage in &mut scenario.storages {
        storage.size = STORAGE;
    }
    scenario.pools = vec!["cairn".to_owned()];
    scenario
}

/// The process. Ends with the value.
pub(crate) struct Cluster {
    child: Child,
    /// Of its first node.
    pub(crate) url: String,
    /// Of that node's certificate.
    pub(crate) fingerprint: String,
    control: u16,
}

impl Cluster {
    pub(crate) async fn start(ground: &Ground) -> Result<Self> {
        let log = std::fs::File::create(ground.path().join("simulator.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("simulate")
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("no stdout")?).read_line(&mut line).await?;
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(url), Some(fingerprint), Some(control)) = (words.next(), words.next(), words.next()) else {
            let log = std::fs::read_to_string(ground.path().join("simulator.log")).unwrap_or_default();
            anyhow::bail!("the simulator did not start: {log}");
        };
        let control = control.rsplit_once(':').context("no control port")?.1.parse()?;
        Ok(Self { child, url, fingerprint, control })
    }

    pub(crate) fn pid(&self) -> Result<i32> {
        Ok(i32::try_from(self.child.id().context("the simulator has ended")?)?)
    }

    /// A catalogue with it as the one region; the token's secret is written to `directory`.
    pub(crate) fn catalogue(&self, directory: &Path) -> Result<String> {
        let secret = directory.join("cluster-token");
        std::fs::write(&secret, TOKEN_SECRET)?;
        let (url, fingerprint) = (&self.url, &self.fingerprint);
        Ok(format!(
            r#"
[[region]]
slug = "{REGION}"
name = "Benchmark (a simulated Proxmox VE cluster)"
provider = "proxmox"
vpc_range = "10.116.0.0/16"

[region.settings]
entries = ["{url}"]
fingerprints = ["{fingerprint}"]
token_id = "root@pam!cairn"
token_secret_file = {secret:?}

[[region.pool]]
name = "public"
kind = "public_bridged"
range = "198.18.0.0/15"
{GOODS}"#
        ))
    }

    /// The newest ten thousand requests, each as its method and its path without names and numbers.
    pub(crate) async fn requests(&self) -> Result<Vec<String>> {
        let mut client = Client::connect(self.control, "").await?;
        let answer: Value = serde_json::from_slice(client.expect(200, "GET", "/calls", "").await?)?;
        let rows = answer.as_array().into_iter().flatten();
        Ok(rows.map(|row| format!("{} {}", text(row, "method"), template(&text(row, "path")))).collect())
    }
}

fn text(row: &Value, key: &str) -> String {
    row[key].as_str().unwrap_or_default().to_owned()
}

fn template(path: &str) -> String {
    let path = path.split('?').next().unwrap_or_default();
    let word = |segment: &str| {
        let number = segment.bytes().all(|byte| byte.is_ascii_digit()) && !segment.is_empty();
        let node = segment.strip_prefix("pve").is_some_and(|rest| rest.parse::<u32>().is_ok());
        match segment {
            _ if number => "{vmid}".to_owned(),
            _ if node => "{node}".to_owned(),
            _ if segment.starts_with("UPID") => "{upid}".to_owned(),
            _ => segment.to_owned(),
        }
    };
    path.split('/').map(word).collect::<Vec<_>>().join("/")
}

/// How often each request was made, most frequent first.
pub(crate) fn tally(requests: &[String]) -> Vec<(&str, usize)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for request in requests {
        *counts.entry(request).or_default() += 1;
    }
    let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_loses_what_is_only_its_own() {
        assert_eq!(template("/nodes/pve12/qemu/100001/config?x=1"), "/nodes/{node}/qemu/{vmid}/config");
        assert_eq!(template("/nodes/pve1/tasks/UPID:pve1:00:a/status"), "/nodes/{node}/tasks/{upid}/status");
        assert_eq!(template("/pools"), "/pools");
    }

    #[test]
    fn the_most_frequent_comes_first() {
        let requests = ["a", "b", "b"].map(str::to_owned);
        assert_eq!(tally(&requests), [("b", 2), ("a", 1)]);
    }
}
