//! The control as JSON over HTTP.
//!
//! `GET|POST|DELETE /faults` · `POST /deeds` · `GET /clock`, `POST /clock/advance {"ms": 1000}` · `GET /guests` ·
//! `GET /volumes` · `GET /calls` · `GET /endpoints`

use crate::StartError;
use crate::control::Control;
use crate::faults::{Deed, Rule};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::task::JoinSet;

/// Serves at an address, and returns its URL.
pub(crate) async fn open(router: Router, address: SocketAddr, tasks: &mut JoinSet<()>) -> Result<String, StartError> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tasks.spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the control port ended");
        }
    });
    Ok(url)
}

pub(crate) fn router(control: Control) -> Router {
    Router::new()
        .route("/faults", get(faults).post(add).delete(clear))
        .route("/deeds", post(deed))
        .route("/clock", get(clock))
        .route("/clock/advance", post(advance))
        .route("/guests", get(|State(control): State<Control>| async move { Json(control.guests()) }))
        .route("/volumes", get(|State(control): State<Control>| async move { Json(control.volumes()) }))
        .route("/calls", get(|State(control): State<Control>| async move { Json(control.calls()) }))
        .route("/endpoints", get(|| async { Json(Control::endpoints()) }))
        .with_state(control)
}

async fn faults(State(control): State<Control>) -> Json<Value> {
    Json(json!(control.rules()))
}

async fn add(State(control): State<Control>, Json(rule): Json<Rule>) -> Json<Value> {
    Json(json!({ "id": control.fault(rule) }))
}

async fn clear(State(control): State<Control>) -> StatusCode {
    control.clear_faults();
    StatusCode::NO_CONTENT
}

async fn deed(State(control): State<Control>, Json(deed): Json<Deed>) -> (StatusCode, String) {
    match control.deed(deed).await {
        Ok(()) => (StatusCode::NO_CONTENT, String::new()),
        Err(message) => (StatusCode::UNPROCESSABLE_ENTITY, message),
    }
}

async fn clock(State(control): State<Control>) -> Json<Value> {
    Json(json!({ "seconds": control.now().seconds(), "running_tasks": control.running_tasks() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    ms: u64,
}

async fn advance(State(control): State<Control>, Json(advance): Json<Advance>) -> StatusCode {
    control.advance(Duration::from_millis(advance.ms));
    StatusCode::NO_CONTENT
}
