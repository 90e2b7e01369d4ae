//! Reading the query: a malformed value is 422 with its name.

use super::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use model::refusal::{Code, Refusal};
use serde::de::DeserializeOwned;

/// The query, read into `T`. Unknown parameters are ignored.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if parts.uri.query().is_some_and(|query| query.contains("%00")) {
            return Err(Problem::new(Code::UnprocessableEntity, "The character U+0000 is not accepted in a query."));
        }
        axum::extract::Query::<T>::try_from_uri(&parts.uri).map(|query| Self(query.0)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, tail)| tail);
            let text: String = text.chars().take(300).collect();
            match text.split_once(": ") {
                Some((field, sentence)) => Refusal::field(field, format!("{sentence}.")).into(),
                None => Problem::new(Code::UnprocessableEntity, format!("{text}.")),
            }
        })
    }
}
