//! Waiting until what was asked for is done, and saying meanwhile how it goes.

use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result, suggestion};
use crate::session::Session;
use clap::Args;
use model::ids::ActionId;
use model::states::ActionStatus;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;
use wire::action::Action;
use wire::cloud::{Direction, StepState, Workflow, WorkflowState, WorkflowStep};

/// How long a server that cannot be reached is put up with while waiting: it may be starting anew.
const ABSENCE: Duration = Duration::from_secs(120);

/// Whether, and how long, to wait.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Waiting")]
pub(crate) struct Waiting {
    /// Return as soon as the request is accepted
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    timeout: Timeout,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Waiting")]
pub(crate) struct Timeout {
    /// How long to wait: seconds, or something like 90s, 10m or 1h
    #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = duration)]
    timeout: Duration,
}

impl Waiting {
    /// Until when, from now.
    pub(crate) fn deadline(&self) -> Deadline {
        self.timeout.deadline()
    }
}

impl Timeout {
    /// Until when, from now.
    pub(crate) fn deadline(&self) -> Deadline {
        Deadline { at: Instant::now() + self.timeout, began: Instant::now(), timeout: self.timeout, absent: None }
    }
}

fn duration(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || "use seconds, or something like 90s, 10m or 1h".to_owned();
    let parsed = match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok()),
    };
    // A year is as good as for ever, and keeps the arithmetic of clocks safe.
    parsed.filter(|span| *span <= Duration::from_secs(365 * 24 * 3600)).ok_or_else(wrong)
}

/// Until when to wait, and how often to look.
#[derive(Clone, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    began: Instant,
    timeout: Duration,
    absent: Option<Instant>,
}

impl Deadline {
    /// How long is left.
    pub(crate) fn left(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// Waits before the next look at so many things; fails when it is too late for one.
    pub(crate) async fn pause(&self, things: usize, what: &str) -> Result<()> {
        let now = Instant::now();
        if now >= self.at {
            let sentence = format!("{what} is not done after {}; it goes on", span(self.timeout));
            return Err(Failure::new(Ending::TimedOut, sentence));
        }
        let pace = match self.began.elapsed().as_secs() {
            0..2 => Duration::from_millis(400),
            2..60 => Duration::from_secs(1),
            60..300 => Duration::from_secs(2),
            _ => Duration::from_secs(5),
        };
        // Every look counts against the token's requests for the minute.
        let pace = pace.max(Duration::from_millis(400) * u32::try_from(things).unwrap_or(u32::MAX).min(1000));
        tokio::time::sleep(pace.min(self.at - now)).await;
        Ok(())
    }

    /// Takes a look's outcome: none yet if the server was away for a moment, or had enough of us.
    pub(crate) fn bear<T>(&mut self, session: &Session, look: Result<T>) -> Result<Option<T>> {
        let failure = match look {
            Ok(seen) => {
                self.absent = None;
                return Ok(Some(seen));
            }
            Err(failure) => failure,
        };
        let busy = failure.code.as_deref() == Some("too_many_requests");
        let absent = matches!(failure.ending, Ending::Unreachable | Ending::Broken);
        let since = *self.absent.get_or_insert_with(Instant::now);
        if !(busy || absent) || since.elapsed() > ABSENCE {
            return Err(failure);
        }
        session.progress.say(&format!("{}; still waiting", failure.sentence));
        Ok(None)
    }
}

fn span(duration: Duration) -> String {
    jiff::SignedDuration::try_from(duration)
        .map_or_else(|_| format!("{} s", duration.as_secs()), |span| format!("{span:#}"))
}

/// An action that was started, and on what.
#[derive(Clone, Debug)]
pub(crate) struct Started {
    /// What people call the resource.
    pub(crate) subject: String,
    /// The action.
    pub(crate) action: ActionId,
}

/// Waits for actions. One outcome for each, in their order; an error of its own when waiting itself ended.
pub(crate) async fn actions(
    session: &Session,
    started: Vec<Started>,
    mut deadline: Deadline,
) -> Result<Vec<Result<Document<Action>>>> {
    let mut watched: Vec<_> = started.into_iter().map(Watched::new).collect();
    loop {
        for one in &mut watched {
            if one.outcome.is_none() {
                let look = one.look(session).await;
                one.outcome = deadline.bear(session, look)?.flatten();
            }
        }
        let open: Vec<_> = watched.iter().filter(|one| one.outcome.is_none()).collect();
        let Some(first) = open.first() else { break };
        let what = format!("{} (action {})", first.started.subject, first.started.action);
        deadline.pause(open.len(), &what).await.map_err(|failure| {
            let ids: Vec<_> = open.iter().map(|one| one.started.action.to_string()).collect();
            failure.suggest(format!("cairn action watch {}", ids.join(" ")))
        })?;
    }
    session.progress.finish();
    Ok(watched.into_iter().filter_map(|one| one.outcome).collect())
}

/// Waits for one action.
pub(crate) async fn action(session: &Session, started: Started, deadline: Deadline) -> Result<Document<Action>> {
    let outcomes = actions(session, vec![started], deadline).await?;
    outcomes
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(Failure::new(Ending::Broken, "BUG: an action without an outcome")))
}

struct Watched {
    started: Started,
    /// Whether the server tells the steps.
    detailed: bool,
    shown: HashSet<(String, bool)>,
    outcome: Option<Result<Document<Action>>>,
}

impl Watched {
    fn new(started: Started) -> Self {
        Self { started, detailed: true, shown: HashSet::new(), outcome: None }
    }

    /// Looks once, and says how it stands. The outcome, if there is one.
    async fn look(&mut self, session: &Session) -> Result<Option<Result<Document<Action>>>> {
        let (action, workflow) = self.fetch(session).await?;
        if let Some(workflow) = &workflow {
            self.say(session, workflow, way(&action.value, workflow));
        }
        let subject = &self.started.subject;
        let kind = action.value.kind.replace('_', " ");
        Ok(match action.value.status {
            ActionStatus::Completed => {
                let since = workflow.as_ref().map_or("", |workflow| since(&action.value, workflow));
                session.progress.stands(subject, &format!("{kind} is done{since}"), "");
                Some(Ok(action))
            }
            ActionStatus::Errored => Some(Err(self.failed(&kind, workflow.as_ref()))),
            ActionStatus::InProgress if workflow.as_ref().is_some_and(|flow| flow.state == WorkflowState::Parked) => {
                let why = workflow.map(|flow| flow.sentence).unwrap_or_default();
                let sentence = format!("{subject}: {kind} is stopped until the operator looks at it: {why}");
                let failure = Failure::new(Ending::Refused, sentence);
                Some(Err(failure.suggest(format!("cairn action watch {}, when that is done", self.started.action))))
            }
            ActionStatus::InProgress => {
                if workflow.is_none() {
                    session.progress.stands(subject, &format!("{kind} is under way"), "");
                }
                None
            }
        })
    }

    async fn fetch(&mut self, session: &Session) -> Result<(Document<Action>, Option<Workflow>)> {
        let id = self.started.action;
        if self.detailed {
            match session.client.envelope(&Call::get(&[&"cloud", &"v1", &"actions", &id])).await {
                Ok(mut envelope) => {
                    let workflow = envelope.take_if_there::<Workflow>("workflow")?;
                    return Ok((envelope.take("action")?, workflow.map(|workflow| workflow.value)));
                }
                // Another cloud of this API, or an older Cairn.
                Err(failure) if failure.ending == Ending::NotFound => self.detailed = false,
                Err(failure) => return Err(failure),
            }
        }
        let action = session.client.one(&Call::get(&[&"v2", &"actions", &id]), "action").await;
        Ok((action.map_err(|failure| failure.during(format!("action {id}")))?, None))
    }

    /// Says each step of the way it goes once it is reached, and again when it is tried again or waits for something
    /// else.
    fn say(&mut self, session: &Session, workflow: &Workflow, way: Direction) {
        // What was made before is no news when it is taken down.
        let way: Vec<_> = workflow.steps.iter().filter(|step| step.direction == way).collect();
        for (index, step) in way.iter().enumerate() {
            let reached = (step.name.clone(), step.direction == Direction::Make);
            let tell = match step.state {
                StepState::Pending | StepState::Unknown => false,
                StepState::Done => !self.shown.contains(&reached),
                StepState::Running | StepState::Refused => true,
            };
            if tell {
                self.shown.insert(reached);
                let line = format!("[{}/{}] {}", index + 1, way.len(), describe(step));
                session.progress.stands(&self.started.subject, &line, workflow.progress.as_deref().unwrap_or_default());
            }
        }
    }

    fn failed(&self, kind: &str, workflow: Option<&Workflow>) -> Failure {
        let subject = &self.started.subject;
        let look = format!("cairn action steps {}", self.started.action);
        let Some(refusal) = workflow.and_then(|workflow| workflow.refusal.as_ref()) else {
            if workflow.is_some_and(|workflow| workflow.direction == Direction::Unmake) {
                let sentence = format!("{subject}: {kind} was overtaken by the deletion of what it was about");
                return Failure::new(Ending::Refused, sentence).suggest(look);
            }
            return Failure::new(Ending::Refused, format!("{subject}: {kind} failed")).suggest(look);
        };
        let mut failure = Failure::new(Ending::Refused, format!("{subject}: {kind} failed: {}", refusal.message));
        failure.suggestion = Some(suggestion(&refusal.code).map_or(look, str::to_owned));
        failure.code = Some(refusal.code.clone());
        failure
    }
}

/// Which way the steps go that an action is about. A deletion shares its workflow with the creation: that may not have
/// turned round yet, or, where the creation was done, have turned round since for the deletion's sake.
fn way(action: &Action, workflow: &Workflow) -> Direction {
    match (action.kind.as_str(), action.status) {
        ("destroy", _) => Direction::Unmake,
        (_, ActionStatus::Completed) => Direction::Make,
        _ => workflow.direction,
    }
}

/// What has become since of what an action made.
fn since(action: &Action, workflow: &Workflow) -> &'static str {
    if action.kind == "destroy" || workflow.direction == Direction::Make {
        return "";
    }
    match workflow.state {
        WorkflowState::Undone => "; what it made is deleted since",
        _ => "; what it made is being deleted",
    }
}

/// A step in words, with its attempts and what it waits for.
pub(crate) fn describe(step: &WorkflowStep) -> String {
    let mut more = Vec::new();
    if step.attempts > 1 {
        more.push(format!("attempt {}", step.attempts));
    }
    if step.state == StepState::Running {
        more.extend(step.waiting_for.as_ref().map(|what| format!("waiting for {what}")));
        more.extend(step.last_error.as_ref().map(|error| format!("last error: {error}")));
    }
    if more.is_empty() { step.sentence.clone() } else { format!("{} ({})", step.sentence, more.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("10m"), Ok(Duration::from_secs(600)));
        assert_eq!(duration("1h 30m"), Ok(Duration::from_secs(5400)));
        for wrong in ["", "-5", "-5s", "soon", "99999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(span(Duration::from_secs(1800)), "30m");
    }
}
