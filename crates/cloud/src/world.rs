//! The product behind the engine: every workflow there is, and what happens when one ends.

use crate::image::life::ImageLife;
use crate::region::{probe, sweep};
use crate::server::glance::Glance;
use crate::server::life::Life;
use crate::server::migrate::Migrate;
use crate::server::snapshot::{Snapshot, SnapshotInput};
use crate::site::{self, Site};
use crate::template;
use async_trait::async_trait;
use model::states::ImageKind;
use store::Tx;
use store::servers::Work;
use workflow::{Definition, End, Ended, Fault, Kind, Misdefined, Registry, Run, TaskName, TaskState, UNMAKE, World};

/// Every workflow of this release.
pub fn registry() -> Result<Registry<Site>, Misdefined> {
    let mut all: Vec<Definition<Site>> = vec![crate::server::life::definition(), crate::image::life::definition()];
    all.extend(crate::image::wishes::definitions());
    all.extend(crate::server::power::definitions());
    all.extend(crate::server::rebuild::definitions());
    all.push(crate::server::resize::definition());
    all.push(crate::server::rename::definition());
    all.push(crate::server::snapshot::definition());
    all.push(crate::server::backups::definition());
    all.push(crate::server::glance::definition());
    all.push(crate::server::migrate::definition());
    all.push(crate::mend::definition());
    all.push(probe::definition());
    all.push(sweep::definition());
    all.push(template::definition());
    Registry::new(all)
}

#[async_trait]
impl World for Site {
    type Context = Self;

    async fn context(&self, _run: &Run<Self>) -> Result<Self, Fault> {
        Ok(self.clone())
    }

    async fn task(&self, run: &Run<Self>, task: &TaskName) -> Result<TaskState, Fault> {
        let region = match run.kind() {
            ImageLife::KIND => run.input::<ImageLife>()?.region,
            template::FetchTemplate::KIND => run.input::<template::FetchTemplate>()?.region,
            _ => match run.kept::<Work>() {
                Some(work) => work.region.clone(),
                None => crate::server::power::subject(self, run).await?.region,
            },
        };
        site::task_state(&*self.provider(&region)?, task).await
    }

    async fn ended(&self, tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        let refusal = ended.refusal.as_ref().map(|refusal| refusal.detail.as_str());
        match ended.kind.as_str() {
            Life::KIND => server_ended(tx, ended, refusal).await,
            ImageLife::KIND => image_ended(tx, ended, refusal).await,
            // Nobody asked for a change, so there is nothing to tell.
            Glance::KIND | probe::Probe::KIND | sweep::Sweep::KIND | template::FetchTemplate::KIND => Ok(()),
            Migrate::KIND => {
                migration_ended(tx, ended, refusal).await?;
                action_ended(tx, ended, refusal).await
            }
            _ => action_ended(tx, ended, refusal).await,
        }
    }

    async fn refused(&self, tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        if ended.kind == Life::KIND {
            store::servers::destroy(tx, ended.input::<Life>()?.server).await?;
        }
        Ok(())
    }
}

/// The sentence for an action that its own server's deletion overtook.
const OVERTAKEN: &str = "Overtaken by the deletion of the resource.";

async fn server_ended(tx: &mut Tx, ended: &Ended, refusal: Option<&str>) -> Result<(), Fault> {
    let server = ended.input::<Life>()?.server;
    let urn = crate::server::urn(server);
    if ended.end == End::Resting {
        store::actions::end(tx, ended.id, "make", None).await?;
        return tell(tx, ended, "droplet.active", &urn).await;
    }
    store::servers::erase(tx, server).await?;
    store::alerts::resolve_all(tx, &crate::server::life::subject(server)).await?;
    store::actions::end_life(tx, ended.id, refusal.unwrap_or(OVERTAKEN)).await?;
    tell(tx, ended, "droplet.destroyed", &urn).await
}

async fn image_ended(tx: &mut Tx, ended: &Ended, refusal: Option<&str>) -> Result<(), Fault> {
    let image = ended.input::<ImageLife>()?.image;
    let urn = format!("do:image:{image}");
    if ended.end == End::Resting {
        store::actions::end(tx, ended.id, "make", None).await?;
        return tell(tx, ended, "image.available", &urn).await;
    }
    store::images::erase(tx, image, refusal).await?;
    store::actions::end_life(tx, ended.id, refusal.unwrap_or(OVERTAKEN)).await?;
    tell(tx, ended, "image.deleted", &urn).await
}

async fn migration_ended(tx: &mut Tx, ended: &Ended, refusal: Option<&str>) -> Result<(), Fault> {
    let state = match ended.end {
        End::Refused => "failed",
        End::Cancelled => "cancelled",
        _ => "completed",
    };
    store::migrations::end(tx, ended.id, state, refusal).await?;
    Ok(())
}

/// A backup that failed is told to operators until the next one of that server succeeds. Nobody waits for a backup, so
/// nobody else would notice.
async fn backup_ended(tx: &mut Tx, ended: &Ended, error: Option<&str>) -> Result<(), Fault> {
    let SnapshotInput { server, image } = ended.input::<Snapshot>()?;
    if ended.end == End::Cancelled || store::images::kind(tx, image).await? != Some(ImageKind::Backup) {
        return Ok(());
    }
    let subject = crate::server::life::subject(server);
    match error {
        None => store::alerts::resolve(tx, "backup_failed", &subject).await?,
        Some(error) => {
            let message = format!("the backup of server {server} failed: {error}");
            store::alerts::raise(tx, "backup_failed", &subject, &message).await?;
        }
    }
    Ok(())
}

async fn action_ended(tx: &mut Tx, ended: &Ended, refusal: Option<&str>) -> Result<(), Fault> {
    let error = match ended.end {
        End::Refused => Some(refusal.unwrap_or("It could not be done.")),
        End::Cancelled => Some(OVERTAKEN),
        _ => None,
    };
    if ended.kind == Snapshot::KIND {
        backup_ended(tx, ended, error).await?;
    }
    if ended.kind == Snapshot::KIND && error.is_some() {
        // The copy that it was to make: nobody is going to ask for it any more.
        let image = ended.input::<Snapshot>()?.image;
        if let Some(life) = store::images::abandon(tx, image).await? {
            store::workflow::wish(&mut **tx, life, UNMAKE, None).await?;
        }
    }
    store::actions::end(tx, ended.id, "make", error).await?;
    let urn = ended.subject.replacen("server:", "do:droplet:", 1).replacen("image:", "do:image:", 1);
    let kind = format!(
        "{}.{}",
        ended.kind.replacen("server.", "droplet.", 1),
        if error.is_some() { "errored" } else { "completed" }
    );
    tell(tx, ended, &kind, &urn).await
}

async fn tell(tx: &mut Tx, ended: &Ended, kind: &str, urn: &str) -> Result<(), Fault> {
    let Some(team) = ended.team else { return Ok(()) };
    let body = serde_json::json!({ "refusal": ended.refusal });
    store::events::append(tx, team, kind, urn, &body).await?;
    Ok(())
}
