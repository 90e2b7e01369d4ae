//! From a bearer token to an operator. Operators are few, so their tokens are not kept: each request asks the database,
//! and a revoked one ends with its revocation.

use super::Problem;
use super::problem::chain;
use super::tokens::presented;
use axum::http::HeaderMap;
use jiff::Timestamp;
use model::refusal::{Code, Refusal};
use store::Store;
use store::operators::{self, SECRET_PREFIX, Token};
use store::tenancy::hash_secret;
use subtle::ConstantTimeEq;

/// The operator's token that the headers present.
pub(super) async fn authenticate(store: &Store, headers: &HeaderMap) -> Result<Token, Problem> {
    let secret = presented(headers).ok_or_else(Refusal::unauthorized)?;
    if !secret.starts_with(SECRET_PREFIX) {
        let message = format!(
            "Unable to authenticate you: /admin/v1 takes an operator's token, which begins with {SECRET_PREFIX}."
        );
        return Err(Problem::new(Code::Unauthorized, message));
    }
    let hash = hash_secret(secret);
    let token = operators::authenticate(store, &hash).await?.ok_or_else(Refusal::unauthorized)?;
    // The index found it by its hash already; this keeps the decision from depending on how an index compares.
    if !bool::from(token.secret_hash.ct_eq(&hash)) {
        return Err(Refusal::unauthorized().into());
    }
    touch(store, &token);
    Ok(token)
}

/// Writes down that the token is in use, beside the request and only now and then.
fn touch(store: &Store, token: &Token) {
    let stale = token.last_used_at.is_none_or(|used| used.duration_until(Timestamp::now()).as_secs() > 600);
    if !stale {
        return;
    }
    let (store, id) = (store.clone(), token.id);
    tokio::spawn(async move {
        if let Err(error) = operators::touch(&store, id).await {
            tracing::warn!(error = chain(&error), "an operator token's last use was not written down");
        }
    });
}
