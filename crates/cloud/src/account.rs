//! The team's own account.

pub mod verbs;
