//! The whole matrix over a server's life, with a provider in memory: the same over the simulated cluster stands in
//! `acceptance` and takes longer.

use crate::stage::Stage;
use async_trait::async_trait;
use cloud::Site;
use cloud::server::life::Life;
use cloud::server::wishes::{Wish, ask};
use model::ids::{ImageId, ServerId, WorkflowId};
use provider::GuestPower;
use std::sync::Arc;
use store::Store;
use workflow::harness::{Bench, Scenario, check_workflow};
use workflow::{Kind, Registry};

struct Lives(Stage);

#[async_trait]
impl Scenario for Lives {
    type World = Site;
    type Guard = ();

    fn kind(&self) -> &'static str {
        Life::KIND
    }

    fn registry(&self) -> Registry<Site> {
        cloud::registry().unwrap()
    }

    async fn fresh(&self) -> (Store, Arc<Site>, ()) {
        (self.0.store().clone(), Arc::clone(&self.0.site), ())
    }

    async fn start(&self, _bench: &Bench<Site>) -> WorkflowId {
        let id = self.0.order("web").await;
        WorkflowId(self.0.one(&format!("SELECT workflow_id FROM servers WHERE id = {id}")).await)
    }

    async fn remove(&self, _bench: &Bench<Site>, _id: WorkflowId) {
        let living = "SELECT id FROM servers WHERE deleted_at IS NULL AND destroy_requested_at IS NULL";
        for (id,) in self.0.all::<(i32,)>(living).await {
            self.0.destroy(ServerId(id)).await;
        }
    }

    async fn assert_made(&self, _bench: &Bench<Site>, _id: WorkflowId) {
        assert_eq!(self.0.crowd.state().guests.len(), 1);
        assert_eq!(self.0.one::<i64>("SELECT count(*) FROM usage_ranges WHERE upper_inf(span)").await, 1);
    }

    async fn assert_empty(&self, _bench: &Bench<Site>) {
        for table in [
            "reservations",
            "addresses WHERE server_id IS NOT NULL",
            "guest_numbers WHERE freed_at IS NULL",
            "usage_ranges WHERE upper_inf(span)",
        ] {
            assert_eq!(self.0.one::<i64>(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
        }
        assert!(self.0.crowd.state().guests.is_empty());
    }
}

#[tokio::test]
async fn every_fault_at_every_step_of_a_life_leaves_the_books_balanced() {
    let stage = Stage::numbered(Some((1000, 9999))).await;
    let cases = check_workflow(&Lives(stage)).await;
    assert!(cases > 200, "{cases}");
}

#[tokio::test]
async fn an_image_that_went_after_it_was_fetched_is_fetched_again() {
    let stage = Stage::set().await;
    stage.crowd.state().lose_image = true;
    stage.server("web").await;
    assert!(!stage.crowd.state().image_lost);
    assert_eq!(stage.crowd.state().guests.len(), 1);
}

#[tokio::test]
async fn a_disk_that_cannot_be_made_where_the_server_is_is_refused_while_it_runs() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    ask(stage.store(), &stage.caller, server, &Wish::Snapshot(Some("s".to_owned()))).await.unwrap();
    stage.settle().await;
    let snapshot = ImageId(stage.one("SELECT id FROM images WHERE name = 's'").await);
    stage.crowd.state().refuse_rebuilds = true;
    let guest = stage.number(server).await;
    for wish in [Wish::Restore(snapshot), Wish::Rebuild(store::servers::ImageChoice::Id(snapshot))] {
        ask(stage.store(), &stage.caller, server, &wish).await.unwrap();
        stage.settle().await;
        let seen = stage.crowd.state().guests[&guest].clone();
        assert_eq!((seen.power, seen.rebuilt), (GuestPower::Running, None), "{wish:?}");
        let wanted: String = stage.one(&format!("SELECT wanted_power FROM servers WHERE id = {server}")).await;
        assert_eq!(wanted, "on");
        let error: String = stage.one("SELECT error FROM actions ORDER BY id DESC LIMIT 1").await;
        assert!(error.contains("was left as it was") && !error.contains("Choose another"), "{error}");
    }
    stage.crowd.state().refuse_rebuilds = false;
    ask(stage.store(), &stage.caller, server, &Wish::Restore(snapshot)).await.unwrap();
    stage.settle().await;
    let seen = stage.crowd.state().guests[&guest].clone();
    assert!(seen.power == GuestPower::Running && seen.rebuilt.is_some(), "{seen:?}");
}

#[tokio::test]
async fn a_disk_that_is_refused_when_the_power_is_off_leaves_the_server_as_it_was() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    ask(stage.store(), &stage.caller, server, &Wish::Snapshot(Some("s".to_owned()))).await.unwrap();
    stage.settle().await;
    let snapshot = ImageId(stage.one("SELECT id FROM images WHERE name = 's'").await);
    stage.crowd.state().lose_rebuilds = true;
    let guest = stage.number(server).await;
    for (power, wanted) in [(GuestPower::Running, "on"), (GuestPower::Stopped, "off")] {
        if power == GuestPower::Stopped {
            ask(stage.store(), &stage.caller, server, &Wish::PowerOff).await.unwrap();
            stage.settle().await;
        }
        for wish in [Wish::Restore(snapshot), Wish::Rebuild(store::servers::ImageChoice::Id(snapshot))] {
            ask(stage.store(), &stage.caller, server, &wish).await.unwrap();
            stage.settle().await;
            let seen = stage.crowd.state().guests[&guest].clone();
            assert_eq!((seen.power, seen.rebuilt), (power, None), "{wish:?}");
            let says: String = stage.one(&format!("SELECT wanted_power FROM servers WHERE id = {server}")).await;
            assert_eq!(says, wanted, "{wish:?}");
            let error: String = stage.one("SELECT error FROM actions ORDER BY id DESC LIMIT 1").await;
            assert!(error.contains("started again if it ran"), "{error}");
        }
    }
}
