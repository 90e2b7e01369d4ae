//! Mail: what was written is sent, tried again, and given up when it is too old to be true. An operator sees what waits.

use crate::Result;
use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use model::retry;
use std::time::Duration;
use store::Store;
use store::alerts::{self, Severity};
use store::mails::{self, Fate, Mail, Taken};

/// Mails that are sent in one go.
const BATCH: i64 = 20;
/// A worker that has not said what became of a mail after this long has died.
const LEASE: Duration = Duration::from_secs(300);
const FIRST_PAUSE: Duration = Duration::from_secs(30);
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// A mail that could not be sent for this long is given up.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(3 * 24);
/// An operator is told when a mail has waited for this long.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The alert about mails that wait, and what it is about.
pub const UNSENT: (&str, &str) = ("mail_unsent", "mail");

/// Why a mail was not sent. The text is for the operator: no secret, nothing of the mail's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undelivered {
    /// It may go another time.
    Later(String),
    /// It never will: its address is none, or nobody is known there.
    Never(String),
}

/// What hands mails to the server for mail. Whoever starts the process knows which that is.
#[async_trait]
pub trait Post: Send + Sync {
    /// Sends one mail. Returns once the server has taken it.
    async fn send(&self, mail: &Mail) -> std::result::Result<(), Undelivered>;
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Mails that were sent.
    pub sent: u32,
    /// Mails to be tried again.
    pub postponed: u32,
    /// Mails that were given up.
    pub given_up: u32,
}

/// Sends what is due at `now`. Any number of workers may do so at once: no two of them take the same mail.
pub async fn deliver(store: &Store, post: &dyn Post, now: Timestamp) -> Result<Round> {
    let mut round = Round::default();
    for taken in mails::take(store, now, LEASE, BATCH).await? {
        let sent = post.send(&taken.mail).await;
        match &sent {
            Ok(()) => {
                round.sent += 1;
                mails::end(store, &taken, &Fate::Sent).await?;
            }
            Err(Undelivered::Later(error)) => {
                round.postponed += 1;
                mails::end(store, &taken, &Fate::Again { at: next(&taken, now), error }).await?;
            }
            Err(Undelivered::Never(error)) => {
                round.given_up += 1;
                tracing::warn!(mail = taken.id, %error, "a mail was given up");
                mails::end(store, &taken, &Fate::GivenUp { error }).await?;
            }
        }
    }
    Ok(round)
}

fn next(taken: &Taken, now: Timestamp) -> Timestamp {
    let failures = u32::try_from(taken.attempt).unwrap_or(1);
    let pause = retry::pause(FIRST_PAUSE, LONGEST_PAUSE, failures, taken.id.unsigned_abs());
    now.checked_add(pause).unwrap_or(Timestamp::MAX)
}

/// Gives up what is too old, and tells operators what waits: as a figure always, as an alert after a while.
pub async fn watch(store: &Store, now: Timestamp) -> Result<()> {
    mails::give_up(store, now.checked_sub(GOOD_FOR).unwrap_or(Timestamp::MIN)).await?;
    let waiting = mails::waiting(store).await?;
    metrics::gauge!("cairn_mails_waiting").set(f64::from(u32::try_from(waiting.count).unwrap_or(u32::MAX)));
    let late = waiting.oldest.is_some_and(|oldest| now.duration_since(oldest) > PATIENCE);
    let (kind, subject) = UNSENT;
    let mut tx = store.begin().await?;
    if late {
        let why = match &waiting.last_error {
            Some(error) => format!("The last attempt failed: {error}"),
            None => "No worker has been told of a server for mail: set smtp.url and smtp.from.".to_owned(),
        };
        let message = format!("Mails wait to be sent, {} of them. {why}", waiting.count);
        alerts::raise_as(&mut tx, Severity::Info, kind, subject, &message).await?;
    } else {
        alerts::resolve(&mut tx, kind, subject).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}
