//! What a token is (`GET /v1/oauth/token/info`). Outside of the specification: `doctl auth init` asks for it, and
//! the shape is the one its source decodes.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The token that the request was made with.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenInfo {
    /// Whose it is. Has to be an integer: the client decodes it as one.
    pub resource_owner_id: i64,
    /// What it may do.
    #[serde(default, deserialize_with = "crate::words::null_as_default")]
    #[schema(required)]
    pub scopes: Vec<String>,
    /// How long it is still good for; `null` when it does not expire.
    #[schema(required)]
    pub expires_in_seconds: Option<i64>,
    /// What it was made for.
    pub application: TokenApplication,
    /// When it was made, in seconds since 1970. An integer, unlike every other time of this API.
    pub created_at: i64,
}

/// What a token was made for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenApplication {
    /// Names the token among the team's.
    pub uid: String,
}
