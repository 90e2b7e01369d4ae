//! The product over a real PostgreSQL and a provider in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod adoption;
mod create;
mod crowd;
mod drift;
mod gpus;
mod group;
mod healing;
mod lives;
mod migration;
mod numbers;
mod placing;
mod regions;
mod retention;
mod stage;
