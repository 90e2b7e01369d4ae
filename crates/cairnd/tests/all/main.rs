//! The daemon as a process: what it answers, what it keeps, how it stops, and what it says when it cannot start.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that unwraps fails loudly")]

mod configuration;
mod daemon;
mod lifecycle;
