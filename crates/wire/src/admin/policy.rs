//! An operator's policy for a region: how much of it is sold, where servers go, what is put right by itself.

use crate::strict::{objects, words};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How much of a region's hosts may be sold, in percent of what they have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOvercommit)]
#[serde(remote = "Self", expecting = "an object")]
pub struct Overcommit {
    /// Of their processors.
    #[serde(default = "four_times")]
    pub vcpus_percent: u32,
    /// Of their memory.
    #[serde(default = "once")]
    pub memory_percent: u32,
    /// Of their disk.
    #[serde(default = "once")]
    pub disk_percent: u32,
}

const fn four_times() -> u32 {
    400
}

const fn once() -> u32 {
    100
}

/// Which of a region's hosts servers go to, among those that have room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminPlacement)]
#[serde(remote = "Self", expecting = "an object")]
pub struct Placement {
    /// Emptiest or fullest first; absent: emptiest.
    #[serde(default)]
    pub preference: Preference,
    /// How much of a host stays free of new servers, in percent of what may be sold of it; absent: nothing has to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 99)]
    pub headroom_percent: Option<u32>,
}

/// Where servers go by preference.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminPreference)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Preference {
    /// To the host that is left emptiest: a lost host takes few servers with it.
    #[default]
    Spread,
    /// To the host that is left fullest: other hosts stay free for large servers, or can be switched off.
    Pack,
}

/// What is put right at the provider without anybody asking for it. Operators are told of everything, put right or not;
/// a guest that was deleted is never made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHealing)]
#[serde(remote = "Self", expecting = "an object")]
pub struct Healing {
    /// Which drift.
    pub what: Heal,
    /// How often one server is put right within an hour; what keeps going wrong is left to an operator. Absent: 3.
    #[serde(default = "thrice")]
    #[schema(minimum = 1, maximum = 60)]
    pub per_hour: u32,
}

const fn thrice() -> u32 {
    3
}

impl Default for Healing {
    fn default() -> Self {
        Self { what: Heal::Off, per_hour: thrice() }
    }
}

/// Which drift is put right by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminHeal)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum Heal {
    /// None.
    #[default]
    Off,
    /// A server that should run and does not is started, also one that was shut down from inside.
    Power,
    /// That, and a stopped guest whose processors, memory or disk were changed gets what its size says.
    All,
}

words!(Heal, Preference);
objects!(Healing, Overcommit, Placement);
