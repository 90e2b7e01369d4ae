//! The roles that nobody talks to: workers carry workflows forward, observers look at the regions.

use crate::checksums;
use crate::regions::{self, Opening, Then};
use crate::roles::Role;
use crate::secret_key;
use crate::settings::Settings;
use crate::smtp::SmtpPost;
use anyhow::{Context, Result};
use cloud::{Providers, Site};
use model::ids::RegionSlug;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A region is looked at this often. Steps look for themselves, so this is only for what changes behind our back.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(10);

/// The next servers are asked to leave a host that is being emptied this often.
const DRAINED_EVERY: Duration = Duration::from_secs(2);

/// Which images are at hand is looked at this often.
const TEMPLATES_LOOKED_AT_EVERY: Duration = Duration::from_secs(600);

/// A region with leftovers of ours is swept this often.
const SWEPT_EVERY: Duration = Duration::from_secs(600);

/// Mails that are due are looked for this often.
const MAILED_EVERY: Duration = Duration::from_secs(2);

/// What is due by the clock (backups, and what has had its day) is looked for this often.
const KEPT_HOUSE_EVERY: Duration = Duration::from_secs(60);

/// Starts what `roles` asks for, without waiting for providers. Each task ends after `hand_back` is cancelled.
pub(crate) fn start(
    settings: &Settings,
    store: &Store,
    roles: &[Role],
    hand_back: CancellationToken,
) -> JoinSet<Result<()>> {
    let mut tasks = JoinSet::new();
    let wanted: Vec<Role> = roles.iter().copied().filter(|role| *role != Role::Serve).collect();
    if wanted.is_empty() {
        return tasks;
    }
    if wanted.contains(&Role::Observe) {
        let (database, token) = (store.clone(), hand_back.clone());
        tasks.spawn(async move {
            checksums::keep_resolved(&database, &token).await;
            Ok(())
        });
        let (database, token, kept) = (store.clone(), hand_back.clone(), settings.retention);
        tasks.spawn(async move {
            housekeeping(&database, kept, &token).await;
            Ok(())
        });
        let (database, token) = (store.clone(), hand_back.clone());
        tasks.spawn(async move {
            drain(&database, &token).await;
            Ok(())
        });
    }
    if let (true, Some(smtp)) = (wanted.contains(&Role::Work), settings.smtp.clone()) {
        let (database, token) = (store.clone(), hand_back.clone());
        tasks.spawn(async move {
            send_mails(&database, &SmtpPost::new(smtp), &token).await;
            Ok(())
        });
    }
    let (settings, store) = (settings.clone(), store.clone());
    tasks.spawn(async move { run(&settings, store, &wanted, hand_back).await });
    tasks
}

async fn run(settings: &Settings, store: Store, roles: &[Role], hand_back: CancellationToken) -> Result<()> {
    let installation = store::tenancy::installation(&store).await?;
    let key = secret_key::load(settings)?;
    let opening = Opening { settings: settings.clone(), installation, key, store: store.clone() };
    let providers = Arc::new(Providers::opened_by(Arc::new(opening)));
    let site = Site { store: store.clone(), installation, providers: Arc::clone(&providers) };
    let mut tasks = JoinSet::new();
    let then = connected(site.clone(), roles.contains(&Role::Observe));
    tasks.spawn(regions::keep_connected(store.clone(), providers, then, hand_back.clone()));
    if roles.contains(&Role::Work) {
        let registry = cloud::registry().context("BUG: the workflows contradict each other")?;
        let mut options = workflow::Options::default();
        options.concurrency = settings.work_concurrency;
        options.lease = settings.work_lease;
        let engine = workflow::Engine::new(store, registry, Arc::new(site), options);
        tasks.spawn(async move { engine.run(hand_back).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("BUG: a role panicked")?;
    }
    Ok(())
}

/// What is done with a region that is connected.
fn connected(site: Site, observes: bool) -> Then {
    Arc::new(move |region, let_go| {
        let site = site.clone();
        Box::pin(async move {
            if observes {
                observe(site, region, let_go).await;
            }
        })
    })
}

/// Looks at one region again and again.
async fn observe(site: Site, region: RegionSlug, hand_back: CancellationToken) {
    let mut failing = false;
    let mut templates_seen: Option<tokio::time::Instant> = None;
    let mut swept: Option<tokio::time::Instant> = None;
    loop {
        match cloud::server::observe::region(&site, &region).await {
            Ok(scan) => {
                if failing || scan.changed > 0 || scan.missing > 0 || scan.moved > 0 || scan.healed > 0 {
                    tracing::info!(%region, guests = scan.guests, changed = scan.changed, missing = scan.missing, moved = scan.moved, healed = scan.healed, "looked");
                }
                failing = false;
                if scan.leftovers > 0 && swept.is_none_or(|at| at.elapsed() > SWEPT_EVERY) {
                    swept = Some(tokio::time::Instant::now());
                    if let Err(error) = cloud::region::sweep(&site.store, &region).await {
                        tracing::warn!(%region, %error, "the region cannot be swept");
                    }
                }
                if templates_seen.is_none_or(|at| at.elapsed() > TEMPLATES_LOOKED_AT_EVERY) {
                    templates_seen = Some(tokio::time::Instant::now());
                    if let Err(fault) = cloud::template::look(&site, &region).await {
                        tracing::warn!(%region, %fault, "the region's images cannot be looked at");
                    }
                }
            }
            // Said once, not every few seconds: a region that is away stays away for a while.
            Err(fault) if !failing => {
                tracing::warn!(%region, %fault, "the region cannot be looked at");
                failing = true;
            }
            Err(fault) => tracing::debug!(%region, %fault, "the region still cannot be looked at"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOKED_AT_EVERY) => {}
            () = hand_back.cancelled() => return,
        }
    }
}

/// Carries the emptying of hosts on. Any number of processes may do so.
async fn drain(store: &Store, hand_back: &CancellationToken) {
    loop {
        match cloud::host::run_drains(store).await {
            Ok(0) => {}
            Ok(begun) => tracing::info!(begun, "servers leave hosts that are being emptied"),
            Err(error) => tracing::warn!(%error, "hosts cannot be emptied"),
        }
        tokio::select! {
            () = tokio::time::sleep(DRAINED_EVERY) => {}
            () = hand_back.cancelled() => return,
        }
    }
}

/// Sends what waits to be sent. Any number of processes may do so.
async fn send_mails(store: &Store, post: &SmtpPost, hand_back: &CancellationToken) {
    loop {
        match cloud::mail::deliver(store, post, jiff::Timestamp::now()).await {
            Ok(round) if round == cloud::mail::Round::default() => {}
            Ok(round) => tracing::info!(round.sent, round.postponed, round.given_up, "mails"),
            Err(error) => tracing::warn!(%error, "mails cannot be sent"),
        }
        tokio::select! {
            () = tokio::time::sleep(MAILED_EVERY) => {}
            () = hand_back.cancelled() => return,
        }
    }
}

/// Begins backups that are due, deletes those whose time is over, forgets what ended long ago. Any number of processes
/// may do so: each unit of it is claimed in its own transaction.
async fn housekeeping(store: &Store, kept: Duration, hand_back: &CancellationToken) {
    loop {
        let now = jiff::Timestamp::now();
        match cloud::server::backups::run_due(store, now).await {
            Ok(0) => {}
            Ok(begun) => tracing::info!(begun, "backups begun"),
            Err(error) => tracing::warn!(%error, "backups cannot be begun"),
        }
        if let Err(error) = cloud::server::backups::prune(store, now).await {
            tracing::warn!(%error, "old backups cannot be deleted");
        }
        if let Err(error) = cloud::mail::watch(store, now).await {
            tracing::warn!(%error, "the mails that wait cannot be looked at");
        }
        match cloud::retention::forget(store, now, kept).await {
            Ok(gone) if gone == cloud::retention::Forgotten::default() => {}
            Ok(gone) => {
                tracing::debug!(gone.workflows, gone.events, gone.mails, gone.keys, "what ended long ago is forgotten")
            }
            Err(error) => tracing::warn!(%error, "what ended long ago cannot be forgotten"),
        }
        tokio::select! {
            () = tokio::time::sleep(KEPT_HOUSE_EVERY) => {}
            () = hand_back.cancelled() => return,
        }
    }
}
