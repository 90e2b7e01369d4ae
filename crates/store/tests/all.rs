//! The store against a real PostgreSQL. One binary: a new module is one line here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails should say where")]

#[path = "all/abandoned.rs"]
mod abandoned;
#[path = "all/isolation.rs"]
mod isolation;
#[path = "all/mails.rs"]
mod mails;
#[path = "all/migrations.rs"]
mod migrations;
#[path = "all/private.rs"]
mod private;
