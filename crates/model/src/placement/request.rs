//! What is looked for.

use super::{Resources, Sharing, Word};
use crate::catalogue::Architecture;
use crate::ids::HostId;
use serde::{Deserialize, Serialize};

/// Where servers go by preference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// To the host that is left emptiest: a lost host takes few servers with it.
    #[default]
    Spread,
    /// To the host that is left fullest: other hosts stay free for large servers, or can be switched off.
    Pack,
}

/// Whether a wish may be left unmet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strictness {
    /// No: rather no server at all.
    Hard,
    /// Yes: it only moves hosts in the ranking.
    Soft,
}

/// What is looked for. The default asks for nothing, so every host that is up will do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// What the server takes.
    pub needs: Resources,
    /// The only host that will do, if there is one (the snapshot is there, the operator said so).
    pub required: Option<HostId>,
    /// Hosts that will not do (they refused already).
    pub avoid: Vec<HostId>,
    /// The processor that its image is for.
    pub architecture: Option<Architecture>,
    /// What the host has to be able to do.
    pub features: Vec<Word>,
    /// Tags that the host has to have.
    pub tags: Vec<Word>,
    /// Tags that it must not have.
    pub forbidden_tags: Vec<Word>,
    /// What the storage of its disk has to be like. Without a wish only the host's disk as a whole is looked at.
    pub storage: Option<StorageWish>,
    /// GPUs.
    pub gpu: Option<GpuWish>,
    /// Which servers it is to be near to or far from.
    pub group: Option<GroupWish>,
    /// What is to stay free on the host.
    pub headroom: Option<Headroom>,
    /// By preference.
    pub preference: Preference,
    /// What counts how much in the ranking.
    pub weights: Weights,
    /// Breaks ties between equal hosts. The same seed gives the same answer; different seeds share the servers out.
    pub seed: u64,
}

/// What a storage has to be like; the default is content with any that has room for the disk.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct StorageWish {
    /// This one and no other.
    pub name: Option<Word>,
    /// It keeps this: `images` for machines, `rootdir` for containers.
    pub content: Option<Word>,
    /// It is of one of these techniques; empty: of any.
    pub techniques: Vec<Word>,
    /// Local or shared.
    pub sharing: Option<Sharing>,
}

/// GPUs that the server takes, all of one kind.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GpuWish {
    /// Of this model.
    pub model: Option<Word>,
    /// With at least this much memory each, in MiB.
    pub vram_mib: i64,
    /// So many.
    pub count: u32,
}

/// Company that the server is to have or to shun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupWish {
    /// The group that it is a member of.
    pub group: Word,
    /// What is wished.
    pub keep: Keep,
    /// Whether it has to be.
    pub strictness: Strictness,
}

/// How the members of a group stand to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// On different hosts.
    Apart,
    /// On one host: where a member is. The first of them goes anywhere.
    Together,
}

/// Room that is to be left on the host with the server on it, for what is there to grow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Headroom {
    /// In hundredths of what may be sold, of every resource that the server takes.
    pub percent: u32,
    /// Whether it has to be left.
    pub strictness: Strictness,
}

/// What counts how much: the score is the mean of its parts with these weights. A part that the request does not ask
/// for (a soft group, a soft headroom) is left out of the mean; with 0 for every part that is asked for, all hosts are
/// equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Spread or pack.
    pub room: u16,
    /// The soft wish for a group.
    pub group: u16,
    /// The soft wish for headroom.
    pub headroom: u16,
    /// The host's cost.
    pub cost: u16,
}

impl Default for Weights {
    /// The first member of a group on a host outweighs everything else together; cost and room are of one weight.
    fn default() -> Self {
        Self { room: 1, group: 9, headroom: 2, cost: 1 }
    }
}
