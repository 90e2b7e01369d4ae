//! Which crate may know which, and which words must not stand where. Pure functions over a graph and over texts,
//! so that each rule can be shown to fail; `tests/all/architecture.rs` applies them to the workspace.

pub mod edges;
pub mod words;

use std::fmt;

/// A rule that is broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule, as a sentence.
    pub rule: &'static str,
    /// A crate, or `file:line`.
    pub place: String,
    /// What was found there.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n    rule: {}", self.place, self.what, self.rule)
    }
}

/// Panics with every finding.
pub fn assert_none(findings: &[Finding]) {
    let all: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(all.is_empty(), "{} broken rules:\n{}", all.len(), all.join("\n"));
}
