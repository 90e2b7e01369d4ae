//! Migrate: room on another host first, then the move, then the row. While it runs the server holds room on both hosts.
//! Whatever becomes of the move, what is written down in the end is where the guest was seen.

use super::life::ensure_networks_on;
use super::power::{look, subject};
use super::{observe, placing};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::{HostId, ServerId};
use model::placement::{self, Placement};
use model::refusal::Code;
use provider::{FaultKind, GuestPower, Movable, Move, Sighting};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::servers::{Candidate, Work};
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Moves a server to another host.
pub struct Migrate;

/// Which, where to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrateInput {
    /// The server.
    pub server: ServerId,
    /// The host that it is to go to; `None`: placement chooses.
    pub to: Option<HostId>,
}

impl Recorded for MigrateInput {
    fn sample() -> Self {
        Self { server: ServerId(42), to: Some(HostId(uuid::Uuid::nil())) }
    }
}

impl Kind for Migrate {
    const KIND: &'static str = "server.migrate";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(3600);
    const UNMADE_WITHIN: Duration = Duration::from_secs(3600);
    type Input = MigrateInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Migrate>(steps![ReserveTarget, MoveGuest, RecordHost])
}

/// A guest that cannot be seen while it changes hosts is looked for so often before it is believed to be gone.
const LOOKS: u32 = 4;
/// How long until the next of these looks.
const GLANCE: Duration = Duration::from_secs(2);

/// How often a move is begun before it is given up.
const TRIES: u32 = 5;
/// How long until a move that failed is begun again.
const AGAIN: Duration = Duration::from_secs(5);

/// What the tenant is told of a move that did not come about; why, is for the operator.
const STAYS: &str = "The server could not be moved to another host. It stays where it is.";

/// Reserves room on the host where the server is going to be.
pub struct ReserveTarget;

/// Where it is to go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The host.
    pub host: HostId,
    /// Its name.
    pub name: String,
}

impl Recorded for Target {
    fn sample() -> Self {
        Self { host: HostId(uuid::Uuid::nil()), name: "host-2".to_owned() }
    }
}

#[async_trait]
impl Step<Site> for ReserveTarget {
    type Memo = Target;
    const NAME: &'static str = "reserve_target";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Target>, Fault> {
        let work = subject(cx, run).await?;
        let seen = match look(cx, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        let answer = cx.provider(&work.region)?.movable(&seen.guest).await;
        let movable = match site::settle(answer, Code::ProviderRefused, STAYS)? {
            Ok(movable) => movable,
            Err(Outcome::Refuse(refusal)) => return Ok(Outcome::Refuse(refusal)),
            Err(_) => return Ok(Outcome::refuse(Code::ProviderRefused.as_str(), STAYS)),
        };
        if !movable.hindrances.is_empty() {
            return give_up(run, &movable.hindrances.join(" ")).await;
        }
        reserve(run, &work, &seen, &movable).await
    }

    /// What was reserved is given back, unless the guest went there: then [`MoveGuest`] has made it the server's home.
    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<Target>) -> Result<Outcome<()>, Fault> {
        let server = subject(cx, run).await?.id;
        store::servers::release_target(run.tx().await?, server).await?;
        Ok(Outcome::done(()))
    }
}

async fn give_up<M>(run: &mut Run<Site>, why: &str) -> Result<Outcome<M>, Fault> {
    let id = run.id();
    tracing::warn!(workflow = %id, why, "a server is not moved");
    store::migrations::explain(run.tx().await?, id, why).await?;
    Ok(Outcome::refuse(Code::ProviderRefused.as_str(), STAYS))
}

async fn reserve(
    run: &mut Run<Site>,
    work: &Work,
    seen: &Sighting,
    movable: &Movable,
) -> Result<Outcome<Target>, Fault> {
    let (id, required) = (run.id(), run.input::<Migrate>()?.to);
    let tx = run.tx().await?;
    if let Some((host, name)) = store::servers::target(tx, work.id).await? {
        return Ok(Outcome::done(Target { host, name })); // a repeat
    }
    let candidates = store::servers::candidates(tx, &work.region, work.id).await?;
    let named = |name: &str| candidates.iter().find(|host| host.name == name);
    if let Some(there) = named(&seen.guest.host).filter(|host| Some(host.id) == required) {
        return Ok(Outcome::done(Target { host: there.id, name: there.name.clone() })); // it went there by itself
    }
    let mut avoid: Vec<HostId> = work.host.iter().map(|(host, _)| *host).collect();
    avoid.extend(named(&seen.guest.host).map(|host| host.id));
    avoid.extend(movable.not_to.iter().filter_map(|(name, _)| named(name)).map(|host| host.id));
    let request = placement::Request { required, avoid, ..placing::wanted(work, &candidates)? };
    let hosts = placing::hosts(work, &candidates);
    let placed = placement::place(&request, &hosts);
    for choice in &placed.ranked {
        if store::servers::reserve_target(tx, work.id, choice.host).await? {
            store::migrations::set_target(tx, id, choice.host).await?;
            let name = candidates.iter().find(|host| host.id == choice.host).map(|host| host.name.clone());
            return Ok(Outcome::done(Target { host: choice.host, name: name.unwrap_or_default() }));
        }
    }
    store::migrations::explain(tx, id, &reasons(&placed, &candidates, movable)).await?;
    Ok(Outcome::refuse(Code::NoCapacity.as_str(), STAYS))
}

/// Why no host takes it, in one line for the operator.
fn reasons(placed: &Placement, candidates: &[Candidate], movable: &Movable) -> String {
    let name = |id: HostId| candidates.iter().find(|host| host.id == id).map_or("?", |host| host.name.as_str());
    let said = |name: &str| movable.not_to.iter().find(|(host, _)| host == name).map(|(_, why)| why.clone());
    let rejected = placed.rejected.iter().map(|(host, reason)| {
        let name = name(*host);
        format!("{name} {}", said(name).unwrap_or_else(|| reason.to_string()))
    });
    let full = placed.ranked.iter().map(|choice| format!("{} has filled up meanwhile", name(choice.host)));
    let all: Vec<String> = rejected.chain(full).collect();
    format!("no host takes it: {}", all.join("; "))
}

/// Looks for a guest that is between two hosts, or was a moment ago.
async fn find<M>(cx: &Site, run: &Run<Site>, work: &Work) -> Result<Result<Sighting, Outcome<M>>, Fault> {
    Ok(match look(cx, work).await? {
        Err(Outcome::Refuse(_)) if run.attempt() < LOOKS => {
            Err(Outcome::wait_for("the guest to be seen again", GLANCE))
        }
        answer => answer,
    })
}

/// Moves the guest.
pub struct MoveGuest;

#[async_trait]
impl Step<Site> for MoveGuest {
    type Memo = ();
    const NAME: &'static str = "move_guest";
    const AWAITS: &'static str = "the move to the other host";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let target = run.memo::<ReserveTarget>()?;
        let seen = match find(cx, run, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        if seen.guest.host == target.name {
            return Ok(Outcome::done(()));
        }
        if let Some(failure) = site::failed(run.followed()) {
            if run.attempt() >= TRIES || matches!(failure.kind, FaultKind::Refused | FaultKind::Full) {
                return give_up(run, &failure.detail).await;
            }
            tracing::warn!(server = %work.id, detail = %failure.detail, "a move failed; trying again");
            return Ok(Outcome::wait_for("another try at moving the server", AGAIN));
        }
        begin(cx, run, &work, &seen, &target).await
    }

    /// A move that is under way cannot be called off half-way: its end is waited for. Where the guest is then, it stays.
    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        if let Some(task) =
            run.followed().filter(|followed| followed.end.is_none()).map(|followed| followed.task.clone())
        {
            return Ok(Outcome::Follow(task));
        }
        let work = subject(cx, run).await?;
        match find::<()>(cx, run, &work).await? {
            Ok(seen) => settle(run, &work, &seen).await,
            Err(Outcome::Refuse(_)) => Ok(Outcome::done(())), // gone; that is another workflow's business
            Err(wait) => Ok(wait),
        }
    }
}

async fn begin(
    cx: &Site,
    run: &mut Run<Site>,
    work: &Work,
    seen: &Sighting,
    target: &Target,
) -> Result<Outcome<()>, Fault> {
    let addresses = {
        let mut connection = cx.store.connection().await?;
        store::addresses::of(&mut connection, &[work.id]).await?
    };
    if let Err(refusal) = ensure_networks_on(cx, work, &addresses, &target.name).await? {
        return Ok(refusal);
    }
    let how = if seen.power == GuestPower::Running { Move::Live } else { Move::Cold };
    match cx.provider(&work.region)?.move_guest(&seen.guest, &target.name, how).await {
        Ok(begun) => Ok(match begun {
            provider::Begun::Done => Outcome::wait_for("the guest to be seen on the other host", Duration::ZERO),
            task @ provider::Begun::Task(_) => site::follow(task, ()),
        }),
        Err(no) if matches!(no.kind, FaultKind::Refused | FaultKind::Full) => give_up(run, &no.detail).await,
        Err(other) => Err(site::fault(other)),
    }
}

/// Writes down where the guest is: the server's host and its reservation follow it, in one transaction with what was
/// seen.
async fn settle(run: &mut Run<Site>, work: &Work, seen: &Sighting) -> Result<Outcome<()>, Fault> {
    let id = run.id();
    let tx = run.tx().await?;
    if work.host.as_ref().is_some_and(|(_, name)| *name == seen.guest.host) {
        observe::saw(tx, work.id, seen).await?;
        return Ok(Outcome::done(()));
    }
    let Some(host) = store::servers::stands_on(tx, work.id, &seen.guest.host).await? else {
        return Ok(Outcome::wait("the host that the server is on to be seen for the first time"));
    };
    store::servers::release_target(tx, work.id).await?;
    store::migrations::set_target(tx, id, host).await?;
    observe::saw(tx, work.id, seen).await?;
    Ok(Outcome::done(()))
}

/// Writes the new host down. A guest that went back is left where it is, and the move has failed.
pub struct RecordHost;

#[async_trait]
impl Step<Site> for RecordHost {
    type Memo = ();
    const NAME: &'static str = "record_host";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let seen = match find(cx, run, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        // The row says so already after a repeat, and where the observer was faster.
        let target = run.memo::<ReserveTarget>()?;
        let there = seen.guest.host == target.name;
        if !there && work.host.as_ref().is_some_and(|(_, name)| *name == seen.guest.host) {
            return give_up(run, &format!("the guest was moved to {} and went back by itself", target.name)).await;
        }
        match settle(run, &work, &seen).await? {
            Outcome::Done(()) => {
                store::servers::release_target(run.tx().await?, work.id).await?;
                Ok(Outcome::done(()))
            }
            other => Ok(other),
        }
    }

    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}
