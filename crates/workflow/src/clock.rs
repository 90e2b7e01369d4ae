//! Whose time it is. In production the database's: workers on machines with different clocks must agree on when a
//! lease ends. In tests a hand-turned one, so that an hour of backoff takes no time and repeats exactly.

use jiff::{SignedDuration, Timestamp};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The engine's clock. Cheap to clone; clones of a manual clock show the same time.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// PostgreSQL's.
    #[default]
    Database,
    /// Stands still until it is moved.
    Manual(ManualClock),
}

impl Clock {
    /// What statements are told: `None` lets the database look at its own clock.
    pub fn statement_time(&self) -> Option<Timestamp> {
        match self {
            Self::Database => None,
            Self::Manual(clock) => Some(clock.now()),
        }
    }

    /// The time, for steps: this machine's where the database's is in charge.
    pub fn now(&self) -> Timestamp {
        match self {
            Self::Database => Timestamp::now(),
            Self::Manual(clock) => clock.now(),
        }
    }

    /// This moment, to tell later how long ago it was.
    pub(crate) fn moment(&self) -> Moment {
        Moment { shown: self.now(), steady: Instant::now() }
    }

    /// How long ago that was, at least by one of this machine's clocks: one stands still while the machine sleeps, the
    /// other may be set back.
    pub(crate) fn since(&self, moment: &Moment) -> Duration {
        let shown = self.now().duration_since(moment.shown);
        let shown = Duration::try_from(shown).unwrap_or_default();
        match self {
            Self::Database => shown.max(moment.steady.elapsed()),
            Self::Manual(_) => shown,
        }
    }
}

/// A moment by every clock that this machine has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    shown: Timestamp,
    steady: Instant,
}

/// A clock that is moved by hand, forwards only.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Mutex<Timestamp>>);

impl ManualClock {
    /// Starts at the real time, so that rows written with the database's clock are due.
    pub fn starting_now() -> Self {
        Self::starting_at(Timestamp::now())
    }

    /// Starts at `start`.
    pub fn starting_at(start: Timestamp) -> Self {
        // PostgreSQL keeps microseconds; a finer clock would be "before" its own rounded-up times.
        Self(Arc::new(Mutex::new(truncated(start))))
    }

    /// What it shows.
    pub fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves it forwards.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = truncated(now.saturating_add(by).unwrap_or(Timestamp::MAX));
    }

    /// Moves it to `time`, unless it is already past that.
    pub fn advance_to(&self, time: Timestamp) {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *now = (*now).max(time);
    }
}

fn truncated(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}
