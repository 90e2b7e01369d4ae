//! The two paths outside of `/v2` that DigitalOcean's clients use with a token.

use crate::Api;
use crate::edge::{Authenticated, Json, Presented, Result, Tokens};
use axum::Extension;
use axum::extract::State;
use jiff::Timestamp;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use wire::token_info::{TokenApplication, TokenInfo};

pub(crate) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(info)).routes(routes!(revoke))
}

/// Show the token that the request is made with
#[utoipa::path(get, path = "/v1/oauth/token/info", operation_id = "token_info", tag = "Tokens",
    security(("bearer_auth" = [])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The token.", body = TokenInfo)))]
async fn info(Presented(token): Presented) -> Json<TokenInfo> {
    let left = token.expires_at.map(|end| (end.as_second() - Timestamp::now().as_second()).max(0));
    Json(TokenInfo {
        // Clients want a number; what the team really is called is in /v2/account.
        resource_owner_id: i64::from(token.team.0.as_fields().0 >> 1),
        scopes: if token.scopes.is_empty() { vec!["*".to_owned()] } else { token.scopes.clone() },
        expires_in_seconds: left,
        application: TokenApplication { uid: token.name.clone() },
        created_at: token.created_at.as_second(),
    })
}

/// Revoke the token that the request is made with
///
/// Whatever token the body names is ignored: a token can end itself and no other.
#[utoipa::path(post, path = "/v1/oauth/revoke", operation_id = "token_revoke", tag = "Tokens",
    security(("bearer_auth" = [])), extensions(("x-cairn" = json!({"audit": "token.revoke", "rate": "standard"}))),
    responses((status = 200, description = "It is not valid any more.")))]
async fn revoke(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Extension(tokens): Extension<Arc<Tokens>>,
) -> Result<Json<serde_json::Value>> {
    cloud::account::verbs::revoke_own_token(api.store(), &caller).await?;
    // Other processes hear of it from the database a moment later; the client's next request may be here before that.
    tokens.changed();
    Ok(Json(serde_json::json!({})))
}
