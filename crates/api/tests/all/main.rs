//! The API from the outside: a real router over a real PostgreSQL. Every `/v2` answer is held against the
//! specification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that unwraps fails loudly")]

mod admin;
mod auth;
mod backups;
mod bounds;
mod catalogue;
mod document;
mod events;
mod idempotency;
mod image_transfers;
mod images;
mod keys;
mod limits;
mod service;
mod showing;
mod snapshots;
mod stage;
mod tags;
mod wishes;
