//! Numbers of guests, where a provider numbers them: the ranges that are ours to give.

/// A range of numbers; both ends count.
pub type Numbers = (u32, u32);

/// Guests' numbers in a region whose operator names no others.
pub const USUAL_GUESTS: Numbers = (100_000, 199_999);

/// Templates' numbers in such a region.
pub const USUAL_TEMPLATES: Numbers = (90_000, 99_999);

/// Whether a number is in both.
pub const fn overlap(one: Numbers, other: Numbers) -> bool {
    one.0 <= other.1 && other.0 <= one.1
}

#[cfg(test)]
mod tests {
    use super::overlap;

    #[test]
    fn ends_count() {
        assert!(overlap((1, 5), (5, 9)) && overlap((5, 9), (1, 5)) && overlap((1, 9), (3, 4)));
        assert!(!overlap((1, 4), (5, 9)) && !overlap((5, 9), (1, 4)));
    }
}
