//! What a workflow is: its kind, its shape, its steps. A definition reads like a table.

use crate::step::{AnyStep, Recorded, Steps};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A kind of workflow, as far as the code that *starts* one has to know it. No steps here: whoever asks for a
/// workflow has no handle to what its steps talk to.
pub trait Kind: Send + Sync + 'static {
    /// The word that is stored. Never changed once released.
    const KIND: &'static str;

    /// Whether it rests when made, and what a refusal does.
    const SHAPE: Shape;

    /// Whether it keeps other exclusive workflows off its subject while it is active.
    const EXCLUSIVE: bool = true;

    /// Past this, making it is late: an alert is raised and the tenant sees an honest sentence.
    const MADE_WITHIN: Duration;

    /// Past this, unmaking it is late.
    const UNMADE_WITHIN: Duration = Duration::from_secs(600);

    /// What it was asked for with.
    type Input: Recorded;
}

/// What becomes of a workflow whose steps are all made, and of one that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Makes a thing and rests as long as the thing lives. The wish [`UNMAKE`](crate::UNMAKE), and a refusal, unmake
    /// it: a failed create is a delete.
    Lifecycle,
    /// Does something once and completes.
    Action(Unwinding),
}

/// What a refusal (or the wish [`CANCEL`](crate::CANCEL)) does to the steps that an action has already made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unwinding {
    /// Unmakes them, last first.
    Always,
    /// Leaves them: what was done stays done.
    Never,
}

/// A kind of workflow with its steps.
pub struct Definition<C: Send + Sync + 'static> {
    pub(crate) kind: &'static str,
    pub(crate) shape: Shape,
    pub(crate) firm_after: Option<&'static str>,
    pub(crate) steps: Steps<C>,
    input: fn() -> Value,
    reads_input: fn(&Value) -> Result<(), String>,
}

impl<C: Send + Sync + 'static> Definition<C> {
    /// The workflow `K` with these steps (see [`steps!`](crate::steps)), in the order in which they are made.
    pub fn of<K: Kind>(steps: Steps<C>) -> Self {
        Self {
            kind: K::KIND,
            shape: K::SHAPE,
            firm_after: None,
            steps,
            input: || serde_json::to_value(K::Input::sample()).unwrap_or(Value::Null),
            reads_input: |input| {
                serde_json::from_value::<K::Input>(input.clone()).map(|_| ()).map_err(|error| error.to_string())
            },
        }
    }

    /// Once step `S` is made, a refusal by a later step no longer unmakes anything; it parks the workflow instead.
    /// For lifecycles whose thing holds somebody's data from that step on.
    #[must_use]
    pub fn firm_after<S: crate::Step<C>>(mut self) -> Self {
        self.firm_after = Some(S::NAME);
        self
    }

    /// The kind's word.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// The names of the steps, in order.
    pub fn step_names(&self) -> Vec<&'static str> {
        self.steps.iter().map(|step| step.name()).collect()
    }

    /// The same definition with every step wrapped: the place where a fault harness gets in.
    #[must_use]
    pub fn decorated(mut self, decorate: impl Fn(usize, Arc<dyn AnyStep<C>>) -> Arc<dyn AnyStep<C>>) -> Self {
        self.steps = self.steps.into_iter().enumerate().map(|(index, step)| decorate(index, step)).collect();
        self
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.steps.iter().position(|step| step.name() == name)
    }
}

impl<C: Send + Sync + 'static> Clone for Definition<C> {
    fn clone(&self) -> Self {
        Self { steps: self.steps.clone(), ..*self }
    }
}

/// Every workflow that this build can run.
pub struct Registry<C: Send + Sync + 'static> {
    definitions: BTreeMap<&'static str, Arc<Definition<C>>>,
}

/// Why a registry cannot be built. A mistake in the program, found when it starts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Misdefined {
    /// Two definitions share a kind.
    #[error("two workflows are called `{0}`")]
    TwoKinds(&'static str),
    /// Two steps of one workflow share a name; progress is stored by name.
    #[error("workflow `{0}` has two steps called `{1}`")]
    TwoSteps(&'static str, &'static str),
    /// A workflow without steps would have nothing to do.
    #[error("workflow `{0}` has no steps")]
    NoSteps(&'static str),
    /// `firm_after` names a step that the workflow does not have.
    #[error("workflow `{0}` is firm after `{1}`, which is not one of its steps")]
    NoSuchStep(&'static str, &'static str),
}

/// The names and samples that rows in a database may hold, for the snapshot that guards upgrades.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Released {
    /// A sample of the workflow's input.
    pub input: Value,
    /// Each step's name and a sample of its memo, in order.
    pub steps: Vec<(&'static str, Value)>,
}

impl<C: Send + Sync + 'static> Registry<C> {
    /// The given workflows, checked.
    pub fn new(definitions: impl IntoIterator<Item = Definition<C>>) -> Result<Self, Misdefined> {
        let mut known = BTreeMap::new();
        for definition in definitions {
            let kind = definition.kind;
            let names = definition.step_names();
            if names.is_empty() {
                return Err(Misdefined::NoSteps(kind));
            }
            if let Some((_, twice)) = names.iter().enumerate().find(|(index, name)| names[..*index].contains(name)) {
                return Err(Misdefined::TwoSteps(kind, twice));
            }
            if let Some(firm) = definition.firm_after.filter(|firm| !names.contains(firm)) {
                return Err(Misdefined::NoSuchStep(kind, firm));
            }
            if known.insert(kind, Arc::new(definition)).is_some() {
                return Err(Misdefined::TwoKinds(kind));
            }
        }
        Ok(Self { definitions: known })
    }

    /// The workflow of that kind.
    pub fn get(&self, kind: &str) -> Option<&Arc<Definition<C>>> {
        self.definitions.get(kind)
    }

    /// Every kind, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.definitions.keys().copied()
    }

    /// The same registry with the steps of one kind wrapped.
    #[must_use]
    pub fn decorated(
        mut self,
        kind: &str,
        decorate: impl Fn(usize, Arc<dyn AnyStep<C>>) -> Arc<dyn AnyStep<C>>,
    ) -> Self {
        if let Some(definition) = self.definitions.get_mut(kind) {
            *definition = Arc::new(Definition::clone(definition).decorated(decorate));
        }
        self
    }

    /// What rows of this release may hold: kind → input sample and steps with memo samples.
    pub fn released(&self) -> BTreeMap<&'static str, Released> {
        let of = |definition: &Definition<C>| Released {
            input: (definition.input)(),
            steps: definition.steps.iter().map(|step| (step.name(), step.sample())).collect(),
        };
        self.definitions.iter().map(|(kind, definition)| (*kind, of(definition))).collect()
    }

    /// Whether the memo that an earlier release stored for a step can still be read; the reason if not.
    pub fn reads_memo(&self, kind: &str, step: &str, memo: &Value) -> Result<(), String> {
        let definition = self.get(kind).ok_or_else(|| format!("there is no workflow `{kind}` any more"))?;
        let index = definition.position(step).ok_or_else(|| format!("`{kind}` has no step `{step}` any more"))?;
        definition.steps[index].reads(memo)
    }

    /// Whether the input that an earlier release stored can still be read; the reason if not.
    pub fn reads_input(&self, kind: &str, input: &Value) -> Result<(), String> {
        let definition = self.get(kind).ok_or_else(|| format!("there is no workflow `{kind}` any more"))?;
        (definition.reads_input)(input)
    }
}

impl<C: Send + Sync + 'static> Clone for Registry<C> {
    fn clone(&self) -> Self {
        Self { definitions: self.definitions.clone() }
    }
}
