//! Backups: whether and when a copy of a server's disk is kept by itself.

use super::power::subject;
use crate::site::Site;
use async_trait::async_trait;
use model::ids::ServerId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Switches backups on, off, or to another time.
pub struct Arrange;

/// To what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrangeInput {
    /// The server.
    pub server: ServerId,
    /// `{plan, weekday?, hour}`; `None`: no backups.
    pub policy: Option<Value>,
}

impl Recorded for ArrangeInput {
    fn sample() -> Self {
        Self { server: ServerId(42), policy: Some(json!({ "plan": "weekly", "weekday": "SUN", "hour": 4 })) }
    }
}

impl Kind for Arrange {
    const KIND: &'static str = "server.backups";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ArrangeInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Arrange>(steps![WritePolicy])
}

/// Writes the policy on the server's row, which the scheduler reads.
pub struct WritePolicy;

#[async_trait]
impl Step<Site> for WritePolicy {
    type Memo = ();
    const NAME: &'static str = "write_policy";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let policy = run.input::<Arrange>()?.policy;
        store::servers::set_backups(run.tx().await?, work.team, work.id, policy.as_ref()).await?;
        Ok(Outcome::done(()))
    }
}
