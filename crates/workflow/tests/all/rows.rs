//! The schema as the last line of defence: impossible rows, other teams' rows, and plans that scale.

use crate::scripted::{Act, Answer, Life, Stage, wait};
use model::ids::TeamId;
use std::time::Duration;
use workflow::{Fault, Inserted, NewWorkflow, State, UNMAKE};

#[tokio::test]
async fn impossible_rows_are_refused() {
    let stage = Stage::new().await;
    stage.begin::<Act>("x").await;
    for impossible in [
        "UPDATE workflows SET state = 'resting', wake_at = NULL",
        "UPDATE workflows SET state = 'completed', wake_at = NULL",
        "UPDATE workflows SET wake_at = NULL",
        "UPDATE workflows SET state = 'undone', wake_at = NULL, finished_at = now()",
        "UPDATE workflows SET state = 'refused', wake_at = NULL, finished_at = now()",
        "UPDATE workflows SET state = 'parked', wake_at = NULL",
        "UPDATE workflows SET lease_token = 1",
        "UPDATE workflows SET task_progress = '3 %'",
        "UPDATE workflows SET direction = 'sideways'",
        "UPDATE workflows SET parent_id = id",
    ] {
        let refused = sqlx::raw_sql(impossible).execute(stage.store().pool()).await;
        let refused = refused.expect_err(impossible);
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "23514", "{impossible}");
    }
}

#[tokio::test]
async fn one_exclusive_workflow_per_subject_but_deleting_is_always_possible() {
    let stage = Stage::new().await;
    let life = stage.begin::<Life>("x").await;
    assert_eq!(stage.try_begin(NewWorkflow::of::<Act>("x", &())).await, Inserted::Busy);
    assert_eq!(stage.try_begin(NewWorkflow::of::<Act>("y", &())).await, Inserted::New);
    stage.settle().await;
    stage.world.tell("x", "make a", [wait("a sign")]);
    assert_eq!(stage.try_begin(NewWorkflow::of::<Act>("x", &())).await, Inserted::New);
    stage.wish(life, UNMAKE).await;
    assert_eq!(stage.detail(life).await.state, State::Ready);
}

#[tokio::test]
async fn a_team_sees_asks_and_wishes_its_own_and_nothing_internal() {
    let stage = Stage::new().await;
    let (ours, theirs) = (TeamId(uuid::Uuid::now_v7()), TeamId(uuid::Uuid::now_v7()));
    let fault = Fault::transient("the token of the host is s3cret");
    stage.world.tell("x", "make a", (0..100).map(|_| Answer::Fail(fault.clone())));
    let new = NewWorkflow::of::<Life>("x", &()).team(ours);
    let id = new.id();
    let mut tx = stage.store().tenant(ours).await.unwrap();
    assert_eq!(new.insert(&mut tx).await.unwrap(), Inserted::New);
    assert_eq!(NewWorkflow::of::<Act>("x", &()).team(ours).insert(&mut tx).await.unwrap(), Inserted::Busy);
    tx.commit().await.unwrap();
    stage.clock.advance(Duration::from_secs(1));
    stage.run(Duration::ZERO).await;

    let mut tx = stage.store().tenant(ours).await.unwrap();
    let detail = store::workflow::detail(&mut *tx, id).await.unwrap().unwrap();
    assert!(!format!("{detail:?}").contains("s3cret"));
    assert_eq!(detail.steps.len(), 1);
    assert!(workflow::wake(&mut *tx, id, None).await.unwrap());
    assert!(workflow::wish(&mut *tx, id, UNMAKE, None).await.unwrap());
    assert_eq!(
        NewWorkflow::of::<Act>("z", &()).team(ours).parent(id).insert(&mut tx).await.unwrap(),
        Inserted::ParentLeaving
    );
    tx.commit().await.unwrap();

    let mut tx = stage.store().tenant(theirs).await.unwrap();
    assert!(store::workflow::detail(&mut *tx, id).await.unwrap().is_none());
    assert!(!workflow::wake(&mut *tx, id, None).await.unwrap());
    assert!(!workflow::wish(&mut *tx, id, UNMAKE, None).await.unwrap());
    assert!(NewWorkflow::of::<Act>("y", &()).team(ours).insert(&mut tx).await.is_err(), "a row for another team");

    for forbidden in [
        "SELECT last_error FROM workflows",
        "SELECT memo FROM workflow_steps",
        "UPDATE workflows SET step_name = 'z'",
        "UPDATE workflows SET lease_token = NULL",
        "DELETE FROM workflows",
        "SELECT message FROM alerts",
    ] {
        let mut tx = stage.store().tenant(ours).await.unwrap();
        let refused = sqlx::raw_sql(forbidden).execute(&mut *tx).await.expect_err(forbidden);
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501", "{forbidden}");
    }
}

#[tokio::test]
async fn leasing_reads_only_what_is_due() {
    let stage = Stage::new().await;
    sqlx::raw_sql(
        "INSERT INTO workflows (id, kind, subject, input, lifecycle, exclusive, state, wake_at, unmade_within)
         SELECT gen_random_uuid(), 'life', 'x:' || n, 'null', true, true, 'resting', NULL, interval '1 hour'
         FROM generate_series(1, 20000) n;
         INSERT INTO workflows (id, kind, subject, input, lifecycle, exclusive, wake_at, unmade_within)
         SELECT gen_random_uuid(), 'life', 'y:' || n, 'null', true, true, now() + interval '1 hour', interval '1 hour'
         FROM generate_series(1, 2000) n;
         ANALYZE workflows",
    )
    .execute(stage.store().pool())
    .await
    .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT id FROM workflows
         WHERE state = 'ready' AND wake_at <= coalesce(NULL, statement_timestamp()) AND kind = ANY (ARRAY['life'])
           AND (lease_until IS NULL OR lease_until <= coalesce(NULL, statement_timestamp()))
         ORDER BY wake_at, id LIMIT 32 FOR NO KEY UPDATE SKIP LOCKED",
    )
    .fetch_all(stage.store().pool())
    .await
    .unwrap();
    assert!(plan.iter().any(|line| line.contains("workflows_due")), "{plan:#?}");
}
