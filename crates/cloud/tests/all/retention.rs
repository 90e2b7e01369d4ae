//! What ended long ago is forgotten, in pieces; what has not ended, and what is a record, is not.

use crate::stage::Stage;
use cloud::retention::{Forgotten, forget};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);

#[tokio::test]
async fn traces_are_forgotten_and_records_stay() {
    let stage = Stage::set().await;
    let (gone, stays) = (stage.server("gone").await, stage.server("stays").await);
    stage.destroy(gone).await;
    stage.settle().await;
    let count = async |what: &str| stage.one::<i64>(&format!("SELECT count(*) FROM {what}")).await;
    let before = (count("workflows").await, count("actions").await, count("events").await);
    stage
        .run(
            "INSERT INTO idempotency_keys (team_id, key, request_hash, resource_ids, action_ids, created_at)
               SELECT id, 'old', sha256('x'), '{}', '{}', now() - interval '2 days' FROM teams",
        )
        .await;

    let now = Timestamp::now();
    let first = forget(stage.store(), now, MONTH).await.unwrap();
    assert_eq!(first, Forgotten { keys: 1, ..Forgotten::default() }, "nothing is old enough but the key");
    let later = now + SignedDuration::from_hours(31 * 24);
    let second = forget(stage.store(), later, MONTH).await.unwrap();
    assert!(second.workflows >= 1 && second.events == before.2.unsigned_abs(), "{second:?}");
    assert_eq!(count("workflows").await, before.0 - i64::try_from(second.workflows).unwrap());
    assert_eq!((count("actions").await, count("events").await), (before.1, 0));
    let left: Vec<(String,)> = stage.all("SELECT subject FROM workflows WHERE kind = 'server'").await;
    assert_eq!(left, [(format!("server:{stays}"),)], "the life of a server that is there stays");
    assert_eq!(forget(stage.store(), later, MONTH).await.unwrap(), Forgotten::default());
}

#[tokio::test]
async fn a_workflow_goes_after_those_under_it_and_a_batch_is_a_batch() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let wish = cloud::server::wishes::Wish::Reboot;
    cloud::server::wishes::ask(stage.store(), &stage.caller, server, &wish).await.unwrap();
    stage.settle().await;
    stage.destroy(server).await;
    stage.settle().await;
    let ended = stage.one::<i64>("SELECT count(*) FROM workflows WHERE finished_at IS NOT NULL").await;
    let later = Timestamp::now() + SignedDuration::from_hours(24);
    let mut one_by_one = 0;
    while store::retention::forget_workflows(stage.store(), later, 1).await.unwrap() == 1 {
        one_by_one += 1;
    }
    assert_eq!(one_by_one, ended);
    assert!(ended >= 2);
}
