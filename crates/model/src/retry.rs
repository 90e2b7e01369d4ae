//! When something that failed is tried again.

use std::time::Duration;

/// The pause after the `failures`th failure in a row (from 1): doubling from `first` up to `longest`, less a part of up to a
/// quarter that `chance` chooses, so that what failed together is not tried together again.
pub fn pause(first: Duration, longest: Duration, failures: u32, chance: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let whole = first.saturating_mul(1 << doublings).min(longest);
    let quarter = u64::try_from(whole.as_millis() / 4).unwrap_or(u64::MAX);
    // Spreads neighbouring numbers over the whole range (the constant is 2^64 divided by the golden ratio).
    let spread = chance.wrapping_add(u64::from(failures)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    whole.saturating_sub(Duration::from_millis(spread % quarter.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);
    const LONGEST: Duration = Duration::from_secs(3600);

    #[test]
    fn pauses_double_up_to_the_longest_and_never_lose_more_than_a_quarter() {
        let mut whole = FIRST;
        for failures in 1..60 {
            for chance in [0, 1, 2, u64::MAX] {
                let paused = pause(FIRST, LONGEST, failures, chance);
                assert!(paused <= whole && paused >= whole * 3 / 4, "{failures}: {paused:?} of {whole:?}");
            }
            whole = (whole * 2).min(LONGEST);
        }
    }

    #[test]
    fn what_failed_together_is_not_tried_together() {
        let pauses: std::collections::BTreeSet<Duration> = (0..20).map(|id| pause(LONGEST, LONGEST, 5, id)).collect();
        assert!(pauses.len() > 15, "{pauses:?}");
    }
}
