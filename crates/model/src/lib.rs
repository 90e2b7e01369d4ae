//! What Cairn knows without asking anyone: ids, resources, states, sizes, money, placement, quota,
//! address arithmetic, cloud-init documents and the operator's catalogue.
//!
//! Nothing here does I/O, awaits, speaks SQL or reads a clock: time and randomness are arguments.

pub mod addressing;
pub mod authority;
pub mod backup;
pub mod catalogue;
pub mod checksum;
pub mod cloud_init;
pub mod healing;
pub mod ids;
pub mod image_url;
pub mod money;
pub mod names;
pub mod numbers;
pub mod paging;
pub mod placement;
pub mod quota;
pub mod refusal;
pub mod retry;
pub mod ssh;
pub mod states;
