//! Tags.

pub mod verbs;
