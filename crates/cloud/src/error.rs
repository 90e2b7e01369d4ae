//! Why a verb did not do what it was asked.

use model::refusal::Refusal;

/// A refusal is for the caller; everything else is for the log, and the caller sees only a request id.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request cannot be granted; nothing was changed.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// The database failed; nothing was changed.
    #[error("the store failed")]
    Store(#[from] store::Error),
    /// It failed in company: with requests that shared its transaction.
    #[error("the transaction that it shared with others failed")]
    Shared(#[source] std::sync::Arc<Error>),
    /// Something that cannot happen did.
    #[error("BUG: {0}")]
    Bug(String),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The result of a verb.
pub type Result<T> = std::result::Result<T, Error>;
