//! The engine: lease, step, wait, follow, wake, deadline, unwind. Knows no product noun
