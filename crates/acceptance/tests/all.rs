//! Whole-product tests. One binary: a new module is one line here.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests: a failure here is a failed test, and its output is for the person who runs the tests"
)]

#[path = "all/architecture.rs"]
mod architecture;
#[path = "all/bad_input.rs"]
mod bad_input;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/fuzz.rs"]
mod fuzz;
#[path = "all/go_clients.rs"]
mod go_clients;
#[path = "all/gotchas.rs"]
mod gotchas;
#[path = "all/isolation.rs"]
mod isolation;
#[path = "all/matrix/mod.rs"]
mod matrix;
#[path = "all/operator.rs"]
mod operator;
#[path = "all/proxmoxer.rs"]
mod proxmoxer;
#[path = "all/pydo.rs"]
mod pydo;
#[path = "all/race.rs"]
mod race;
