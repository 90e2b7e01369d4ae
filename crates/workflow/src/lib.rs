//! The engine: lease, step, wait, follow, wake, deadline, unwind. It knows no product noun.
//!
//! A workflow is a row of PostgreSQL. Its steps run one at a time, each a repeatable pair of `make` and `unmake`. A
//! *lifecycle* makes a thing, rests as long as the thing lives, and unmakes it backwards; an *action* does something
//! once. Whoever holds the row's lease drives it; every commit says under which lease it was made, so a worker that
//! lost its lease without noticing cannot write a word. Nor does it go on: it works only while its lease is certainly its
//! own, by its own clocks.
//!
//! - [`Kind`], [`Step`] and [`steps!`] say what a workflow is; [`Definition`] and [`Registry`] collect them.
//! - [`NewWorkflow`] asks for one inside a verb's transaction; [`wish`] and [`wake`] talk to a running one.
//! - [`World`] is the product behind the engine; [`Engine`] is what runs.

mod begin;
mod clock;
mod definition;
mod drive;
mod engine;
#[cfg(feature = "harness")]
pub mod harness;
mod lease;
mod measure;
mod outcome;
mod run;
mod step;
mod world;

pub use begin::NewWorkflow;
pub use clock::{Clock, ManualClock};
pub use definition::{Definition, Kind, Misdefined, Registry, Released, Shape, Unwinding};
pub use engine::{Engine, Idle, Options};
pub use outcome::{Fault, FaultKind, Followed, Outcome, Refusal, TaskEnd, TaskName, TaskState};
pub use run::Run;
pub use step::{AnyStep, Recorded, Step, Steps, Weight, erased};
pub use store::workflow::{CANCEL, Direction, Inserted, Related, State, UNMAKE, wake, wish};
pub use world::{End, Ended, World};
