//! Power: on, off, shutdown, reboot, power cycle. Every half begins by looking and ends by writing what it saw.

use super::life::{ServerInput, ensure_networks};
use super::observe;
use crate::site::{self, Site};
use async_trait::async_trait;
use jiff::Timestamp;
use model::refusal::Code;
use model::states::Power;
use provider::{Guest, GuestPower, PowerWish, Sighting};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::servers::Work;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// How long a guest may take to obey a shutdown before its power is cut. Documented with the action.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(60);

/// How often a guest that is shutting down is looked at.
const GLANCE: Duration = Duration::from_millis(500);

macro_rules! power_kinds {
    ($($(#[$doc:meta])* $kind:ident = $word:literal;)+) => {
        $(
            $(#[$doc])*
            pub struct $kind;

            impl Kind for $kind {
                const KIND: &'static str = $word;
                const SHAPE: Shape = Shape::Action(Unwinding::Never);
                const MADE_WITHIN: Duration = Duration::from_secs(180);
                type Input = ServerInput;
            }
        )+
    };
}

power_kinds! {
    /// Starts a stopped server.
    PowerOn = "server.power_on";
    /// Cuts a server's power.
    PowerOff = "server.power_off";
    /// Asks the guest to stop; cuts the power when it does not.
    Shutdown = "server.shutdown";
    /// Asks the guest to restart.
    Reboot = "server.reboot";
    /// Cuts the power and starts again.
    PowerCycle = "server.power_cycle";
}

/// The workflows of this file.
pub fn definitions() -> Vec<Definition<Site>> {
    vec![
        Definition::of::<PowerOn>(steps![SwitchOn]),
        Definition::of::<PowerOff>(steps![SwitchOff]),
        Definition::of::<Shutdown>(steps![AskToStop, AwaitStop]),
        Definition::of::<Reboot>(steps![Restart]),
        Definition::of::<PowerCycle>(steps![SwitchOff, SwitchOn]),
    ]
}

/// The server of a running action.
pub(crate) async fn subject(cx: &Site, run: &Run<Site>) -> Result<Work, Fault> {
    let text = run.subject();
    let id = text.strip_prefix("server:").and_then(|id| id.parse().ok());
    match id {
        Some(id) => cx.server(id).await,
        None => Err(Fault::bug(format!("BUG: `{text}` is not about a server"))),
    }
}

/// Looks for a guest that has to be there. `Err(outcome)`: it is not; that is the step's answer.
pub(crate) async fn look<M>(cx: &Site, work: &Work) -> Result<Result<Sighting, Outcome<M>>, Fault> {
    let guest = cx.placed_guest(work)?;
    Ok(match cx.provider(&work.region)?.find_guest(&guest).await.map_err(site::fault)? {
        Guest::Ours(seen) => Ok(*seen),
        Guest::Forming | Guest::Unfinished => Err(Outcome::wait_for("the guest, which is being worked on", GLANCE)),
        Guest::Absent | Guest::Foreign(_) => Err(Outcome::refuse(
            Code::GuestLost.as_str(),
            "The server is not at its provider any more. Ask your operator; if nothing can be found, delete it.",
        )),
    })
}

/// Ensures that the guest runs, and writes what was seen.
pub(crate) async fn ensure_running(cx: &Site, run: &mut Run<Site>, work: &Work) -> Result<Outcome<()>, Fault> {
    let seen = match look(cx, work).await? {
        Ok(seen) => seen,
        Err(answer) => return Ok(answer),
    };
    if seen.power == GuestPower::Running {
        let tx = run.tx().await?;
        observe::saw(tx, work.id, &seen).await?;
        store::servers::set_wanted_power(tx, work.id, Power::On).await?;
        return Ok(Outcome::done(()));
    }
    if let Some(refusal) = super::gpus::taken(work, run.followed()) {
        return Ok(refusal);
    }
    let addresses = {
        let mut connection = cx.store.connection().await?;
        store::addresses::of(&mut connection, &[work.id]).await?
    };
    if let Err(refusal) = ensure_networks(cx, work, &addresses).await? {
        return Ok(refusal);
    }
    switch(cx, run, work, PowerWish::On, GuestPower::Running).await
}

/// Ensures that the guest is stopped, and writes what was seen.
pub(crate) async fn ensure_stopped(cx: &Site, run: &mut Run<Site>, work: &Work) -> Result<Outcome<()>, Fault> {
    let seen = match look(cx, work).await? {
        Ok(seen) => seen,
        Err(answer) => return Ok(answer),
    };
    if seen.power == GuestPower::Stopped {
        let tx = run.tx().await?;
        observe::saw(tx, work.id, &seen).await?;
        store::servers::set_wanted_power(tx, work.id, Power::Off).await?;
        return Ok(Outcome::done(()));
    }
    switch(cx, run, work, PowerWish::Off, GuestPower::Stopped).await
}

/// Asks for a change of power and looks again: what is written is what was seen, not what was asked.
async fn switch(
    cx: &Site,
    run: &mut Run<Site>,
    work: &Work,
    wish: PowerWish,
    goal: GuestPower,
) -> Result<Outcome<()>, Fault> {
    let guest = cx.placed_guest(work)?;
    let answer = cx.provider(&work.region)?.power(&guest, wish).await;
    let sentence = "The provider would not change the server's power. Ask your operator to look at the log.";
    match site::settle(answer, Code::ProviderRefused, sentence)? {
        Err(refusal) => return Ok(refusal),
        Ok(provider::Begun::Task(task)) => return Ok(Outcome::follow(task.0)),
        Ok(provider::Begun::Done) => {}
    }
    let seen = match look(cx, work).await? {
        Ok(seen) => seen,
        Err(answer) => return Ok(answer),
    };
    let tx = run.tx().await?;
    observe::saw(tx, work.id, &seen).await?;
    if seen.power != goal {
        return Ok(Outcome::wait_for("the guest's power to change", GLANCE));
    }
    let wanted = if goal == GuestPower::Running { Power::On } else { Power::Off };
    store::servers::set_wanted_power(tx, work.id, wanted).await?;
    Ok(Outcome::done(()))
}

macro_rules! power_step {
    ($(#[$doc:meta])* $step:ident, $name:literal, $ensure:path) => {
        $(#[$doc])*
        pub struct $step;

        #[async_trait]
        impl Step<Site> for $step {
            type Memo = ();
            const NAME: &'static str = $name;

            async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
                let work = subject(cx, run).await?;
                $ensure(cx, run, &work).await
            }

            /// Nothing to take back: the power stays as the tenant asked for it.
            async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
                Ok(Outcome::done(()))
            }
        }
    };
}

power_step!(
    /// Ensures that the guest runs.
    SwitchOn, "switch_on", ensure_running
);
power_step!(
    /// Ensures that the guest is stopped, at once.
    SwitchOff, "switch_off", ensure_stopped
);

/// Asks the guest to stop.
pub struct AskToStop;

/// When it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The engine's time.
    pub at: Timestamp,
}

impl Recorded for Asked {
    fn sample() -> Self {
        Self { at: Timestamp::UNIX_EPOCH }
    }
}

#[async_trait]
impl Step<Site> for AskToStop {
    type Memo = Asked;
    const NAME: &'static str = "ask_to_stop";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Asked>, Fault> {
        let work = subject(cx, run).await?;
        let asked = Asked { at: run.now() };
        match look(cx, &work).await? {
            Err(answer) => return Ok(answer),
            Ok(seen) if seen.power == GuestPower::Stopped => return Ok(Outcome::done(asked)),
            Ok(_) => {}
        }
        let guest = cx.placed_guest(&work)?;
        match cx.provider(&work.region)?.power(&guest, PowerWish::Shutdown).await.map_err(site::fault)? {
            provider::Begun::Done => Ok(Outcome::done(asked)),
            provider::Begun::Task(task) => Ok(Outcome::follow(task.0)),
        }
    }
}

/// Waits until the guest has stopped; cuts the power when it has had its time.
pub struct AwaitStop;

#[async_trait]
impl Step<Site> for AwaitStop {
    type Memo = ();
    const NAME: &'static str = "await_stop";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let asked = run.memo::<AskToStop>()?;
        let patience_ends = asked.at.saturating_add(SHUTDOWN_GRACE).unwrap_or(Timestamp::MAX);
        let running = match look(cx, &work).await? {
            Err(answer) => return Ok(answer),
            Ok(seen) => seen.power == GuestPower::Running,
        };
        if running && run.now() < patience_ends {
            return Ok(Outcome::wait_for("the guest to shut down", GLANCE));
        }
        ensure_stopped(cx, run, &work).await
    }
}

/// Asks the guest to restart. A stopped one is started.
pub struct Restart;

#[async_trait]
impl Step<Site> for Restart {
    type Memo = ();
    const NAME: &'static str = "restart";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let seen = match look(cx, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        if seen.power == GuestPower::Stopped {
            return ensure_running(cx, run, &work).await;
        }
        let guest = cx.placed_guest(&work)?;
        match cx.provider(&work.region)?.power(&guest, PowerWish::Reboot).await.map_err(site::fault)? {
            provider::Begun::Done => Ok(Outcome::done(())),
            provider::Begun::Task(task) => Ok(Outcome::follow(task.0)),
        }
    }
}
