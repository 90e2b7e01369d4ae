//! Networks and tasks at a provider.

use crate::Fault;
use model::ids::VpcId;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A network's name, derived from our ids.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkRef {
    /// The region's public network, by the name of its address pool.
    Public(String),
    /// A team's private network.
    Vpc(VpcId),
}

/// What kind of network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkKind {
    /// Guests reach the world through the host's address translation.
    PublicNat,
    /// Guests are on the operator's own bridge (its name is in the region's configuration); nothing is translated.
    PublicBridged,
    /// Guests reach only each other.
    Private,
}

/// A network as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NetworkSpec {
    /// Its name.
    pub network: NetworkRef,
    /// What it does.
    pub kind: NetworkKind,
    /// The gateway's address, which the host itself takes on a `PublicNat` network.
    pub gateway: Option<Ipv4Addr>,
    /// The network's range: base address.
    pub base: Ipv4Addr,
    /// The network's range: prefix length.
    pub prefix: u8,
}

/// A provider's own name for work in progress; opaque to us, stored as it is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskRef(pub String);

/// What a task is doing.
#[derive(Clone, PartialEq, Debug)]
pub enum TaskState {
    /// Still at it; a fraction from 0 to 1 where one is known.
    Running {
        /// How far.
        progress: Option<f64>,
    },
    /// Ended well.
    Done,
    /// Ended badly.
    Failed(Fault),
    /// Nobody remembers it: look at the object itself.
    Vanished,
}
