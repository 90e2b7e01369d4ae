//! Signals. The first SIGTERM or SIGINT asks everything to finish; the second one does not ask.

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first signal; the second ends the process on the spot.
pub(crate) fn on_signals() -> Result<CancellationToken> {
    let stopping = CancellationToken::new();
    let asked = stopping.clone();
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be handled")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be handled")?;
    tokio::spawn(async move {
        loop {
            let name = tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            };
            if asked.is_cancelled() {
                tracing::warn!("{name} again: stopping without finishing");
                std::process::exit(130);
            }
            tracing::info!("{name}: finishing what is under way; once more stops at once");
            asked.cancel();
        }
    });
    Ok(stopping)
}
