//! What a step may answer: five outcomes, of which the fault is the error half.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// What one attempt of a step came to. `M` is the step's memo.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<M> {
    /// The step's effect is present (or absent, when unmaking). The memo is committed with the progress.
    Done(M),
    /// Not yet. The sentence completes "waiting for …" and is shown to the tenant.
    Wait {
        /// What is waited for, as a noun phrase: "the first answer of the guest".
        why: Cow<'static, str>,
        /// When to look again at the latest; `None` takes the engine's default. A wake comes sooner.
        after: Option<Duration>,
    },
    /// A named task at the provider does the work. Its name is committed before anything else happens; when it has
    /// ended, the same half of the step runs again and sees the end in [`Run::followed`](crate::Run::followed).
    Follow(TaskName),
    /// A final no. A lifecycle turns round and unmakes what it made; see [`Unwinding`](crate::Unwinding).
    Refuse(Refusal),
}

impl<M> Outcome<M> {
    /// The effect is there.
    pub fn done(memo: M) -> Self {
        Self::Done(memo)
    }

    /// Not yet; looked at again after the engine's default nap, or as soon as the workflow is woken.
    pub fn wait(why: impl Into<Cow<'static, str>>) -> Self {
        Self::Wait { why: why.into(), after: None }
    }

    /// Not yet; looked at again after `after`, or as soon as the workflow is woken.
    pub fn wait_for(why: impl Into<Cow<'static, str>>, after: Duration) -> Self {
        Self::Wait { why: why.into(), after: Some(after) }
    }

    /// Wait for the provider's task, then run this half of the step again.
    pub fn follow(task: impl Into<TaskName>) -> Self {
        Self::Follow(task.into())
    }

    /// A final no: a stable code, and a sentence that is safe to show to the tenant.
    pub fn refuse(code: impl Into<Cow<'static, str>>, detail: impl Into<String>) -> Self {
        Self::Refuse(Refusal { code: code.into(), detail: detail.into() })
    }

    /// The same outcome with another memo type.
    pub fn try_map<N, E>(self, map: impl FnOnce(M) -> Result<N, E>) -> Result<Outcome<N>, E> {
        Ok(match self {
            Self::Done(memo) => Outcome::Done(map(memo)?),
            Self::Wait { why, after } => Outcome::Wait { why, after },
            Self::Follow(task) => Outcome::Follow(task),
            Self::Refuse(refusal) => Outcome::Refuse(refusal),
        })
    }
}

/// Why a workflow turned round or ended refused. Both halves are safe to show to the tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Stable; clients and documentation pages are keyed by it.
    pub code: Cow<'static, str>,
    /// What to do about it.
    pub detail: String,
}

/// The provider's name for work that goes on without us. Opaque to the engine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskName(pub String);

impl TaskName {
    /// The name as the provider gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for TaskName {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for TaskName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// What [`World::task`](crate::World::task) saw of a followed task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskState {
    /// Still at it.
    Running {
        /// How far, for the tenant: "41 %". `None` where the provider does not say.
        progress: Option<String>,
    },
    /// It is over.
    Ended(TaskEnd),
}

/// How a followed task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TaskEnd {
    /// As asked.
    Succeeded,
    /// Otherwise; the provider's words, for the log.
    Failed(String),
    /// The provider does not know the task (any more): look at the world instead.
    Unknown,
}

/// The task that the previous attempt of the running half of a step followed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Its name.
    pub task: TaskName,
    /// Its end; `None` when the workflow turned round while the task was still running.
    pub end: Option<TaskEnd>,
}

/// How certain the caller can be about a failed attempt, and what the engine does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// Nothing happened; trying again may help. Backoff with jitter, for ever (the deadline raises the alert).
    Transient,
    /// The effect may have happened, only its answer is lost. As transient: the next attempt looks first.
    Unknown,
    /// What cannot be. The workflow parks with an alert and waits for an operator.
    Bug,
    /// The lease belongs to another worker. The run is dropped without a word.
    Fenced,
}

/// A failed attempt of a step.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub struct Fault {
    kind: FaultKind,
    detail: String,
    told: Option<Cow<'static, str>>,
    after: Option<Duration>,
}

impl Fault {
    /// Nothing happened; trying again may help.
    pub fn transient(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Transient, detail)
    }

    /// It may have happened; the next attempt has to look.
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Unknown, detail)
    }

    /// What cannot be: parks the workflow.
    pub fn bug(detail: impl Into<String>) -> Self {
        Self::new(FaultKind::Bug, detail)
    }

    /// The lease belongs to another worker.
    pub fn fenced() -> Self {
        Self::new(FaultKind::Fenced, "the lease was taken by another worker")
    }

    /// A fault of the given kind. `detail` goes to the log and to operators, never to a tenant.
    pub fn new(kind: FaultKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), told: None, after: None }
    }

    /// Adds the words that the tenant sees while the engine tries again, without a full stop. They complete "waiting for
    /// …": "the host, which does not answer".
    #[must_use]
    pub fn told(mut self, sentence: impl Into<Cow<'static, str>>) -> Self {
        self.told = Some(sentence.into());
        self
    }

    /// Replaces the backoff of this one attempt, where the other side said when to come back.
    #[must_use]
    pub fn retry_after(mut self, after: Duration) -> Self {
        self.after = Some(after);
        self
    }

    /// Its kind.
    pub fn kind(&self) -> FaultKind {
        self.kind
    }

    /// For the log.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// For the tenant, if there is anything to say.
    pub fn sentence(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// When the other side asked us to come back.
    pub fn after(&self) -> Option<Duration> {
        self.after
    }
}

/// Unreachable databases, deadlocks and lost races for a unique value are transient: a repeat looks again. What a
/// repeat cannot change (a check that does not hold, a statement that does not parse) is a bug.
impl From<store::Error> for Fault {
    fn from(error: store::Error) -> Self {
        match &error {
            store::Error::Fenced => Self::fenced(),
            mistake if store::workflow::is_mistake(mistake) => Self::bug(chain(&error)),
            _ => Self::transient(chain(&error)),
        }
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(&inner.to_string());
        cause = inner.source();
    }
    line
}
