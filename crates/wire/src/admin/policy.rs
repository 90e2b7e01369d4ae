//! An operator's policy for a region: how much of it is sold, where servers go, what is put right by itself.

use crate::strict::{objects, words};
use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// How much of a region's hosts may be sold, in percent of what they have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminOvercommit)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
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

/// A part of the policy, which a request may say no other field of.
pub(super) trait Part: DeserializeOwned {
    /// Its fields.
    const FIELDS: &'static [&'static str];
}

impl Part for Overcommit {
    const FIELDS: &'static [&'static str] = &["vcpus_percent", "memory_percent", "disk_percent"];
}

impl Part for Placement {
    const FIELDS: &'static [&'static str] = &["preference", "headroom_percent"];
}

impl Part for Healing {
    const FIELDS: &'static [&'static str] = &["what", "per_hour"];
}

/// Reads a part from an answer: what a newer server says beside it is passed over.
pub(super) fn answered<'de, D: Deserializer<'de>, P: Part>(deserializer: D) -> Result<P, D::Error> {
    let mut said = Map::deserialize(deserializer)?;
    said.retain(|field, _| P::FIELDS.contains(&field.as_str()));
    serde_json::from_value(Value::Object(said)).map_err(D::Error::custom)
}

words!(Heal, Preference);
objects!(Healing, Overcommit, Placement);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What a part is when it is read from an answer with everything in it, and one field more.
    fn newer<P: Part>(mut whole: Value) -> P {
        for field in P::FIELDS {
            assert!(whole.get(field).is_some(), "{field} is not in {whole}");
        }
        assert_eq!(whole.as_object().map(Map::len), Some(P::FIELDS.len()), "{whole}");
        whole["newer"] = json!(1);
        assert!(serde_json::from_value::<P>(whole.clone()).is_err(), "a request may not say it");
        answered(whole).unwrap()
    }

    #[test]
    fn a_request_says_what_there_is_and_an_answer_may_say_more() {
        let sold = Overcommit { vcpus_percent: 1, memory_percent: 2, disk_percent: 3 };
        assert_eq!(newer::<Overcommit>(serde_json::to_value(sold).unwrap()), sold);
        let placing = Placement { preference: Preference::Pack, headroom_percent: Some(5) };
        assert_eq!(newer::<Placement>(serde_json::to_value(placing).unwrap()), placing);
        let healing = Healing { what: Heal::All, per_hour: 2 };
        assert_eq!(newer::<Healing>(serde_json::to_value(healing).unwrap()), healing);
    }
}
