//! Mending: a stopped guest that somebody changed at its provider gets the processors, memory and disk that its server
//! has. Begun by the observer where the region's rule says so.

use crate::server::life::ServerInput;
use crate::server::observe;
use crate::server::power::{self, subject};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::refusal::Code;
use provider::{GuestPower, Resources};
use std::time::Duration;
use workflow::{Definition, Fault, Kind, Outcome, Run, Shape, Step, Unwinding, steps};

/// Gives a stopped guest what its server has.
pub struct Mend;

impl Kind for Mend {
    const KIND: &'static str = "server.mend";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ServerInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Mend>(steps![MendGuest])
}

/// Changes the guest. One that was started meanwhile is left alone: the next look decides anew.
pub struct MendGuest;

#[async_trait]
impl Step<Site> for MendGuest {
    type Memo = ();
    const NAME: &'static str = "mend_guest";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let seen = match power::look(cx, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        // Disks never shrink.
        let disk_gb = work.disk_gb.max(seen.resources.disk_gb);
        let wanted = Resources { vcpus: work.vcpus, memory_mib: work.memory_mib, disk_gb };
        if seen.resources == wanted || seen.power == GuestPower::Running {
            observe::saw(run.tx().await?, work.id, &seen).await?;
            return Ok(Outcome::done(()));
        }
        let guest = cx.placed_guest(&work)?;
        let answer = cx.provider(&work.region)?.resize_guest(&guest, &wanted).await;
        let sentence =
            "The provider would not give the server back what was changed. Ask your operator to look at the log.";
        Ok(match site::settle(answer, Code::ProviderRefused, sentence)? {
            Ok(begun) => site::follow(begun, ()),
            Err(refusal) => refusal,
        })
    }
}
