//! Hearing that something is due.

use super::CHANNEL;
use crate::{Result, Store};
use sqlx::postgres::PgListener;

/// A connection that hears of new and woken workflows. What is told while it is not connected is lost, so whoever
/// listens also polls.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens.
    pub async fn open(store: &Store) -> Result<Self> {
        let mut listener = PgListener::connect_with(store.pool()).await?;
        listener.listen(CHANNEL).await?;
        Ok(Self(listener))
    }

    /// Waits until something is due somewhere, or the connection was lost and made again (something may be due).
    pub async fn heard(&mut self) -> Result<()> {
        self.0.try_recv().await?;
        Ok(())
    }
}
