//! Whole-product tests. One binary: a new module is one line here.

#[path = "all/architecture.rs"]
mod architecture;
#[path = "all/crash.rs"]
mod crash;
#[path = "all/pydo.rs"]
mod pydo;
#[path = "all/race.rs"]
mod race;
