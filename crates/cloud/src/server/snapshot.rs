//! Snapshot: an image of its own, made from the server's disk. The image is bought like any other; its end wakes this.

use super::power::subject;
use crate::image::life::{self as image, ImageInput, ImageLife};
use crate::site::Site;
use async_trait::async_trait;
use model::ids::{ImageId, ServerId};
use model::refusal::Code;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use workflow::{
    Definition, Direction, Fault, Kind, NewWorkflow, Outcome, Recorded, Run, Shape, State, Step, Unwinding, steps,
};

/// Keeps a copy of a server's disk.
pub struct Snapshot;

/// Which, as what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInput {
    /// The server.
    pub server: ServerId,
    /// The image that the copy becomes; its row exists.
    pub image: ImageId,
}

impl Recorded for SnapshotInput {
    fn sample() -> Self {
        Self { server: ServerId(42), image: ImageId(7) }
    }
}

impl Kind for Snapshot {
    const KIND: &'static str = "server.snapshot";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(900);
    type Input = SnapshotInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Snapshot>(steps![MakeImage])
}

/// Starts the image's life and waits until it rests.
pub struct MakeImage;

#[async_trait]
impl Step<Site> for MakeImage {
    type Memo = ();
    const NAME: &'static str = "make_image";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let input = run.input::<Snapshot>()?;
        let about = image::subject(input.image);
        let Some(child) = run.child::<ImageLife>(&about).await? else {
            let wanted = ImageInput { image: input.image, region: work.region.clone(), server: Some(work.id) };
            let new = NewWorkflow::of::<ImageLife>(about, &wanted).team(work.team);
            let id = new.id();
            if !store::images::set_workflow(run.tx().await?, input.image, id).await? {
                return Ok(Outcome::refuse(Code::Cancelled.as_str(), "The snapshot was deleted before it was made."));
            }
            run.spawn(new).await?;
            return Ok(Outcome::wait("the copy of the disk"));
        };
        Ok(match (child.state, child.direction) {
            (State::Resting, _) => Outcome::done(()),
            (State::Undone, _) | (_, Direction::Unmake) => Outcome::refuse(
                Code::ProviderRefused.as_str(),
                "The copy of the disk could not be made. Try again, or ask your operator to look at the log.",
            ),
            _ => Outcome::wait("the copy of the disk"),
        })
    }
}
