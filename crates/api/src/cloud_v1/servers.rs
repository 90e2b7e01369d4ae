//! What can be seen of a server from outside: its console and its screen.

use crate::Api;
use crate::edge::{Authenticated, Id, Json, Problem, Result};
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use cloud::server::glance::{CONSOLE_BYTES, View, look};
use model::ids::ServerId;
use model::refusal::Code;
use wire::cloud::{ConsoleLog, ConsoleLogResponse};

/// Show the end of a server's serial console
#[utoipa::path(get, path = "/cloud/v1/servers/{server_id}/console_log", operation_id = "cloud_servers_console_log",
    tag = "Cloud", params(("server_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "At most the last 64 KiB; bytes that are not UTF-8 are replaced.", body = ConsoleLogResponse)))]
pub(super) async fn console_log(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<ConsoleLogResponse>> {
    let bytes = look(api.store(), &caller, id, View::Console).await?.unwrap_or_default();
    let console = ConsoleLog {
        server_id: id,
        truncated: bytes.len() >= CONSOLE_BYTES,
        text: String::from_utf8_lossy(&bytes).into_owned(),
        at: jiff::Timestamp::now().into(),
    };
    Ok(Json(ConsoleLogResponse { console }))
}

/// Show a server's screen
#[utoipa::path(get, path = "/cloud/v1/servers/{server_id}/screenshot", operation_id = "cloud_servers_screenshot",
    tag = "Cloud", params(("server_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The screen.", body = Vec<u8>, content_type = "image/png")))]
pub(super) async fn screenshot(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<impl IntoResponse> {
    let picture = look(api.store(), &caller, id, View::Screen).await?;
    let picture =
        picture.ok_or_else(|| Problem::new(Code::WrongState, "The server is stopped, so its screen is dark."))?;
    Ok(([(CONTENT_TYPE, "image/png"), (CACHE_CONTROL, "no-store")], picture))
}
