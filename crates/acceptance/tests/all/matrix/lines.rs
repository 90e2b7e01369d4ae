//! One line a workflow: what is asked for before it can begin, and what begins it.

use super::cells::Refusing;
use super::lab::{BASE, Lab};
use cloud::Site;
use cloud::mend::Mend;
use cloud::server::glance::{Glance, GlanceInput, View};
use cloud::server::life::ServerInput;
use cloud::server::wishes::{Wish, ask};
use model::ids::{ServerId, WorkflowId};
use serde_json::json;
use std::sync::Arc;
use store::servers::ImageChoice;
use workflow::{ManualClock, NewWorkflow, Registry};

/// One workflow of the matrix.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// The kind's word.
    pub(super) kind: &'static str,
    /// What has to be there; each comes to its end before the next is asked for.
    pub(super) before: &'static [Ask],
    /// What begins it.
    pub(super) ask: Ask,
    /// The step that says no, where it is the way back that is tested.
    pub(super) refused: Option<&'static str>,
}

impl Line {
    /// Makes what has to be there.
    pub(super) async fn prepare(&self, lab: &Lab, clock: &ManualClock) {
        for ask in self.before {
            ask.of(lab).await;
            lab.settle(clock).await;
        }
    }

    /// The workflows, of which this one takes its way.
    pub(super) fn registry(&self) -> Registry<Site> {
        let registry = cloud::registry().unwrap();
        let Some(refused) = self.refused else { return registry };
        registry.decorated(self.kind, |_, step| if step.name() == refused { Arc::new(Refusing(step)) } else { step })
    }
}

/// What is asked of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    Create,
    Destroy,
    DestroyWithSnapshots,
    PowerOn,
    PowerOff,
    Shutdown,
    Reboot,
    PowerCycle,
    Resize,
    Rebuild,
    Restore,
    Rename,
    Snapshot,
    Backups,
    Migrate,
    Glance,
    Mend,
}

const fn line(kind: &'static str, before: &'static [Ask], ask: Ask) -> Line {
    Line { kind, before, ask, refused: None }
}

const fn refused(kind: &'static str, before: &'static [Ask], ask: Ask, step: &'static str) -> Line {
    Line { kind, before, ask, refused: Some(step) }
}

/// Every workflow that works on servers.
pub(super) const LINES: &[Line] = &[
    line("server", &[], Ask::Create),
    line("server", &[Ask::Create], Ask::Destroy),
    line("server", &[Ask::Create, Ask::Snapshot], Ask::DestroyWithSnapshots),
    line("server.migrate", &[Ask::Create], Ask::Migrate),
    line("server.migrate", &[Ask::Create, Ask::PowerOff], Ask::Migrate),
    refused("server.migrate", &[Ask::Create], Ask::Migrate, "record_host"),
    line("server.resize", &[Ask::Create, Ask::PowerOff], Ask::Resize),
    refused("server.resize", &[Ask::Create, Ask::PowerOff], Ask::Resize, "record_size"),
    line("server.snapshot", &[Ask::Create], Ask::Snapshot),
    line("server.rebuild", &[Ask::Create], Ask::Rebuild),
    refused("server.rebuild", &[Ask::Create], Ask::Rebuild, "rebuild_disk"),
    line("server.restore", &[Ask::Create, Ask::Snapshot], Ask::Restore),
    line("server.power_on", &[Ask::Create, Ask::PowerOff], Ask::PowerOn),
    line("server.power_off", &[Ask::Create], Ask::PowerOff),
    line("server.shutdown", &[Ask::Create], Ask::Shutdown),
    line("server.reboot", &[Ask::Create], Ask::Reboot),
    line("server.power_cycle", &[Ask::Create], Ask::PowerCycle),
    line("server.rename", &[Ask::Create], Ask::Rename),
    line("server.backups", &[Ask::Create], Ask::Backups),
    line("server.glance", &[Ask::Create], Ask::Glance),
    line("server.mend", &[Ask::Create, Ask::PowerOff], Ask::Mend),
];

impl Ask {
    /// Asks, as a tenant or an operator does; the workflow that it begins or turns round.
    pub(super) async fn of(self, lab: &Lab) -> WorkflowId {
        if self == Self::Create {
            let id = lab.order("web").await;
            return lab.life(id).await;
        }
        let server = lab.living().await[0];
        self.about(lab, server).await.unwrap()
    }

    /// Asks about one server.
    ///
    /// # Errors
    /// What the product refuses, because something else is going on with the server.
    pub(super) async fn about(self, lab: &Lab, server: ServerId) -> cloud::Result<WorkflowId> {
        let (store, caller) = (lab.store(), &lab.caller);
        let wish = match self {
            Self::Create => return Ok(lab.life(server).await),
            Self::Destroy => {
                cloud::server::destroy::destroy(store, caller, server).await?;
                return Ok(lab.life(server).await);
            }
            Self::DestroyWithSnapshots => {
                cloud::server::destroy::destroy_with(
                    store,
                    caller,
                    server,
                    None,
                    "droplets_destroy_withAssociatedResourcesDangerous",
                )
                .await?;
                return Ok(lab.life(server).await);
            }
            Self::Migrate => {
                let migrate = cloud::migration::Migrate { server, to: None };
                return Ok(cloud::migration::start(store, &lab.operator, &migrate).await?.id);
            }
            Self::Glance => return Ok(glance(lab, server).await),
            Self::Mend => return Ok(mend(lab, server).await),
            Self::PowerOn => Wish::PowerOn,
            Self::PowerOff => Wish::PowerOff,
            Self::Shutdown => Wish::Shutdown,
            Self::Reboot => Wish::Reboot,
            Self::PowerCycle => Wish::PowerCycle,
            Self::Resize => Wish::Resize { size: "medium".to_owned(), grow_disk: true },
            Self::Rebuild => Wish::Rebuild(ImageChoice::Slug(BASE.to_owned())),
            Self::Restore => Wish::Restore(lab.images().await[0]),
            Self::Rename => Wish::Rename("other".to_owned()),
            Self::Snapshot => Wish::Snapshot(Some("copy".to_owned())),
            Self::Backups => Wish::EnableBackups(json!({ "plan": "daily", "hour": 4 })),
        };
        let action = ask(store, caller, server, &wish).await?;
        Ok(WorkflowId(lab.one(&format!("SELECT workflow_id FROM actions WHERE id = {}", action.id)).await))
    }
}

/// The request for a view is refused where the region cannot show it, so its workflow is begun without one.
async fn glance(lab: &Lab, server: ServerId) -> WorkflowId {
    let input = GlanceInput { server, view: View::Screen };
    let life = lab.life(server).await;
    let new =
        NewWorkflow::of::<Glance>(cloud::server::life::subject(server), &input).team(lab.caller.team).parent(life);
    let id = new.id();
    let mut tx = lab.store().begin().await.unwrap();
    new.insert(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    id
}

/// No request begins it either: the observer does.
async fn mend(lab: &Lab, server: ServerId) -> WorkflowId {
    let life = lab.life(server).await;
    let new = NewWorkflow::of::<Mend>(cloud::server::life::subject(server), &ServerInput { server });
    let new = new.team(lab.caller.team).parent(life);
    let id = new.id();
    let mut tx = lab.store().begin().await.unwrap();
    new.insert(&mut tx).await.unwrap();
    tx.commit().await.unwrap();
    id
}

#[test]
fn every_workflow_of_servers_has_a_line() {
    let registry = cloud::registry().unwrap();
    let without: Vec<&str> = registry
        .kinds()
        .filter(|kind| *kind == "server" || kind.starts_with("server."))
        .filter(|kind| !LINES.iter().any(|line| line.kind == *kind))
        .collect();
    assert!(without.is_empty(), "no line in the matrix: {without:?}");
}
