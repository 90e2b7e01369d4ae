//! The fault matrix over the toy world.

use crate::shelf::{self, Paint, Polish, Shelf, Shelve, Wanted, begin, registry};
use async_trait::async_trait;
use model::ids::WorkflowId;
use std::collections::BTreeMap;
use std::sync::Arc;
use store::Store;
use store::testing::{TestDatabase, database};
use workflow::harness::{Bench, Scenario, check_workflow, write_figures};
use workflow::{Kind, NewWorkflow, Registry, UNMAKE, World};

/// Which of the toy's workflows; one database for all cases, which every case leaves empty.
struct Toy {
    kind: &'static str,
    database: TestDatabase,
}

impl Toy {
    async fn new<K: Kind>() -> Self {
        let database = database().await;
        sqlx::raw_sql(shelf::TABLES).execute(database.store().pool()).await.unwrap();
        Self { kind: K::KIND, database }
    }
}

#[async_trait]
impl Scenario for Toy {
    type World = Shelf;
    type Guard = ();

    fn kind(&self) -> &'static str {
        self.kind
    }

    fn registry(&self) -> Registry<<Shelf as World>::Context> {
        registry()
    }

    async fn fresh(&self) -> (Store, Arc<Shelf>, ()) {
        (self.database.store().clone(), Arc::default(), ())
    }

    /// An action needs a box to act on; the painted one is not painted yet, as it is when its lifecycle asks.
    async fn prepare(&self, bench: &Bench<Shelf>) {
        if self.kind != Shelve::KIND {
            begin(&bench.store, NewWorkflow::of::<Shelve>("box:1", &red()), bench.clock.now()).await;
            bench.settle().await;
        }
    }

    async fn start(&self, bench: &Bench<Shelf>) -> WorkflowId {
        let new = match self.kind {
            Shelve::KIND => NewWorkflow::of::<Shelve>("box:1", &red()),
            Paint::KIND => NewWorkflow::of::<Paint>("box:1", &red()).parent(lifecycle(bench).await),
            _ => NewWorkflow::of::<Polish>("box:1", &()).parent(lifecycle(bench).await),
        };
        begin(&bench.store, new, bench.clock.now()).await
    }

    async fn remove(&self, bench: &Bench<Shelf>, _id: WorkflowId) {
        let id = lifecycle(bench).await;
        workflow::wish(bench.store.pool(), id, UNMAKE, Some(bench.clock.now())).await.unwrap();
    }

    async fn assert_made(&self, bench: &Bench<Shelf>, _id: WorkflowId) {
        bench.world.assert_finished("box:1");
        bench.world.assert_polished("box:1", self.kind == Polish::KIND);
        assert_eq!(shelf::number(&bench.store, "SELECT count(*) FROM slots WHERE workflow IS NOT NULL").await, 1);
        assert_eq!(shelf::number(&bench.store, "SELECT count(*) FROM labels").await, 1);
        assert_eq!(shelf::number(&bench.store, "SELECT count(*) FROM listed").await, 1);
        shelf::assert_exactly_once(&bench.store).await;
    }

    async fn assert_empty(&self, bench: &Bench<Shelf>) {
        bench.world.assert_empty();
        shelf::assert_rows_empty(&bench.store).await;
    }
}

fn red() -> Wanted {
    Wanted { colour: "red".to_owned() }
}

/// The newest lifecycle of the box.
async fn lifecycle(bench: &Bench<Shelf>) -> WorkflowId {
    let all = store::workflow::by_subject(bench.store.pool(), "box:1").await.unwrap();
    all.into_iter().rev().find(|known| known.kind == Shelve::KIND).unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_survives_every_fault() {
    let toys = (Toy::new::<Shelve>().await, Toy::new::<Paint>().await, Toy::new::<Polish>().await);
    let (lifecycle, never_unwound, unwound) =
        tokio::join!(check_workflow(&toys.0), check_workflow(&toys.1), check_workflow(&toys.2));
    // 6 steps × (22 make + 19 unmake), but none of 3 refusals where the box is open already.
    assert_eq!(lifecycle, 6 * (22 + 19) - 3);
    assert_eq!(never_unwound, 2 * 22);
    assert_eq!(unwound, 3 * 22 + 2 * 19);
    let figures = [("fault matrix cases (toy)".to_owned(), lifecycle + never_unwound + unwound)];
    write_figures("workflow_matrix", &BTreeMap::from(figures));
}
