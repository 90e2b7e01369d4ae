//! The engine against a real PostgreSQL and a toy world: a shelf with boxes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that unwraps fails loudly")]
#![allow(unreachable_pub, reason = "modules of one test binary")]

#[path = "all/drives.rs"]
mod drives;
#[path = "all/matrix.rs"]
mod matrix;
#[path = "all/races.rs"]
mod races;
#[path = "all/rows.rs"]
mod rows;
#[path = "all/scripted.rs"]
mod scripted;
#[path = "all/shelf.rs"]
mod shelf;

#[path = "all/weights.rs"]
mod weights;
