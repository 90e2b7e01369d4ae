//! Whole-product tests. One binary: a new module is one line here.

#[path = "all/architecture.rs"]
mod architecture;
