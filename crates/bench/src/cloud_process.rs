//! `bench cloud`: the API and the engine in one process, as `cairnd dev` has them, over the instant provider.

use crate::ground::REGION;
use crate::instant::Instant;
use anyhow::Result;
use axum::serve::ListenerExt;
use cloud::Site;
use model::ids::RegionSlug;
use provider::Provider;
use std::io::Write;
use std::sync::Arc;
use store::Store;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The daemon's own defaults for one process.
pub(crate) const CONNECTIONS: u32 = 16;
const CONCURRENCY: usize = 16;
pub(crate) const LOG_FILTER: &str = "info,sqlx=warn";

/// Runs until it is killed. Says its port in one line on stdout when it answers.
pub(crate) async fn run(database: &str) -> Result<()> {
    let records = tracing_subscriber::fmt().with_env_filter(EnvFilter::new(LOG_FILTER));
    records.with_writer(std::io::stderr).with_ansi(false).init();
    let store = Store::connect(database, CONNECTIONS).await?;
    let installation = store::tenancy::installation(&store).await?;
    let instant: Arc<dyn Provider> = Arc::new(Instant::default());
    let region = RegionSlug(REGION.to_owned());
    let inventory = instant.inventory().await?;
    let recorded = cloud::region::record_hosts(&store, &region, &inventory, instant.capabilities()).await;
    recorded.map_err(|fault| anyhow::anyhow!("{fault:?}"))?;

    let site =
        Site { store: store.clone(), installation, providers: Arc::new([(region, instant)].into_iter().collect()) };
    let mut options = workflow::Options::default();
    options.concurrency = CONCURRENCY;
    let registry = cloud::registry().map_err(|error| anyhow::anyhow!("{error}"))?;
    let engine = workflow::Engine::new(store.clone(), registry, Arc::new(site), options);
    tokio::spawn(async move { engine.run(CancellationToken::new()).await });

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let options = api::Options {
        limits: api::Limits { per_hour: 0, per_minute: 0 },
        ..api::Options::new(format!("http://127.0.0.1:{port}"))
    };
    let router = api::router(store, options);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{port}")?;
    stdout.flush()?;
    let listener = listener.tap_io(|stream| {
        // Nothing to be done about a stream that was closed meanwhile.
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
