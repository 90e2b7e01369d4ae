//! For those who run the process: is it alive, can it serve, what are its figures.

use crate::Api;
use crate::edge::{AsOperator, Json, Problem, Result, chain};
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use model::refusal::Code;
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

/// How the process is.
#[derive(Serialize, ToSchema)]
struct Health {
    /// Always `ok`; anything else has another status.
    status: &'static str,
}

/// Is the process alive
///
/// Says nothing of the database: restarting this process would not mend that.
#[utoipa::path(get, path = "/healthz", operation_id = "health_live", tag = "Health", security(()),
    extensions(("x-cairn" = json!({"rate": "free"}))),
    responses((status = 200, description = "It is.", body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Can the process serve requests
///
/// The database answers and has the schema that this build expects.
#[utoipa::path(get, path = "/readyz", operation_id = "health_ready", tag = "Health", security(()),
    extensions(("x-cairn" = json!({"rate": "free"}))),
    responses((status = 200, description = "It can.", body = Health)))]
async fn readyz(State(api): State<Api>) -> Result<Json<Health>> {
    let answer = tokio::time::timeout(Duration::from_secs(3), store::readiness::migrated(api.store())).await;
    let why = match answer {
        Ok(Ok(true)) => return Ok(Json(Health { status: "ok" })),
        Ok(Ok(false)) => "The database has another schema than this build expects; run `cairnd migrate`.",
        Ok(Err(error)) => {
            tracing::warn!(error = chain(&error), "not ready");
            "The database does not answer."
        }
        Err(_) => "The database does not answer in time.",
    };
    Err(Problem::new(Code::ServiceUnavailable, why).retry_after(2))
}

/// Figures of the process, for Prometheus
///
/// Never anything of a tenant; for operators all the same, because it tells how busy everybody is together.
#[utoipa::path(get, path = "/metrics", operation_id = "health_metrics", tag = "Health",
    security(("operator_auth" = ["metrics:read"])),
    extensions(("x-cairn" = json!({"rate": "free"}))),
    responses((status = 200, description = "The figures.", body = String, content_type = "text/plain")))]
async fn metrics(State(api): State<Api>, _: AsOperator) -> Result<impl IntoResponse> {
    let render = api.options().render_metrics.as_ref().ok_or_else(Problem::not_found)?;
    let pool = api.store().pool();
    ::metrics::gauge!("cairn_database_connections").set(f64::from(pool.size()));
    ::metrics::gauge!("cairn_database_connections_idle")
        .set(f64::from(u32::try_from(pool.num_idle()).unwrap_or(u32::MAX)));
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], render()))
}
