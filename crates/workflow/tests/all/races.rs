//! Real time, several engines: what must not depend on who is faster.

use crate::scripted::{Act, Answer, Life, Scripted, Stage, registry, wait};
use crate::shelf;
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::testing::database;
use store::{Store, Tx};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use workflow::{
    Definition, Ended, Engine, Fault, Kind, NewWorkflow, Options, Outcome, Registry, Run, Shape, State, Step, TaskName,
    TaskState, UNMAKE, Unwinding, World, steps,
};

/// Real time, and quick about it.
fn quick(worker: &str) -> Options {
    let mut options = Options::default();
    options.worker = worker.to_owned();
    options.nap = Duration::from_millis(20);
    options.follow = Duration::from_millis(20);
    options
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn run<W: World>(engine: Engine<W>) -> Running {
    let stop = CancellationToken::new();
    let token = stop.clone();
    Running { stop, task: tokio::spawn(async move { engine.run(token).await }) }
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !holds().await {
        assert!(begin.elapsed() < Duration::from_secs(120), "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn standing(store: &Store, state: &'static str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM workflows WHERE state = $1")
        .bind(state)
        .fetch_one(store.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_engines_make_each_step_of_200_workflows_once() {
    let database = database().await;
    sqlx::raw_sql(shelf::TABLES).execute(database.store().pool()).await.unwrap();
    let world = Arc::new(shelf::Shelf::default());
    let now = jiff::Timestamp::now();
    for box_number in 0..200 {
        let wanted = shelf::Wanted { colour: "red".to_owned() };
        let new = NewWorkflow::of::<shelf::Shelve>(format!("box:{box_number}"), &wanted);
        shelf::begin(database.store(), new, now).await;
    }
    let mut engines = Vec::new();
    for worker in ["one", "two"] {
        let store = Store::connect(&database.url(), 8).await.unwrap();
        engines.push(run(Engine::new(store, shelf::registry(), Arc::clone(&world), quick(worker))));
    }
    let store = database.store();
    until("200 boxes", async || standing(store, "resting").await == 200).await;
    assert_eq!(shelf::number(store, "SELECT count(*) FROM ledger WHERE what = 'announce'").await, 200);
    assert_eq!(shelf::number(store, "SELECT count(*) FROM ledger WHERE what = 'brush'").await, 200);
    assert_eq!(
        shelf::number(store, "SELECT max(attempts)::bigint FROM workflow_steps WHERE name = 'announce'").await,
        1
    );
    shelf::assert_exactly_once(store).await;

    let all: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM workflows WHERE kind = 'shelve'").fetch_all(store.pool()).await.unwrap();
    for id in all {
        workflow::wish(store.pool(), model::ids::WorkflowId(id), UNMAKE, None).await.unwrap();
    }
    until("an empty shelf", async || standing(store, "undone").await == 200).await;
    world.assert_empty();
    shelf::assert_rows_empty(store).await;
    for engine in engines {
        engine.stop().await;
    }
}

/// A world with one step that waits, for an hour at a time, until a flag is up.
#[derive(Default)]
struct Flags {
    up: Mutex<BTreeMap<String, bool>>,
    looks: AtomicU32,
}

struct UntilUp;
struct Signal;

impl Kind for Signal {
    const KIND: &'static str = "signal";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ();
}

#[async_trait]
impl Step<Arc<Flags>> for UntilUp {
    type Memo = ();
    const NAME: &'static str = "until_up";

    async fn make(&self, flags: &Arc<Flags>, run: &mut Run<Arc<Flags>>) -> Result<Outcome<()>, Fault> {
        let up = flags.up.lock().unwrap().get(run.subject()).copied().unwrap_or(false);
        let pause = flags.looks.fetch_add(1, Ordering::Relaxed) % 4;
        // Between the look and the nap is where a wake-up could be lost.
        tokio::time::sleep(Duration::from_millis(pause.into())).await;
        Ok(if up { Outcome::done(()) } else { Outcome::wait_for("the flag", Duration::from_secs(3600)) })
    }
}

struct FlagWorld(Arc<Flags>);

#[async_trait]
impl World for FlagWorld {
    type Context = Arc<Flags>;

    async fn context(&self, _run: &Run<Arc<Flags>>) -> Result<Arc<Flags>, Fault> {
        Ok(Arc::clone(&self.0))
    }

    async fn task(&self, _run: &Run<Arc<Flags>>, _task: &TaskName) -> Result<TaskState, Fault> {
        Err(Fault::bug("nothing is followed here"))
    }

    async fn ended(&self, _tx: &mut Tx, _ended: &Ended) -> Result<(), Fault> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_wake_up_is_lost() {
    let database = database().await;
    let store = database.store();
    let flags = Arc::new(Flags::default());
    let registry = Registry::new([Definition::of::<Signal>(steps![UntilUp])]).unwrap();
    let engine = run(Engine::new(store.clone(), registry, Arc::new(FlagWorld(Arc::clone(&flags))), quick("one")));
    for round in 0..300_u64 {
        let subject = format!("flag:{round}");
        let new = NewWorkflow::of::<Signal>(subject.clone(), &());
        let id = shelf::begin(store, new, jiff::Timestamp::now()).await;
        tokio::time::sleep(Duration::from_micros(round * 37 % 6_000)).await;
        flags.up.lock().unwrap().insert(subject, true);
        workflow::wake(store.pool(), id, None).await.unwrap();
    }
    // A lost one would sleep for an hour.
    until("300 flags seen", async || standing(store, "completed").await == 300).await;
    engine.stop().await;
}

#[tokio::test]
async fn notifications_alone_and_polling_alone_are_enough() {
    let stage = Stage::new().await;
    // Deaf: what is inserted here is not told to anybody.
    sqlx::raw_sql(
        "CREATE FUNCTION silent() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN NEW.wake_at := now() + interval '1 hour'; RETURN NEW; END $$;
         CREATE TRIGGER silent BEFORE INSERT ON workflows FOR EACH ROW WHEN (NEW.subject = 'silent')
             EXECUTE FUNCTION silent()",
    )
    .execute(stage.store().pool())
    .await
    .unwrap();
    let mut options = quick("polling");
    options.poll = Duration::from_millis(200);
    let polling = run(stage.engine_with(registry(), options));
    let id = stage.begin::<Act>("silent").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(stage.detail(id).await.state, State::Ready, "it is not due");
    sqlx::raw_sql("UPDATE workflows SET wake_at = now()").execute(stage.store().pool()).await.unwrap();
    until("found by polling", async || stage.detail(id).await.state == State::Completed).await;
    polling.stop().await;

    let mut options = quick("listening");
    options.poll = Duration::from_secs(3600);
    let listening = run(stage.engine_with(registry(), options));
    // The first look of an engine is not a notification: let it pass.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let told = stage.begin::<Act>("told").await;
    until("heard", async || stage.detail(told).await.state == State::Completed).await;
    // And without either, it sleeps exactly until the next one is due.
    stage.world.tell("naps", "make a", [Answer::Say(Outcome::wait_for("a second", Duration::from_secs(1)))]);
    let naps = stage.begin::<Act>("naps").await;
    until("woke by itself", async || stage.detail(naps).await.state == State::Completed).await;
    listening.stop().await;
}

#[tokio::test]
async fn a_shutdown_hands_leases_back_at_once() {
    let stage = Stage::new().await;
    let (entered, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let stuck = Answer::Gate(Arc::clone(&entered), never, Box::new(wait("nothing")));
    stage.world.tell("x", "make b", [stuck]);
    let mut options = quick("first");
    options.grace = Duration::from_millis(100);
    options.lease = Duration::from_secs(12);
    let first = run(stage.engine_with(registry(), options));
    let id = stage.begin::<Life>("x").await;
    entered.notified().await;
    assert_eq!(store::workflow::holder(stage.store().pool(), id).await.unwrap().as_deref(), Some("first"));
    first.stop().await;
    assert_eq!(store::workflow::holder(stage.store().pool(), id).await.unwrap(), None);
    let begin = Instant::now();
    let second = run(stage.engine_with(registry(), quick("second")));
    until("taken over", async || stage.detail(id).await.state == State::Resting).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "the lease of 12 s was waited for");
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make b", "make c"]);
    second.stop().await;
}

#[tokio::test]
async fn a_shutdown_lets_the_step_in_hand_finish() {
    let stage = Stage::new().await;
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let done = Answer::Write(Box::new(Answer::Say(Outcome::Done(()))));
    stage.world.tell("x", "make b", [Answer::Gate(Arc::clone(&entered), Arc::clone(&go_on), Box::new(done))]);
    let engine = run(stage.engine_with(registry(), quick("first")));
    let id = stage.begin::<Life>("x").await;
    entered.notified().await;
    engine.stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    go_on.notify_one();
    engine.task.await.unwrap();
    assert_eq!(stage.written().await, 1);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b"]);
    let detail = stage.detail(id).await;
    assert_eq!((detail.state, detail.step_name.as_deref()), (State::Ready, Some("c")));
    assert_eq!(store::workflow::holder(stage.store().pool(), id).await.unwrap(), None);
}

/// An engine with leases of three seconds (a busy machine may well be late by one), of which `x` is inside of a step.
async fn inside_of_a_long_step(stage: &Stage) -> (Running, Arc<Notify>, model::ids::WorkflowId) {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let then = Box::new(Answer::Write(Box::new(Answer::Say(Outcome::Done(())))));
    stage.world.tell("x", "make b", [Answer::Gate(Arc::clone(&entered), Arc::clone(&go_on), then)]);
    let mut options = quick("first");
    options.lease = Duration::from_secs(3);
    let engine = run(stage.engine_with(registry(), options));
    let id = stage.begin::<Life>("x").await;
    entered.notified().await;
    (engine, go_on, id)
}

#[tokio::test]
async fn heartbeats_keep_a_lease_through_a_long_step() {
    let stage = Stage::new().await;
    let (first, go_on, id) = inside_of_a_long_step(&stage).await;
    let second = run(stage.engine_with(registry(), quick("second")));
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    go_on.notify_one();
    until("made", async || stage.detail(id).await.state == State::Resting).await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make c"]);
    first.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_run_whose_lease_is_lost_is_dropped() {
    let stage = Stage::new().await;
    let (first, go_on, id) = inside_of_a_long_step(&stage).await;
    // Somebody else has it.
    sqlx::raw_sql(
        "UPDATE workflows SET lease_token = nextval('workflow_leases'), worker = 'other',
                lease_until = now() + interval '1 hour', wake_at = now() + interval '1 hour'",
    )
    .execute(stage.store().pool())
    .await
    .unwrap();
    let go_on_is_dropped = async || Arc::strong_count(&go_on) == 1;
    until("the run is dropped", go_on_is_dropped).await;
    assert_eq!(store::workflow::holder(stage.store().pool(), id).await.unwrap().as_deref(), Some("other"));
    assert_eq!(stage.written().await, 0);
    first.stop().await;
    // A shutdown gives back what is its own, and nothing else.
    assert_eq!(store::workflow::holder(stage.store().pool(), id).await.unwrap().as_deref(), Some("other"));
}

#[tokio::test]
async fn concurrency_is_bounded() {
    let stage = Stage::new().await;
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    for subject in ["a", "b", "c", "d", "e"] {
        let then = Box::new(Answer::Say(Outcome::Done(())));
        stage.world.tell(subject, "make a", [Answer::Gate(Arc::clone(&entered), Arc::clone(&go_on), then)]);
        stage.begin::<Act>(subject).await;
    }
    let mut options = quick("one");
    options.concurrency = 2;
    let engine = run(stage.engine_with(registry(), options));
    let inside = |world: &Scripted| world.calls().iter().filter(|call| call.ends_with("make a")).count();
    until("two are inside", async || inside(&stage.world) == 2).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(inside(&stage.world), 2);
    until("all are through", async || {
        go_on.notify_waiters();
        standing(stage.store(), "completed").await == 5
    })
    .await;
    engine.stop().await;
}
