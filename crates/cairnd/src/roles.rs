//! Starts the roles in the order in which they need each other, and stops them in the opposite one: first no new
//! requests, then the workflows are handed back.

use crate::background;
use crate::figures::Figures;
use crate::listen::Sockets;
use crate::settings::Settings;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;

/// Steps under way may take this long to come to a point where another worker can go on.
const HAND_BACK: Duration = Duration::from_secs(20);

/// What a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Answer the API.
    Serve,
    /// Run workflows.
    Work,
    /// Look at the regions.
    Observe,
}

/// Opens the sockets if this process is to serve; otherwise the one for its figures, where there is to be one.
pub(crate) fn sockets(settings: &Settings, roles: &[Role]) -> Result<Option<Sockets>> {
    if roles.contains(&Role::Serve) { Sockets::open(settings).map(Some) } else { Sockets::open_for_figures(settings) }
}

/// Runs the roles until `stopping`, or until one of them fails.
pub(crate) async fn run(
    settings: &Settings,
    store: Store,
    roles: &[Role],
    sockets: Option<Sockets>,
    stopping: CancellationToken,
) -> Result<()> {
    let figures = Figures::start()?;
    let hand_back = CancellationToken::new();
    let mut background = background::start(settings, &store, roles, hand_back.clone());
    let serving = serve(settings, store, roles, sockets, &figures, stopping.clone());
    tokio::pin!(serving);
    let mut outcome = tokio::select! {
        served = &mut serving => served,
        Some(ended) = background.join_next() => {
            let failed = ended.context("BUG: a role panicked").flatten();
            stopping.cancel();
            let served = serving.await;
            failed.and(served)
        }
    };
    stopping.cancel();
    hand_back.cancel();
    let drained = tokio::time::timeout(HAND_BACK, async {
        while let Some(ended) = background.join_next().await {
            let ended = ended.context("BUG: a role panicked").flatten();
            if outcome.is_ok() {
                outcome = ended;
            }
        }
    });
    if drained.await.is_err() {
        tracing::warn!("some workflows were not handed back in time; their leases run out by themselves");
    }
    outcome
}

/// Answers requests until `stopping`; without sockets, only waits for it.
async fn serve(
    settings: &Settings,
    store: Store,
    roles: &[Role],
    sockets: Option<Sockets>,
    figures: &Figures,
    stopping: CancellationToken,
) -> Result<()> {
    let Some(sockets) = sockets else {
        stopping.cancelled().await;
        return Ok(());
    };
    let figures = figures.clone();
    let options = api::Options {
        limits: api::Limits { per_hour: settings.requests_per_hour, per_minute: settings.requests_per_minute },
        render_metrics: Some(Arc::new(move || figures.render())),
        secrets: crate::secret_key::load(settings)?,
        setup_script: Some(Arc::new(crate::setup::script)),
        stop: stopping.clone(),
        ..api::Options::new(&settings.public_url)
    };
    let router =
        if roles.contains(&Role::Serve) { api::router(store, options) } else { api::health_router(store, options) };
    sockets.serve(router, stopping).await
}
