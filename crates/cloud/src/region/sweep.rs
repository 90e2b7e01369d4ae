//! Sweeping: what of ours was taken out of use in a region and could not be deleted then is deleted when it can be. Begun
//! where a look at the region found leftovers, from time to time.

use crate::Result;
use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::RegionSlug;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::Store;
use store::workflow::Inserted;
use workflow::{Definition, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Deletes what is out of use.
pub(crate) struct Sweep;

/// Where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SweepInput {
    /// The region.
    pub(crate) region: RegionSlug,
}

impl Recorded for SweepInput {
    fn sample() -> Self {
        Self { region: RegionSlug::from("local") }
    }
}

impl Kind for Sweep {
    const KIND: &'static str = "region.sweep";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = SweepInput;
}

/// The workflow.
pub(crate) fn definition() -> Definition<Site> {
    Definition::of::<Sweep>(steps![DeleteUnused])
}

/// Has the provider begin the deletions; what they leave is found the next time.
pub(crate) struct DeleteUnused;

#[async_trait]
impl Step<Site> for DeleteUnused {
    type Memo = ();
    const NAME: &'static str = "delete_unused";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> std::result::Result<Outcome<()>, Fault> {
        let region = run.input::<Sweep>()?.region;
        // A region that was removed meanwhile is nobody's to sweep.
        let Some(provider) = cx.providers.get(&region) else { return Ok(Outcome::done(())) };
        let begun = provider.sweep().await.map_err(site::fault)?;
        if begun > 0 {
            tracing::info!(%region, begun, "what was out of use is being deleted");
        }
        Ok(Outcome::done(()))
    }
}

/// Asks for a region to be swept. `false`: it is being swept.
pub async fn sweep(store: &Store, region: &RegionSlug) -> Result<bool> {
    let mut tx = store.begin().await?;
    let new = NewWorkflow::of::<Sweep>(format!("sweep:{region}"), &SweepInput { region: region.clone() });
    let begun = new.insert(&mut tx).await? == Inserted::New;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(begun)
}
