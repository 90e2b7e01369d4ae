//! Whole-product tests: contract, architecture, end to end
