//! An action in every detail: which steps it has, which one it is at, what it waits for.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, Problem, Result};
use crate::v2::shapes::Shapes;
use axum::extract::State;
use cloud::progress::{sentence, step_names};
use model::ids::ActionId;
use store::actions::Action;
use store::workflow::{Detail, State as Stands};
use wire::cloud::{ActionDetailResponse, Direction, RefusalBody, StepState, Workflow, WorkflowState, WorkflowStep};

/// Show an action with its steps
#[utoipa::path(get, path = "/cloud/v1/actions/{action_id}", operation_id = "cloud_actions_get", tag = "Cloud",
    params(("action_id" = i32, Path, description = "The action.")),
    security(("bearer_auth" = ["actions:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The action, its workflow and every step of it.", body = ActionDetailResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ActionId>,
) -> Result<Json<ActionDetailResponse>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let action = store::actions::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    let detail = store::workflow::detail(&mut *tx, action.workflow).await?;
    let workflow = detail.map_or_else(|| forgotten(&action), |detail| workflow(&detail));
    Ok(Json(ActionDetailResponse { workflow, action: shapes.action(action) }))
}

/// Steps are kept for a while (`retention.days`), actions for good: of an old one only its end is known.
fn forgotten(action: &Action) -> Workflow {
    Workflow {
        direction: Direction::Make,
        state: if action.error.is_some() { WorkflowState::Refused } else { WorkflowState::Completed },
        sentence: action.error.clone().unwrap_or_else(|| "done; its steps are not kept any more".to_owned()),
        progress: None,
        steps: Vec::new(),
        deadline: None,
        refusal: None,
    }
}

fn workflow(detail: &Detail) -> Workflow {
    Workflow {
        direction: direction(detail.direction),
        state: state(detail.state),
        sentence: detail.sentence().unwrap_or_else(|| ended(detail)),
        progress: detail.task_progress.clone(),
        steps: steps(detail),
        deadline: detail.deadline.map(Into::into),
        refusal: detail
            .refusal
            .as_ref()
            .map(|refusal| RefusalBody { code: text(refusal, "code"), message: text(refusal, "detail") }),
    }
}

fn text(value: &serde_json::Value, field: &str) -> String {
    value.get(field).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
}

/// What to say of a workflow that waits for nothing.
fn ended(detail: &Detail) -> String {
    match detail.state {
        Stands::Ready => {
            let making = detail.direction == store::workflow::Direction::Make;
            detail.step_name.as_deref().map_or_else(|| "waiting for a worker".to_owned(), |step| sentence(step, making))
        }
        Stands::Resting | Stands::Completed => "done".to_owned(),
        Stands::Undone if detail.refusal.is_some() => "refused, and everything was taken back".to_owned(),
        Stands::Undone => "deleted".to_owned(),
        Stands::Refused => "refused".to_owned(),
        Stands::Cancelled => "called off".to_owned(),
        Stands::Parked => "stopped by a fault of ours; the operators have been told".to_owned(),
    }
}

fn direction(direction: store::workflow::Direction) -> Direction {
    match direction {
        store::workflow::Direction::Make => Direction::Make,
        store::workflow::Direction::Unmake => Direction::Unmake,
    }
}

fn state(state: Stands) -> WorkflowState {
    match state {
        Stands::Ready => WorkflowState::Ready,
        Stands::Resting => WorkflowState::Resting,
        Stands::Completed => WorkflowState::Completed,
        Stands::Undone => WorkflowState::Undone,
        Stands::Refused => WorkflowState::Refused,
        Stands::Cancelled => WorkflowState::Cancelled,
        Stands::Parked => WorkflowState::Parked,
    }
}

/// The steps that have begun, as they began; then those of the present direction that have not.
fn steps(detail: &Detail) -> Vec<WorkflowStep> {
    let mut steps: Vec<WorkflowStep> = detail
        .steps
        .iter()
        .map(|step| WorkflowStep {
            sentence: sentence(&step.name, step.direction == store::workflow::Direction::Make),
            name: step.name.clone(),
            direction: direction(step.direction),
            state: match step.state.as_str() {
                "running" => StepState::Running,
                "done" => StepState::Done,
                "refused" => StepState::Refused,
                _ => StepState::Unknown,
            },
            attempts: i64::from(step.attempts),
            started_at: Some(step.started_at.into()),
            finished_at: step.finished_at.map(Into::into),
            waiting_for: step.waiting_for.clone(),
            last_error: None,
        })
        .collect();
    if detail.state.is_active() {
        pending(detail, &mut steps);
    }
    steps
}

fn pending(detail: &Detail, steps: &mut Vec<WorkflowStep>) {
    let making = detail.direction == store::workflow::Direction::Make;
    let now = direction(detail.direction);
    let has = |steps: &[WorkflowStep], name: &str, direction: Direction| {
        steps.iter().any(|step| step.name == name && step.direction == direction)
    };
    let names = step_names(&detail.kind);
    // What was never begun needs no unmaking; it is not shown as if it did.
    let ahead: Vec<&str> = if making {
        names.iter().copied().filter(|name| !has(steps, name, now)).collect()
    } else {
        let begun = |name: &&str| has(steps, name, Direction::Make) && !has(steps, name, now);
        names.iter().rev().copied().filter(begun).collect()
    };
    steps.extend(ahead.into_iter().map(|name| WorkflowStep {
        name: name.to_owned(),
        sentence: sentence(name, making),
        direction: now,
        state: StepState::Pending,
        attempts: 0,
        started_at: None,
        finished_at: None,
        waiting_for: None,
        last_error: None,
    }));
}
