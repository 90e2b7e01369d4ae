//! Rebuild and restore: the disk is made anew from an image. A rebuild is a new machine to cloud-init (keys, name and
//! user data are applied again); a restore puts an earlier state of the same machine back.

use super::power::{self, subject};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::ids::{ImageId, ServerId};
use model::refusal::Code;
use provider::{FaultKind, GuestPower};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::servers::Work;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Makes the disk anew, for a new machine.
pub struct Rebuild;

/// Puts a snapshot or backup of the same server back.
pub struct Restore;

/// From what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RebuildInput {
    /// The server.
    pub server: ServerId,
    /// The image.
    pub image: ImageId,
}

impl Recorded for RebuildInput {
    fn sample() -> Self {
        Self { server: ServerId(42), image: ImageId(7) }
    }
}

impl Kind for Rebuild {
    const KIND: &'static str = "server.rebuild";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    type Input = RebuildInput;
}

impl Kind for Restore {
    const KIND: &'static str = "server.restore";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    type Input = RebuildInput;
}

/// The workflows of this file. What is refused when the guest is off already is unwound: the guest is started again if it
/// ran. The image is fetched, and brought to the guest's host, before the guest is stopped: a download
/// that fails costs nothing, and what cannot be used there is refused while the guest runs.
pub fn definitions() -> Vec<Definition<Site>> {
    vec![
        Definition::of::<Rebuild>(steps![FetchNewImage, NotePower, power::SwitchOff, RebuildDisk, power::SwitchOn]),
        Definition::of::<Restore>(steps![FetchNewImage, NotePower, power::SwitchOff, RebuildDisk, power::SwitchOn]),
    ]
}

fn input(run: &Run<Site>) -> Result<RebuildInput, Fault> {
    if run.kind() == Restore::KIND { run.input::<Restore>() } else { run.input::<Rebuild>() }
}

/// Brings the image's bytes to the region, and to the server's host.
pub struct FetchNewImage;

#[async_trait]
impl Step<Site> for FetchNewImage {
    type Memo = ();
    const NAME: &'static str = "fetch_new_image";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let image = input(run)?.image;
        let source = {
            let mut connection = cx.store.connection().await?;
            store::images::source(&mut connection, image).await?
        };
        let Some(source) = source else {
            return Ok(Outcome::refuse(
                Code::ImageUnavailable.as_str(),
                "The image was deleted in the meantime. Choose another one.",
            ));
        };
        match crate::image::fetch::ensure(cx, run, &work.region, image, &source).await? {
            Outcome::Done(()) => bring_near(cx, run, &work, image).await,
            other => Ok(other),
        }
    }

    /// The image stays where it was brought: it is as good for the next server.
    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}

/// How long after a failed try at bringing an image to the server's host the next one begins.
const AGAIN: Duration = Duration::from_secs(10);

/// The sentence for an image that is in the region and of no use where the server is.
const OUT_OF_REACH: &str = "The server's host cannot use this image: as a rule, because the image's only copy is on another \
     host's own storage. The server was left as it was. Ask your operator to move it to the image's host, or make a new \
     server from the image.";

/// Has the provider bring to the server's host what the new disk is copied from.
async fn bring_near(cx: &Site, run: &Run<Site>, work: &Work, image: ImageId) -> Result<Outcome<()>, Fault> {
    if let Some(failure) = site::failed(run.followed()) {
        tracing::warn!(server = %work.id, %image, detail = %failure.detail, "bringing an image to a server's host failed");
        if failure.kind == FaultKind::Refused {
            return Ok(Outcome::refuse(Code::ImageUnavailable.as_str(), OUT_OF_REACH));
        }
        return Ok(Outcome::wait_for("another try at bringing the image to the server's host", AGAIN));
    }
    let guest = cx.placed_guest(work)?;
    let answer = cx.provider(&work.region)?.prepare_rebuild(&guest, &cx.image(image)).await;
    if answer.as_ref().is_err_and(|no| no.kind == FaultKind::Refused)
        && let Err(missing) = power::look(cx, work).await?
    {
        return Ok(missing);
    }
    Ok(match site::settle(answer, Code::ImageUnavailable, OUT_OF_REACH)? {
        Ok(begun) => site::follow(begun, ()),
        Err(refusal) => refusal,
    })
}

/// Notes whether the guest runs, so that a disk that is not made does not leave it off.
pub struct NotePower;

/// How the guest was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// It ran.
    pub running: bool,
}

impl Recorded for Before {
    fn sample() -> Self {
        Self { running: true }
    }
}

#[async_trait]
impl Step<Site> for NotePower {
    type Memo = Before;
    const NAME: &'static str = "note_power";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Before>, Fault> {
        let work = subject(cx, run).await?;
        Ok(match power::look(cx, &work).await? {
            Ok(seen) => Outcome::done(Before { running: seen.power == GuestPower::Running }),
            Err(answer) => answer,
        })
    }

    /// Starts what ran. What cannot be started any more stays off: its action says already that something went wrong.
    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, memo: Option<Before>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        if !memo.is_some_and(|before| before.running) || work.leaving {
            return Ok(Outcome::done(()));
        }
        Ok(match power::ensure_running(cx, run, &work).await? {
            Outcome::Refuse(no) => {
                tracing::warn!(server = %work.id, detail = %no.detail, "a server that was not rebuilt cannot be started again");
                Outcome::done(())
            }
            other => other,
        })
    }
}

/// Replaces the disk. The workflow's id names this rebuild, so that a repeat finds it done.
pub struct RebuildDisk;

#[async_trait]
impl Step<Site> for RebuildDisk {
    type Memo = ();
    const NAME: &'static str = "rebuild_disk";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let image = input(run)?.image;
        let token = run.id().to_string();
        let seen = match power::look(cx, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        if seen.rebuilt.as_deref() == Some(token.as_str()) {
            if run.kind() == Rebuild::KIND {
                store::servers::set_image(run.tx().await?, work.id, image, &token).await?;
            }
            return Ok(Outcome::done(()));
        }
        let incarnation = if run.kind() == Restore::KIND { work.incarnation.as_str() } else { token.as_str() };
        let addresses = {
            let mut connection = cx.store.connection().await?;
            store::addresses::of(&mut connection, &[work.id]).await?
        };
        let spec = site::guest_spec(cx, &work, &addresses, image, incarnation)?;
        let guest = cx.placed_guest(&work)?;
        let answer = cx.provider(&work.region)?.rebuild_guest(&guest, &spec, &token).await;
        let sentence = "The provider would not make the disk from this image. The server is started again if it ran. Ask your \
                        operator to look at the log.";
        match site::settle(answer, Code::ProviderRefused, sentence)? {
            Err(refusal) => Ok(refusal),
            Ok(provider::Begun::Task(task)) => Ok(Outcome::follow(task.0)),
            // Done: looked at once more, so that what is written follows what is seen.
            Ok(provider::Begun::Done) => Ok(Outcome::wait_for("the new disk", Duration::ZERO)),
        }
    }

    /// The disk stays as it is: what was on the old one is gone, or nothing was done to it.
    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}
