//! What can go wrong at a provider, in five kinds that decide what happens next.

use serde::{Deserialize, Serialize};

/// The kind decides; the detail is for people.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Try again later: a lock timeout, a busy host, a connection that was refused before anything was sent.
    Transient,
    /// The request may or may not have taken effect. Look before trying again.
    Unknown,
    /// The provider understood and said no; trying again will not help.
    Refused,
    /// Not enough room (disk, memory) where this was placed; another place may do.
    Full,
    /// A fault of ours or of the provider's software. Parks the workflow and raises an alert.
    Bug,
}

/// A provider's failure.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[error("{kind:?}: {detail}")]
pub struct Fault {
    /// What happens next.
    pub kind: FaultKind,
    /// For the log and the operator: what we tried and what the provider said. Never shown to a tenant, never a secret.
    pub detail: String,
}

impl Fault {
    /// Try again later.
    pub fn transient(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Transient, detail: detail.into() }
    }
    /// Sent, but the answer was lost.
    pub fn unknown(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Unknown, detail: detail.into() }
    }
    /// A final no.
    pub fn refused(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Refused, detail: detail.into() }
    }
    /// No room here.
    pub fn full(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Full, detail: detail.into() }
    }
    /// What should not happen.
    pub fn bug(detail: impl Into<String>) -> Self {
        Self { kind: FaultKind::Bug, detail: detail.into() }
    }
}
