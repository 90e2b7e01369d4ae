//! What has to be true of the database before anything runs: this build's schema, and the operator's catalogue.

use crate::settings::{Key, Problem, Settings};
use anyhow::{Context, Result};
use model::catalogue::Catalogue;
use store::Store;

/// Brings the database up to this build and applies the catalogue.
pub(crate) async fn database(settings: &Settings, store: &Store) -> Result<()> {
    // Read first: a mistake in it should not be found with half of the work done.
    apply(store, &catalogue(settings)?).await
}

/// The same with a catalogue that was read already.
pub(crate) async fn apply(store: &Store, catalogue: &Catalogue) -> Result<()> {
    store.migrate().await?;
    let applied = store::catalogue::apply(store, catalogue).await?;
    for pool in applied.kept_pools {
        tracing::warn!(
            pool,
            "its range stays as it was, because servers have addresses of it; add another pool instead"
        );
    }
    Ok(())
}

/// The operator's catalogue or the built-in one, with the local image files in their places.
pub(crate) fn catalogue(settings: &Settings) -> Result<Catalogue> {
    let catalogue = match &settings.catalogue {
        None => Catalogue::default_catalogue()?,
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
            Catalogue::parse(&text).map_err(|error| {
                Problem::new(
                    format!("{} ({}): {error}", Key::Catalogue.name(), path.display()),
                    "crates/model/catalogue/default.toml is a complete example",
                )
            })?
        }
    };
    Ok(catalogue.with_image_files(&settings.image_files)?)
}
