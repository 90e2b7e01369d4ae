//! The simulator against what genuine daemons said, against its own promises, and against its script of faults.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod client;
mod digest;
mod exchanges;
mod life;
mod lists;
mod recordings;
mod scale;
mod script;
mod transport;
