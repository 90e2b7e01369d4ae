//! A shelf with slots (rows) and a factory that builds boxes (the provider): slow tasks, no transactions, a memory of
//! its own. Everything here begins by looking, as a product's steps would.

use async_trait::async_trait;
use model::ids::WorkflowId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{Store, Tx};
use workflow::{
    Definition, End, Ended, Fault, Inserted, Kind, NewWorkflow, Outcome, Recorded, Registry, Run, Shape, Step, TaskEnd,
    TaskName, TaskState, Unwinding, Weight, World, steps,
};

/// The provider.
#[derive(Default)]
pub struct Factory {
    boxes: BTreeMap<String, Boxed>,
    tasks: BTreeMap<String, Task>,
    count: usize,
}

#[derive(Default, Clone, Debug)]
struct Boxed {
    built: bool,
    painted: bool,
    polished: bool,
    wrapped: bool,
    open: bool,
}

struct Task {
    subject: String,
    looks_left: u32,
    work: Work,
}

#[derive(Clone, Copy)]
enum Work {
    Build,
    Scrap,
    Paint,
}

impl Factory {
    fn start(&mut self, subject: &str, work: Work) -> TaskName {
        self.count += 1;
        let name = format!("task-{}", self.count);
        self.tasks.insert(name.clone(), Task { subject: subject.to_owned(), looks_left: 3, work });
        TaskName(name)
    }

    fn running(&self, subject: &str) -> bool {
        self.tasks.values().any(|task| task.subject == subject)
    }

    /// Time passes at the factory whenever somebody looks.
    fn tick(&mut self, subject: &str) {
        let names: Vec<_> =
            self.tasks.iter().filter(|(_, task)| task.subject == subject).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(task) = self.tasks.get_mut(&name) else { continue };
            task.looks_left = task.looks_left.saturating_sub(1);
            if task.looks_left == 0 {
                let work = task.work;
                self.tasks.remove(&name);
                match work {
                    Work::Build => self.boxes.entry(subject.to_owned()).or_default().built = true,
                    Work::Scrap => drop(self.boxes.remove(subject)),
                    Work::Paint => {
                        if let Some(found) = self.boxes.get_mut(subject) {
                            found.painted = true;
                        }
                    }
                }
            }
        }
    }
}

#[derive(Default)]
pub struct Shelf {
    pub factory: Arc<Mutex<Factory>>,
}

pub struct Context {
    factory: Arc<Mutex<Factory>>,
}

impl Context {
    /// Looks, which takes the factory a little further.
    fn look<T>(&self, subject: &str, look: impl FnOnce(&mut Factory) -> T) -> T {
        let mut factory = self.factory.lock().unwrap();
        factory.tick(subject);
        look(&mut factory)
    }
}

#[async_trait]
impl World for Shelf {
    type Context = Context;

    async fn context(&self, _run: &Run<Context>) -> Result<Context, Fault> {
        Ok(Context { factory: Arc::clone(&self.factory) })
    }

    async fn task(&self, run: &Run<Context>, task: &TaskName) -> Result<TaskState, Fault> {
        let mut factory = self.factory.lock().unwrap();
        factory.tick(run.subject());
        Ok(match factory.tasks.get(task.as_str()) {
            Some(task) => TaskState::Running { progress: Some(format!("{} looks left", task.looks_left)) },
            None => TaskState::Ended(TaskEnd::Unknown),
        })
    }

    async fn ended(&self, tx: &mut Tx, ended: &Ended) -> Result<(), Fault> {
        let end = match ended.end {
            End::Resting => "resting",
            End::Undone => "undone",
            End::Completed => "completed",
            End::Refused => "refused",
            End::Cancelled => "cancelled",
        };
        write(tx, "INSERT INTO endings (workflow, kind, ending) VALUES ($1, $2, $3)", ended.id, &[&ended.kind, end])
            .await
    }
}

pub const TABLES: &str = "
    CREATE TABLE slots (slot int PRIMARY KEY, workflow uuid UNIQUE);
    INSERT INTO slots SELECT generate_series(1, 400);
    CREATE TABLE listed (workflow uuid PRIMARY KEY, slot integer NOT NULL);
    CREATE TABLE labels (workflow uuid PRIMARY KEY, text text NOT NULL);
    CREATE TABLE ledger (workflow uuid, what text, tx bigint DEFAULT txid_current(), PRIMARY KEY (workflow, what, tx));
    CREATE TABLE endings (workflow uuid NOT NULL, kind text NOT NULL, ending text NOT NULL);";

pub async fn write(tx: &mut Tx, sql: &'static str, id: WorkflowId, more: &[&str]) -> Result<(), Fault> {
    let mut query = sqlx::query(sql).bind(id.0);
    for text in more {
        query = query.bind((*text).to_owned());
    }
    query.execute(&mut **tx).await.map_err(store::Error::from)?;
    Ok(())
}

/// One row per committed transaction of a half-step; so never two, whatever happens.
async fn book(run: &mut Run<Context>, what: &'static str) -> Result<(), Fault> {
    let id = run.id();
    write(run.tx().await?, "INSERT INTO ledger VALUES ($1, $2) ON CONFLICT DO NOTHING", id, &[what]).await
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Wanted {
    pub colour: String,
}

impl Recorded for Wanted {
    fn sample() -> Self {
        Self { colour: "red".to_owned() }
    }
}

/// A box on the shelf, for as long as it stands there.
pub struct Shelve;

impl Kind for Shelve {
    const KIND: &'static str = "shelve";
    const SHAPE: Shape = Shape::Lifecycle;
    const MADE_WITHIN: Duration = Duration::from_secs(600);
    type Input = Wanted;
}

/// Paints a box.
pub struct Paint;

impl Kind for Paint {
    const KIND: &'static str = "paint";
    const SHAPE: Shape = Shape::Action(Unwinding::Never);
    const EXCLUSIVE: bool = false;
    const MADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = Wanted;
}

/// Polishes a box that is finished.
pub struct Polish;

impl Kind for Polish {
    const KIND: &'static str = "polish";
    const SHAPE: Shape = Shape::Action(Unwinding::Always);
    const MADE_WITHIN: Duration = Duration::from_secs(300);
    type Input = ();
}

pub fn registry() -> Registry<Context> {
    Registry::new([
        Definition::of::<Shelve>(steps![Reserve, List, Build, Painted, Open, Announce]).firm_after::<Open>(),
        Definition::of::<Paint>(steps![Mix, Brush]),
        Definition::of::<Polish>(steps![Wrap, Shine, Stamp]),
    ])
    .unwrap()
}

#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Slot {
    pub slot: i32,
}

impl Recorded for Slot {
    fn sample() -> Self {
        Self { slot: 7 }
    }
}

/// A slot: a row, claimed in the step's transaction.
pub struct Reserve;

#[async_trait]
impl Step<Context> for Reserve {
    type Memo = Slot;
    const NAME: &'static str = "reserve";
    const WEIGHT: Weight = Weight::Rows;

    async fn make(&self, _cx: &Context, run: &mut Run<Context>) -> Result<Outcome<Slot>, Fault> {
        let id = run.id();
        let slot = sqlx::query_scalar::<_, i32>(
            "WITH mine AS (SELECT slot FROM slots WHERE workflow = $1),
             claimed AS (
                 UPDATE slots SET workflow = $1
                 WHERE slot = (SELECT slot FROM slots WHERE workflow IS NULL ORDER BY slot LIMIT 1 FOR UPDATE SKIP LOCKED)
                   AND NOT EXISTS (SELECT FROM mine)
                 RETURNING slot)
             SELECT slot FROM mine UNION ALL SELECT slot FROM claimed",
        )
        .bind(id.0)
        .fetch_optional(&mut **run.tx().await?)
        .await
        .map_err(store::Error::from)?;
        let Some(slot) = slot else { return Ok(Outcome::refuse("shelf_full", "Every slot is taken; remove a box.")) };
        book(run, "reserve").await?;
        Ok(Outcome::done(Slot { slot }))
    }

    async fn unmake(&self, _cx: &Context, run: &mut Run<Context>, _memo: Option<Slot>) -> Result<Outcome<()>, Fault> {
        let id = run.id();
        write(run.tx().await?, "UPDATE slots SET workflow = NULL WHERE workflow = $1", id, &[]).await?;
        book(run, "unreserve").await?;
        Ok(Outcome::done(()))
    }
}

/// The slot's entry in a list: rows alone, in the transaction of the step before it.
pub struct List;

#[async_trait]
impl Step<Context> for List {
    type Memo = ();
    const NAME: &'static str = "list";
    const WEIGHT: Weight = Weight::Rows;

    async fn make(&self, _cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        let id = run.id();
        let sql = "INSERT INTO listed SELECT workflow, slot FROM slots WHERE workflow = $1 ON CONFLICT DO NOTHING";
        write(run.tx().await?, sql, id, &[]).await?;
        book(run, "list").await?;
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let id = run.id();
        write(run.tx().await?, "DELETE FROM listed WHERE workflow = $1", id, &[]).await?;
        book(run, "unlist").await?;
        Ok(Outcome::done(()))
    }
}

/// The box itself: a task at the factory that takes several looks.
pub struct Build;

#[async_trait]
impl Step<Context> for Build {
    type Memo = ();
    const NAME: &'static str = "build";
    const AWAITS: &'static str = "the box to be built";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        run.memo::<Reserve>()?;
        cx.look(run.subject(), |factory| match factory.boxes.get(run.subject()) {
            Some(found) if found.built => Ok(Outcome::done(())),
            _ if factory.running(run.subject()) => Ok(Outcome::wait("the box that is still being built")),
            _ => Ok(Outcome::Follow(factory.start(run.subject(), Work::Build))),
        })
    }

    async fn unmake(&self, cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if factory.running(run.subject()) {
                return Ok(Outcome::wait("the factory to be done with the box"));
            }
            match factory.boxes.get(run.subject()) {
                Some(_) => Ok(Outcome::Follow(factory.start(run.subject(), Work::Scrap))),
                None => Ok(Outcome::done(())),
            }
        })
    }
}

/// Another workflow paints the box; its end wakes this one.
pub struct Painted;

#[async_trait]
impl Step<Context> for Painted {
    type Memo = ();
    const NAME: &'static str = "painted";

    async fn make(&self, _cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        let subject = run.subject().to_owned();
        match run.child::<Paint>(&subject).await? {
            Some(child) if child.state == workflow::State::Completed => Ok(Outcome::done(())),
            Some(child) if child.state.is_final() => {
                Ok(Outcome::refuse("not_painted", "The box could not be painted."))
            }
            Some(_) => Ok(Outcome::wait_for("the paint to dry", Duration::from_secs(3600))),
            None => {
                let wanted = run.input::<Shelve>()?;
                run.spawn(NewWorkflow::of::<Paint>(subject, &wanted)).await?;
                Ok(Outcome::wait_for("the paint to dry", Duration::from_secs(3600)))
            }
        }
    }

    async fn unmake(&self, _cx: &Context, _run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}

/// Opens the box: an instant call.
pub struct Open;

#[async_trait]
impl Step<Context> for Open {
    type Memo = ();
    const NAME: &'static str = "open";
    const WEIGHT: Weight = Weight::Light;

    async fn make(&self, cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| match factory.boxes.get_mut(run.subject()) {
            Some(found) => {
                found.open = true;
                Ok(Outcome::done(()))
            }
            None => Err(Fault::bug("the box is not there")),
        })
    }

    async fn unmake(&self, cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if let Some(found) = factory.boxes.get_mut(run.subject()) {
                found.open = false;
            }
        });
        Ok(Outcome::done(()))
    }
}

/// A label: a row again, so that the last step and the end share a transaction.
pub struct Announce;

#[async_trait]
impl Step<Context> for Announce {
    type Memo = ();
    const NAME: &'static str = "announce";

    async fn make(&self, _cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        let (id, colour) = (run.id(), run.input::<Shelve>()?.colour);
        let text = format!("{colour} in {}", run.memo::<Reserve>()?.slot);
        let sql = "INSERT INTO labels (workflow, text) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        write(run.tx().await?, sql, id, &[&text]).await?;
        book(run, "announce").await?;
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        let id = run.id();
        write(run.tx().await?, "DELETE FROM labels WHERE workflow = $1", id, &[]).await?;
        book(run, "unannounce").await?;
        Ok(Outcome::done(()))
    }
}

/// Nothing but a pause: a step that writes nothing.
pub struct Mix;

#[async_trait]
impl Step<Context> for Mix {
    type Memo = Wanted;
    const NAME: &'static str = "mix";

    async fn make(&self, _cx: &Context, run: &mut Run<Context>) -> Result<Outcome<Wanted>, Fault> {
        Ok(Outcome::done(run.input::<Paint>()?))
    }
}

pub struct Brush;

#[async_trait]
impl Step<Context> for Brush {
    type Memo = ();
    const NAME: &'static str = "brush";

    async fn make(&self, cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        assert_eq!(run.memo::<Mix>()?, run.input::<Paint>()?);
        let outcome = cx.look(run.subject(), |factory| match factory.boxes.get(run.subject()) {
            Some(found) if found.painted => Outcome::done(()),
            Some(_) if factory.running(run.subject()) => Outcome::wait("the brush"),
            Some(_) => Outcome::Follow(factory.start(run.subject(), Work::Paint)),
            None => Outcome::refuse("no_box", "There is no such box any more."),
        });
        if matches!(outcome, Outcome::Done(())) {
            book(run, "brush").await?;
        }
        Ok(outcome)
    }
}

/// The three steps of an action that unwinds.
pub struct Wrap;
pub struct Shine;
pub struct Stamp;

#[async_trait]
impl Step<Context> for Wrap {
    type Memo = ();
    const NAME: &'static str = "wrap";

    async fn make(&self, cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if let Some(found) = factory.boxes.get_mut(run.subject()) {
                found.wrapped = true;
            }
        });
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if let Some(found) = factory.boxes.get_mut(run.subject()) {
                found.wrapped = false;
            }
        });
        Ok(Outcome::done(()))
    }
}

#[async_trait]
impl Step<Context> for Shine {
    type Memo = ();
    const NAME: &'static str = "shine";

    async fn make(&self, cx: &Context, run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if let Some(found) = factory.boxes.get_mut(run.subject()) {
                found.polished = true;
            }
        });
        book(run, "shine").await?;
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, cx: &Context, run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        cx.look(run.subject(), |factory| {
            if let Some(found) = factory.boxes.get_mut(run.subject()) {
                found.polished = false;
            }
        });
        book(run, "unshine").await?;
        Ok(Outcome::done(()))
    }
}

#[async_trait]
impl Step<Context> for Stamp {
    type Memo = ();
    const NAME: &'static str = "stamp";

    async fn make(&self, _cx: &Context, _run: &mut Run<Context>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }

    async fn unmake(&self, _cx: &Context, _run: &mut Run<Context>, _memo: Option<()>) -> Result<Outcome<()>, Fault> {
        Ok(Outcome::done(()))
    }
}

impl Shelf {
    /// Panics unless the box stands there finished.
    pub fn assert_finished(&self, subject: &str) {
        let factory = self.factory.lock().unwrap();
        let found = factory.boxes.get(subject).unwrap_or_else(|| panic!("no box {subject}"));
        assert!(found.built && found.painted && found.open, "{found:?}");
        assert!(factory.tasks.is_empty());
    }

    /// Panics unless the box is polished and wrapped, or neither.
    pub fn assert_polished(&self, subject: &str, polished: bool) {
        let factory = self.factory.lock().unwrap();
        let found = &factory.boxes[subject];
        assert_eq!((found.polished, found.wrapped), (polished, polished));
    }

    pub fn assert_empty(&self) {
        let factory = self.factory.lock().unwrap();
        assert!(factory.boxes.is_empty(), "{:?}", factory.boxes);
        assert!(factory.tasks.is_empty());
    }
}

pub async fn begin(store: &Store, new: NewWorkflow, now: jiff::Timestamp) -> WorkflowId {
    let id = new.id();
    let mut tx = store.begin().await.unwrap();
    assert_eq!(new.insert_at(&mut tx, Some(now)).await.unwrap(), Inserted::New);
    tx.commit().await.unwrap();
    id
}

pub async fn number(store: &Store, sql: &'static str) -> i64 {
    sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap()
}

/// No slot, no label, and in the ledger and among the ends nothing twice.
pub async fn assert_rows_empty(store: &Store) {
    assert_eq!(number(store, "SELECT count(*) FROM slots WHERE workflow IS NOT NULL").await, 0, "slots");
    assert_eq!(number(store, "SELECT count(*) FROM labels").await, 0, "labels");
    assert_eq!(number(store, "SELECT count(*) FROM listed").await, 0, "the list");
    assert_exactly_once(store).await;
}

pub async fn assert_exactly_once(store: &Store) {
    let twice = "SELECT count(*) FROM (SELECT 1 FROM ledger GROUP BY workflow, what HAVING count(*) > 1) t";
    assert_eq!(number(store, twice).await, 0, "a step was committed twice");
    let ends = "SELECT count(*) FROM (SELECT 1 FROM endings GROUP BY workflow, ending HAVING count(*) > 1) t";
    assert_eq!(number(store, ends).await, 0, "an end was told twice");
}
