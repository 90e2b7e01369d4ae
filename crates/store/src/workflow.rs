//! SQL of the workflow engine.
