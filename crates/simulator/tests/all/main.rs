//! The simulator against what genuine daemons said, against its own promises, and against its script of faults.

mod client;
mod digest;
mod exchanges;
mod lists;
mod recordings;
mod script;
mod transport;
