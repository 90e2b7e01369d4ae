//! Rate limits: so many requests of one token an hour, and so many a minute.
//!
//! Each is a sliding window from two counters: what the present window holds, and the part of the last one that
//! still lies within the length of a window. That admits no burst at the border of two windows, in sixteen bytes.
//! Counted in this process alone: with several processes behind a balancer each counts what it sees.

use crate::Limits;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use model::ids::TokenId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

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
    /// When the present window ends, in seconds since 1970.
    pub(crate) reset: u64,
    /// Seconds to wait, if this request is one too many.
    pub(crate) wait: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Rates {
    limits: Limits,
    windows: Mutex<HashMap<TokenId, Windows>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Windows {
    hour: Window,
    minute: Window,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    number: u64,
    now: u32,
    before: u32,
}

impl Window {
    /// Moves to the window in which `second` lies.
    fn advance(&mut self, second: u64, length: u64) {
        let number = second / length;
        if number != self.number {
            self.before = if number == self.number + 1 { self.now } else { 0 };
            self.now = 0;
            self.number = number;
        }
    }

    /// How many requests count at `second`.
    fn count(self, second: u64, length: u64) -> u64 {
        let left = length - second % length;
        u64::from(self.now) + (u64::from(self.before) * left).div_ceil(length)
    }

    /// Seconds until one more is admitted.
    fn wait(self, second: u64, length: u64, limit: u64) -> u64 {
        let admits = |wait: u64| {
            let mut later = self;
            later.advance(second + wait, length);
            later.count(second + wait, length) < limit
        };
        // The count only falls as time passes, and after two windows it is nothing.
        let (mut too_soon, mut enough) = (0, 2 * length);
        while enough - too_soon > 1 {
            let middle = too_soon.midpoint(enough);
            if admits(middle) { enough = middle } else { too_soon = middle }
        }
        enough
    }
}

impl Rates {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, windows: Mutex::default() }
    }

    /// Counts one request of a token at this moment.
    pub(crate) fn admit(&self, token: TokenId) -> Standing {
        self.admit_at(token, unix_now())
    }

    /// What an answer says that no token's request led to.
    pub(crate) fn idle(&self) -> Standing {
        let limit = self.limits.per_hour;
        Standing { limit, remaining: limit, reset: (unix_now() / HOUR + 1) * HOUR, wait: None }
    }

    fn admit_at(&self, token: TokenId, second: u64) -> Standing {
        let mut all = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= CAPACITY && !all.contains_key(&token) {
            all.retain(|_, windows| windows.hour.number + 1 >= second / HOUR);
            if all.len() >= CAPACITY {
                // Fifty thousand busy tokens on one process: counting begins anew rather than memory growing.
                all.clear();
            }
        }
        let windows = all.entry(token).or_default();
        windows.hour.advance(second, HOUR);
        windows.minute.advance(second, MINUTE);
        let (hour_limit, minute_limit) = (u64::from(self.limits.per_hour), u64::from(self.limits.per_minute));
        let hour_full = hour_limit > 0 && windows.hour.count(second, HOUR) >= hour_limit;
        let minute_full = minute_limit > 0 && windows.minute.count(second, MINUTE) >= minute_limit;
        let wait = if hour_full {
            Some(windows.hour.wait(second, HOUR, hour_limit))
        } else if minute_full {
            Some(windows.minute.wait(second, MINUTE, minute_limit))
        } else {
            windows.hour.now = windows.hour.now.saturating_add(1);
            windows.minute.now = windows.minute.now.saturating_add(1);
            None
        };
        let left = hour_limit.saturating_sub(windows.hour.count(second, HOUR));
        Standing {
            limit: self.limits.per_hour,
            remaining: u32::try_from(left).unwrap_or(u32::MAX),
            reset: (second / HOUR + 1) * HOUR,
            wait,
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
    use uuid::Uuid;

    fn rates(per_hour: u32, per_minute: u32) -> (Rates, TokenId) {
        (Rates::new(Limits { per_hour, per_minute }), TokenId(Uuid::nil()))
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
        // The estimate takes the last window as evenly spread; it may be wrong by a little, never by a burst.
        for start in &admitted {
            let within = admitted.iter().filter(|second| (*start..start + HOUR).contains(*second)).count();
            assert!(within <= 150, "{within} within an hour of {start}");
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
