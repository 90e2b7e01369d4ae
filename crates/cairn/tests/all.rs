//! The client as people meet it: the program itself, against a server that stands for the API at the HTTP boundary.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute; this is what they share")]

#[path = "all/admin.rs"]
mod admin;
#[path = "all/cloud.rs"]
mod cloud;
#[path = "all/failures.rs"]
mod failures;
#[path = "all/golden.rs"]
mod golden;
#[path = "all/help.rs"]
mod help;
#[path = "all/login.rs"]
mod login;
#[path = "all/looking.rs"]
mod looking;
#[path = "all/matrix.rs"]
mod matrix;
#[path = "all/retries.rs"]
mod retries;
#[path = "all/servers.rs"]
mod servers;
#[path = "all/things.rs"]
mod things;
#[path = "all/values.rs"]
mod values;
