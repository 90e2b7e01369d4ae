//! Each step × each fault of the engine (failed, answer lost, worker killed, lease stolen, run twice, refused, wished
//! away) × before, in the middle and after, over the simulated cluster.

use super::lab::Lab;
use super::lines::{Ask, Line};
use async_trait::async_trait;
use cloud::Site;
use model::ids::WorkflowId;
use std::sync::Arc;
use store::Store;
use workflow::Registry;
use workflow::harness::{Bench, Scenario};

/// A line as the harness has to know it.
pub(super) struct Steps<'a> {
    pub(super) lab: &'a Lab,
    pub(super) line: Line,
}

#[async_trait]
impl Scenario for Steps<'_> {
    type World = Site;
    type Guard = ();

    fn kind(&self) -> &'static str {
        self.line.kind
    }

    fn registry(&self) -> Registry<Site> {
        cloud::registry().unwrap()
    }

    async fn fresh(&self) -> (Store, Arc<Site>, ()) {
        (self.lab.store().clone(), Arc::clone(&self.lab.site), ())
    }

    async fn prepare(&self, bench: &Bench<Site>) {
        for ask in self.line.before {
            ask.of(self.lab).await;
            bench.settle().await;
        }
    }

    async fn start(&self, _bench: &Bench<Site>) -> WorkflowId {
        self.line.ask.of(self.lab).await
    }

    async fn remove(&self, _bench: &Bench<Site>, _id: WorkflowId) {
        self.lab.remove_all().await;
    }

    async fn assert_made(&self, _bench: &Bench<Site>, id: WorkflowId) {
        self.lab.assert_made(self.line.ask, id).await;
    }

    async fn assert_empty(&self, _bench: &Bench<Site>) {
        self.lab.assert_empty().await;
    }
}

impl Lab {
    /// Panics unless what was asked for is there, once.
    pub(super) async fn assert_made(&self, ask: Ask, id: WorkflowId) {
        let [server] = self.living().await[..] else { panic!("not one server") };
        let (number, host) = (self.number(server).await, self.host(server).await);
        let guests: Vec<_> = self.guests().into_iter().filter(|guest| guest.vmid == number).collect();
        let [guest] = &guests[..] else { panic!("not one guest: {guests:?}") };
        assert_eq!(guest.node, host, "the books name another host");
        let wanted = match ask {
            Ask::PowerOff | Ask::Shutdown | Ask::Resize | Ask::Mend => "stopped",
            Ask::Migrate => guest.status.as_str(),
            _ => "running",
        };
        assert_eq!(guest.status, wanted);
        let held: Vec<(String, String)> = self
            .all("SELECT r.purpose, h.name FROM reservations r JOIN hosts h ON h.id = r.host_id ORDER BY r.purpose")
            .await;
        assert_eq!(held, [("home".to_owned(), host)]);
        let metered: Vec<(String,)> = self.all("SELECT size FROM usage_ranges WHERE upper_inf(span)").await;
        let size = if ask == Ask::Resize { "medium" } else { "small" };
        assert_eq!(metered, [(size.to_owned(),)]);
        let copies = i64::from(matches!(ask, Ask::Snapshot | Ask::Restore));
        let available = "SELECT count(*) FROM images WHERE team_id IS NOT NULL AND status = 'available'";
        assert_eq!(self.one::<i64>(available).await, copies, "copies of the disk");
        if ask == Ask::Resize {
            assert_eq!((guest.config["cores"].as_str(), guest.config["memory"].as_str()), ("2", "4096"));
        }
        if ask == Ask::Migrate {
            let migration = store::migrations::get(self.store(), id).await.unwrap().unwrap();
            assert_eq!(migration.state, "completed");
            assert_ne!(migration.from, migration.to);
        }
    }
}
