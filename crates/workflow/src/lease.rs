//! A lease as the worker that holds it knows it. The database keeps a worker that lost its lease from writing; a provider
//! knows nothing of leases, so what keeps such a worker from calling one is the worker itself: it works on only while the
//! lease is certainly its own, by its own clocks.

use crate::Clock;
use crate::clock::Moment;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// This part of a lease is not worked in: what was sent before it has that long to arrive.
const UNWORKED: u32 = 6;

/// How long the last part of a lease of this length is.
pub(crate) fn margin(lease: Duration) -> Duration {
    lease / UNWORKED
}

/// A lease that this process holds, or held.
#[derive(Debug)]
pub(crate) struct Lease {
    /// Its number.
    pub(crate) token: i64,
    clock: Clock,
    /// How long it is worked under from when it was asked for.
    worked: Duration,
    /// When the statement was sent that it goes back to; the database wrote it no earlier.
    asked: Mutex<Moment>,
    lost: CancellationToken,
}

impl Lease {
    /// A lease of this length by a statement that was sent at `asked`.
    pub(crate) fn new(token: i64, clock: Clock, length: Duration, asked: Moment) -> Self {
        let worked = length.saturating_sub(margin(length));
        Self { token, clock, worked, asked: Mutex::new(asked), lost: CancellationToken::new() }
    }

    fn asked(&self) -> MutexGuard<'_, Moment> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was extended by a statement that was sent at `asked`.
    pub(crate) fn extend(&self, asked: Moment) {
        *self.asked() = asked;
    }

    /// It is another worker's.
    pub(crate) fn lose(&self) {
        self.lost.cancel();
    }

    /// How much longer may be worked under it. `None`: no longer.
    fn left(&self) -> Option<Duration> {
        let age = self.clock.since(&self.asked());
        self.worked.checked_sub(age).filter(|left| !left.is_zero() && !self.lost.is_cancelled())
    }

    /// Works while the lease is ours. It is looked at whenever the work goes on after it waited for anything, so no call
    /// begins under a lease that is over. `None`: it was over, and the work was dropped where it stood.
    pub(crate) async fn under<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let (mut work, mut over) = (pin!(work), pin!(self.over()));
        poll_fn(|context| {
            if over.as_mut().poll(context).is_ready() || self.left().is_none() {
                return Poll::Ready(None);
            }
            work.as_mut().poll(context).map(Some)
        })
        .await
    }

    /// Ends when it is lost, or has run out by a clock that moves by itself.
    async fn over(&self) {
        let runs_out = async {
            while let Some(left) = self.left() {
                match self.clock {
                    Clock::Database => tokio::time::sleep(left).await,
                    Clock::Manual(_) => std::future::pending().await,
                }
            }
        };
        tokio::select! {
            () = runs_out => {}
            () = self.lost.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ManualClock;
    use futures_util::FutureExt;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::sync::Notify;

    const LENGTH: Duration = Duration::from_secs(30);

    fn lease(manual: &ManualClock) -> Lease {
        let clock = Clock::Manual(manual.clone());
        let asked = clock.moment();
        Lease::new(7, clock, LENGTH, asked)
    }

    #[test]
    fn work_that_waited_past_the_lease_does_not_go_on() {
        let manual = ManualClock::starting_now();
        let (lease, gate, called) = (lease(&manual), Notify::new(), AtomicBool::new(false));
        let mut working = pin!(lease.under(async {
            gate.notified().await;
            called.store(true, Ordering::SeqCst);
        }));
        assert_eq!(working.as_mut().now_or_never(), None, "it waits");
        manual.advance(LENGTH - margin(LENGTH));
        gate.notify_one();
        assert_eq!(working.now_or_never(), Some(None));
        assert!(!called.load(Ordering::SeqCst), "a call was made under a lease that is over");
    }

    #[test]
    fn an_extended_lease_is_worked_under_as_long_again() {
        let manual = ManualClock::starting_now();
        let lease = lease(&manual);
        manual.advance(LENGTH / 2);
        lease.extend(lease.clock.moment());
        manual.advance(LENGTH / 2);
        assert_eq!(lease.under(async { 1 }).now_or_never(), Some(Some(1)));
        manual.advance(LENGTH / 2);
        assert_eq!(lease.under(async { 1 }).now_or_never(), Some(None));
    }

    #[tokio::test]
    async fn a_lost_lease_and_one_that_ran_out_end_work_that_never_wakes() {
        let lost = Arc::new(lease(&ManualClock::starting_now()));
        let working = tokio::spawn({
            let lost = Arc::clone(&lost);
            async move { lost.under(std::future::pending::<()>()).await }
        });
        lost.lose();
        assert_eq!(working.await.unwrap(), None);

        let clock = Clock::Database;
        let asked = clock.moment();
        let short = Lease::new(7, clock, Duration::from_millis(30), asked);
        assert_eq!(short.under(std::future::pending::<()>()).await, None);
    }
}
