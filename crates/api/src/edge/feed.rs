//! One connection of the process that listens to the database, for everybody in the process who waits.

use super::problem::chain;
use super::tokens::Tokens;
use model::ids::TeamId;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::events::{Listener, Notice};
use tokio::sync::broadcast;
use tokio::task::AbortHandle;

/// How many notices may wait for one reader. A reader that falls further behind looks at the table anyhow.
const WAITING: usize = 256;

/// How long until a lost connection is made anew.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells that a team has new events. Never more than a hint: readers also look of themselves now and then.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    wakes: broadcast::Sender<TeamId>,
    /// Ends the listener with the last clone of the feed.
    _listener: Arc<AbortOnDrop>,
}

#[derive(Debug)]
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Feed {
    /// Starts to listen. Must be called within a runtime.
    pub(crate) fn start(store: Store, tokens: Arc<Tokens>) -> Self {
        let (wakes, _) = broadcast::channel(WAITING);
        let task = tokio::spawn(listen(store, tokens, wakes.clone()));
        Self { wakes, _listener: Arc::new(AbortOnDrop(task.abort_handle())) }
    }

    /// Follows the hints from now on.
    pub(crate) fn follow(&self) -> broadcast::Receiver<TeamId> {
        self.wakes.subscribe()
    }
}

async fn listen(store: Store, tokens: Arc<Tokens>, wakes: broadcast::Sender<TeamId>) {
    loop {
        match Listener::connect(&store).await {
            Ok(mut listener) => {
                tokens.heard();
                let ended = follow(&mut listener, &tokens, &wakes).await;
                tokens.deaf();
                let error = ended.err().map(|error| chain(&error));
                tracing::warn!(error, "lost the connection that listens");
            }
            Err(error) => tracing::warn!(error = chain(&error), "cannot listen to the database"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn follow(listener: &mut Listener, tokens: &Tokens, wakes: &broadcast::Sender<TeamId>) -> store::Result<()> {
    while let Some(notice) = listener.next().await? {
        match notice {
            // Nobody following is no error.
            Notice::Events(team) => drop(wakes.send(team)),
            Notice::Tokens => tokens.changed(),
        }
    }
    Ok(())
}
