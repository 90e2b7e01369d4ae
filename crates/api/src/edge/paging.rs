//! Pages of a list: `page` and `per_page` in, `links` and `meta` out.

use super::{Json, Problem, Query};
use crate::Api;
use axum::extract::FromRequestParts;
use axum::http::Uri;
use axum::http::request::Parts;
use model::paging::Page;
use utoipa::IntoParams;
use wire::envelope::{List, Meta, PageLinks, Pages};

/// The page that was asked for, and the address it was asked under, which the links to other pages repeat.
#[derive(Clone, Debug)]
pub struct Paging {
    page: Page,
    uri: Uri,
}

/// The parameters as the document describes them; name it in `params(…)` of every list.
#[derive(serde::Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageParameters {
    /// Which page, from 1. One beyond the last is empty.
    #[param(value_type = Option<i32>, minimum = 1, default = 1)]
    page: Option<String>,
    /// How many items on a page.
    #[param(value_type = Option<i32>, minimum = 1, maximum = 200, default = 20)]
    per_page: Option<String>,
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Query(asked): Query<PageParameters> = Query::from_request_parts(parts, state).await?;
        let page = Page::parse(asked.page.as_deref(), asked.per_page.as_deref())?;
        Ok(Self { page, uri: parts.uri.clone() })
    }
}

impl Paging {
    /// For `LIMIT`.
    pub fn limit(&self) -> i64 {
        i64::from(self.page.size())
    }

    /// For `OFFSET`.
    pub fn offset(&self) -> i64 {
        self.page.offset()
    }

    /// The page in its envelope; `total` is how many items there are on all pages.
    pub fn answer<L: List>(&self, api: &Api, items: Vec<L::Item>, total: i64) -> Json<L> {
        let address = api.href(self.uri.path());
        let links = self.page.links(&address, self.uri.query().unwrap_or_default(), total.unsigned_abs());
        let pages = (!links.is_empty()).then_some(Pages {
            first: links.first,
            prev: links.prev,
            next: links.next,
            last: links.last,
        });
        Json(L::new(items, PageLinks { pages }, Meta { total }))
    }

    /// The same for a list that is in memory as a whole.
    pub fn cut<L: List>(&self, api: &Api, all: &[L::Item]) -> Json<L>
    where
        L::Item: Clone,
    {
        self.answer(api, self.page.of(all).to_vec(), i64::try_from(all.len()).unwrap_or(i64::MAX))
    }
}
