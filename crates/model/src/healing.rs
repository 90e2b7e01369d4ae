//! What is put right at a provider without anybody asking for it: which drift, how often, and when to stop.

use serde::{Deserialize, Serialize};

/// Which drift is put right by itself. Following a guest that was moved, and telling operators, is done under each: neither
/// changes anything at the provider. A guest that was deleted is never made again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Heal {
    /// None: a server that was shut down from inside stays off, as at a provider of real machines.
    #[default]
    Off,
    /// A server that should run and does not is started.
    Power,
    /// That, and a stopped guest whose processors, memory or disk were changed gets what its size says.
    All,
}

/// A region's rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Healing {
    /// Which drift.
    pub what: Heal,
    /// How often one server is put right within an hour. What keeps going wrong is left to an operator.
    pub per_hour: u32,
}

impl Default for Healing {
    fn default() -> Self {
        Self { what: Heal::Off, per_hour: 3 }
    }
}

/// The most that [`Healing::per_hour`] may be: more would be a loop with a pause.
pub const MOST_PER_HOUR: u32 = 60;

/// How a server has drifted, as it was last seen. Nothing else is done with it at the moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drift {
    /// It should run.
    pub should_run: bool,
    /// It does.
    pub runs: bool,
    /// It has the processors, memory and disk that it should.
    pub sized: bool,
}

/// What is done about it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remedy {
    /// Nothing: all is well, or it is not for us.
    None,
    /// Start it.
    Start,
    /// Give it what it should have; starting comes after that, with another look.
    Resize,
    /// Nothing any more: it was put right as often as may be, and an operator has to look.
    GiveUp,
}

/// Decides. `lately`: how often it was put right within the last hour.
pub fn remedy(rule: Healing, drift: Drift, lately: u32) -> Remedy {
    let wanted = match rule.what {
        Heal::Off => Remedy::None,
        // A running guest is not stopped to be put right: that is for its tenant to choose.
        _ if drift.runs => Remedy::None,
        Heal::All if !drift.sized => Remedy::Resize,
        Heal::Power | Heal::All if drift.should_run => Remedy::Start,
        Heal::Power | Heal::All => Remedy::None,
    };
    if wanted != Remedy::None && lately >= rule.per_hour { Remedy::GiveUp } else { wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STOPPED: Drift = Drift { should_run: true, runs: false, sized: true };

    fn rule(what: Heal) -> Healing {
        Healing { what, ..Healing::default() }
    }

    #[test]
    fn only_what_the_rule_names_is_put_right() {
        let edited = Drift { sized: false, ..STOPPED };
        let off = Drift { should_run: false, ..edited };
        for (what, drift, then) in [
            (Heal::Off, STOPPED, Remedy::None),
            (Heal::Off, edited, Remedy::None),
            (Heal::Power, STOPPED, Remedy::Start),
            (Heal::Power, edited, Remedy::Start),
            (Heal::Power, off, Remedy::None),
            (Heal::All, STOPPED, Remedy::Start),
            (Heal::All, edited, Remedy::Resize),
            (Heal::All, off, Remedy::Resize),
            (Heal::All, Drift { runs: true, ..edited }, Remedy::None),
        ] {
            assert_eq!(remedy(rule(what), drift, 0), then, "{what:?} {drift:?}");
        }
    }

    #[test]
    fn what_keeps_going_wrong_is_given_up_and_what_is_well_is_not() {
        let usual = rule(Heal::Power);
        assert_eq!(remedy(usual, STOPPED, 2), Remedy::Start);
        assert_eq!(remedy(usual, STOPPED, 3), Remedy::GiveUp);
        assert_eq!(remedy(usual, Drift { runs: true, ..STOPPED }, 9), Remedy::None);
        assert_eq!(remedy(rule(Heal::Off), STOPPED, 9), Remedy::None);
        assert_eq!(remedy(Healing { per_hour: 0, ..usual }, STOPPED, 0), Remedy::GiveUp);
    }
}
