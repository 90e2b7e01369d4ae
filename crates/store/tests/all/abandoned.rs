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
