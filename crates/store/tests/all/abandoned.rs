//! A client that goes away drops the future of its request, at any point of it. What it leaves in the pool must be as
//! good as new: no open transaction, no borrowed role, no team.

use model::ids::TeamId;
use sqlx::Row;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Lets `future` run for a moment and drops it wherever it then is.
async fn abandon<F: Future>(future: F, after: Duration) {
    let _ = tokio::time::timeout(after, future).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_begin_leaves_nothing_behind() {
    let database = store::testing::database().await;
    let store = database.store();
    let owner: String = sqlx::query_scalar("SELECT current_user::text").fetch_one(store.pool()).await.unwrap();
    for round in 0..400u64 {
        let team = TeamId(uuid::Uuid::now_v7());
        abandon(store.tenant(team), Duration::from_micros(round % 80 * 5)).await;
        // Polled once and dropped: the statement is sent, its answer has not arrived.
        let mut begun = pin!(store.tenant(team));
        let polled = begun.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending | Poll::Ready(Ok(_))));
    }
    // What was abandoned is rolled back behind our back; wait for it on a value.
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'";
    let patience_ends = tokio::time::Instant::now() + Duration::from_secs(10);
    while sqlx::query_scalar::<_, i64>(open).fetch_one(store.pool()).await.unwrap() > 0 {
        assert!(tokio::time::Instant::now() < patience_ends, "a transaction that nobody wants stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let connections = store.pool().size();
    let mut held = Vec::new();
    for _ in 0..connections {
        let mut connection = store.connection().await.unwrap();
        let row =
            sqlx::query("SELECT current_user::text AS role, coalesce(current_setting('cairn.team', true), '') AS team")
                .fetch_one(&mut *connection)
                .await
                .unwrap();
        assert_eq!((row.get::<String, _>("role"), row.get::<String, _>("team")), (owner.clone(), String::new()));
        held.push(connection);
    }
}
