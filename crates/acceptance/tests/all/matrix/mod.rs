//! The fault matrix of every server workflow over the simulated cluster: the product, its provider and its database as
//! they are. After each case the books are balanced, nothing of ours is left on the cluster, and what is somebody else's
//! is as it was.

mod availability;
mod cells;
mod containers;
mod crowd;
mod faults;
mod lab;
mod lines;
mod runs;
mod steps;
