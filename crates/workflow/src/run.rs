//! What a step sees of the workflow that it is part of, and the one transaction that it may open.

use crate::step::read_memo;
use crate::{Fault, Followed, Kind, NewWorkflow, Step};
use jiff::Timestamp;
use model::ids::{TeamId, WorkflowId};
use serde_json::Value;
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;
use store::workflow::{Direction, Inserted, Leased, Related};
use store::{Store, Tx};

/// One attempt of one step. `C` is the product's context.
pub struct Run<C> {
    pub(crate) row: Leased,
    pub(crate) followed: Option<Followed>,
    pub(crate) tx: Option<Tx>,
    kept: HashMap<TypeId, Arc<dyn Any + Send + Sync>>,
    store: Store,
    clock: crate::Clock,
    context: PhantomData<fn(C)>,
}

impl<C: Send + Sync + 'static> Run<C> {
    pub(crate) fn new(store: Store, clock: crate::Clock, row: Leased) -> Self {
        Self { row, followed: None, tx: None, kept: HashMap::new(), store, clock, context: PhantomData }
    }

    /// The workflow.
    pub fn id(&self) -> WorkflowId {
        self.row.id
    }

    /// Its kind's word.
    pub fn kind(&self) -> &str {
        &self.row.kind
    }

    /// What it is about: the word that it was asked for with.
    pub fn subject(&self) -> &str {
        &self.row.subject
    }

    /// Whose it is.
    pub fn team(&self) -> Option<TeamId> {
        self.row.team
    }

    /// The workflow that bought it, or whose thing it acts on.
    pub fn parent(&self) -> Option<WorkflowId> {
        self.row.parent
    }

    /// Making or unmaking.
    pub fn direction(&self) -> Direction {
        self.row.direction
    }

    /// How often this half of the step has been tried, counting this time: 1 is the first.
    pub fn attempt(&self) -> u32 {
        self.row.attempt.unsigned_abs()
    }

    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether somebody has set this wish. Wishes that arrive while a step runs are seen by the next attempt.
    pub fn wished(&self, wish: &str) -> bool {
        self.row.wishes.iter().any(|known| known == wish)
    }

    /// What the workflow was asked for with; a bug if it is of another kind than `K`.
    pub fn input<K: Kind>(&self) -> Result<K::Input, Fault> {
        read_input::<K>(&self.row.kind, &self.row.input)
    }

    /// What the earlier step `S` left; a bug if it has not been made.
    pub fn memo<S: Step<C>>(&self) -> Result<S::Memo, Fault> {
        self.memo_if_made::<S>()?
            .ok_or_else(|| Fault::bug(format!("step `{}` is not made, but its memo was asked for", S::NAME)))
    }

    /// What step `S` left, if it is made. While unmaking, the memos of steps that are not unmade yet are still there.
    pub fn memo_if_made<S: Step<C>>(&self) -> Result<Option<S::Memo>, Fault> {
        self.stored_memo(S::NAME).map(|memo| read_memo::<C, S>(memo)).transpose()
    }

    pub(crate) fn stored_memo(&self, name: &str) -> Option<&Value> {
        let made = self.row.step(Direction::Make, name).filter(|step| step.done)?;
        let unmade = self.row.step(Direction::Unmake, name).is_some_and(|step| step.done);
        if unmade { None } else { Some(&made.memo) }
    }

    /// The task that the previous attempt followed, with its end: for `make` to judge by. In `unmake`, the task that
    /// was still running when the workflow turned round, without an end.
    pub fn followed(&self) -> Option<&Followed> {
        self.followed.as_ref()
    }

    /// The transaction of this attempt, begun at the first call. The engine commits it together with the progress if
    /// the attempt ends in an outcome, and only while the lease is still ours; a fault rolls it back. So what is
    /// written here happens exactly once, while calls to the outside may be repeated. Open it *after* those calls: it
    /// may hold locks.
    pub async fn tx(&mut self) -> Result<&mut Tx, Fault> {
        if self.tx.is_none() {
            self.tx = Some(self.store.begin().await?);
        }
        self.tx.as_mut().ok_or_else(|| Fault::bug("BUG: a transaction was begun and is not there"))
    }

    /// Keeps what was read for the attempts that follow under the same lease, one value of each type. What a step writes
    /// and others read, it keeps anew.
    pub fn keep<T: Any + Send + Sync>(&mut self, value: T) -> Arc<T> {
        let value = Arc::new(value);
        self.kept.insert(TypeId::of::<T>(), Arc::<T>::clone(&value));
        value
    }

    /// What was kept. Nothing is kept over a fault, a wait, a wish, a turn, or the end of the lease: it is as old as the
    /// steps that have run since without a pause.
    pub fn kept<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        Arc::clone(self.kept.get(&TypeId::of::<T>())?).downcast().ok()
    }

    pub(crate) fn forget(&mut self) {
        self.kept.clear();
    }

    /// Starts a child in this attempt's transaction; its end wakes this workflow. A repeated attempt must look with
    /// [`Run::child`] first. `None`: another exclusive workflow is active on that subject.
    pub async fn spawn(&mut self, child: NewWorkflow) -> Result<Option<WorkflowId>, Fault> {
        let (id, now) = (child.id(), self.clock.statement_time());
        let child = child.parent(self.row.id);
        match child.insert_at(self.tx().await?, now).await? {
            Inserted::New => Ok(Some(id)),
            Inserted::Busy => Ok(None),
            Inserted::ParentLeaving => Err(Fault::transient("a workflow that is being unmade starts no children")),
        }
    }

    /// The newest child of kind `K` about `subject`, ended or not.
    pub async fn child<K: Kind>(&mut self, subject: &str) -> Result<Option<Related>, Fault> {
        Ok(self.children().await?.into_iter().rev().find(|child| child.kind == K::KIND && child.subject == subject))
    }

    /// Every child, oldest first.
    pub async fn children(&mut self) -> Result<Vec<Related>, Fault> {
        let id = self.row.id;
        Ok(match self.tx.as_mut() {
            Some(tx) => store::workflow::children(&mut **tx, id).await?,
            None => store::workflow::children(self.store.pool(), id).await?,
        })
    }

    /// Sets a wish on another workflow and wakes it, in this attempt's transaction.
    pub async fn wish(&mut self, other: WorkflowId, wish: &str) -> Result<(), Fault> {
        let now = self.clock.statement_time();
        store::workflow::wish(&mut **self.tx().await?, other, wish, now).await?;
        Ok(())
    }
}

pub(crate) fn read_input<K: Kind>(kind: &str, input: &Value) -> Result<K::Input, Fault> {
    if kind != K::KIND {
        return Err(Fault::bug(format!("a `{kind}` was read as a `{}`", K::KIND)));
    }
    serde_json::from_value(input.clone())
        .map_err(|error| Fault::bug(format!("the stored input of `{kind}` cannot be read: {error}")))
}
