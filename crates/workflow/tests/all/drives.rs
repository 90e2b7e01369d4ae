//! How one workflow is driven: order, waits, tasks, faults, refusals, wishes, children, deadlines.

use crate::scripted::{A, B};
use crate::scripted::{Act, Answer, C, DAY, Life, Stage, Undoable, halves, refuse, registry, transient, wait};
use model::ids::WorkflowId;
use std::time::Duration;
use store::workflow::New;
use workflow::{
    CANCEL, Definition, End, Fault, Idle, Inserted, NewWorkflow, Options, Outcome, Registry, State, TaskEnd, TaskState,
    UNMAKE, steps,
};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_lifecycle_makes_rests_and_unmakes_backwards() {
    let stage = Stage::new().await;
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make c"]);
    let made = stage.detail(id).await;
    assert_eq!((made.state, made.sentence()), (State::Resting, None));
    assert!(made.made_at.is_some() && made.finished_at.is_none());
    assert_eq!(halves(&made), ["make a done 1", "make b done 1", "make c done 1"]);

    stage.wish(id, UNMAKE).await;
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x")[3..], ["unmake c", "unmake b", "unmake a"]);
    let undone = stage.detail(id).await;
    assert_eq!(undone.state, State::Undone);
    assert_eq!(halves(&undone)[3..], ["unmake c done 1", "unmake b done 1", "unmake a done 1"]);
    let ended = stage.world.0.lock().unwrap().ended.clone();
    assert_eq!(ended, [("x".to_owned(), End::Resting), ("x".to_owned(), End::Undone)]);
    assert!(!workflow::wish(stage.store().pool(), id, UNMAKE, None).await.unwrap(), "it is over");
}

#[tokio::test]
async fn a_refusal_unmakes_the_refusing_step_and_all_before() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [refuse()]);
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "unmake b", "unmake a"]);
    let detail = stage.detail(id).await;
    assert_eq!(detail.state, State::Undone);
    assert_eq!(detail.refusal.clone().unwrap()["code"], "no_room");
    assert_eq!(halves(&detail)[..2], ["make a done 1", "make b refused 1"]);
    assert_eq!(stage.world.0.lock().unwrap().refused, ["no_room"]);
}

#[tokio::test]
async fn actions_end_refused_with_or_without_unwinding() {
    let stage = Stage::new().await;
    for subject in ["x", "y"] {
        stage.world.tell(subject, "make b", [refuse()]);
    }
    let (stays, unwinds) = (stage.begin::<Act>("x").await, stage.begin::<Undoable>("y").await);
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b"]);
    assert_eq!(stage.world.calls_of("y"), ["make a", "make b", "unmake b", "unmake a"]);
    assert_eq!(stage.detail(stays).await.state, State::Refused);
    assert_eq!(stage.detail(unwinds).await.state, State::Refused);
    let third = stage.begin::<Act>("z").await;
    stage.settle().await;
    assert_eq!(stage.detail(third).await.state, State::Completed);
}

#[tokio::test]
async fn past_the_firm_step_nothing_is_unmade() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make c", [refuse()]);
    let id = stage.begin::<Life>("x").await;
    let firm = Registry::new([Definition::of::<Life>(steps![A, B, C]).firm_after::<B>()]).unwrap();
    let engine = stage.engine_with(firm, Options::manual(&stage.clock));
    assert_eq!(engine.run_until_idle(DAY).await.unwrap(), Idle::Quiet);
    assert_eq!(stage.detail(id).await.state, State::Parked);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make c"]);
}

#[tokio::test]
async fn a_bug_parks_until_an_operator_retries() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [Answer::Write(Box::new(Answer::Fail(Fault::bug("BUG: x is y")))), Answer::Panic]);
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    let detail = stage.detail(id).await;
    assert_eq!(detail.state, State::Parked);
    assert!(detail.sentence().unwrap().contains("operators"), "{:?}", detail.sentence());
    assert_eq!(stage.open_alerts().await, ["workflow-parked"]);
    assert_eq!(stage.written().await, 0, "a bug rolls its step back");
    let parked = store::workflow::parked(stage.store().pool()).await.unwrap();
    assert_eq!((parked[0].id, parked[0].last_error.as_str()), (id, "BUG: x is y"));
    let alerts = store::workflow::open_alerts_of(stage.store().pool(), id).await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].message.contains("life x stands still at b: BUG: x is y"), "{alerts:?}");

    let now = Some(stage.clock.now());
    assert!(store::workflow::retry(stage.store().pool(), id, now).await.unwrap());
    assert!(stage.open_alerts().await.is_empty());
    stage.settle().await;
    assert!(store::workflow::parked(stage.store().pool()).await.unwrap()[0].last_error.contains("told to panic"));
    assert_eq!(stage.open_alerts().await, ["workflow-parked"]);

    assert!(store::workflow::retry(stage.store().pool(), id, now).await.unwrap());
    assert!(!store::workflow::retry(stage.store().pool(), id, now).await.unwrap(), "it is not parked any more");
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert!(stage.open_alerts().await.is_empty());
}

#[tokio::test]
async fn a_panic_of_the_product_parks_one_workflow_and_no_more() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make a", [Answer::Say(Outcome::follow("panics"))]);
    stage.world.tell("y", "make b", [refuse()]);
    stage.world.0.lock().unwrap().end_panics = 1;
    for subject in ["x", "y", "z"] {
        stage.begin::<Act>(subject).await;
    }
    stage.settle().await;
    let parked = store::workflow::parked(stage.store().pool()).await.unwrap();
    let why: Vec<_> = parked.iter().map(|parked| (parked.subject.as_str(), parked.last_error.as_str())).collect();
    assert_eq!(why.len(), 2, "{why:?}");
    assert!(why[0].0 == "x" && why[0].1.contains("the look at a task"), "{why:?}");
    assert!(why[1].1.contains("the end"), "{why:?}");
}

#[tokio::test]
async fn a_parked_lifecycle_can_still_be_deleted() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [Answer::Panic]);
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    stage.wish(id, UNMAKE).await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Undone);
    assert!(stage.open_alerts().await.is_empty());
}

#[tokio::test]
async fn lateness_is_told_once_honestly_and_forgotten_at_the_end() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [wait("a free hand"), wait("a free hand")]);
    let id = stage.begin::<Life>("x").await;
    stage.run(Duration::from_secs(30)).await;
    assert_eq!(stage.detail(id).await.sentence().unwrap(), "waiting for a free hand");
    assert!(stage.open_alerts().await.is_empty());

    stage.clock.advance(Duration::from_secs(700));
    stage.run(Duration::from_secs(1)).await;
    assert_eq!(stage.open_alerts().await, ["workflow-late"]);
    let sentence = stage.detail(id).await.sentence().unwrap();
    assert_eq!(sentence, "taking longer than usual: a free hand, attempt 1");
    assert_eq!(store::workflow::raise_late(stage.store().pool(), Some(stage.clock.now())).await.unwrap(), 0, "once");

    stage.settle().await;
    let alerts = store::workflow::alerts(stage.store().pool(), 10).await.unwrap();
    assert_eq!(alerts.len(), 1);
    assert!(alerts[0].resolved_at.is_some());

    // Unmaking has a deadline of its own, which begins with the wish.
    stage.world.tell("x", "unmake b", [wait("the last guest")]);
    stage.wish(id, UNMAKE).await;
    stage.run(Duration::from_secs(200)).await;
    assert!(stage.open_alerts().await.is_empty());
    stage.clock.advance(Duration::from_secs(400));
    stage.run(Duration::from_secs(1)).await;
    assert_eq!(stage.open_alerts().await, ["workflow-late"]);
    stage.settle().await;
    assert!(stage.open_alerts().await.is_empty());
}

/// The pauses between the attempts of a step that fails ten times.
async fn pauses(seed: u64) -> Vec<i64> {
    let stage = Stage::new().await;
    stage.world.tell("x", "make a", (0..12).map(|_| transient()));
    let new = New {
        id: WorkflowId(uuid::Uuid::from_u128(7)),
        kind: "act".to_owned(),
        subject: "x".to_owned(),
        team: None,
        parent: None,
        input: serde_json::Value::Null,
        lifecycle: false,
        exclusive: true,
        made_within: HOUR,
        unmade_within: HOUR,
    };
    store::workflow::insert(stage.store().pool(), &new, Some(stage.clock.now())).await.unwrap();
    let options = {
        let mut options = Options::manual(&stage.clock);
        options.seed = seed;
        options
    };
    stage.engine_with(registry(), options).run_until_idle(DAY).await.unwrap();
    let detail = stage.detail(new.id).await;
    assert_eq!(detail.state, State::Completed);
    assert_eq!(halves(&detail)[0], "make a done 13");
    let times = stage.world.0.lock().unwrap().times.clone();
    times[..13].windows(2).map(|pair| pair[1].as_millisecond() - pair[0].as_millisecond()).collect()
}

#[tokio::test]
async fn backoff_grows_with_jitter_and_repeats_under_a_seed() {
    let (one, again, other) = (pauses(1).await, pauses(1).await, pauses(2).await);
    assert!(one.iter().zip(&again).all(|(a, b)| (a - b).abs() <= 1), "{one:?} {again:?}");
    assert_ne!(one, other);
    for (faults, pause) in one.iter().chain(&other).enumerate() {
        let ceiling = (200_i64 << (faults % 12)).min(60_000);
        assert!(*pause <= ceiling + 1, "{pause} ms after {faults} faults");
    }
    assert!(one.iter().max() > Some(&5_000), "it does not grow: {one:?}");
}

#[tokio::test]
async fn a_fault_shows_its_sentence_and_hides_its_detail() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make a", (0..100).map(|_| transient()));
    let id = stage.begin::<Act>("x").await;
    stage.run(Duration::from_millis(10)).await;
    let detail = stage.detail(id).await;
    assert_eq!(detail.sentence().unwrap(), "the host does not answer; trying again");
    assert!(!format!("{detail:?}").contains("10.0.0.1"), "{detail:?}");
}

#[tokio::test]
async fn a_wish_to_be_unmade_ends_a_wait_at_once() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [wait("something that never comes")]);
    let id = stage.begin::<Life>("x").await;
    stage.run(Duration::from_secs(1)).await;
    stage.wish(id, UNMAKE).await;
    let before = stage.clock.now();
    stage.settle().await;
    assert!(stage.clock.now().duration_since(before).as_secs() < 1, "it waited");
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "unmake b", "unmake a"]);
    assert_eq!(stage.detail(id).await.state, State::Undone);
}

#[tokio::test]
async fn a_wake_ends_a_wait_and_other_wishes_reach_the_step() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [wait("a sign")]);
    let id = stage.begin::<Life>("x").await;
    stage.run(Duration::from_secs(1)).await;
    let before = stage.clock.now();
    assert!(workflow::wake(stage.store().pool(), id, Some(before)).await.unwrap());
    stage.wish(id, "stop").await;
    stage.wish(id, "stop").await;
    stage.settle().await;
    assert!(stage.clock.now().duration_since(before).as_secs() < 1);
    let detail = stage.detail(id).await;
    assert_eq!((detail.state, detail.wishes), (State::Resting, vec!["stop".to_owned()]));
}

#[tokio::test]
async fn unmaking_calls_off_the_actions_first() {
    let stage = Stage::new().await;
    let parent = stage.begin::<Life>("x").await;
    stage.settle().await;
    stage.world.tell("x", "make b", [wait("a very long task")]);
    let new = NewWorkflow::of::<Act>("x", &()).parent(parent);
    let child = new.id();
    assert_eq!(stage.try_begin(new).await, Inserted::New);
    assert_eq!(stage.try_begin(NewWorkflow::of::<Act>("x", &())).await, Inserted::Busy);
    stage.run(Duration::from_secs(1)).await;

    stage.wish(parent, UNMAKE).await;
    assert_eq!(stage.try_begin(NewWorkflow::of::<Act>("q", &()).parent(parent)).await, Inserted::ParentLeaving);
    let before = stage.clock.now();
    stage.settle().await;
    assert_eq!(stage.detail(child).await.state, State::Cancelled);
    assert_eq!(stage.detail(parent).await.state, State::Undone);
    assert!(stage.clock.now().duration_since(before).as_secs() < 1, "the end of the child did not wake the parent");
    let ends: Vec<_> = stage.world.0.lock().unwrap().ended.iter().map(|(_, end)| *end).collect();
    assert_eq!(ends, [End::Resting, End::Cancelled, End::Undone]);
    assert_eq!(stage.world.calls_of("x")[5..], ["unmake c", "unmake b", "unmake a"]);
}

#[tokio::test]
async fn an_action_that_unwinds_is_called_off_backwards() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [wait("a sign")]);
    let id = stage.begin::<Undoable>("x").await;
    stage.run(Duration::from_secs(1)).await;
    stage.wish(id, CANCEL).await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Cancelled);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "unmake b", "unmake a"]);
}

#[tokio::test]
async fn the_end_of_a_child_wakes_its_parent() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [Answer::Spawn("child")]);
    stage.world.tell("child", "make a", [Answer::Say(Outcome::wait_for("paint", Duration::from_secs(20)))]);
    let id = stage.begin::<Life>("x").await;
    let before = stage.clock.now();
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make b", "make c"]);
    assert!(stage.clock.now().duration_since(before).as_secs() < 30, "the parent slept on");
}

#[tokio::test]
async fn a_task_is_written_down_followed_and_its_end_is_seen() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [Answer::Say(Outcome::follow("t1"))]);
    let running = || TaskState::Running { progress: Some("41 %".to_owned()) };
    let failed = TaskState::Ended(TaskEnd::Failed("no space".to_owned()));
    stage.world.0.lock().unwrap().tasks.insert("t1".to_owned(), [running(), running(), failed].into());
    let id = stage.begin::<Life>("x").await;
    stage.run(Duration::ZERO).await;
    let task: Option<String> = sqlx::query_scalar("SELECT task FROM workflows WHERE id = $1")
        .bind(id.0)
        .fetch_one(stage.store().pool())
        .await
        .unwrap();
    assert_eq!(task.as_deref(), Some("t1"));
    // Another engine goes on where this one stopped.
    stage.run(Duration::from_millis(1_100)).await;
    assert_eq!(stage.detail(id).await.sentence().unwrap(), "waiting for the task of b (41 %)");
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make b", "make c"]);
    let seen = stage.world.0.lock().unwrap().followed.clone();
    assert_eq!(seen, [None, None, Some(Some(TaskEnd::Failed("no space".to_owned()))), None]);
}

#[tokio::test]
async fn who_turns_away_from_a_running_task_is_told() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make b", [Answer::Say(Outcome::follow("t1"))]);
    let running: Vec<_> = (0..100).map(|_| TaskState::Running { progress: None }).collect();
    stage.world.0.lock().unwrap().tasks.insert("t1".to_owned(), running.into());
    let id = stage.begin::<Life>("x").await;
    stage.run(Duration::from_secs(3)).await;
    stage.wish(id, UNMAKE).await;
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "unmake b", "unmake a"]);
    assert_eq!(stage.world.0.lock().unwrap().followed[2..], [Some(None), None]);
}

#[tokio::test]
async fn a_steps_rows_are_committed_with_its_progress_or_not_at_all() {
    let stage = Stage::new().await;
    let write = |then| Answer::Write(Box::new(then));
    let done = || Answer::Say(Outcome::Done(()));
    stage.world.tell("x", "make a", [write(transient()), write(wait("a sign")), write(done())]);
    // The product cannot close its rows at first: the last step is rolled back and tried again.
    stage.world.tell("x", "make c", [write(done()), write(done())]);
    stage.world.0.lock().unwrap().end_faults.push_back(Fault::transient("not now"));
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert_eq!(stage.written().await, 3);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make a", "make a", "make b", "make c", "make c"]);
}

#[tokio::test]
async fn a_commit_that_the_database_refuses_is_a_fault_of_the_step() {
    let stage = Stage::new().await;
    let deferred = "ALTER TABLE written ADD UNIQUE (workflow) DEFERRABLE INITIALLY DEFERRED";
    sqlx::raw_sql(deferred).execute(stage.store().pool()).await.unwrap();
    let done = || Answer::Write(Box::new(Answer::Say(Outcome::Done(()))));
    stage.world.tell("x", "make a", [done()]);
    stage.world.tell("x", "make b", [done(), done()]);
    let id = stage.begin::<Life>("x").await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert_eq!(stage.written().await, 1);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make b", "make b", "make b", "make c"]);
}

#[tokio::test]
async fn progress_is_by_name_across_releases() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make c", [wait("the next release")]);
    let id = stage.begin::<Life>("x").await;
    let old = Registry::new([Definition::of::<Life>(steps![A, C])]).unwrap();
    stage.engine_with(old.clone(), Options::manual(&stage.clock)).run_until_idle(Duration::ZERO).await.unwrap();
    assert_eq!(stage.world.calls_of("x"), ["make a", "make c"]);
    // The next release has a step in between, and another order.
    let new = Registry::new([Definition::of::<Life>(steps![C, A, B])]).unwrap();
    stage.engine_with(new, Options::manual(&stage.clock)).run_until_idle(DAY).await.unwrap();
    assert_eq!(stage.world.calls_of("x")[2..], ["make c", "make b"]);
    stage.wish(id, UNMAKE).await;
    // And the release before does not know one of its steps: it must not pretend.
    stage.engine_with(old, Options::manual(&stage.clock)).run_until_idle(DAY).await.unwrap();
    let parked = store::workflow::parked(stage.store().pool()).await.unwrap();
    assert!(parked[0].last_error.contains("step `b` is not known"), "{parked:?}");
    assert_eq!(stage.open_alerts().await, ["workflow-parked"]);
}

#[tokio::test]
async fn a_kind_that_nobody_knows_waits_for_somebody_who_does() {
    let stage = Stage::new().await;
    let id = stage.begin::<Undoable>("x").await;
    let without = Registry::new([Definition::of::<Life>(steps![A])]).unwrap();
    let engine = stage.engine_with(without, Options::manual(&stage.clock));
    assert_eq!(engine.run_until_idle(DAY).await.unwrap(), Idle::Quiet);
    assert_eq!(stage.detail(id).await.state, State::Ready);
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Completed);
}
