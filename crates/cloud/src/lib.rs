//! The product: one module per resource, verbs, steps and observers
