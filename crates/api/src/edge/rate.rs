//! Rate limits: so many requests of one token an hour, and so many a minute.
//!
//! Each is a sliding window of thirteen slots, a twelfth of its length each: twelve that are past and the present one.
//! So no stretch of the window's length ever holds more than the limit, and a request counts for at most a twelfth
//! longer than it should.
//! Counted in this process alone: with several processes behind a balancer each counts what it sees.

use crate::Limits;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

/// The most tokens that are counted. Beyond it, those that have been idle for an hour are forgotten.
const CAPACITY: usize = 50_000;

const HOUR: u64 = 3600;
const MINUTE: u64 = 60;

/// What the three headers say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// Requests an hour.
    pub(crate) limit: u32,
    /// Requests left.
    pub(crate) remaining: u32,
    /// When the oldest requests cease to count, in seconds since 1970.
    pub(crate) reset: u64,
    /// Seconds to wait, if this request is one too many.
    pub(crate) wait: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Rates {
    limits: Limits,
    windows: Mutex<HashMap<Uuid, Windows>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    hour: Window,
    minute: Window,
}

/// Slots of a window that are past; the present one comes on top.
const PAST: u64 = 12;
const SLOTS: usize = 13;

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    /// The number of the present slot since 1970.
    present: u64,
    /// How many requests each slot saw, at its number modulo [`SLOTS`].
    counts: [u32; SLOTS],
}

fn place(slot: u64) -> usize {
    // The remainder is below thirteen.
    usize::try_from(slot % SLOTS as u64).unwrap_or_default()
}

impl Window {
    /// Moves to the slot in which `second` lies, and forgets those that are too old.
    fn advance(&mut self, second: u64, length: u64) {
        let slot = second * PAST / length;
        if slot > self.present + PAST {
            self.counts = [0; SLOTS];
        } else {
            for new in self.present + 1..=slot {
                self.counts[place(new)] = 0;
            }
        }
        self.present = self.present.max(slot);
    }

    fn total(&self) -> u64 {
        self.counts.iter().map(|count| u64::from(*count)).sum()
    }

    fn add(&mut self) {
        let count = &mut self.counts[place(self.present)];
        *count = count.saturating_add(1);
    }

    /// The second at which the total has fallen below `below`. Slots go one by one, the oldest first.
    fn falls_below(&self, below: u64, length: u64) -> u64 {
        let oldest = self.present.saturating_sub(PAST);
        let mut left = self.total();
        for slot in oldest..=self.present {
            left -= u64::from(self.counts[place(slot)]);
            if left < below {
                return ((slot + PAST + 1) * length).div_ceil(PAST);
            }
        }
        ((self.present + PAST + 1) * length).div_ceil(PAST)
    }
}

impl Rates {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, windows: Mutex::default() }
    }

    /// Counts one request of a token at this moment.
    pub(crate) fn admit(&self, token: Uuid) -> Standing {
        self.admit_at(token, unix_now())
    }

    /// What an answer says that no token's request led to.
    pub(crate) fn idle(&self) -> Standing {
        let limit = self.limits.per_hour;
        Standing { limit, remaining: limit, reset: unix_now(), wait: None }
    }

    fn admit_at(&self, token: Uuid, second: u64) -> Standing {
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CAPACITY && !all.contains_key(&token) {
            all.retain(|_, windows| windows.hour.present + PAST >= second * PAST / HOUR);
            if all.len() >= CAPACITY {
                // Fifty thousand busy tokens on one process: counting begins anew rather than memory growing.
                all.clear();
            }
        }
        let windows = all.entry(token).or_default();
        windows.hour.advance(second, HOUR);
        windows.minute.advance(second, MINUTE);
        let (hour_limit, minute_limit) = (u64::from(self.limits.per_hour), u64::from(self.limits.per_minute));
        let hour_full = hour_limit > 0 && windows.hour.total() >= hour_limit;
        let minute_full = minute_limit > 0 && windows.minute.total() >= minute_limit;
        let wait = if hour_full {
            Some(windows.hour.falls_below(hour_limit, HOUR))
        } else if minute_full {
            Some(windows.minute.falls_below(minute_limit, MINUTE))
        } else {
            windows.hour.add();
            windows.minute.add();
            None
        };
        let used = windows.hour.total();
        Standing {
            limit: self.limits.per_hour,
            remaining: u32::try_from(hour_limit.saturating_sub(used)).unwrap_or(u32::MAX),
            reset: windows.hour.falls_below(used, HOUR),
            wait: wait.map(|until| until.saturating_sub(second).max(1)),
        }
    }
}

impl Standing {
    /// Writes the headers; none where the hour is not limited.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        if self.limit == 0 {
            return;
        }
        headers.insert(HeaderName::from_static("ratelimit-limit"), HeaderValue::from(self.limit));
        headers.insert(HeaderName::from_static("ratelimit-remaining"), HeaderValue::from(self.remaining));
        headers.insert(HeaderName::from_static("ratelimit-reset"), HeaderValue::from(self.reset));
    }
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(per_hour: u32, per_minute: u32) -> (Rates, Uuid) {
        (Rates::new(Limits { per_hour, per_minute }), Uuid::nil())
    }

    #[test]
    fn the_hour_is_never_exceeded_in_any_hour() {
        let (rates, token) = rates(100, 0);
        let mut admitted = Vec::new();
        for second in (10_000..10_000 + 4 * HOUR).step_by(7) {
            if rates.admit_at(token, second).wait.is_none() {
                admitted.push(second);
            }
        }
        for start in &admitted {
            let within = admitted.iter().filter(|second| (*start..start + HOUR).contains(*second)).count();
            assert!(within <= 100, "{within} within an hour of {start}");
        }
        assert!(admitted.len() >= 300, "{}", admitted.len());
    }

    #[test]
    fn what_it_says_to_wait_is_enough() {
        let (rates, token) = rates(1000, 3);
        let second = 1_000_000;
        for _ in 0..3 {
            assert_eq!(rates.admit_at(token, second).wait, None);
        }
        let refused = rates.admit_at(token, second);
        let wait = refused.wait.unwrap();
        assert!((1..=120).contains(&wait));
        assert_eq!(refused.remaining, 997, "a refused request is not counted");
        assert!(rates.admit_at(token, second + wait - 1).wait.is_some());
        assert_eq!(rates.admit_at(token, second + wait).wait, None);
    }

    #[test]
    fn zero_is_off() {
        let (rates, token) = rates(0, 0);
        for _ in 0..10_000 {
            assert_eq!(rates.admit_at(token, 5_000_000).wait, None);
        }
        let mut headers = HeaderMap::new();
        rates.admit_at(token, 5_000_000).write(&mut headers);
        assert!(headers.is_empty());
    }
}
