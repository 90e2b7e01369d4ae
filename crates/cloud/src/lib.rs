//! The product: one module per resource. In each, `verbs` is what a request does (one transaction, no provider),
//! `steps` is the workflow that carries it out, `observe` is the reconciler that writes what was seen.

pub mod account;
mod caller;
mod error;
mod record;

pub use caller::Caller;
pub use error::{Error, Result};
