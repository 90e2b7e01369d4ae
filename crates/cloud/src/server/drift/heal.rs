//! Putting drift right, as far as the region's rule allows. What is done is an action like any other: its tenant sees it,
//! and nothing else is done with the server meanwhile. Operators are told of each.

use super::{Alarm, alarm, has_what_it_should};
use crate::mend::Mend;
use crate::server::life::{ServerInput, subject};
use crate::server::power::PowerOn;
use crate::site::Site;
use jiff::{SignedDuration, Timestamp};
use model::healing::{Drift, Healing, Remedy, remedy};
use model::ids::ServerId;
use model::states::Power;
use provider::{GuestPower, Sighting};
use serde_json::json;
use store::actions::{NewAction, ResourceType};
use store::alerts::{self, Severity};
use store::operators::{self, Origin};
use store::servers::{Idle, Watched};
use store::workflow::Inserted;
use store::{Store, Tx};
use workflow::{Fault, Kind, NewWorkflow};

/// The rule counts within this.
const LATELY: SignedDuration = SignedDuration::from_hours(1);
/// What was put right is forgotten after this.
const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Rows that are forgotten at once.
const BATCH: i64 = 1000;

/// What came of looking whether a server is to be put right.
pub(in crate::server) enum Healed {
    /// It is not.
    Left,
    /// It was begun.
    Begun,
    /// It was put right too often already.
    GivenUp(Alarm),
}

/// Puts a server right if the rule says so. `now` is when it was seen like this.
pub(in crate::server) async fn heal(
    site: &Site,
    server: &Watched,
    sighting: &Sighting,
    rule: Healing,
    now: Timestamp,
) -> Result<Healed, Fault> {
    let may = server.answered && !server.leaving && !server.busy && !server.moving;
    let drift = Drift {
        should_run: server.wanted_power == Power::On,
        runs: sighting.power == GuestPower::Running,
        sized: has_what_it_should(server, sighting.resources),
    };
    // Most servers are well, and cost no statement.
    if !may || remedy(rule, drift, 0) == Remedy::None {
        return Ok(Healed::Left);
    }
    let mut tx = site.store.begin().await?;
    let since = now.checked_sub(LATELY).unwrap_or(Timestamp::MIN);
    let Some(idle) = store::servers::idle(&mut tx, server.id, since).await? else { return Ok(Healed::Left) };
    // Wishes may have changed since the list was read.
    let drift = Drift { should_run: idle.wanted_power == Power::On, ..drift };
    let begun = match remedy(rule, drift, idle.lately) {
        Remedy::None => return Ok(Healed::Left),
        Remedy::GiveUp => return Ok(Healed::GivenUp(given_up(server.id, rule))),
        Remedy::Start => begin::<PowerOn>(&mut tx, server.id, &idle, "power_on").await?,
        Remedy::Resize => begin::<Mend>(&mut tx, server.id, &idle, "mend").await?,
    };
    if !begun {
        return Ok(Healed::Left);
    }
    let (what, message) = if drift.sized || rule.what == model::healing::Heal::Power {
        ("start", format!("server {} was stopped at its provider, and is started again", server.id))
    } else {
        ("resize", format!("server {} was changed at its provider while stopped, and is put right", server.id))
    };
    store::servers::healed(&mut tx, server.id, what, now).await?;
    let subject = subject(server.id);
    alerts::raise_as(&mut tx, Severity::Info, "guest_healed", &subject, &message).await?;
    let origin = Origin { token: None, request_id: uuid::Uuid::now_v7() };
    operators::record(&mut tx, origin, "server.heal", &subject, &json!({ "what": what })).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(Healed::Begun)
}

fn given_up(server: ServerId, rule: Healing) -> Alarm {
    let message = format!(
        "server {server} was put right {} times within an hour and has drifted again, so it is left as it is for a while: \
         look at its console, or switch it off. `cairn admin region edit --heal off` ends healing in its region",
        rule.per_hour
    );
    alarm(Severity::Error, "heal_given_up", subject(server), message)
}

/// Writes the action and its workflow down. `false`: something else was faster.
async fn begin<K: Kind<Input = ServerInput>>(
    tx: &mut Tx,
    server: ServerId,
    idle: &Idle,
    kind: &str,
) -> Result<bool, Fault> {
    let new = NewWorkflow::of::<K>(subject(server), &ServerInput { server }).team(idle.team).parent(idle.workflow);
    let action = NewAction {
        team: idle.team,
        workflow: new.id(),
        direction: "make",
        kind,
        resource_type: ResourceType::Server,
        resource_id: server.0,
        region: Some(&idle.region),
    };
    if store::actions::begin(tx, &action).await?.is_none() {
        return Ok(false);
    }
    let body = json!({ "healed": true });
    store::events::append(tx, idle.team, &format!("droplet.{kind}"), &crate::server::urn(server), &body).await?;
    Ok(new.insert(tx).await? == Inserted::New)
}

/// Forgets what was put right long ago.
pub(in crate::server) async fn forget(store: &Store, now: Timestamp) -> store::Result<u64> {
    let before = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    store::servers::forget_heals(store, before, BATCH).await
}
