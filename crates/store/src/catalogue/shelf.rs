//! Regions and sizes at hand: every answer about a server shows both, and they change when the operator changes them.

use super::{Region, Size, regions, sizes};
use crate::{Result, Store};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// How old what is at hand may be.
const FRESH: Duration = Duration::from_secs(2);

/// Regions and sizes by slug, as of a moment ago.
#[derive(Debug, Default)]
pub struct Shelf {
    /// Regions.
    pub regions: HashMap<String, Region>,
    /// Sizes.
    pub sizes: HashMap<String, Size>,
}

/// The place where a [`Store`] keeps its shelf.
#[derive(Debug, Default)]
pub(crate) struct Place(RwLock<Option<(Instant, Arc<Shelf>)>>);

/// Regions and sizes, at most two seconds old. A cache of the tables and nothing more: what a request is checked
/// against is read in its own transaction.
pub async fn shelf(store: &Store) -> Result<Arc<Shelf>> {
    let known = store.shelf.0.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some((at, shelf)) = known
        && at.elapsed() < FRESH
    {
        return Ok(shelf);
    }
    let (regions, sizes) = (regions(store).await?, sizes(store).await?);
    let shelf = Arc::new(Shelf {
        regions: regions.into_iter().map(|region| (region.slug.clone(), region)).collect(),
        sizes: sizes.into_iter().map(|size| (size.slug.clone(), size)).collect(),
    });
    *store.shelf.0.write().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&shelf)));
    Ok(shelf)
}
