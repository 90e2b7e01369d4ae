//! Migrations: servers that move from one host to another.

use super::OfRegion;
use crate::Api;
use crate::edge::{AsOperator, Id, Json, PageParameters, Paging, Problem, Query, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::migration::Migrate;
use cloud::progress::sentence;
use model::ids::{HostId, WorkflowId};
use wire::admin::{Migration, MigrationCreate, MigrationList, MigrationResponse, MigrationState};

/// List the migrations
#[utoipa::path(get, path = "/admin/v1/migrations", operation_id = "admin_migrations_list", tag = "Admin",
    params(PageParameters, OfRegion),
    security(("operator_auth" = ["migration:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of migrations, the newest first.", body = MigrationList)))]
pub(super) async fn list(
    State(api): State<Api>,
    _: AsOperator,
    paging: Paging,
    Query(of): Query<OfRegion>,
) -> Result<Json<MigrationList>> {
    let (migrations, total) =
        store::migrations::list(api.store(), of.slug().as_ref(), paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, migrations.into_iter().map(wire).collect(), total))
}

/// Move a server
///
/// Running, where its provider can; its addresses stay.
#[utoipa::path(post, path = "/admin/v1/migrations", operation_id = "admin_migrations_create", tag = "Admin",
    request_body = MigrationCreate,
    security(("operator_auth" = ["migration:create"])),
    extensions(("x-cairn" = json!({"audit": "server.migrate", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.", body = MigrationResponse)))]
pub(super) async fn start(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Json(body): Json<MigrationCreate>,
) -> Result<(StatusCode, Json<MigrationResponse>)> {
    let migrate = Migrate { server: body.server_id, to: body.host_id.map(HostId) };
    let migration = cloud::migration::start(api.store(), &operator, &migrate).await?;
    Ok((StatusCode::ACCEPTED, Json(MigrationResponse { migration: wire(migration) })))
}

/// Show a migration
#[utoipa::path(get, path = "/admin/v1/migrations/{migration_id}", operation_id = "admin_migrations_get", tag = "Admin",
    params(("migration_id" = uuid::Uuid, Path, description = "The migration.")),
    security(("operator_auth" = ["migration:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The migration.", body = MigrationResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    _: AsOperator,
    Id(id): Id<WorkflowId>,
) -> Result<Json<MigrationResponse>> {
    let migration = store::migrations::get(api.store(), id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(MigrationResponse { migration: wire(migration) }))
}

fn wire(migration: store::migrations::Migration) -> Migration {
    let waiting = migration.waiting_for.map(|what| format!("waiting for {what}"));
    let at = migration.step.map(|step| sentence(&step, true));
    Migration {
        id: migration.id.0,
        server_id: migration.server,
        server: migration.server_name,
        team_id: migration.team.0,
        region: migration.region.0,
        from: migration.from,
        to: migration.to,
        reason: migration.reason,
        state: match migration.state.as_str() {
            "running" => MigrationState::Running,
            "completed" => MigrationState::Completed,
            "failed" => MigrationState::Failed,
            "cancelled" => MigrationState::Cancelled,
            _ => MigrationState::Unknown,
        },
        sentence: migration.detail.or(waiting).or(at),
        progress: migration.progress,
        started_at: migration.started_at.into(),
        finished_at: migration.finished_at.map(Into::into),
    }
}
