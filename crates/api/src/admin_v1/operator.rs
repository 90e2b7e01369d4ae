//! Whose token it is.

use crate::edge::{Json, PresentedOperator};
use wire::admin::{Operator, OperatorResponse};

/// Show the token that is presented
#[utoipa::path(get, path = "/admin/v1/operator", operation_id = "admin_operator_get", tag = "Admin",
    security(("operator_auth" = [])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The token, never its secret.", body = OperatorResponse)))]
pub(super) async fn show(PresentedOperator(token): PresentedOperator) -> Json<OperatorResponse> {
    Json(OperatorResponse {
        operator: Operator {
            token_id: token.id.0,
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: token.created_at.into(),
            expires_at: token.expires_at.map(Into::into),
        },
    })
}
