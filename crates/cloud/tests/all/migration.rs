//! Moving servers between hosts, and emptying hosts.

use crate::stage::{Stage, code};
use async_trait::async_trait;
use cloud::Site;
use cloud::host::{Maintenance, drain, run_drains, set_maintenance};
use cloud::migration::{Migrate, start};
use model::ids::{HostId, RegionSlug, ServerId, WorkflowId};
use model::refusal::Code;
use provider::Fault;
use std::sync::Arc;
use store::Store;
use store::hosts::HostDetail;
use workflow::harness::{Bench, Scenario, check_workflow};
use workflow::{Kind, Registry};

async fn host(stage: &Stage, name: &str) -> HostDetail {
    store::hosts::find(stage.store(), &RegionSlug::from("local"), name).await.unwrap().unwrap()
}

async fn begin(stage: &Stage, server: ServerId, to: Option<HostId>) -> WorkflowId {
    start(stage.store(), &stage.operator, &Migrate { server, to }).await.unwrap().id
}

async fn state(stage: &Stage, id: WorkflowId) -> (String, Option<String>) {
    let migration = store::migrations::get(stage.store(), id).await.unwrap().unwrap();
    (migration.state, migration.detail)
}

#[tokio::test]
async fn a_server_goes_where_it_is_told() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let (from, number) = (stage.host(server).await, stage.number(server).await);
    let to = if from == "pve2" { "pve3" } else { "pve2" };
    stage.crowd.state().hold_moves = true;
    let id = begin(&stage, server, Some(host(&stage, to).await.id)).await;
    stage.go_on().await;
    let both = [("home".to_owned(), from.clone()), ("target".to_owned(), to.to_owned())];
    assert_eq!(stage.held(server).await, both, "room is held on both while it moves");
    let mut tx = stage.store().tenant(stage.team()).await.unwrap();
    assert_eq!(store::quota::of(&mut tx, stage.team()).await.unwrap().used.servers, 1, "and is counted once");
    assert_eq!(store::quota::lock(&mut tx).await.unwrap().used.servers, 1);
    drop(tx);
    stage.look().await;
    assert_eq!(stage.host(server).await, from, "the observer leaves a server alone that we are moving");

    stage.crowd.state().hold_moves = false;
    stage.settle().await;
    assert_eq!(stage.crowd.host_of(&number), to);
    assert_eq!(
        (stage.host(server).await, stage.held(server).await),
        (to.to_owned(), vec![("home".to_owned(), to.to_owned())])
    );
    assert_eq!(state(&stage, id).await.0, "completed");
    assert_eq!(stage.crowd.state().live_moves, 1, "a running one moves running");
    let action: (String, bool) =
        stage.all("SELECT kind, errored FROM actions ORDER BY id DESC LIMIT 1").await.remove(0);
    assert_eq!(action, ("migrate".to_owned(), false));
}

#[tokio::test]
async fn a_move_that_is_refused_leaves_everything_as_it_was() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let from = stage.host(server).await;
    stage.crowd.state().refuse_moves = Some(Fault::refused("local disk image"));
    let id = begin(&stage, server, None).await;
    stage.settle().await;
    assert_eq!(state(&stage, id).await, ("failed".to_owned(), Some("local disk image".to_owned())));
    assert_eq!(stage.held(server).await, [("home".to_owned(), from)]);
    let error: String = stage.one("SELECT error FROM actions WHERE kind = 'migrate'").await;
    assert!(!error.contains("local disk"), "the tenant is not told of hosts: {error}");
}

#[tokio::test]
async fn what_stands_against_it_is_told_before_anything_moves() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    stage.crowd.state().hindrances = vec!["A CD-ROM of the host is mounted.".to_owned()];
    let id = begin(&stage, server, None).await;
    stage.settle().await;
    assert_eq!(state(&stage, id).await.1.as_deref(), Some("A CD-ROM of the host is mounted."));
    stage.crowd.state().hindrances.clear();
    stage.crowd.state().not_to =
        ["pve1", "pve2", "pve3"].map(|name| (name.to_owned(), "lacks the storage".to_owned())).to_vec();
    let id = begin(&stage, server, None).await;
    stage.settle().await;
    let why = state(&stage, id).await.1.unwrap();
    assert!(why.contains("lacks the storage"), "{why}");
}

#[tokio::test]
async fn a_guest_that_went_although_the_move_failed_is_where_it_is() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    stage.crowd.state().fail_after_effect = true;
    let id = begin(&stage, server, None).await;
    stage.settle().await;
    let there = stage.crowd.host_of(&stage.number(server).await);
    assert_eq!(state(&stage, id).await.0, "completed");
    assert_eq!(stage.held(server).await, [("home".to_owned(), there)]);
}

#[tokio::test]
async fn a_server_destroyed_while_it_moves_leaves_nothing() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    stage.crowd.state().hold_moves = true;
    let id = begin(&stage, server, None).await;
    stage.go_on().await;
    stage.destroy(server).await;
    stage.go_on().await;
    assert_eq!(stage.held(server).await.len(), 2, "a move that is under way is waited for");
    stage.crowd.state().hold_moves = false;
    stage.settle().await;
    assert!(stage.crowd.state().guests.is_empty());
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM reservations").await, 0);
    assert_eq!(state(&stage, id).await.0, "cancelled");
}

#[tokio::test]
async fn one_thing_at_a_time_happens_to_a_server() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let here = host(&stage, &stage.host(server).await).await.id;
    let again = Migrate { server, to: Some(here) };
    assert_eq!(code(start(stage.store(), &stage.operator, &again).await), Code::UnprocessableEntity);
    begin(&stage, server, None).await;
    let again = Migrate { server, to: None };
    assert_eq!(code(start(stage.store(), &stage.operator, &again).await), Code::PendingEvent);
    stage.settle().await;
}

#[tokio::test]
async fn a_host_is_emptied_and_stays_closed() {
    let stage = Stage::set().await;
    for name in 0..12 {
        stage.order(&format!("web-{name}")).await;
    }
    stage.settle().await;
    let busiest = host(&stage, "pve1").await;
    assert!(busiest.servers > 0);
    let drained = drain(stage.store(), &stage.operator, busiest.id).await.unwrap();
    assert!(!drained.begun.is_empty());
    for _ in 0..10 {
        stage.settle().await;
        run_drains(stage.store()).await.unwrap();
    }
    let empty = host(&stage, "pve1").await;
    assert_eq!((empty.servers, empty.state.as_str(), empty.draining), (0, "maintenance", false));
    assert!(stage.crowd.state().guests.values().all(|seen| seen.guest.host != "pve1"));
    stage.look().await;
    assert_eq!(host(&stage, "pve1").await.state, "maintenance", "a look does not open it");
    let opened = set_maintenance(stage.store(), &stage.operator, busiest.id, Maintenance::Off).await.unwrap();
    assert_eq!(opened.state, "up");
}

#[tokio::test]
async fn a_drain_that_gets_no_further_is_told() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let here = host(&stage, &stage.host(server).await).await;
    stage.crowd.state().hindrances = vec!["It is tied to this host.".to_owned()];
    drain(stage.store(), &stage.operator, here.id).await.unwrap();
    stage.settle().await;
    run_drains(stage.store()).await.unwrap();
    assert_eq!(stage.alerts().await, [("drain_waits".to_owned(), "warning".to_owned())]);
    assert!(host(&stage, &here.name).await.draining);
    set_maintenance(stage.store(), &stage.operator, here.id, Maintenance::Off).await.unwrap();
    assert!(stage.alerts().await.is_empty());
}

#[tokio::test]
async fn a_region_says_which_hosts_are_filled_first() {
    let stage = Stage::set().await;
    let used = "SELECT count(DISTINCT host_id) FROM servers WHERE deleted_at IS NULL";
    for name in ["a", "b", "c"] {
        stage.server(name).await;
    }
    assert_eq!(stage.one::<i64>(used).await, 3, "spread, where nothing else was said");
    let packing = "UPDATE regions SET settings = settings || '{\"placement\": {\"preference\": \"pack\"}}'";
    stage.run(packing).await;
    for name in ["d", "e", "f"] {
        stage.server(name).await;
    }
    let newest = "SELECT count(DISTINCT host_id) FROM (SELECT host_id FROM servers ORDER BY id DESC LIMIT 3) AS newest";
    assert_eq!(stage.one::<i64>(newest).await, 1);
}

/// The whole matrix over a migration.
struct Moves(Stage);

#[async_trait]
impl Scenario for Moves {
    type World = Site;
    type Guard = ();

    fn kind(&self) -> &'static str {
        cloud::server::migrate::Migrate::KIND
    }

    fn registry(&self) -> Registry<Site> {
        cloud::registry().unwrap()
    }

    async fn fresh(&self) -> (Store, Arc<Site>, ()) {
        (self.0.store().clone(), Arc::clone(&self.0.site), ())
    }

    async fn prepare(&self, bench: &Bench<Site>) {
        self.0.order("web").await;
        bench.settle().await;
    }

    async fn start(&self, _bench: &Bench<Site>) -> WorkflowId {
        begin(&self.0, self.living().await.unwrap(), None).await
    }

    async fn remove(&self, _bench: &Bench<Site>, _id: WorkflowId) {
        if let Some(server) = self.living().await {
            self.0.destroy(server).await;
        }
    }

    async fn assert_made(&self, _bench: &Bench<Site>, id: WorkflowId) {
        let server = self.living().await.unwrap();
        let there = self.0.crowd.host_of(&self.0.number(server).await);
        assert_eq!(self.0.held(server).await, [("home".to_owned(), there.clone())]);
        let migration = store::migrations::get(self.0.store(), id).await.unwrap().unwrap();
        assert_eq!((migration.state.as_str(), migration.to.as_deref()), ("completed", Some(there.as_str())));
        assert_ne!(migration.from, migration.to);
    }

    async fn assert_empty(&self, _bench: &Bench<Site>) {
        for table in ["reservations", "addresses WHERE server_id IS NOT NULL", "guest_numbers WHERE freed_at IS NULL"] {
            assert_eq!(self.0.one::<i64>(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        assert!(self.0.crowd.state().guests.is_empty());
        assert_eq!(self.0.one::<i64>("SELECT count(*) FROM usage_ranges WHERE upper_inf(span)").await, 0);
        assert_eq!(self.0.one::<i64>("SELECT count(*) FROM server_migrations WHERE state = 'running'").await, 0);
    }
}

impl Moves {
    async fn living(&self) -> Option<ServerId> {
        let ids: Vec<(i32,)> =
            self.0.all("SELECT id FROM servers WHERE deleted_at IS NULL AND destroy_requested_at IS NULL").await;
        ids.first().map(|(id,)| ServerId(*id))
    }
}

#[tokio::test]
async fn every_fault_at_every_step_leaves_the_books_balanced() {
    let stage = Stage::numbered(Some((1000, 9999))).await;
    let cases = check_workflow(&Moves(stage)).await;
    assert!(cases > 20, "{cases}");
}
