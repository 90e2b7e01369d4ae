//! The product, as far as the engine has to know it.

use crate::{Fault, Refusal, Run, TaskName, TaskState};
use async_trait::async_trait;
use model::ids::{TeamId, WorkflowId};
use store::Tx;

/// The product behind the engine.
#[async_trait]
pub trait World: Send + Sync + 'static {
    /// What the steps get to work with; made anew for every attempt, so it should be cheap.
    type Context: Send + Sync + 'static;

    /// The context of one attempt. A fault here is treated as one of the step itself.
    async fn context(&self, run: &Run<Self::Context>) -> Result<Self::Context, Fault>;

    /// Looks at a task that a step follows.
    async fn task(&self, run: &Run<Self::Context>, task: &TaskName) -> Result<TaskState, Fault>;

    /// The workflow came to an end (or to rest): the product closes its rows and tells the world, in the transaction
    /// that commits the end. Runs exactly once per committed end; a fault here rolls the last step back with it.
    async fn ended(&self, tx: &mut Tx, ended: &Ended) -> Result<(), Fault>;

    /// A step said a final no, and the workflow is about to unmake what it made: runs in the transaction that commits
    /// the refusal. Where nothing is to be unmade, [`World::ended`] follows in the same transaction.
    async fn refused(&self, tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        let _ = (tx, ended);
        Ok(())
    }
}

/// How a workflow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    /// A lifecycle: everything is made, and stays until it is wished away. (If the wish came during the last step,
    /// unmaking follows at once; the making has been told nevertheless.)
    Resting,
    /// A lifecycle: everything is unmade.
    Undone,
    /// An action: done.
    Completed,
    /// An action: a step said no (and what was made is unmade, if it unwinds).
    Refused,
    /// An action: called off (and what was made is unmade, if it unwinds).
    Cancelled,
}

impl End {
    /// The state that is stored.
    pub fn state(self) -> store::workflow::State {
        use store::workflow::State;
        match self {
            Self::Resting => State::Resting,
            Self::Undone => State::Undone,
            Self::Completed => State::Completed,
            Self::Refused => State::Refused,
            Self::Cancelled => State::Cancelled,
        }
    }
}

/// A workflow that ended, came to rest, or was refused.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which.
    pub id: WorkflowId,
    /// Its kind's word.
    pub kind: String,
    /// What it was about.
    pub subject: String,
    /// Whose it is.
    pub team: Option<TeamId>,
    /// The workflow that bought it, or whose thing it acts on.
    pub parent: Option<WorkflowId>,
    /// How it ended. For [`World::refused`]: how it is going to end.
    pub end: End,
    /// Why it turned round, if a step said no.
    pub refusal: Option<Refusal>,
    /// What it was asked for with, as stored.
    pub input: serde_json::Value,
}

impl Ended {
    /// The input of a workflow of kind `K`; a bug if it is of another kind.
    pub fn input<K: crate::Kind>(&self) -> Result<K::Input, Fault> {
        crate::run::read_input::<K>(&self.kind, &self.input)
    }
}
