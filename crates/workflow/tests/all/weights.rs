//! Steps whose ends are not committed one by one: what is written together, and what a crash or a fault between them does.

use crate::scripted::{Answer, Brisk, Stage, halves, transient};
use std::sync::Arc;
use tokio::sync::Notify;
use workflow::{Outcome, State, UNMAKE};

fn done() -> Answer {
    Answer::Say(Outcome::Done(()))
}

fn writes() -> Answer {
    Answer::Write(Box::new(done()))
}

/// Which steps were written down in one transaction, in the order of the steps.
async fn together(stage: &Stage) -> Vec<Vec<String>> {
    sqlx::query_scalar(
        "SELECT array_agg(name ORDER BY step_index) FROM workflow_steps WHERE direction = 'make'
         GROUP BY xmin::text ORDER BY min(step_index)",
    )
    .fetch_all(stage.store().pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_light_end_is_written_with_the_next_and_rows_share_a_transaction() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make c", [writes()]);
    stage.world.tell("x", "make rows", [writes()]);
    let id = stage.begin::<Brisk>("x").await;
    stage.settle().await;
    assert_eq!(stage.world.calls_of("x"), ["make a", "make light", "make c", "make rows"]);
    assert_eq!(together(&stage).await, [vec!["a"], vec!["light", "c", "rows"]]);
    assert_eq!(stage.written().await, 2);
    let made = stage.detail(id).await;
    assert_eq!(halves(&made), ["make a done 1", "make light done 1", "make c done 1", "make rows done 1"]);

    stage.wish(id, UNMAKE).await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Undone);
    assert_eq!(stage.world.calls_of("x")[4..], ["unmake rows", "unmake c", "unmake light", "unmake a"]);
}

#[tokio::test]
async fn rows_do_not_share_what_was_not_opened() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make rows", [writes()]);
    stage.begin::<Brisk>("x").await;
    stage.settle().await;
    assert_eq!(together(&stage).await, [vec!["a"], vec!["light", "c"], vec!["rows"]]);
}

#[tokio::test]
async fn what_a_dead_worker_may_have_begun_is_unmade() {
    let stage = Stage::new().await;
    let (entered, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    stage.world.tell("x", "make c", [Answer::Gate(Arc::clone(&entered), never, Box::new(done()))]);
    let id = stage.begin::<Brisk>("x").await;
    let first = stage.engine();
    let running = tokio::spawn(async move { first.run_until_idle(crate::scripted::DAY).await });
    entered.notified().await;
    running.abort();
    let _ = running.await;
    // The end of `light` died with its worker, and nothing says that `c` was begun but what was within reach.
    assert_eq!(halves(&stage.detail(id).await), ["make a done 1"]);
    stage.wish(id, UNMAKE).await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Undone);
    assert_eq!(stage.world.calls_of("x")[3..], ["unmake c", "unmake light", "unmake a"]);
}

#[tokio::test]
async fn a_light_step_is_made_again_after_a_crash() {
    let stage = Stage::new().await;
    let (entered, never) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    stage.world.tell("x", "make c", [Answer::Gate(Arc::clone(&entered), never, Box::new(done()))]);
    let id = stage.begin::<Brisk>("x").await;
    let first = stage.engine();
    let running = tokio::spawn(async move { first.run_until_idle(crate::scripted::DAY).await });
    entered.notified().await;
    running.abort();
    let _ = running.await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert_eq!(stage.world.calls_of("x")[3..], ["make light", "make c", "make rows"]);
}

#[tokio::test]
async fn steps_that_shared_a_transaction_for_nothing_are_done_one_by_one() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make c", [writes(), writes()]);
    stage.world.tell("x", "make rows", [Answer::Write(Box::new(transient())), writes()]);
    let id = stage.begin::<Brisk>("x").await;
    stage.settle().await;
    let detail = stage.detail(id).await;
    assert_eq!(detail.state, State::Resting);
    assert_eq!(stage.world.calls_of("x"), ["make a", "make light", "make c", "make rows", "make c", "make rows"]);
    assert_eq!(stage.written().await, 2, "what came to nothing wrote nothing");
    assert_eq!(together(&stage).await, [vec!["a"], vec!["light", "c"], vec!["rows"]]);
}

#[tokio::test]
async fn an_end_that_fails_takes_back_every_step_that_shared_its_transaction() {
    let stage = Stage::new().await;
    stage.world.tell("x", "make c", [writes(), writes()]);
    stage.world.tell("x", "make rows", [writes(), writes()]);
    stage.world.0.lock().unwrap().end_faults.push_back(workflow::Fault::transient("the end could not be told"));
    let id = stage.begin::<Brisk>("x").await;
    stage.settle().await;
    assert_eq!(stage.detail(id).await.state, State::Resting);
    assert_eq!(stage.written().await, 2);
}
