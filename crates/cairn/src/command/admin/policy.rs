//! A region's policy from flags: how much of it is sold, where servers go, what is put right by itself.

use clap::{Args, ValueEnum};
use wire::admin::{Heal, Healing, Overcommit, Placement, Preference, Region};

/// What is said of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "The policy")]
pub(super) struct Policy {
    /// How much of the hosts' processors is sold, in percent
    #[arg(long, value_name = "PERCENT")]
    overcommit_vcpus: Option<u32>,
    /// How much of the hosts' memory is sold, in percent
    #[arg(long, value_name = "PERCENT")]
    overcommit_memory: Option<u32>,
    /// How much of the hosts' disk is sold, in percent
    #[arg(long, value_name = "PERCENT")]
    overcommit_disk: Option<u32>,
    /// Whether servers go to the emptiest host or to the fullest that has room
    #[arg(long, value_name = "WHERE")]
    placement: Option<Where>,
    /// How much of each host stays free of new servers, in percent; 0 for nothing
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=99))]
    headroom: Option<u32>,
    /// What is put right by itself when it was changed at the provider
    #[arg(long, value_name = "WHAT")]
    heal: Option<What>,
    /// How often one server is put right within an hour, before it is left to an operator
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    heal_per_hour: Option<u32>,
}

/// Where servers go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Where {
    /// To the emptiest host: a lost host takes few servers with it
    Spread,
    /// To the fullest host that has room: others stay free
    Pack,
}

/// What is put right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    /// Nothing; alerts say what has drifted
    Off,
    /// A server that should run and does not is started, also one that was shut down from inside
    Power,
    /// That, and a stopped guest whose size was changed gets its size back
    All,
}

impl Policy {
    /// What is sold, where that is said; the rest is as it is now, or as usual.
    pub(super) fn overcommit(&self, now: Option<&Region>) -> Option<Overcommit> {
        let usual = Overcommit { vcpus_percent: 400, memory_percent: 100, disk_percent: 100 };
        let now = now.map_or(usual, |region| region.overcommit);
        let wanted = Overcommit {
            vcpus_percent: self.overcommit_vcpus.unwrap_or(now.vcpus_percent),
            memory_percent: self.overcommit_memory.unwrap_or(now.memory_percent),
            disk_percent: self.overcommit_disk.unwrap_or(now.disk_percent),
        };
        (wanted != now).then_some(wanted)
    }

    /// Where servers go, where that is said.
    pub(super) fn placement(&self, now: Option<&Region>) -> Option<Placement> {
        let now = now.map_or_else(Placement::default, |region| region.placement);
        let wanted = Placement {
            preference: self.placement.map_or(now.preference, |place| match place {
                Where::Spread => Preference::Spread,
                Where::Pack => Preference::Pack,
            }),
            headroom_percent: self
                .headroom
                .map_or(now.headroom_percent, |percent| Some(percent).filter(|one| *one > 0)),
        };
        (wanted != now).then_some(wanted)
    }

    /// What is put right, where that is said.
    pub(super) fn heal(&self, now: Option<&Region>) -> Option<Healing> {
        let now = now.map_or_else(Healing::default, |region| region.heal);
        let wanted = Healing {
            what: self.heal.map_or(now.what, |what| match what {
                What::Off => Heal::Off,
                What::Power => Heal::Power,
                What::All => Heal::All,
            }),
            per_hour: self.heal_per_hour.unwrap_or(now.per_hour),
        };
        (wanted != now).then_some(wanted)
    }
}

/// The policy of a region, for a person.
pub(super) fn lines(region: &Region) -> [(&'static str, String); 3] {
    let sold = &region.overcommit;
    let preference = match region.placement.preference {
        Preference::Spread => "spread: to the emptiest host",
        Preference::Pack => "pack: to the fullest host that has room",
    };
    let headroom =
        region.placement.headroom_percent.map(|percent| format!(", {percent} % stay free")).unwrap_or_default();
    let times = region.heal.per_hour;
    let heal = match region.heal.what {
        Heal::Off => "off".to_owned(),
        Heal::Power => format!("power, {times} times an hour at most"),
        Heal::All => format!("all, {times} times an hour at most"),
    };
    let percent =
        format!("vCPUs {} %, memory {} %, disk {} %", sold.vcpus_percent, sold.memory_percent, sold.disk_percent);
    [("SOLD", percent), ("PLACEMENT", format!("{preference}{headroom}")), ("HEALS", heal)]
}
