//! Reads the published lists of checksums that the catalogue's images name. Done apart from everything else, because
//! the lists are on other people's servers: an image can be used once its checksum is known, and not before.

use anyhow::{Context, Result};
use model::checksum::Checksum;
use std::time::Duration;
use store::Store;
use store::catalogue::Unresolved;
use tokio_util::sync::CancellationToken;

/// No published list is nearly as long.
const LONGEST_LIST: usize = 4 << 20;
const LIST_TIMEOUT: Duration = Duration::from_secs(30);
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Resolves what is unresolved, and looks again now and then: another process may apply another catalogue.
pub(crate) async fn keep_resolved(store: &Store, hand_back: &CancellationToken) {
    let mut pause = FIRST_PAUSE;
    let mut said = false;
    loop {
        pause = match resolve_all(store).await {
            Ok(()) => LONGEST_PAUSE,
            Err(error) => {
                // Said once: a machine without the Internet stays without it.
                if !said {
                    tracing::warn!("some images cannot be used yet: {error:#}; image_files can stand in for them");
                    said = true;
                }
                (pause * 2).min(LONGEST_PAUSE)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = hand_back.cancelled() => return,
        }
    }
}

/// All of them, also after one has failed; then the first failure.
async fn resolve_all(store: &Store) -> Result<()> {
    let unresolved = store::catalogue::unresolved(store).await?;
    if unresolved.is_empty() {
        return Ok(());
    }
    let client = reqwest::Client::builder().https_only(true).timeout(LIST_TIMEOUT).build()?;
    let mut outcome = Ok(());
    for image in &unresolved {
        if let Err(error) = resolve(store, &client, image).await {
            outcome = outcome.and(Err(error.context(format!("the checksum of image {}", image.slug))));
        }
    }
    outcome
}

async fn resolve(store: &Store, client: &reqwest::Client, image: &Unresolved) -> Result<()> {
    let list = read(client, &image.list).await.with_context(|| format!("{} cannot be read", image.list))?;
    let sum = Checksum::find(&list, &image.file)?;
    store::catalogue::resolve(store, image, &sum).await?;
    tracing::info!(image = image.slug, "can be used from now on");
    Ok(())
}

async fn read(client: &reqwest::Client, address: &str) -> Result<String> {
    let mut answer = client.get(address).send().await?.error_for_status()?;
    let mut list = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        anyhow::ensure!(list.len() + chunk.len() <= LONGEST_LIST, "it is longer than {LONGEST_LIST} bytes");
        list.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&list).into_owned())
}
