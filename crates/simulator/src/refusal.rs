//! How PVE says no.

use serde_json::{Map, Value};
use std::time::Duration;

/// A request that is not answered with 200.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// In full; the reason phrase is its first line.
    pub(crate) message: String,
    /// By parameter; only a 400 has them.
    pub(crate) errors: Map<String, Value>,
    /// Without a body, as the proxy itself answers.
    pub(crate) bare: bool,
    /// The request is tried again whenever something changes, until so long after it came; only then it is refused.
    pub(crate) wait: Option<Duration>,
}

/// What an endpoint gives back.
pub(crate) type Served<T> = Result<T, Refusal>;

impl Refusal {
    fn new(status: u16, message: String) -> Self {
        Self { status, message, errors: Map::new(), bare: false, wait: None }
    }

    /// What a plain `die` becomes: 500 and a message that ends in a newline.
    pub(crate) fn die(message: impl Into<String>) -> Self {
        Self::new(500, message.into() + "\n")
    }

    /// One parameter is wrong.
    pub(crate) fn parameter(name: &str, message: impl Into<String>) -> Self {
        let mut errors = Map::new();
        errors.insert(name.to_owned(), Value::String(message.into()));
        Self::parameters(errors)
    }

    pub(crate) fn parameters(errors: Map<String, Value>) -> Self {
        Self { errors, ..Self::new(400, "Parameter verification failed.\n".to_owned()) }
    }

    /// `what` is as in `/vms/100, VM.Audit`.
    pub(crate) fn forbidden(what: &str) -> Self {
        Self::new(403, format!("Permission check failed ({what})\n"))
    }

    /// The daemon knows no such method.
    pub(crate) fn not_implemented(method: &str, path: &str) -> Self {
        Self::new(501, format!("Method '{method} {path}' not implemented"))
    }

    /// PVE knows it, and the simulator does not.
    pub(crate) fn not_simulated(method: &str, path: &str) -> Self {
        Self::new(501, format!("Method '{method} {path}' not simulated"))
    }

    /// What the proxy says by itself, without a body.
    pub(crate) fn bare(status: u16, message: &str) -> Self {
        Self { bare: true, ..Self::new(status, message.to_owned()) }
    }

    /// With a body, and any status.
    pub(crate) fn status(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, message.into())
    }

    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    pub(crate) fn reason(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}
