//! Pages of a list: `page` and `per_page` in, `links` and `meta` out.

use super::{Json, Problem, Query};
use crate::Api;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use model::refusal::Refusal;
use wire::envelope::{List, Meta, PageLinks, Pages};

/// The most items on one page (specification: `per_page.maximum`).
pub const LARGEST_PAGE: i64 = 200;

const DEFAULT_PAGE: i64 = 20;

/// The page that was asked for, and the address it was asked under, which the links to other pages repeat.
#[derive(Clone, Debug)]
pub struct Paging {
    page: i64,
    per_page: i64,
    uri: Uri,
}

#[derive(serde::Deserialize)]
struct Parameters {
    page: Option<String>,
    per_page: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked): Query<Parameters> = Query::from_request_parts(parts, state).await?;
        Ok(Self {
            page: number("page", asked.page.as_deref(), 1, i64::MAX)?,
            per_page: number("per_page", asked.per_page.as_deref(), DEFAULT_PAGE, LARGEST_PAGE)?,
            uri: parts.uri.clone(),
        })
    }
}

fn number(field: &'static str, text: Option<&str>, default: i64, largest: i64) -> Result<i64, Refusal> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(default) };
    match text.parse() {
        Ok(number) if (1..=largest).contains(&number) => Ok(number),
        _ if largest == i64::MAX => Err(Refusal::field(field, "must be a whole number from 1 on.")),
        _ => Err(Refusal::field(field, format!("must be a whole number from 1 to {largest}."))),
    }
}

impl Paging {
    /// For `LIMIT`.
    pub fn limit(&self) -> i64 {
        self.per_page
    }

    /// For `OFFSET`. A page far beyond the end is an empty one, however far.
    pub fn offset(&self) -> i64 {
        (self.page - 1).saturating_mul(self.per_page)
    }

    /// The page in its envelope; `total` is how many items there are on all pages.
    pub fn answer<L: List>(&self, api: &Api, items: Vec<L::Item>, total: i64) -> Json<L> {
        Json(L::new(items, self.links(api, total), Meta { total }))
    }

    /// The same for a list that is in memory as a whole.
    pub fn cut<L: List>(&self, api: &Api, all: Vec<L::Item>) -> Json<L> {
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let skip = usize::try_from(self.offset()).unwrap_or(usize::MAX);
        let take = usize::try_from(self.limit()).unwrap_or(usize::MAX);
        self.answer(api, all.into_iter().skip(skip).take(take).collect(), total)
    }

    /// Absolute addresses of the other pages; nothing where all fits into one.
    pub fn links(&self, api: &Api, total: i64) -> PageLinks {
        let last = (total + self.per_page - 1).div_euclid(self.per_page).max(1);
        if last == 1 && self.page == 1 {
            return PageLinks::default();
        }
        let link = |page: i64| self.href(api, page);
        let behind = self.page > 1;
        let ahead = self.page < last;
        PageLinks {
            pages: Some(Pages {
                first: behind.then(|| link(1)),
                // From beyond the end, back is the last page that has anything.
                prev: behind.then(|| link((self.page - 1).clamp(1, last))),
                next: ahead.then(|| link(self.page + 1)),
                last: ahead.then(|| link(last)),
            }),
        }
    }

    fn href(&self, api: &Api, page: i64) -> String {
        let mut query = String::new();
        for pair in self.uri.query().unwrap_or_default().split('&') {
            let name = pair.split('=').next().unwrap_or_default();
            if !pair.is_empty() && name != "page" {
                query.push_str(pair);
                query.push('&');
            }
        }
        api.href(&format!("{}?{query}page={page}", self.uri.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paging(page: i64, per_page: i64) -> Paging {
        Paging { page, per_page, uri: Uri::from_static("/v2/tags?tag=a%26b&page=7&per_page=2") }
    }

    #[test]
    fn pages_that_are_refused() {
        for text in ["0", "-1", "x", "1.5", "201", "9223372036854775808", " 1", "1e2"] {
            assert_eq!(number("per_page", Some(text), 20, LARGEST_PAGE).unwrap_err().field.as_deref(), Some("per_page"));
        }
        assert_eq!(number("page", Some(""), 1, i64::MAX), Ok(1));
        assert_eq!(number("page", None, 1, i64::MAX), Ok(1));
    }

    #[test]
    fn far_pages_do_not_overflow() {
        assert_eq!(paging(i64::MAX, 200).offset(), i64::MAX);
    }
}
