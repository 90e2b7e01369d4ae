//! One request, before it is sent.

use crate::failure::{Ending, Failure, Result};
use reqwest::{Method, RequestBuilder, Url};
use serde::Serialize;
use std::fmt::Display;
use std::time::Duration;

/// Whether a request may be sent again when nobody knows if it was carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Repetition {
    /// Twice has the effect of once.
    Safe,
    /// Twice could happen twice.
    Unsafe,
    /// Twice has the effect of once, because both have the same key; and whether it was done has to be known, for which
    /// it is asked again for so long.
    Keyed(Duration),
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    headers: Vec<(&'static str, String)>,
    body: Option<Vec<u8>>,
    repetition: Repetition,
}

/// A key that nobody has used.
pub(crate) fn fresh_key() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Call {
    fn new(method: Method, path: &[&dyn Display], repetition: Repetition) -> Self {
        let path = path.iter().map(ToString::to_string).collect();
        Self { method, path, query: Vec::new(), headers: Vec::new(), body: None, repetition }
    }

    /// Reads. A path is given segment by segment, so that nothing in a name can lead elsewhere.
    pub(crate) fn get(path: &[&dyn Display]) -> Self {
        Self::new(Method::GET, path, Repetition::Safe)
    }

    /// Deletes.
    pub(crate) fn delete(path: &[&dyn Display]) -> Self {
        Self::new(Method::DELETE, path, Repetition::Safe)
    }

    /// Changes.
    pub(crate) fn put(path: &[&dyn Display], body: &impl Serialize) -> Result<Self> {
        Self::new(Method::PUT, path, Repetition::Safe).body(body)
    }

    /// Asks for something to be done, which could happen twice if it were sent twice.
    pub(crate) fn post(path: &[&dyn Display], body: &impl Serialize) -> Result<Self> {
        Self::new(Method::POST, path, Repetition::Unsafe).header("idempotency-key", fresh_key()).body(body)
    }

    /// Asks for something to be done where the API keeps the key, so that a repeat is answered and not carried out. If
    /// it is not known whether it was done, it is asked again for so long.
    pub(crate) fn post_keyed(path: &[&dyn Display], body: &impl Serialize, key: &str, span: Duration) -> Result<Self> {
        Self::new(Method::POST, path, Repetition::Keyed(span)).header("idempotency-key", key).body(body)
    }

    /// Where twice has the effect of once.
    #[must_use]
    pub(crate) fn repeatable(mut self) -> Self {
        self.repetition = Repetition::Safe;
        self
    }

    /// Deletes what a body says.
    pub(crate) fn delete_with(path: &[&dyn Display], body: &impl Serialize) -> Result<Self> {
        Self::delete(path).body(body)
    }

    /// Adds a parameter.
    #[must_use]
    pub(crate) fn query(mut self, name: &'static str, value: impl Display) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    /// Adds a parameter where there is one.
    #[must_use]
    pub(crate) fn query_if(self, name: &'static str, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: &'static str, value: impl Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn body(mut self, body: &impl Serialize) -> Result<Self> {
        // Written once: a repeat has to be the same to the byte.
        let bytes = serde_json::to_vec(body)
            .map_err(|error| Failure::new(Ending::Usage, format!("the request cannot be written: {error}")))?;
        self.body = Some(bytes);
        Ok(self)
    }

    pub(super) fn method(&self) -> Method {
        self.method.clone()
    }

    pub(super) fn repetition(&self) -> Repetition {
        self.repetition
    }

    /// The path for the eyes of a person: without parameters.
    pub(super) fn display(&self) -> String {
        format!("/{}", self.path.join("/"))
    }

    pub(super) fn url(&self, base: &Url) -> Result<Url> {
        let mut url = base.clone();
        let wrong = || Failure::usage(format!("nothing can be asked of {base}"));
        url.path_segments_mut().map_err(|()| wrong())?.pop_if_empty().extend(&self.path);
        // Url drops a segment of dots, which would ask for something else.
        if self.path.iter().any(|segment| matches!(segment.as_str(), "" | "." | "..")) {
            return Err(Failure::usage("a name or id is empty, or nothing but dots"));
        }
        if !self.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query);
        }
        Ok(url)
    }

    pub(super) fn fill(&self, mut request: RequestBuilder) -> RequestBuilder {
        for (name, value) in &self.headers {
            request = request.header(*name, value);
        }
        match &self.body {
            Some(body) => request.header("content-type", "application/json").body(body.clone()),
            None => request,
        }
    }
}
