//! Figures about the engine. Labels are kinds, step names and outcomes, never anything of a tenant.

use crate::outcome::{Fault, FaultKind, Outcome};
use metrics::{counter, gauge, histogram};
use std::time::Duration;
use store::workflow::{Direction, Leased, State};

pub(crate) fn leased(row: &Leased) {
    if row.step_name.is_none() {
        counter!("workflow_started_total", "kind" => row.kind.clone()).increment(1);
    }
    if row.stolen {
        counter!("workflow_leases_stolen_total", "kind" => row.kind.clone()).increment(1);
    }
    histogram!("workflow_wake_latency_seconds").record(row.latency.as_secs_f64());
}

pub(crate) fn held(leases: usize) {
    #[allow(clippy::cast_precision_loss, reason = "a gauge; nobody holds 2^52 leases")]
    gauge!("workflow_leases_held").set(leases as f64);
}

pub(crate) fn ended(kind: &'static str, state: State) {
    counter!("workflow_ended_total", "kind" => kind, "end" => state.as_str()).increment(1);
}

pub(crate) fn fenced(kind: &'static str) {
    counter!("workflow_fenced_total", "kind" => kind).increment(1);
}

pub(crate) fn retry(kind: &'static str, step: &'static str) {
    counter!("workflow_retries_total", "kind" => kind, "step" => step).increment(1);
}

pub(crate) fn step<M>(
    kind: &'static str,
    step: &'static str,
    direction: Direction,
    outcome: &Result<Outcome<M>, Fault>,
    took: Duration,
) {
    let outcome = match outcome {
        Ok(Outcome::Done(_)) => "done",
        Ok(Outcome::Wait { .. }) => "wait",
        Ok(Outcome::Follow(_)) => "follow",
        Ok(Outcome::Refuse(_)) => "refuse",
        Err(fault) => match fault.kind() {
            FaultKind::Transient => "transient",
            FaultKind::Unknown => "unknown",
            FaultKind::Bug => "bug",
            FaultKind::Fenced => "fenced",
        },
    };
    histogram!(
        "workflow_step_seconds",
        "kind" => kind, "step" => step, "direction" => direction.as_str(), "outcome" => outcome
    )
    .record(took.as_secs_f64());
}

pub(crate) fn standing(counts: &[(String, State, i64)]) {
    for (kind, state, count) in counts {
        #[allow(clippy::cast_precision_loss, reason = "a gauge")]
        gauge!("workflow_waiting", "kind" => kind.clone(), "state" => state.as_str()).set(*count as f64);
    }
}
