//! When a request is sent again.

use super::call::Repetition;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::time::Duration;

/// How often a request is sent at most.
const MOST: u32 = 5;

/// How often a connection is tried at most: who mistyped a URL wants to know soon.
const MOST_CONNECTIONS: u32 = 3;

/// The first pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);

/// The longest pause while it is not known whether something was done.
const SLOWEST: Duration = Duration::from_secs(5);

/// The longest pause that is made without asking the person.
const LONGEST: Duration = Duration::from_secs(60);

/// What came back, where another try may help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// The request never left: there was no connection.
    NoConnection,
    /// The request left, and no whole answer came back.
    NothingBack,
    /// It was answered that nothing was done, and when to come back if that was said.
    NotNow(Option<Duration>),
    /// Something broke over there, perhaps after it was done.
    Broke(Option<Duration>),
}

impl Heard {
    /// What a status means for another try.
    pub(super) fn status(status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let later =
            headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| text.trim().parse().ok());
        let later = later.map(Duration::from_secs);
        match status {
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => Some(Self::NotNow(later)),
            StatusCode::NOT_IMPLEMENTED => None,
            _ if status.is_server_error() => Some(Self::Broke(later)),
            _ => None,
        }
    }
}

/// Counts the attempts at one request.
#[derive(Debug)]
pub(super) struct Patience {
    repetition: Repetition,
    attempts: u32,
    doubt: bool,
}

impl Patience {
    /// Before the first attempt.
    pub(super) fn new(repetition: Repetition) -> Self {
        Self { repetition, attempts: 1, doubt: false }
    }

    /// Which attempt is under way, from one.
    pub(super) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Whether an attempt may have been carried out without our having heard of it.
    pub(super) fn doubts(&self) -> bool {
        self.doubt
    }

    /// How long to wait before another attempt, `elapsed` after the first; `None` when there is to be none.
    pub(super) fn pause(&mut self, heard: Heard, elapsed: Duration) -> Option<Duration> {
        self.doubt |= matches!(heard, Heard::NothingBack | Heard::Broke(_));
        if let (Repetition::Keyed(span), true) = (self.repetition, self.doubt) {
            return self.pause_within(span.saturating_sub(elapsed), heard);
        }
        let (most, told) = match heard {
            Heard::NoConnection => (MOST_CONNECTIONS, None),
            Heard::NotNow(told) => (MOST, told),
            Heard::NothingBack | Heard::Broke(_) if self.repetition == Repetition::Unsafe => return None,
            Heard::NothingBack => (MOST, None),
            Heard::Broke(told) => (MOST, told),
        };
        if self.attempts >= most || told.is_some_and(|told| told > LONGEST) {
            return None;
        }
        Some(told.unwrap_or(self.backoff()))
    }

    /// Once it is not known whether something was done, only an answer ends that: every attempt has the same key, so
    /// that nothing is done twice.
    fn pause_within(&mut self, left: Duration, heard: Heard) -> Option<Duration> {
        let told = match heard {
            Heard::NotNow(told) | Heard::Broke(told) => told,
            Heard::NoConnection | Heard::NothingBack => None,
        };
        let pause = told.unwrap_or(self.backoff()).min(SLOWEST);
        (pause <= left && !left.is_zero()).then_some(pause)
    }

    /// Twice the last pause, more or less.
    fn backoff(&mut self) -> Duration {
        let backoff = (FIRST * 2_u32.saturating_pow(self.attempts - 1)).mul_f64(rand::random_range(0.8..1.2));
        self.attempts += 1;
        backoff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_is_not_asked_for_twice() {
        assert_eq!(Patience::new(Repetition::Unsafe).pause(Heard::NothingBack, Duration::ZERO), None);
        assert_eq!(Patience::new(Repetition::Unsafe).pause(Heard::Broke(None), Duration::ZERO), None);
        assert!(Patience::new(Repetition::Unsafe).pause(Heard::NoConnection, Duration::ZERO).is_some());
        assert!(Patience::new(Repetition::Unsafe).pause(Heard::NotNow(None), Duration::ZERO).is_some());
        assert!(Patience::new(Repetition::Safe).pause(Heard::NothingBack, Duration::ZERO).is_some());
    }

    #[test]
    fn the_server_says_when() {
        let told = |seconds| Heard::NotNow(Some(Duration::from_secs(seconds)));
        assert_eq!(Patience::new(Repetition::Safe).pause(told(7), Duration::ZERO), Some(Duration::from_secs(7)));
        assert_eq!(
            Patience::new(Repetition::Safe).pause(told(3600), Duration::ZERO),
            None,
            "an hour is the person's decision"
        );
    }

    #[test]
    fn patience_ends() {
        let mut patience = Patience::new(Repetition::Safe);
        let pauses: Vec<_> = std::iter::from_fn(|| patience.pause(Heard::NothingBack, Duration::ZERO)).collect();
        assert_eq!(pauses.len(), 4);
        assert!(pauses.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn with_a_key_a_lost_answer_is_asked_for_until_the_time_is_over() {
        let span = Duration::from_secs(30);
        let mut patience = Patience::new(Repetition::Keyed(span));
        let (mut elapsed, mut attempts) = (Duration::ZERO, 1);
        assert!(!patience.doubts());
        while let Some(pause) = patience.pause(Heard::NothingBack, elapsed) {
            elapsed += pause;
            attempts += 1;
        }
        assert!(patience.doubts());
        assert!(elapsed > Duration::from_secs(20) && elapsed <= span && attempts > 7, "{elapsed:?}, {attempts}");
        // Nothing was sent, so nothing is in doubt, and a wrong URL is told soon.
        let mut patience = Patience::new(Repetition::Keyed(span));
        let tries = std::iter::from_fn(|| patience.pause(Heard::NoConnection, Duration::ZERO)).count();
        assert_eq!((tries, patience.doubts()), (2, false));
        // But once something is in doubt, a server that is away for a moment is waited for.
        let mut patience = Patience::new(Repetition::Keyed(span));
        patience.pause(Heard::NothingBack, Duration::ZERO);
        let tries = (0..10).filter(|_| patience.pause(Heard::NoConnection, Duration::ZERO).is_some()).count();
        assert_eq!(tries, 10);
    }

    #[test]
    fn what_is_worth_another_try() {
        let none = HeaderMap::new();
        for status in [200, 301, 400, 401, 404, 409, 422, 501] {
            assert_eq!(Heard::status(StatusCode::from_u16(status).unwrap(), &none), None, "{status}");
        }
        assert_eq!(Heard::status(StatusCode::BAD_GATEWAY, &none), Some(Heard::Broke(None)));
    }
}
