//! Whole-product tests, and what they share:
//! - [`contract`]: every response of the tenant API against the published specification, and how much of it is covered;
//! - [`architecture`]: which crate may know which, and which words must not stand where;
//! - [`installation`]: a whole Cairn with its own database and guests, and a client that holds every answer to the contract;
//! - [`figures`]: numbers that tests count, for the table at the end of `script/test`.
//!
//! Test-only: no crate depends on this one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "test support: a failure here is a failed test, and its output is for the person who runs the tests"
)]

pub mod architecture;
pub mod contract;
pub mod figures;
pub mod installation;

use std::io::Write;
use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/acceptance stands two levels below the workspace").to_owned()
}

/// Says on the real standard error, past the capture of the test harness, that something was not tested.
pub fn skip(what: &str) {
    // Nothing to do about a standard error that is closed.
    let _ = writeln!(std::io::stderr(), "SKIP {what}");
}
