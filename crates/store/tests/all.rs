//! The store against a real PostgreSQL. One binary: a new module is one line here.

#[path = "all/isolation.rs"]
mod isolation;
#[path = "all/migrations.rs"]
mod migrations;
#[path = "all/private.rs"]
mod private;
