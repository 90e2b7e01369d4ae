//! The account: the token's team, in the words of an account.

use crate::Api;
use crate::edge::{Authenticated, Json, Result};
use axum::extract::State;
use wire::account::{Account, AccountResponse, AccountStatus, AccountTeam};

/// Show the account
#[utoipa::path(get, path = "/v2/account", operation_id = "account_get", tag = "Account",
    security(("bearer_auth" = ["account:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The account of the token's team.", body = AccountResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
) -> Result<Json<AccountResponse>> {
    let account = store::tenancy::account(api.store(), caller.team).await?;
    Ok(Json(AccountResponse {
        account: Account {
            droplet_limit: i64::from(account.server_limit),
            // Not offered yet. Clients take a volume limit of 0 for "any number", so it is left out.
            floating_ip_limit: 0,
            reserved_ip_limit: Some(0),
            volume_limit: None,
            email: account.email,
            name: Some(account.name.clone()),
            uuid: account.team.to_string(),
            email_verified: true,
            status: AccountStatus::Active,
            status_message: String::new(),
            team: Some(AccountTeam { uuid: account.team.to_string(), name: account.name }),
        },
    }))
}
