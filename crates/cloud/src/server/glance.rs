//! Looking at a server from outside: its serial console, its screen. A request cannot reach a provider, so it asks for
//! a workflow that fetches what is to be seen, and waits for it.

use super::power::subject;
use crate::site::{self, Site};
use crate::{Caller, Result};
use async_trait::async_trait;
use model::ids::{ServerId, WorkflowId};
use model::refusal::{Code, Refusal};
use provider::{Capabilities, FaultKind};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::Store;
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// The most of a console that is fetched: its end.
pub const CONSOLE_BYTES: usize = 64 * 1024;

/// How long a request waits for a worker.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a waiting request looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// What there is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// The end of the serial console's log.
    Console,
    /// The screen, as PNG.
    Screen,
}

/// Fetches a view.
pub struct Glance;

/// Of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GlanceInput {
    /// The server.
    pub server: ServerId,
    /// What is to be seen of it.
    pub view: View,
}

impl Recorded for GlanceInput {
    fn sample() -> Self {
        Self { server: ServerId(42), view: View::Console }
    }
}

impl Kind for Glance {
    const KIND: &'static str = "server.glance";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const EXCLUSIVE: bool = false;
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = GlanceInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Glance>(steps![Fetch])
}

/// Fetches it and writes it down for the request that waits.
pub struct Fetch;

#[async_trait]
impl Step<Site> for Fetch {
    type Memo = ();
    const NAME: &'static str = "fetch_view";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let guest = cx.placed_guest(&work)?;
        let provider = cx.provider(&work.region)?;
        let fetched = match run.input::<Glance>()?.view {
            View::Console => provider.console_log(&guest, CONSOLE_BYTES).await,
            View::Screen => provider.screenshot(&guest).await,
        };
        let content = match fetched {
            Ok(bytes) => Some(bytes),
            // A stopped guest has no screen. That is an answer, not a fault; the next request looks again.
            Err(no) if matches!(no.kind, FaultKind::Refused | FaultKind::Transient) => None,
            Err(fault) => return Err(site::fault(fault)),
        };
        let (id, team) = (run.id(), work.team);
        store::glances::write(run.tx().await?, id, team, work.id, content.as_deref()).await?;
        Ok(Outcome::done(()))
    }
}

/// Asks for a view and waits for it. `None`: there is nothing to see.
pub async fn look(store: &Store, caller: &Caller, server: ServerId, view: View) -> Result<Option<Vec<u8>>> {
    let id = ask(store, caller, server, view).await?;
    let patience_ends = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(content) = store::glances::read(store, caller.team, id).await? {
            return Ok(content);
        }
        if tokio::time::Instant::now() > patience_ends {
            let message = "The server's host did not answer in time. Try again in a moment.";
            return Err(Refusal::new(Code::Conflict, message).into());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn ask(store: &Store, caller: &Caller, server: ServerId, view: View) -> Result<WorkflowId> {
    let mut tx = store.tenant(caller.team).await?;
    let found = store::servers::get(&mut tx, caller.team, server).await?.ok_or_else(Refusal::not_found)?;
    if !found.answered {
        let message = "The server is still being made. Try again when its create action is completed.";
        return Err(Refusal::new(Code::WrongState, message).into());
    }
    let capabilities = store::servers::capabilities(&mut tx, &found.region).await?;
    let capabilities: Capabilities = serde_json::from_value(capabilities).unwrap_or_default();
    let able = match view {
        View::Console => capabilities.console_log,
        View::Screen => capabilities.screenshot,
    };
    if !able {
        let message = format!("Region `{}` cannot show this.", found.region);
        return Err(Refusal::new(Code::Unsupported, message).into());
    }
    let input = GlanceInput { server, view };
    let new = NewWorkflow::of::<Glance>(super::life::subject(server), &input).team(caller.team).parent(found.workflow);
    let id = new.id();
    if new.insert(&mut tx).await? != store::workflow::Inserted::New {
        return Err(Refusal::not_found().into());
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(id)
}
