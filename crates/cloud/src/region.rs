//! Regions: how they are connected, and what their providers say of them, written down for placement and for requests.

mod files;
mod numbers;
mod pools;
pub(crate) mod probe;
mod record;
pub(crate) mod sweep;
mod verbs;

pub use files::names_file;
pub(crate) use record::{Policy, record, settings};
pub use record::{record_hosts, unreachable};
pub use sweep::sweep;
pub use verbs::{NewRegion, Probe, RegionEdit, Saved, connect, edit, remove, test, test_saved};
