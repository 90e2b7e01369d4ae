//! Many clusters of one file: a load profile.

use crate::clock::ClockKind;
use crate::control::Control;
use crate::scenario::{Entries, Scenario};
use crate::{Simulator, StartError, control_port};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use tokio::task::JoinSet;

/// Several clusters, as a list `[[cluster]]` in TOML.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// At least one.
    #[serde(rename = "cluster")]
    pub clusters: Vec<Equals>,
}

/// So many clusters that are alike.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Equals {
    /// What they are called; several are numbered: `load-1`, `load-2`, …
    pub name: String,
    /// How many there are.
    #[serde(default = "one")]
    pub count: usize,
    /// Nodes of each.
    pub nodes: usize,
    /// Other people's guests on each.
    #[serde(default)]
    pub guests: u32,
    /// As in `9.2.3`; without it, the newest that is known.
    #[serde(default)]
    pub version: Option<String>,
    /// Which ports listen.
    #[serde(default = "one_port")]
    pub entries: Entries,
    /// How time passes.
    #[serde(default = "nothing_lasts")]
    pub clock: ClockKind,
}

fn one() -> usize {
    1
}

fn one_port() -> Entries {
    Entries::One
}

fn nothing_lasts() -> ClockKind {
    ClockKind::Instant
}

impl Equals {
    /// The clusters one after the other, none before it is asked for: each is megabytes.
    fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        (1..=self.count).map(|number| {
            let scenario = Scenario::large(self.nodes, self.guests).with_clock(self.clock);
            Scenario {
                cluster: if self.count == 1 { self.name.clone() } else { format!("{}-{number}", self.name) },
                version: self.version.clone().unwrap_or(scenario.version),
                entries: self.entries,
                // Their MAC addresses and UUIDs differ.
                seed: u64::try_from(number).unwrap_or(1),
                ..scenario
            }
        })
    }
}

impl Profile {
    /// Every cluster.
    pub fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        self.clusters.iter().flat_map(Equals::scenarios)
    }
}

/// Clusters that run until this is dropped.
pub struct Fleet {
    /// By their names, in the profile's order.
    pub clusters: Vec<(String, Simulator)>,
    tasks: JoinSet<()>,
}

impl Fleet {
    /// Starts them; with a port that is not 0, the first entry takes it and the others those that follow.
    ///
    /// # Errors
    /// When a cluster does not hold together, two have one name, or a port is taken.
    pub async fn start_at(profile: &Profile, address: SocketAddr) -> Result<Self, StartError> {
        let mut clusters: Vec<(String, Simulator)> = Vec::new();
        let mut next = address;
        for scenario in profile.scenarios() {
            let name = scenario.cluster.clone();
            if clusters.iter().any(|(taken, _)| *taken == name) {
                return Err(StartError::Scenario(format!("two clusters are called {name}")));
            }
            let simulator = Simulator::start_at(scenario, next).await?;
            if next.port() != 0 {
                let taken = u16::try_from(simulator.entries.len()).unwrap_or(u16::MAX);
                next.set_port(next.port().saturating_add(taken));
            }
            clusters.push((name, simulator));
        }
        Ok(Self { clusters, tasks: JoinSet::new() })
    }

    /// Opens one control port for all, plain HTTP with JSON, and returns its URL; a cluster's is below `/NAME`.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn open_control(&mut self, address: SocketAddr) -> Result<String, StartError> {
        let router = self.clusters.iter().fold(axum::Router::new(), |router, (name, simulator)| {
            let control: Control = simulator.control.clone();
            router.nest(&format!("/{name}"), control_port::router(control))
        });
        control_port::open(router, address, &mut self.tasks).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_are_numbered_and_differ_by_their_seed() {
        let text =
            "[[cluster]]\nname = \"a\"\nnodes = 1\n[[cluster]]\nname = \"b\"\ncount = 2\nnodes = 3\nguests = 6\n";
        let profile: Profile = toml::from_str(text).unwrap();
        let seen: Vec<_> =
            profile.scenarios().map(|one| (one.cluster, one.nodes.len(), one.guests.len(), one.seed)).collect();
        let expected = [("a", 1, 0, 1), ("b-1", 3, 6, 1), ("b-2", 3, 6, 2)];
        assert_eq!(seen, expected.map(|(name, nodes, guests, seed)| (name.to_owned(), nodes, guests, seed)));
    }

    #[tokio::test]
    async fn a_name_stands_for_one_cluster() {
        let text = "[[cluster]]\nname = \"a\"\nnodes = 1\n[[cluster]]\nname = \"a\"\nnodes = 1\n";
        let profile: Profile = toml::from_str(text).unwrap();
        let started = Fleet::start_at(&profile, SocketAddr::from(([127, 0, 0, 1], 0))).await;
        assert!(matches!(started, Err(StartError::Scenario(why)) if why == "two clusters are called a"));
    }
}
