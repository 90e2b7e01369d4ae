//! Reading ids from the path. What cannot be an id is simply not found.

use super::Problem;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use std::str::FromStr;

/// The only parameter of the path. Garbage, numbers beyond the type and invalid UTF-8 are 404: nothing has such an id.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

/// The two parameters of the path, in its order.
#[derive(Clone, Copy, Debug)]
pub struct Ids<A, B>(pub A, pub B);

impl<S: Sync, T: FromStr> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let values = values(parts).await?;
        Ok(Self(at(&values, 0)?))
    }
}

impl<S: Sync, A: FromStr, B: FromStr> FromRequestParts<S> for Ids<A, B> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let values = values(parts).await?;
        Ok(Self(at(&values, 0)?, at(&values, 1)?))
    }
}

async fn values(parts: &mut Parts) -> Result<Vec<String>, Problem> {
    let raw = RawPathParams::from_request_parts(parts, &()).await.map_err(|_| Problem::not_found())?;
    Ok(raw.iter().map(|(_, value)| value.to_owned()).collect())
}

fn at<T: FromStr>(values: &[String], index: usize) -> Result<T, Problem> {
    let text =
        values.get(index).ok_or_else(|| Problem::internal("BUG: the route has fewer parameters than its handler"))?;
    // `+5` would read as 5, which would give one thing two addresses; U+0000 cannot even be asked for; and the router
    // takes `//` for an empty parameter.
    if text.is_empty() || text.starts_with('+') || text.contains('\0') {
        return Err(Problem::not_found());
    }
    text.parse().map_err(|_| Problem::not_found())
}
