//! A step: a pair of `make` (ensure present) and `unmake` (ensure absent), each of which begins by looking.

use crate::{Fault, Outcome, Run};
use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;

/// What is written down with a workflow and read back by a later release: inputs and memos.
///
/// A released shape may gain fields that have a default; it may never lose or rename one while rows of it exist.
/// [`Registry::released`](crate::Registry::released) lists the samples for the snapshot that guards this.
pub trait Recorded: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// A typical value with every field set.
    fn sample() -> Self;
}

impl Recorded for () {
    fn sample() -> Self {}
}

/// How much ceremony the end of a step needs. A commit costs more than most steps do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Its end is committed before the next step begins.
    Full,
    /// Doing it again costs little, so its end may be written down with a later one's: after a crash it is done again.
    /// The step after it counts as begun from the commit before on, so unmaking never misses what it may have done.
    Light,
    /// It touches nothing but rows, and those through [`Run::tx`] alone, reading included: it runs in the transaction of
    /// the step before it, if that one opened one. Does it come to anything but its end, both are undone and done one
    /// by one.
    Rows,
}

/// One step of a workflow. `C` is the product's context for one attempt.
///
/// Both halves must be repeatable: a worker may die between the effect and the commit that records it, and the answer
/// of a provider may be lost. So both begin by looking. What they write to the database goes through
/// [`Run::tx`], which commits together with the progress of the workflow, exactly once.
#[async_trait]
pub trait Step<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// What later steps and `unmake` need to know of what was made.
    type Memo: Recorded;

    /// The name under which progress is stored. Never changed once released.
    const NAME: &'static str;

    /// What the tenant reads while a task of this step is followed, as a noun phrase: "the copy of the disk".
    const AWAITS: &'static str = "a task at the provider";

    /// How much ceremony its end needs.
    const WEIGHT: Weight = Weight::Full;

    /// Ensures that the effect is present.
    async fn make(&self, cx: &C, run: &mut Run<C>) -> Result<Outcome<Self::Memo>, Fault>;

    /// Ensures that the effect is absent. `memo` is what `make` left, or `None` when `make` did not come to an end
    /// (it may nevertheless have had its effect). The default is for steps of workflows that are never unwound;
    /// reached anyway, it parks the workflow.
    async fn unmake(&self, cx: &C, run: &mut Run<C>, memo: Option<Self::Memo>) -> Result<Outcome<()>, Fault> {
        let _ = (cx, run, memo);
        Err(Fault::bug(format!("step `{}` does not say how it is unmade", Self::NAME)))
    }
}

/// A step without its types; what a [`Definition`](crate::Definition) is a list of. See [`erased`].
#[async_trait]
pub trait AnyStep<C: Send + Sync + 'static>: Send + Sync + 'static {
    /// [`Step::NAME`].
    fn name(&self) -> &'static str;

    /// [`Step::AWAITS`].
    fn awaits(&self) -> &'static str;

    /// [`Step::WEIGHT`].
    fn weight(&self) -> Weight;

    /// The sample of the step's memo, as stored.
    fn sample(&self) -> Value;

    /// Whether a stored memo can still be read; the reason if not.
    fn reads(&self, memo: &Value) -> Result<(), String>;

    /// [`Step::make`], with the memo as stored.
    async fn make(&self, cx: &C, run: &mut Run<C>) -> Result<Outcome<Value>, Fault>;

    /// [`Step::unmake`], with the memo as stored.
    async fn unmake(&self, cx: &C, run: &mut Run<C>, memo: Option<Value>) -> Result<Outcome<()>, Fault>;
}

/// A step with its types forgotten; what [`steps!`](crate::steps) does to each.
pub fn erased<C: Send + Sync + 'static, S: Step<C>>(step: S) -> Arc<dyn AnyStep<C>> {
    Arc::new(Typed(step))
}

struct Typed<S>(S);

#[async_trait]
impl<C: Send + Sync + 'static, S: Step<C>> AnyStep<C> for Typed<S> {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn awaits(&self) -> &'static str {
        S::AWAITS
    }

    fn weight(&self) -> Weight {
        S::WEIGHT
    }

    fn sample(&self) -> Value {
        serde_json::to_value(S::Memo::sample()).unwrap_or(Value::Null)
    }

    fn reads(&self, memo: &Value) -> Result<(), String> {
        serde_json::from_value::<S::Memo>(memo.clone()).map(|_| ()).map_err(|error| error.to_string())
    }

    async fn make(&self, cx: &C, run: &mut Run<C>) -> Result<Outcome<Value>, Fault> {
        self.0.make(cx, run).await?.try_map(|memo| {
            serde_json::to_value(memo)
                .map_err(|error| Fault::bug(format!("the memo of `{}` cannot be written: {error}", S::NAME)))
        })
    }

    async fn unmake(&self, cx: &C, run: &mut Run<C>, memo: Option<Value>) -> Result<Outcome<()>, Fault> {
        let memo = memo.map(|memo| read_memo::<C, S>(&memo)).transpose()?;
        self.0.unmake(cx, run, memo).await
    }
}

/// A stored memo of step `S`.
pub(crate) fn read_memo<C: Send + Sync + 'static, S: Step<C>>(memo: &Value) -> Result<S::Memo, Fault> {
    serde_json::from_value(memo.clone())
        .map_err(|error| Fault::bug(format!("the stored memo of `{}` cannot be read: {error}", S::NAME)))
}

/// A list of steps in shared hands.
pub type Steps<C> = Vec<Arc<dyn AnyStep<C>>>;

/// The steps of a workflow, in the order in which they are made: `steps![Place, Build, Open]`.
#[macro_export]
macro_rules! steps {
    ($($step:expr),+ $(,)?) => { vec![$($crate::erased($step)),+] };
}
