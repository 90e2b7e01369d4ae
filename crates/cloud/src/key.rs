//! Registered SSH keys.

pub mod verbs;
