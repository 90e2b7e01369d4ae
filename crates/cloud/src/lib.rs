//! The product: one module per resource. In each, `verbs` is what a request does (one transaction, no provider),
//! `steps` is the workflow that carries it out, `observe` is the reconciler that writes what was seen.

pub mod account;
pub mod adoption;
pub mod alert;
mod caller;
mod error;
pub mod host;
pub mod image;
pub mod key;
pub mod mail;
pub mod mend;
pub mod migration;
pub mod progress;
mod record;
pub mod region;
pub mod retention;
pub mod secrets;
pub mod server;
pub mod site;
pub mod tag;
pub mod template;
mod world;

pub use caller::{Caller, Operator};
pub use error::{Error, Result};
pub use site::{Opener, Providers, Site};
pub use world::registry;
