//! Forgetting: what has ended is kept for as long as the operator says, and no longer. Resources, actions, usage, audits
//! and alerts are not touched: they are records, not traces.

use crate::Result;
use crate::server::observe;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use store::Store;

/// Rows that one statement deletes: no lock and no write-ahead burst is long.
const BATCH: i64 = 1000;
/// Statements of one kind in one go; the rest has its turn in the next.
const ROUNDS: u32 = 20;

/// How much was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Workflows that had ended.
    pub workflows: u64,
    /// Events.
    pub events: u64,
    /// Mails that were sent or given up.
    pub mails: u64,
    /// Idempotency keys, which are good for a day whatever is kept.
    pub keys: u64,
}

/// Forgets what ended or happened longer than `kept` before `now`. Any number of processes may do so at once.
pub async fn forget(store: &Store, now: Timestamp, kept: Duration) -> Result<Forgotten> {
    let kept = SignedDuration::try_from(kept).unwrap_or(SignedDuration::MAX);
    let before = now.checked_sub(kept).unwrap_or(Timestamp::MIN);
    let workflows = in_batches(|| store::retention::forget_workflows(store, before, BATCH)).await?;
    let events = in_batches(|| store::retention::forget_events(store, before, BATCH)).await?;
    let mails = in_batches(|| store::mails::forget(store, before, BATCH)).await?;
    let keys = store::idempotency::forget_old(store).await?;
    observe::forget_heals(store, now).await?;
    Ok(Forgotten { workflows, events, mails, keys })
}

/// Batch after batch until nothing is left, or others have their turn; how many rows.
async fn in_batches<B: Future<Output = store::Result<u64>>>(batch: impl Fn() -> B) -> Result<u64> {
    let mut forgotten = 0;
    for _ in 0..ROUNDS {
        let gone = batch().await?;
        forgotten += gone;
        if gone == 0 {
            break;
        }
    }
    Ok(forgotten)
}
