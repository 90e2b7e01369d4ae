//! Resize: room first, then the guest, then the row. The request has reserved the larger of both sizes in the quota;
//! the host has to agree.

use super::power::subject;
use super::{gpus, observe, power};
use crate::site::{self, Site};
use async_trait::async_trait;
use model::catalogue::Gpus;
use model::ids::{ServerId, SizeSlug};
use model::refusal::Code;
use provider::{GuestPower, Resources};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::servers::Growth;
use workflow::{Definition, Fault, Kind, Outcome, Recorded, Run, Shape, Step, Unwinding, steps};

/// Gives a stopped server another size.
pub struct Resize;

/// What it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResizeInput {
    /// The server.
    pub server: ServerId,
    /// The new size.
    pub size: SizeSlug,
    /// vCPUs.
    pub vcpus: u32,
    /// MiB.
    pub memory_mib: u32,
    /// GB; the present one where the disk is kept.
    pub disk_gb: u32,
    /// Millionths an hour.
    pub price_hourly: i64,
    /// Its GPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<Gpus>,
}

impl Recorded for ResizeInput {
    fn sample() -> Self {
        Self {
            server: ServerId(42),
            size: SizeSlug::from("s-2vcpu-4gb"),
            vcpus: 2,
            memory_mib: 4096,
            disk_gb: 80,
            price_hourly: 35_710,
            gpus: Some(Gpus { mapping: "a100".to_owned(), count: 1, model: None, vram_gib: 80 }),
        }
    }
}

impl Kind for Resize {
    const KIND: &'static str = "server.resize";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ResizeInput;
}

/// The workflow.
pub fn definition() -> Definition<Site> {
    Definition::of::<Resize>(steps![MakeRoom, ResizeGuest, RecordSize])
}

fn whole(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn growth(resources: Resources, gpus: Option<&Gpus>) -> Growth {
    let Resources { vcpus, memory_mib, disk_gb } = resources;
    Growth { vcpus: whole(vcpus), memory_mib: whole(memory_mib), disk_gb: whole(disk_gb), gpus: gpus.cloned() }
}

/// What was asked for.
fn wanted(input: &ResizeInput) -> Resources {
    Resources { vcpus: input.vcpus, memory_mib: input.memory_mib, disk_gb: input.disk_gb }
}

/// Checks that the host has room for what is reserved now.
pub struct MakeRoom;

#[async_trait]
impl Step<Site> for MakeRoom {
    type Memo = ();
    const NAME: &'static str = "make_room";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let Some((host, _)) = work.host else {
            return Err(Fault::bug(format!("BUG: server {} is resized and has no host", work.id)));
        };
        if store::servers::confirm(run.tx().await?, work.id, host).await? {
            return Ok(Outcome::done(()));
        }
        let lacks = if run.input::<Resize>()?.gpus.is_some() { "not the room or the free GPUs" } else { "no room" };
        let advice = "Try a smaller one, or make a snapshot and order a new server from it.";
        let message = format!("The server's host has {lacks} for this size. {advice}");
        Ok(Outcome::refuse(Code::NoCapacity.as_str(), message))
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let has = growth(site::resources(&work), work.gpus.as_ref());
        store::servers::reserve_growth(run.tx().await?, work.id, &has).await?;
        Ok(Outcome::done(()))
    }
}

/// Changes the guest.
pub struct ResizeGuest;

#[async_trait]
impl Step<Site> for ResizeGuest {
    type Memo = ();
    const NAME: &'static str = "resize_guest";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let input = run.input::<Resize>()?;
        let wanted = wanted(&input);
        let seen = match power::look(cx, &work).await? {
            Ok(seen) => seen,
            Err(answer) => return Ok(answer),
        };
        // What GPUs it has is not seen: where they change, they are given once more than they have to be.
        if seen.resources == wanted && input.gpus == work.gpus {
            return Ok(Outcome::done(()));
        }
        if seen.power == GuestPower::Running {
            return Ok(Outcome::refuse(
                Code::WrongState.as_str(),
                "The server was started while it waited to be resized. Power it off and ask again.",
            ));
        }
        let guest = cx.placed_guest(&work)?;
        let provider = cx.provider(&work.region)?;
        let sentence = "The provider would not change the server's size. Ask your operator to look at the log.";
        if input.gpus != work.gpus {
            let answer = provider.give_gpus(&guest, gpus::devices(input.gpus.as_ref()).as_ref()).await;
            if let Err(refusal) = site::settle(answer, Code::ProviderRefused, sentence)? {
                return Ok(refusal);
            }
        }
        let answer = provider.resize_guest(&guest, &wanted).await;
        Ok(match site::settle(answer, Code::ProviderRefused, sentence)? {
            Ok(begun) => site::follow(begun, ()),
            Err(refusal) => refusal,
        })
    }

    /// Back to what the row says. A disk that has grown stays so: it holds more than it has to, which harms nobody.
    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let seen = match power::look::<()>(cx, &work).await? {
            Ok(seen) if seen.power == GuestPower::Stopped => seen,
            _ => return Ok(Outcome::done(())),
        };
        let guest = cx.placed_guest(&work)?;
        if run.input::<Resize>()?.gpus != work.gpus {
            let before = gpus::devices(work.gpus.as_ref());
            cx.provider(&work.region)?.give_gpus(&guest, before.as_ref()).await.map_err(site::fault)?;
        }
        let before = Resources { disk_gb: seen.resources.disk_gb, ..site::resources(&work) };
        if seen.resources == before {
            return Ok(Outcome::done(()));
        }
        Ok(site::follow(cx.provider(&work.region)?.resize_guest(&guest, &before).await.map_err(site::fault)?, ()))
    }
}

/// Writes the new size down: row, reservation and usage change in one transaction.
pub struct RecordSize;

#[async_trait]
impl Step<Site> for RecordSize {
    type Memo = ();
    const NAME: &'static str = "record_size";

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<()>, Fault> {
        let work = subject(cx, run).await?;
        let input = run.input::<Resize>()?;
        let seen = power::look::<()>(cx, &work).await?.ok();
        let urn = super::urn(work.id);
        let tx = run.tx().await?;
        let has = growth(wanted(&input), input.gpus.as_ref());
        store::servers::set_resources(tx, work.id, &input.size, &has).await?;
        store::usage::close(tx, &urn, "server").await?;
        store::usage::open(tx, work.team, &urn, "server", input.size.as_str(), input.price_hourly).await?;
        if let Some(seen) = seen {
            observe::saw(tx, work.id, &seen).await?;
        }
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Site, _run: &mut Run<Site>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}
