//! Virtual time. Everything in the simulator that lasts, lasts in virtual time.

use serde::{Deserialize, Serialize};
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// How virtual time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ClockKind {
    /// As on the wall, and every duration of the scenario's pace as it stands there.
    #[default]
    Real,
    /// `factor` virtual seconds in one real second.
    Scaled {
        /// More than zero; 60 makes a minute of work last a second.
        factor: f64,
    },
    /// As on the wall, but nothing lasts: tasks are over when their UPID is answered, and nothing lags. For benches.
    Instant,
    /// Only [`crate::Control::advance`] makes it pass.
    Stepped,
}

/// A moment of virtual time, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub i64);

impl Time {
    /// Whole seconds since 1970, as the API writes them.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// As in `Thu Jul 23 12:36:06 2026`, in UTC.
    pub(crate) fn spoken(self) -> String {
        let time = jiff::Timestamp::from_second(self.seconds()).unwrap_or_default();
        time.strftime("%a %b %e %H:%M:%S %Y").to_string()
    }

    /// How long ago `earlier` was; nothing if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or(0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(micros(duration)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(micros(duration)))
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Where virtual time stands.
#[derive(Debug)]
pub(crate) struct Clock {
    kind: ClockKind,
    origin: Time,
    begun: Instant,
    stepped: AtomicI64,
}

impl Clock {
    pub(crate) fn new(kind: ClockKind) -> Self {
        let origin = Time(jiff::Timestamp::now().as_microsecond());
        Self { kind, origin, begun: Instant::now(), stepped: AtomicI64::new(0) }
    }

    pub(crate) fn now(&self) -> Time {
        match self.kind {
            ClockKind::Real | ClockKind::Instant => self.origin + self.begun.elapsed(),
            ClockKind::Scaled { factor } => self.origin + self.begun.elapsed().mul_f64(factor.max(f64::MIN_POSITIVE)),
            ClockKind::Stepped => Time(self.origin.0 + self.stepped.load(Ordering::SeqCst)),
        }
    }

    /// How long a real sleeper sleeps until `moment`. `None`: only a step of the clock brings it.
    pub(crate) fn sleep_until(&self, moment: Time) -> Option<Duration> {
        let left = moment.since(self.now());
        match self.kind {
            ClockKind::Real => Some(left),
            ClockKind::Instant => Some(Duration::ZERO),
            ClockKind::Scaled { factor } => Some(left.div_f64(factor.max(f64::MIN_POSITIVE))),
            ClockKind::Stepped if left.is_zero() => Some(Duration::ZERO),
            ClockKind::Stepped => None,
        }
    }

    /// Makes a stepped clock pass; the others pass by themselves and ignore it.
    pub(crate) fn advance(&self, duration: Duration) {
        self.stepped.fetch_add(micros(duration), Ordering::SeqCst);
    }

    /// Whether nothing is ever waited for.
    pub(crate) fn is_instant(&self) -> bool {
        self.kind == ClockKind::Instant
    }

    pub(crate) fn is_stepped(&self) -> bool {
        self.kind == ClockKind::Stepped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stepped_clock_passes_only_by_steps() {
        let clock = Clock::new(ClockKind::Stepped);
        let before = clock.now();
        assert_eq!(clock.sleep_until(before + Duration::from_secs(1)), None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), before + Duration::from_secs(1));
        assert_eq!(clock.sleep_until(before + Duration::from_secs(1)), Some(Duration::ZERO));
    }

    #[test]
    fn a_scaled_clock_sleeps_less() {
        let clock = Clock::new(ClockKind::Scaled { factor: 100.0 });
        let sleep = clock.sleep_until(clock.now() + Duration::from_secs(100)).unwrap();
        assert!(sleep <= Duration::from_secs(1));
    }
}
