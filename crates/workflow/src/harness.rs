//! The fault matrix: every step of a workflow × every fault × before and after the effect, for both directions; each
//! case ends in an empty world and an empty database.
//!
//! A [`Scenario`] says how a product's workflow is started and looked at; [`check_workflow`] runs the matrix. The faults
//! get in by wrapping the steps in the registry, so what is tested is the engine and the steps as they are.
//!
//! Everything here panics when a case fails, as a test should.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: a failure here is a failed test"
)]

use crate::definition::Definition;
use crate::drive::Parting;
use crate::engine::Round;
use crate::{CANCEL, Direction, Engine, Idle, ManualClock, Options, Registry, Shape, State, UNMAKE, Unwinding, World};
use async_trait::async_trait;
use model::ids::WorkflowId;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use store::workflow::Wanted;

mod tamper;

use tamper::{Fault, Plan, Point, Tampered};

/// How long the manual clock may run in one part of a case.
const LONG: Duration = Duration::from_secs(6 * 3600);
/// How long a case may take in real time.
const HANGS: Duration = Duration::from_secs(60);

/// A product's workflow, as the matrix has to know it.
#[async_trait]
pub trait Scenario: Send + Sync {
    /// The product behind the engine.
    type World: World;
    /// What has to live as long as a case does: a test database, a simulator.
    type Guard: Send + Sync;

    /// The kind under test.
    fn kind(&self) -> &'static str;

    /// The registry with the kind under test and whatever runs beside it.
    fn registry(&self) -> Registry<<Self::World as World>::Context>;

    /// An empty database and an empty world. The same ones again are fine: every case leaves them empty.
    async fn fresh(&self) -> (Store, Arc<Self::World>, Self::Guard);

    /// Makes what has to be there before the workflow can start. [`Bench::settle`] runs other workflows.
    async fn prepare(&self, bench: &Bench<Self::World>) {
        let _ = bench;
    }

    /// Starts the workflow under test.
    async fn start(&self, bench: &Bench<Self::World>) -> WorkflowId;

    /// Asks for everything to be deleted, as a user would. Called when the workflow under test has come to an end, and
    /// for a lifecycle also to start its unmaking; what is already gone is left alone.
    async fn remove(&self, bench: &Bench<Self::World>, id: WorkflowId) {
        store::workflow::wish(bench.store.pool(), id, UNMAKE, Some(bench.clock.now())).await.expect("a wish");
    }

    /// Panics unless the workflow's work is there, exactly once.
    async fn assert_made(&self, bench: &Bench<Self::World>, id: WorkflowId);

    /// Panics unless database and world hold nothing.
    async fn assert_empty(&self, bench: &Bench<Self::World>);
}

/// One case's database, world and clock.
pub struct Bench<W: World> {
    /// The database.
    pub store: Store,
    /// The world.
    pub world: Arc<W>,
    /// The clock of every engine of the case.
    pub clock: ManualClock,
    registry: Registry<W::Context>,
}

impl<W: World> Bench<W> {
    /// Runs everything, without faults, until nothing is ready.
    pub async fn settle(&self) {
        let idle = self.engine("settler", &self.registry).run_until_idle(LONG).await.expect("an engine that runs");
        assert_eq!(idle, Idle::Quiet, "workflows do not come to an end: {}", self.standing().await);
    }

    fn engine(&self, worker: &str, registry: &Registry<W::Context>) -> Engine<W> {
        let options = Options { worker: worker.to_owned(), ..Options::manual(&self.clock) };
        Engine::new(self.store.clone(), registry.clone(), Arc::clone(&self.world), options)
    }

    fn kinds(&self) -> Vec<&'static str> {
        self.registry.kinds().collect()
    }

    async fn state(&self, id: WorkflowId) -> State {
        let detail = store::workflow::detail(self.store.pool(), id).await.expect("a database that answers");
        detail.expect("a workflow that exists").state
    }

    async fn standing(&self) -> String {
        let counts = store::workflow::counts(self.store.pool()).await.expect("a database that answers");
        let parked = store::workflow::parked(self.store.pool()).await.expect("a database that answers");
        format!("{counts:?}, parked: {parked:?}")
    }
}

/// One cell of the matrix.
#[derive(Debug, Clone, Copy)]
struct Case {
    step: usize,
    name: &'static str,
    direction: Direction,
    fault: Fault,
    point: Point,
}

/// Runs the matrix over one workflow; the number of cases.
pub async fn check_workflow<S: Scenario>(scenario: &S) -> usize {
    check_some(scenario, |_| true).await.ran
}

/// How large a matrix is, and how much of it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Cases that ran.
    pub ran: usize,
    /// Cases that there are.
    pub all: usize,
}

/// Runs those cases of the matrix that are `chosen`, by their place in it: for scenarios of which each case takes long.
pub async fn check_some<S: Scenario>(scenario: &S, chosen: impl Fn(usize) -> bool) -> Size {
    let registry = scenario.registry();
    let definition = registry.get(scenario.kind()).expect("a registry with the kind under test").clone();
    let cases = cases(&definition);
    let all = cases.len();
    let cases: Vec<Case> =
        cases.into_iter().enumerate().filter(|(place, _)| chosen(*place)).map(|(_, case)| case).collect();
    let size = Size { ran: cases.len(), all };
    for case in cases {
        let label = Label(format!(
            "{} {} {}: {:?} at {:?}",
            scenario.kind(),
            case.direction.as_str(),
            case.name,
            case.fault,
            case.point
        ));
        let run = Box::pin(check_case(scenario, &registry, &definition, case));
        assert!(tokio::time::timeout(HANGS, run).await.is_ok(), "the case hangs");
        drop(label);
    }
    size
}

/// Says which case it was when one fails.
struct Label(String);

impl Drop for Label {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failed case: {}", self.0);
        }
    }
}

fn cases<C: Send + Sync + 'static>(definition: &Definition<C>) -> Vec<Case> {
    let mut cases = Vec::new();
    let names = definition.step_names();
    let firm = definition.firm_after.and_then(|firm| definition.position(firm)).unwrap_or(usize::MAX);
    for (step, name) in names.iter().copied().enumerate() {
        for direction in [Direction::Make, Direction::Unmake] {
            if direction == Direction::Unmake && !is_unmade(definition.shape, step, names.len()) {
                continue;
            }
            for fault in Fault::ALL {
                if fault == Fault::Refuse && (direction == Direction::Unmake || step > firm) {
                    continue;
                }
                if fault == Fault::Twice {
                    cases.push(Case { step, name, direction, fault, point: Point::Done });
                    continue;
                }
                for point in Point::ALL {
                    cases.push(Case { step, name, direction, fault, point });
                }
            }
        }
    }
    cases
}

/// Whether unmaking the step can be brought about: an action unwinds what stands before the step that refuses.
fn is_unmade(shape: Shape, step: usize, steps: usize) -> bool {
    match shape {
        Shape::Lifecycle => true,
        Shape::Action(Unwinding::Always) => step + 1 < steps,
        Shape::Action(Unwinding::Never) => false,
    }
}

async fn check_case<S: Scenario>(
    scenario: &S,
    registry: &Registry<<S::World as World>::Context>,
    definition: &Definition<<S::World as World>::Context>,
    case: Case,
) {
    let (store, world, guard) = scenario.fresh().await;
    let bench = Bench { store, world, clock: ManualClock::starting_now(), registry: registry.clone() };
    scenario.prepare(&bench).await;
    let id = scenario.start(&bench).await;
    if case.direction == Direction::Unmake && definition.shape == Shape::Lifecycle {
        bench.settle().await;
        scenario.assert_made(&bench, id).await;
        scenario.remove(&bench, id).await;
    }
    let plan = Arc::new(Plan::new(case.direction, case.fault, case.point));
    let last = definition.steps.len() - 1;
    let turns = case.direction == Direction::Unmake && definition.shape == Shape::Action(Unwinding::Always);
    let tampered = registry.clone().decorated(definition.kind, |index, step| {
        let step = if turns && index == last { Tampered::refusing(step) } else { step };
        if index == case.step { Tampered::planned(step, &plan) } else { step }
    });
    run_case(&bench, &tampered, &plan, definition.shape, id).await;
    assert!(plan.has_fired(), "the fault never got in");

    let expected = expected(definition.shape, case);
    let state = bench.state(id).await;
    assert!(expected.contains(&state), "{state:?} instead of {expected:?}; {}", bench.standing().await);
    if matches!(state, State::Resting | State::Completed) {
        scenario.assert_made(&bench, id).await;
    }
    scenario.remove(&bench, id).await;
    bench.settle().await;
    let counts = store::workflow::counts(bench.store.pool()).await.expect("a database that answers");
    assert!(counts.is_empty(), "workflows are left: {}", bench.standing().await);
    let alerts = store::workflow::alerts(bench.store.pool(), 100).await.expect("a database that answers");
    let open: Vec<_> = alerts.iter().filter(|alert| alert.resolved_at.is_none()).collect();
    assert!(open.is_empty(), "alerts are open: {open:?}");
    scenario.assert_empty(&bench).await;
    drop(guard);
}

/// Where the workflow under test has to stand after the fault. An action that is called off during its last step may
/// complete: what is done is done.
fn expected(shape: Shape, case: Case) -> &'static [State] {
    match (shape, case.direction, case.fault) {
        (Shape::Lifecycle, Direction::Make, Fault::Refuse | Fault::Wish) | (Shape::Lifecycle, Direction::Unmake, _) => {
            &[State::Undone]
        }
        (Shape::Lifecycle, Direction::Make, _) => &[State::Resting],
        (Shape::Action(_), Direction::Make, Fault::Wish) => &[State::Cancelled, State::Completed],
        (Shape::Action(_), Direction::Make, Fault::Refuse) | (Shape::Action(_), Direction::Unmake, _) => {
            &[State::Refused]
        }
        (Shape::Action(_), Direction::Make, _) => &[State::Completed],
    }
}

/// Runs the tampered engine, and the ones that take over from it, until nothing is ready.
async fn run_case<W: World>(
    bench: &Bench<W>,
    tampered: &Registry<W::Context>,
    plan: &Arc<Plan>,
    shape: Shape,
    id: WorkflowId,
) {
    match plan.fault() {
        Fault::Killed => {
            let first = bench.engine("first", tampered);
            let running = tokio::spawn(async move { first.run_until_idle(LONG).await });
            plan.reached().await;
            running.abort();
            let _ = running.await;
        }
        Fault::Stolen => steal(bench, tampered, plan).await,
        Fault::Overtaken => overtake(bench, tampered, plan, id).await,
        Fault::Wish => {
            let wish = if shape == Shape::Lifecycle { UNMAKE } else { CANCEL };
            let (plan, store, clock) = (Arc::clone(plan), bench.store.clone(), bench.clock.clone());
            let wisher = tokio::spawn(async move {
                plan.reached().await;
                let wished = async {
                    store::workflow::wish(store.pool(), id, wish, Some(clock.now())).await.expect("a wish");
                    plan.go_on();
                };
                // The wish has to wait for a step whose transaction holds the row itself (it started a child).
                let held_up = async {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    plan.go_on();
                };
                futures_util::future::join(wished, held_up).await;
            });
            bench.engine("first", tampered).run_until_idle(LONG).await.expect("an engine that runs");
            wisher.await.expect("a wish that is written");
        }
        _ => {
            bench.engine("first", tampered).run_until_idle(LONG).await.expect("an engine that runs");
        }
    }
    bench.settle().await;
}

/// The lease runs out while the first worker is inside of the step. Where that stands before its effect, it stands still
/// until another has come to the end of everything; where its transaction may be open, its clock shows it before the
/// lease can be taken. Either way it is not to do anything more.
async fn steal<W: World>(bench: &Bench<W>, tampered: &Registry<W::Context>, plan: &Arc<Plan>) {
    let first = bench.engine("first", tampered);
    let taking_over = async {
        plan.reached().await;
        bench.clock.advance(Options::default().lease + Duration::from_millis(1));
        if plan.point() == Point::Before {
            bench.settle().await;
        }
        plan.go_on();
    };
    let (last, ()) = futures_util::future::join(until_fired(&first, plan), taking_over).await;
    assert_eq!(last, Round::Drove(Parting::Fenced), "a worker whose lease had run out went on");
    assert!(!plan.has_gone_on(), "a worker whose lease had run out went on inside of its step");
}

/// Another worker takes the lease, and the first one's clock has not moved since.
async fn overtake<W: World>(bench: &Bench<W>, tampered: &Registry<W::Context>, plan: &Arc<Plan>, id: WorkflowId) {
    let behind = ManualClock::starting_at(bench.clock.now());
    let options = Options { worker: "first".to_owned(), ..Options::manual(&behind) };
    let first = Engine::new(bench.store.clone(), tampered.clone(), Arc::clone(&bench.world), options);
    let lease = Options::default().lease + Duration::from_millis(1);
    let taking_over = async {
        plan.reached().await;
        bench.clock.advance_to(behind.now());
        bench.clock.advance(lease);
        let wanted = Wanted { kinds: &bench.kinds(), most: i64::MAX, lease, worker: "second" };
        let taken = store::workflow::lease(bench.store.pool(), &wanted, Some(bench.clock.now())).await;
        plan.go_on();
        let (taken, _) = taken.expect("a database that answers");
        // It cannot be taken while the first one's transaction holds the row itself (it started a child): then the lease,
        // run out or not, is as good as held.
        taken.iter().any(|row| row.id == id)
    };
    let (last, taken) = futures_util::future::join(until_fired(&first, plan), taking_over).await;
    if taken {
        assert_eq!(last, Round::Drove(Parting::Fenced), "a worker without its lease wrote something");
    }
    // The second does nothing with it, and it runs out again.
    bench.clock.advance_to(behind.now());
    bench.clock.advance(lease);
}

/// Goes on until the fault has happened; how the drive ended in which it did.
async fn until_fired<W: World>(engine: &Engine<W>, plan: &Plan) -> Round {
    let end = engine.now().saturating_add(LONG).expect("a time within the calendar");
    loop {
        let round = engine.round(end).await.expect("an engine that runs");
        if plan.has_fired() {
            return round;
        }
        assert!(!matches!(round, Round::Idle(_)), "the step was never reached");
    }
}

/// Writes `target/figures/NAME.json` of the workspace: a flat object of numbers, which `script/test` prints.
pub fn write_figures(name: &str, figures: &BTreeMap<String, usize>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/figures");
    std::fs::create_dir_all(&folder).expect("a folder for figures");
    let text = serde_json::to_string_pretty(figures).expect("numbers");
    std::fs::write(folder.join(format!("{name}.json")), text + "\n").expect("a file of figures");
}
