//! A world whose steps do as they are told: each half of each step answers what the test scripted, then `Done`.

use async_trait::async_trait;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::testing::{TestDatabase, database};
use store::workflow::Detail;
use store::{Store, Tx};
use workflow::{
    Definition, Direction, End, Ended, Engine, Fault, Idle, Inserted, Kind, ManualClock, NewWorkflow, Options, Outcome,
    Registry, Run, Shape, Step, TaskEnd, TaskName, TaskState, Unwinding, Weight, World, steps,
};

pub const DAY: Duration = Duration::from_secs(86_400);

/// What a half of a step is told to do.
pub enum Answer {
    Say(Outcome<()>),
    Fail(Fault),
    Panic,
    /// Writes a row in its transaction, then answers.
    Write(Box<Answer>),
    /// Tells the first, waits for the second, then answers.
    Gate(Arc<tokio::sync::Notify>, Arc<tokio::sync::Notify>, Box<Answer>),
    /// Starts a child of kind [`Act`] about the given subject, then waits an hour.
    Spawn(&'static str),
}

#[derive(Default)]
pub struct Script {
    answers: BTreeMap<(String, &'static str), VecDeque<Answer>>,
    /// Every call: `subject make a`.
    pub calls: Vec<String>,
    /// The engine's time at each call.
    pub times: Vec<jiff::Timestamp>,
    /// What each call saw of a followed task.
    pub followed: Vec<Option<Option<TaskEnd>>>,
    pub ended: Vec<(String, End)>,
    pub refused: Vec<String>,
    pub tasks: BTreeMap<String, VecDeque<TaskState>>,
    /// Faults for the next ends.
    pub end_faults: VecDeque<Fault>,
    /// How many of the next ends panic.
    pub end_panics: usize,
}

#[derive(Default, Clone)]
pub struct Scripted(pub Arc<Mutex<Script>>);

impl Scripted {
    /// The next answers of `subject make a`.
    pub fn tell(&self, subject: &str, half: &'static str, answers: impl IntoIterator<Item = Answer>) {
        self.0.lock().unwrap().answers.entry((subject.to_owned(), half)).or_default().extend(answers);
    }

    pub fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }

    pub fn calls_of(&self, subject: &str) -> Vec<String> {
        let own = format!("{subject} ");
        self.calls().iter().filter_map(|call| call.strip_prefix(&own).map(str::to_owned)).collect()
    }
}

pub struct Told(Scripted);

impl Told {
    async fn act(&self, run: &mut Run<Told>, half: &'static str) -> Result<Outcome<()>, Fault> {
        let answer = {
            let mut script = self.0.0.lock().unwrap();
            script.calls.push(format!("{} {half}", run.subject()));
            script.times.push(run.now());
            script.followed.push(run.followed().map(|followed| followed.end.clone()));
            script.answers.get_mut(&(run.subject().to_owned(), half)).and_then(VecDeque::pop_front)
        };
        Box::pin(obey(run, answer.unwrap_or(Answer::Say(Outcome::Done(()))))).await
    }
}

async fn obey(run: &mut Run<Told>, answer: Answer) -> Result<Outcome<()>, Fault> {
    match answer {
        Answer::Say(outcome) => Ok(outcome),
        Answer::Fail(fault) => Err(fault),
        Answer::Panic => panic!("told to panic"),
        Answer::Write(then) => {
            let id = run.id();
            sqlx::query("INSERT INTO written VALUES ($1)")
                .bind(id.0)
                .execute(&mut **run.tx().await?)
                .await
                .map_err(store::Error::from)?;
            Box::pin(obey(run, *then)).await
        }
        Answer::Gate(tell, wait, then) => {
            tell.notify_one();
            wait.notified().await;
            Box::pin(obey(run, *then)).await
        }
        Answer::Spawn(subject) => {
            run.spawn(NewWorkflow::of::<Act>(subject, &())).await?;
            Ok(Outcome::wait_for("its child", Duration::from_secs(3600)))
        }
    }
}

macro_rules! scripted_step {
    ($step:ident, $name:literal, $weight:ident) => {
        pub struct $step;

        #[async_trait]
        impl Step<Told> for $step {
            type Memo = ();
            const NAME: &'static str = $name;
            const AWAITS: &'static str = concat!("the task of ", $name);
            const WEIGHT: Weight = Weight::$weight;

            async fn make(&self, cx: &Told, run: &mut Run<Told>) -> Result<Outcome<()>, Fault> {
                cx.act(run, concat!("make ", $name)).await
            }

            async fn unmake(&self, cx: &Told, run: &mut Run<Told>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
                cx.act(run, concat!("unmake ", $name)).await
            }
        }
    };
}

scripted_step!(A, "a", Full);
scripted_step!(B, "b", Full);
scripted_step!(C, "c", Full);
scripted_step!(Light, "light", Light);
scripted_step!(Rows, "rows", Rows);

#[async_trait]
impl World for Scripted {
    type Context = Told;

    async fn context(&self, _run: &Run<Told>) -> Result<Told, Fault> {
        Ok(Told(self.clone()))
    }

    async fn task(&self, _run: &Run<Told>, task: &TaskName) -> Result<TaskState, Fault> {
        assert_ne!(task.as_str(), "panics", "told to panic");
        let mut script = self.0.lock().unwrap();
        let states = script.tasks.entry(task.0.clone()).or_default();
        Ok(states.pop_front().unwrap_or(TaskState::Ended(TaskEnd::Succeeded)))
    }

    async fn ended(&self, _tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        let panics = std::mem::take(&mut self.0.lock().unwrap().end_panics);
        assert_eq!(panics, 0, "told to panic");
        let mut script = self.0.lock().unwrap();
        if let Some(fault) = script.end_faults.pop_front() {
            return Err(fault);
        }
        script.ended.push((ended.subject.clone(), ended.end));
        Ok(())
    }

    async fn refused(&self, _tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        let refusal = ended.refusal.clone().unwrap();
        self.0.lock().unwrap().refused.push(refusal.code.into_owned());
        Ok(())
    }
}

/// A lifecycle of three steps.
pub struct Life;

impl Kind for Life {
    const KIND: &'static str = "life";
    const SHAPE: Shape = Shape::Lifecycle;
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    const UNMADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ();
}

/// An action of two steps that stay done.
pub struct Act;

impl Kind for Act {
    const KIND: &'static str = "act";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ();
}

/// An action of two steps that are unmade if it comes to nothing.
pub struct Undoable;

impl Kind for Undoable {
    const KIND: &'static str = "undoable";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(60);
    type Input = ();
}

/// A lifecycle with a light step in the middle and one of rows at the end.
pub struct Brisk;

impl Kind for Brisk {
    const KIND: &'static str = "brisk";
    const SHAPE: Shape = Shape::Lifecycle;
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    const UNMADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ();
}

pub fn registry() -> Registry<Told> {
    Registry::new([
        Definition::of::<Life>(steps![A, B, C]),
        Definition::of::<Act>(steps![A, B]),
        Definition::of::<Undoable>(steps![A, B]),
        Definition::of::<Brisk>(steps![A, Light, C, Rows]),
    ])
    .unwrap()
}

/// A database, a script and a manual clock.
pub struct Stage {
    pub database: TestDatabase,
    pub world: Scripted,
    pub clock: ManualClock,
}

impl Stage {
    pub async fn new() -> Self {
        let database = database().await;
        sqlx::raw_sql("CREATE TABLE written (workflow uuid)").execute(database.store().pool()).await.unwrap();
        Self { database, world: Scripted::default(), clock: ManualClock::starting_now() }
    }

    pub fn store(&self) -> &Store {
        self.database.store()
    }

    pub fn engine(&self) -> Engine<Scripted> {
        self.engine_with(registry(), Options::manual(&self.clock))
    }

    pub fn engine_with(&self, registry: Registry<Told>, options: Options) -> Engine<Scripted> {
        Engine::new(self.store().clone(), registry, Arc::new(self.world.clone()), options)
    }

    pub async fn try_begin(&self, new: NewWorkflow) -> Inserted {
        let mut tx = self.store().begin().await.unwrap();
        let inserted = new.insert_at(&mut tx, Some(self.clock.now())).await.unwrap();
        tx.commit().await.unwrap();
        inserted
    }

    pub async fn begin<K: Kind<Input = ()>>(&self, subject: &str) -> model::ids::WorkflowId {
        let new = NewWorkflow::of::<K>(subject, &());
        let id = new.id();
        assert_eq!(self.try_begin(new).await, Inserted::New);
        id
    }

    pub async fn wish(&self, id: model::ids::WorkflowId, wish: &str) {
        assert!(workflow::wish(self.store().pool(), id, wish, Some(self.clock.now())).await.unwrap());
    }

    /// Runs until nothing is ready.
    pub async fn settle(&self) {
        assert_eq!(self.engine().run_until_idle(DAY).await.unwrap(), Idle::Quiet);
    }

    /// Runs what is due within `within`.
    pub async fn run(&self, within: Duration) {
        self.engine().run_until_idle(within).await.unwrap();
    }

    pub async fn detail(&self, id: model::ids::WorkflowId) -> Detail {
        store::workflow::detail(self.store().pool(), id).await.unwrap().unwrap()
    }

    pub async fn written(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM written").fetch_one(self.store().pool()).await.unwrap()
    }

    pub async fn open_alerts(&self) -> Vec<String> {
        let alerts = store::workflow::alerts(self.store().pool(), 100).await.unwrap();
        alerts.into_iter().filter(|alert| alert.resolved_at.is_none()).map(|alert| alert.kind).collect()
    }
}

pub fn wait(why: &'static str) -> Answer {
    Answer::Say(Outcome::wait_for(why, Duration::from_secs(3600)))
}

pub fn refuse() -> Answer {
    Answer::Say(Outcome::refuse("no_room", "There is no room; choose another place."))
}

pub fn transient() -> Answer {
    Answer::Fail(Fault::transient("connection reset by 10.0.0.1").told("the host does not answer"))
}

/// The halves of a detail's record: `make a done 1`.
pub fn halves(detail: &Detail) -> Vec<String> {
    let half = |direction: Direction| direction.as_str();
    detail
        .steps
        .iter()
        .map(|step| format!("{} {} {} {}", half(step.direction), step.name, step.state, step.attempts))
        .collect()
}

#[test]
fn a_registry_is_checked() {
    use workflow::Misdefined;
    let twice = Registry::new([Definition::of::<Life>(steps![A, B, A])]).err();
    assert_eq!(twice, Some(Misdefined::TwoSteps("life", "a")));
    let kinds = Registry::new([Definition::of::<Life>(steps![A]), Definition::of::<Life>(steps![B])]).err();
    assert_eq!(kinds, Some(Misdefined::TwoKinds("life")));
    let firm = Registry::new([Definition::of::<Life>(steps![A]).firm_after::<C>()]).err();
    assert_eq!(firm, Some(Misdefined::NoSuchStep("life", "c")));
    assert_eq!(Registry::<Told>::new([Definition::of::<Life>(Vec::new())]).err(), Some(Misdefined::NoSteps("life")));
}

#[test]
fn released_names_and_samples_are_listed_and_old_ones_still_read() {
    let registry = crate::shelf::registry();
    let released = registry.released();
    let names: Vec<_> = released["shelve"].steps.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["reserve", "list", "build", "painted", "open", "announce"]);
    assert_eq!(released["shelve"].steps[0].1, serde_json::json!({ "slot": 7 }));
    assert_eq!(released["shelve"].input, serde_json::json!({ "colour": "red" }));
    for (kind, released) in &released {
        registry.reads_input(kind, &released.input).unwrap();
        for (step, memo) in &released.steps {
            registry.reads_memo(kind, step, memo).unwrap();
        }
    }
    assert!(registry.reads_memo("shelve", "reserve", &Value::Null).is_err());
    assert!(registry.reads_memo("shelve", "gone", &Value::Null).is_err());
}
