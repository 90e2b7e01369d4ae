//! The wrapped step through which a fault gets in.

use crate::outcome::Fault as StepFault;
use crate::{AnyStep, Direction, Outcome, Run, Weight};
use async_trait::async_trait;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The step says that it failed.
    Failed,
    /// The answer is lost: the step does not know what happened.
    Lost,
    /// The worker dies, with its lease.
    Killed,
    /// The lease runs out while the worker is inside of the step, and another takes over. It goes on when its clock shows
    /// that.
    Stolen,
    /// Another worker takes the lease, and this one's clock does not show it: what it does comes too late, and only the
    /// database keeps it from writing.
    Overtaken,
    /// The step runs twice in a row.
    Twice,
    /// The step says a final no.
    Refuse,
    /// Somebody wishes the workflow away while the step runs.
    Wish,
}

impl Fault {
    pub(super) const ALL: [Self; 8] =
        [Self::Failed, Self::Lost, Self::Killed, Self::Stolen, Self::Overtaken, Self::Twice, Self::Refuse, Self::Wish];
}

/// When it goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// Before the step does anything.
    Before,
    /// After the first attempt, whatever it came to: a task that was started, a wait, the effect.
    First,
    /// After the attempt that would have been the last.
    Done,
}

impl Point {
    pub(super) const ALL: [Self; 3] = [Self::Before, Self::First, Self::Done];
}

/// One fault, to happen once.
#[derive(Debug)]
pub(super) struct Plan {
    direction: Direction,
    fault: Fault,
    point: Point,
    fired: AtomicBool,
    gone_on: AtomicBool,
    reached: CancellationToken,
    go_on: CancellationToken,
}

impl Plan {
    pub(super) fn new(direction: Direction, fault: Fault, point: Point) -> Self {
        let (reached, go_on) = (CancellationToken::new(), CancellationToken::new());
        let (fired, gone_on) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { direction, fault, point, fired, gone_on, reached, go_on }
    }

    pub(super) fn fault(&self) -> Fault {
        self.fault
    }

    pub(super) fn point(&self) -> Point {
        self.point
    }

    pub(super) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::SeqCst)
    }

    /// Whether the step went on that had to wait inside of its fault.
    pub(super) fn has_gone_on(&self) -> bool {
        self.gone_on.load(Ordering::SeqCst)
    }

    /// Waits until the fault has happened.
    pub(super) async fn reached(&self) {
        self.reached.cancelled().await;
    }

    /// Lets the step go on that waits inside of its fault.
    pub(super) fn go_on(&self) {
        self.go_on.cancel();
    }

    /// Whether the fault happens here and now.
    fn fires(&self, direction: Direction, here: bool) -> bool {
        direction == self.direction && here && !self.fired.swap(true, Ordering::SeqCst)
    }

    /// Lets the fault happen. `Ok`: the step goes on as if nothing had been.
    async fn happen<M>(&self) -> Result<Option<Outcome<M>>, StepFault> {
        self.reached.cancel();
        match self.fault {
            Fault::Failed => Err(StepFault::transient("made to fail")),
            Fault::Lost => Err(StepFault::unknown("made to lose its answer")),
            Fault::Killed => std::future::pending().await,
            Fault::Stolen | Fault::Overtaken | Fault::Wish => {
                self.go_on.cancelled().await;
                self.gone_on.store(true, Ordering::SeqCst);
                Ok(None)
            }
            Fault::Refuse => Ok(Some(Outcome::refuse("made_to_refuse", "made to refuse"))),
            Fault::Twice => Ok(None),
        }
    }
}

/// A step through which a fault gets in.
pub(super) struct Tampered<C> {
    inner: Arc<dyn AnyStep<C>>,
    plan: Option<Arc<Plan>>,
}

impl<C: Send + Sync + 'static> Tampered<C> {
    /// The step with the plan's fault.
    pub(super) fn planned(inner: Arc<dyn AnyStep<C>>, plan: &Arc<Plan>) -> Arc<dyn AnyStep<C>> {
        Arc::new(Self { inner, plan: Some(Arc::clone(plan)) })
    }

    /// A step that refuses instead of being made.
    pub(super) fn refusing(inner: Arc<dyn AnyStep<C>>) -> Arc<dyn AnyStep<C>> {
        Arc::new(Self { inner, plan: None })
    }
}

#[async_trait]
impl<C: Send + Sync + 'static> AnyStep<C> for Tampered<C> {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn awaits(&self) -> &'static str {
        self.inner.awaits()
    }

    /// A refusal that happens once would be forgotten when the step is undone with the one before it; and a worker that
    /// stands still in the transaction of the step before would keep the other one from that step's rows.
    fn weight(&self) -> Weight {
        let apart = |plan: &Arc<Plan>| matches!(plan.fault, Fault::Refuse | Fault::Stolen | Fault::Overtaken);
        let alone = self.plan.as_ref().is_some_and(apart);
        if alone { Weight::Full } else { self.inner.weight() }
    }

    fn sample(&self) -> Value {
        self.inner.sample()
    }

    fn reads(&self, memo: &Value) -> Result<(), String> {
        self.inner.reads(memo)
    }

    async fn make(&self, cx: &C, run: &mut Run<C>) -> Result<Outcome<Value>, StepFault> {
        let Some(plan) = &self.plan else { return Ok(Outcome::refuse("made_to_refuse", "made to refuse")) };
        if plan.fires(Direction::Make, plan.point == Point::Before)
            && let Some(outcome) = plan.happen().await?
        {
            return Ok(outcome);
        }
        let outcome = self.inner.make(cx, run).await?;
        let here = plan.point == Point::First || (plan.point == Point::Done && matches!(outcome, Outcome::Done(_)));
        if !plan.fires(Direction::Make, here) {
            return Ok(outcome);
        }
        if plan.fault == Fault::Twice {
            return self.inner.make(cx, run).await;
        }
        Ok(plan.happen().await?.unwrap_or(outcome))
    }

    async fn unmake(&self, cx: &C, run: &mut Run<C>, memo: Option<Value>) -> Result<Outcome<()>, StepFault> {
        let Some(plan) = &self.plan else { return self.inner.unmake(cx, run, memo).await };
        if plan.fires(Direction::Unmake, plan.point == Point::Before) {
            plan.happen::<()>().await?;
        }
        let outcome = self.inner.unmake(cx, run, memo.clone()).await?;
        let here = plan.point == Point::First || (plan.point == Point::Done && matches!(outcome, Outcome::Done(())));
        if !plan.fires(Direction::Unmake, here) {
            return Ok(outcome);
        }
        if plan.fault == Fault::Twice {
            return self.inner.unmake(cx, run, memo).await;
        }
        plan.happen::<()>().await?;
        Ok(outcome)
    }
}
