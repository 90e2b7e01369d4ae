//! A client that goes away drops the future of its request, at any point of it. What it leaves in the pool must be as
//! good as new: no open transaction, no borrowed role, no team.

use model::ids::TeamId;
use sqlx::Row;
use std::time::Duration;
use store::Store;

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_begin_leaves_nothing_behind() {
    let database = store::testing::database().await;
    // One connection, so that whoever comes next gets what was left behind.
    let store = Store::connect(&database.url(), 1).await.unwrap();
    let owner: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(store.pool()).await.unwrap();
    for round in 0..400u64 {
        let team = TeamId(uuid::Uuid::now_v7());
        // Dropped wherever it is by then: before the statement is sent, before its answer has come, or done.
        let _ = tokio::time::timeout(Duration::from_micros(round * 7 % 1000), store.tenant(team)).await;
        let row =
            sqlx::query("SELECT current_user::text AS role, coalesce(current_setting('cairn.team', true), '') AS team")
                .fetch_one(store.pool())
                .await
                .unwrap();
        let seen = (row.get::<String, _>("role"), row.get::<String, _>("team"));
        assert_eq!(seen, (owner.clone(), String::new()), "round {round}: somebody else's transaction was still open");
    }
}

/// Nobody waits for the locks of whoever was cut off, or stands still, for longer than that.
#[tokio::test]
async fn a_transaction_that_stands_still_is_ended_and_its_locks_with_it() {
    let database = store::testing::database().await;
    let store = database.store();
    for (setting, wanted) in [("idle_in_transaction_session_timeout", "30s"), ("lock_timeout", "10s")] {
        let shown: String =
            sqlx::query_scalar("SELECT current_setting($1)").bind(setting).fetch_one(store.pool()).await.unwrap();
        assert_eq!(shown, wanted, "{setting}");
    }
    sqlx::raw_sql("CREATE TABLE things (id int PRIMARY KEY); INSERT INTO things VALUES (1)")
        .execute(store.pool())
        .await
        .unwrap();
    let locked = "SELECT id FROM things FOR UPDATE";
    // The same, with less patience.
    let mut still = store.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL idle_in_transaction_session_timeout = '1s'").execute(&mut *still).await.unwrap();
    sqlx::raw_sql(locked).execute(&mut *still).await.unwrap();
    let mut waits = store.begin().await.unwrap();
    sqlx::raw_sql("SET LOCAL lock_timeout = '50ms'").execute(&mut *waits).await.unwrap();
    let given_up: store::Error = sqlx::raw_sql(locked).execute(&mut *waits).await.unwrap_err().into();
    assert!(!store::workflow::is_mistake(&given_up), "it has to be tried again: {given_up:?}");
    waits.rollback().await.unwrap();
    // The one that stands still says nothing more.
    let mut after = store.begin().await.unwrap();
    sqlx::raw_sql(locked).execute(&mut *after).await.unwrap();
    let ended: store::Error = sqlx::raw_sql("SELECT 1").execute(&mut *still).await.unwrap_err().into();
    assert!(!store::workflow::is_mistake(&ended), "it has to be tried again: {ended:?}");
}
