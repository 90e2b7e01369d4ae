//! The whole matrix over a server's life, with a provider in memory: the same over the simulated cluster stands in
//! `acceptance` and takes longer.

use crate::stage::Stage;
use async_trait::async_trait;
use cloud::Site;
use cloud::server::life::Life;
use model::ids::{ServerId, WorkflowId};
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
