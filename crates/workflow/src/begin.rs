//! Asking for a workflow, from a verb's transaction or from a step.

use crate::{Kind, Shape};
use model::ids::{TeamId, WorkflowId};
use store::Tx;
use store::workflow::{Inserted, New};

/// A workflow that is about to be asked for.
///
/// ```text
/// let inserted = NewWorkflow::of::<Shelve>("box:7", &input).team(team).insert(&mut tx).await?;
/// ```
#[derive(Debug, Clone)]
pub struct NewWorkflow {
    new: New,
    written: Result<(), String>,
}

impl NewWorkflow {
    /// A workflow of kind `K` about `subject`, an opaque word such as `box:7`. Its id is chosen here, first.
    pub fn of<K: Kind>(subject: impl Into<String>, input: &K::Input) -> Self {
        let (input, written) = match serde_json::to_value(input) {
            Ok(value) => (value, Ok(())),
            Err(error) => {
                (serde_json::Value::Null, Err(format!("the input of `{}` cannot be written: {error}", K::KIND)))
            }
        };
        let new = New {
            id: WorkflowId(uuid::Uuid::now_v7()),
            kind: K::KIND.to_owned(),
            subject: subject.into(),
            team: None,
            parent: None,
            input,
            lifecycle: K::SHAPE == Shape::Lifecycle,
            exclusive: K::EXCLUSIVE,
            made_within: K::MADE_WITHIN,
            unmade_within: K::UNMADE_WITHIN,
        };
        Self { new, written }
    }

    /// Whose it is: needed under row-level security.
    #[must_use]
    pub fn team(mut self, team: TeamId) -> Self {
        self.new.team = Some(team);
        self
    }

    /// The workflow that it acts on the thing of, or that buys it. Its end wakes the parent.
    #[must_use]
    pub fn parent(mut self, parent: WorkflowId) -> Self {
        self.new.parent = Some(parent);
        self
    }

    /// The id that it will have.
    pub fn id(&self) -> WorkflowId {
        self.new.id
    }

    /// The row itself, for a statement that writes more than the workflow.
    pub fn into_row(self) -> store::Result<New> {
        self.written.map_err(store::Error::Corrupt)?;
        Ok(self.new)
    }

    /// Writes it down in the caller's transaction; a worker sees it at the commit.
    pub async fn insert(self, tx: &mut Tx) -> store::Result<Inserted> {
        self.insert_at(tx, None).await
    }

    /// As [`NewWorkflow::insert`], with the time of a manual clock.
    pub async fn insert_at(self, tx: &mut Tx, now: Option<jiff::Timestamp>) -> store::Result<Inserted> {
        self.written.map_err(store::Error::Corrupt)?;
        store::workflow::insert(&mut **tx, &self.new, now).await
    }
}
