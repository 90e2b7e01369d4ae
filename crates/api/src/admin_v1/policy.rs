//! An operator's policy for a region, between the wire and the product.

use model::catalogue::Placing;
use model::placement::{Headroom, Strictness};
use serde::de::DeserializeOwned;
use serde_json::Value;
use wire::admin::{Heal, Healing, Overcommit, Placement, Preference};

pub(super) fn overcommit(asked: Overcommit) -> model::placement::Overcommit {
    model::placement::Overcommit {
        vcpus_percent: asked.vcpus_percent,
        memory_percent: asked.memory_percent,
        disk_percent: asked.disk_percent,
    }
}

pub(super) fn placement(asked: Placement) -> Placing {
    Placing {
        preference: match asked.preference {
            Preference::Spread => model::placement::Preference::Spread,
            Preference::Pack => model::placement::Preference::Pack,
        },
        headroom: asked.headroom_percent.map(|percent| Headroom { percent, strictness: Strictness::Hard }),
        ..Placing::default()
    }
}

pub(super) fn heal(asked: Healing) -> model::healing::Healing {
    model::healing::Healing {
        what: match asked.what {
            Heal::Off => model::healing::Heal::Off,
            Heal::Power => model::healing::Heal::Power,
            Heal::All => model::healing::Heal::All,
        },
        per_hour: asked.per_hour,
    }
}

/// A stored policy as it is shown; what is not said is as usual.
pub(super) fn shown(policy: &Value) -> (Overcommit, Placement, Healing) {
    let sold: model::placement::Overcommit = part(policy, "overcommit");
    let placing: Placing = part(policy, "placement");
    let healing: model::healing::Healing = part(policy, "heal");
    let overcommit = Overcommit {
        vcpus_percent: sold.vcpus_percent,
        memory_percent: sold.memory_percent,
        disk_percent: sold.disk_percent,
    };
    let placement = Placement {
        preference: match placing.preference {
            model::placement::Preference::Spread => Preference::Spread,
            model::placement::Preference::Pack => Preference::Pack,
        },
        headroom_percent: placing.headroom.map(|headroom| headroom.percent),
    };
    let heal = Healing {
        what: match healing.what {
            model::healing::Heal::Off => Heal::Off,
            model::healing::Heal::Power => Heal::Power,
            model::healing::Heal::All => Heal::All,
        },
        per_hour: healing.per_hour,
    };
    (overcommit, placement, heal)
}

fn part<T: DeserializeOwned + Default>(policy: &Value, key: &str) -> T {
    policy.get(key).and_then(|part| serde_json::from_value(part.clone()).ok()).unwrap_or_default()
}
