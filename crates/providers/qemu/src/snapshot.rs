//! Snapshots: a guest's disk as it is now becomes an image that stands by itself.

use crate::agent::Agent;
use crate::command_line::DISK;
use crate::durable::{self, blocking};
use crate::guests::{Owned, disk_bytes, own_file};
use crate::images::{LONG, lock_name, publish};
use crate::layout::GuestPlace;
use crate::locks;
use crate::process;
use crate::program::Program;
use crate::qmp::Qmp;
use crate::region::Region;
use crate::tasks::Progress;
use provider::{Begun, Fault, FaultKind, GuestRef, ImageRef, Result};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How often a running job is looked at.
const LOOK: Duration = Duration::from_millis(300);

impl Region {
    /// See [`provider::Provider::snapshot_guest`].
    pub(crate) async fn snapshot_guest(self: &Arc<Self>, guest: &GuestRef, image: &ImageRef) -> Result<Begun> {
        if self.find_image(image).await?.is_some() {
            return Ok(Begun::Done);
        }
        let region = Arc::clone(self);
        let (guest, image) = (guest.clone(), *image);
        let subject = format!("snapshot as image {}", image.image);
        let task = self.tasks.begin(subject, |progress| async move { region.take(guest, image, progress).await });
        Ok(Begun::Task(task))
    }

    async fn take(self: Arc<Self>, guest: GuestRef, image: ImageRef, progress: Progress) -> Result<()> {
        let held = locks::take(&self.layout.locks(), &lock_name(&image), LONG).await?;
        if self.find_image(&image).await?.is_some() {
            return Ok(());
        }
        let owned = self.present(&guest).await?;
        let target = owned.place.snapshot(&image);
        let taken = if process::find(&owned.place, &owned.record)?.is_some() {
            self.take_running(owned, &image, &progress).await
        } else {
            durable::remove(&target)?;
            self.copy_disk(&owned, &target).await
        };
        let place = self.layout.image(&image);
        blocking(move || match taken {
            Ok(()) => {
                // It belonged to the guest's user; from now on to nobody but us.
                own_file(&target, 0o444, crate::host::is_root().then_some(0))?;
                publish(&target, &place)
            }
            Err(fault) => {
                durable::remove(&target)?;
                Err(fault)
            }
        })
        .await?;
        held.retire();
        Ok(())
    }

    /// QEMU copies the disk as it is at the job's start while the guest goes on. The guest's lock is held only for the
    /// start: a guest can be stopped during its snapshot, which then fails and is taken again.
    async fn take_running(&self, owned: Owned, image: &ImageRef, progress: &Progress) -> Result<()> {
        let place = owned.place.clone();
        let job = format!("snapshot-{}", image.image);
        if !has_job(&place, &job).await? {
            self.begin_backup(&owned, image, &job).await?;
        }
        let record = owned.record.clone();
        drop(owned);
        let followed = follow(&place, &record, &job, progress).await;
        let closed = close(&place, &job).await;
        followed.and(closed)
    }

    async fn begin_backup(&self, owned: &Owned, image: &ImageRef, job: &str) -> Result<()> {
        let target = owned.place.snapshot(image);
        self.make_target(owned, target.clone()).await?;
        let mut monitor = Qmp::connect(&owned.place.run()).await?;
        let node = json!({
            "driver": "qcow2",
            "node-name": job,
            "file": {"driver": "file", "filename": target},
        });
        monitor.call("blockdev-add", node).await?;
        let backup = json!({
            "job-id": job, "device": DISK, "target": job, "sync": "full",
            "auto-dismiss": false, "on-target-error": "report",
        });
        // A guest without an agent, or one that does not answer in time, is copied as it stands.
        let Ok(mut agent) = Agent::connect(&owned.place.run()).await else {
            return monitor.call("blockdev-backup", backup).await.map(drop);
        };
        // Should we die before the thaw, the next one of us does it.
        durable::write_new(&owned.place.frozen(), b"", 0o600)?;
        if let Err(fault) = agent.freeze().await {
            tracing::info!(guest = owned.place.name, fault = %fault.detail, "the guest was not quiesced");
        }
        let begun = monitor.call("blockdev-backup", backup).await;
        drop(agent);
        thaw_forgotten(&owned.place).await?;
        begun.map(drop)
    }

    /// The empty file that the job writes into, made by us: QEMU may create no files there.
    async fn make_target(&self, owned: &Owned, target: PathBuf) -> Result<()> {
        durable::remove(&target)?;
        let tool = Program::new(&self.config.qemu_img_binary).args(["create", "-q", "-f", "qcow2"]);
        tool.args([&target]).args([disk_bytes(&owned.record.resources).to_string()]).run().await?;
        let user = owned.record.user;
        blocking(move || own_file(&target, 0o600, user)).await
    }
}

/// Thaws a guest that was frozen for a snapshot. A frozen guest hangs, so this is tried more than once; a guest that
/// was stopped meanwhile thawed with that.
pub(crate) async fn thaw_forgotten(place: &GuestPlace) -> Result<()> {
    if !place.frozen().exists() {
        return Ok(());
    }
    for _ in 0..5 {
        let thawed = match Agent::connect(&place.run()).await {
            Ok(mut agent) => agent.thaw().await,
            Err(fault) => Err(fault),
        };
        match thawed {
            Ok(()) => break,
            Err(fault) => tracing::warn!(guest = place.name, fault = %fault.detail, "the guest is not thawed yet"),
        }
    }
    durable::remove(&place.frozen())
}

async fn jobs(place: &GuestPlace) -> Result<Vec<Value>> {
    let answer = Qmp::connect(&place.run()).await?.call("query-jobs", json!({})).await?;
    Ok(answer.as_array().cloned().unwrap_or_default())
}

fn named<'a>(jobs: &'a [Value], job: &str) -> Option<&'a Value> {
    jobs.iter().find(|entry| entry.get("id").and_then(Value::as_str) == Some(job))
}

/// A job that an earlier process of ours began goes on in QEMU.
async fn has_job(place: &GuestPlace, job: &str) -> Result<bool> {
    Ok(named(&jobs(place).await?, job).is_some())
}

/// Watches the job until it has ended.
async fn follow(place: &GuestPlace, record: &crate::record::Record, job: &str, progress: &Progress) -> Result<()> {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        if process::find(place, record)?.is_none() {
            return Err(Fault::transient("the guest stopped while its snapshot was taken"));
        }
        let jobs = match jobs(place).await {
            // Somebody else is talking to this QEMU, or it is just ending: look again.
            Err(fault) if matches!(fault.kind, FaultKind::Transient | FaultKind::Unknown) => {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            jobs => jobs?,
        };
        let Some(entry) = named(&jobs, job) else {
            return Err(Fault::transient("QEMU no longer knows the snapshot's job"));
        };
        if entry.get("status").and_then(Value::as_str) == Some("concluded") {
            let error = entry.get("error").and_then(Value::as_str);
            return error.map_or(Ok(()), |error| Err(crate::fault::from_reply("blockdev-backup", "job", error)));
        }
        let number = |key: &str| entry.get(key).and_then(Value::as_u64).unwrap_or(0);
        progress.set(number("current-progress"), number("total-progress"));
        tokio::time::sleep(LOOK).await;
    }
    Err(Fault::transient("the snapshot took too long"))
}

/// Makes QEMU let go of the job and of its file.
async fn close(place: &GuestPlace, job: &str) -> Result<()> {
    let mut monitor = Qmp::connect(&place.run()).await?;
    monitor.call("job-dismiss", json!({"id": job})).await?;
    monitor.call("blockdev-del", json!({"node-name": job})).await.map(drop)
}
