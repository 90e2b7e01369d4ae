use crate::service::Service;
use model::ids::TeamId;
use std::time::Duration;
use store::Store;
use store::idempotency::{Claim, claim, forget_old, hash_request, settle};

/// A request that makes one thing, slowly.
async fn make(store: &Store, team: TeamId, key: &str, hash: &[u8; 32], thing: i32) -> Claim {
    let mut tx = store.tenant(team).await.unwrap();
    let claimed = claim(&mut tx, team, key, hash).await.unwrap();
    if claimed == Claim::First {
        tokio::time::sleep(Duration::from_millis(50)).await;
        settle(&mut tx, team, key, &[thing], &[thing + 100]).await.unwrap();
    }
    tx.commit().await.unwrap();
    claimed
}

#[tokio::test]
async fn of_many_at_once_one_does_the_work_and_all_answer_the_same() {
    let service = Service::start().await;
    let (store, team) = (service.database.store(), service.ours.team);
    let hash = hash_request("POST", "/v2/droplets", b"{}");
    let all = (1..=6).map(|thing| make(store, team, "key", &hash, thing));
    let all = futures_util::future::join_all(all).await;
    assert_eq!(all.iter().filter(|claimed| **claimed == Claim::First).count(), 1);
    let repeats: Vec<_> = all.into_iter().filter(|claimed| *claimed != Claim::First).collect();
    assert!(repeats.iter().all(|claimed| *claimed == repeats[0] && *claimed != Claim::Mismatch), "{repeats:?}");
    // Another team's key is another key.
    assert_eq!(make(store, service.theirs.team, "key", &hash, 9).await, Claim::First);
}

#[tokio::test]
async fn another_request_with_the_key_is_told_so() {
    let service = Service::start().await;
    let (store, team) = (service.database.store(), service.ours.team);
    let hash = hash_request("POST", "/v2/droplets", b"{\"name\":\"a\"}");
    assert_eq!(make(store, team, "key", &hash, 1).await, Claim::First);
    for other in [
        hash_request("POST", "/v2/droplets", b"{\"name\":\"b\"}"),
        hash_request("POST", "/v2/droplet", b"s{\"name\":\"a\"}"),
        hash_request("PUT", "/v2/droplets", b"{\"name\":\"a\"}"),
    ] {
        assert_eq!(make(store, team, "key", &other, 1).await, Claim::Mismatch);
    }
    assert_eq!(make(store, team, "key", &hash, 2).await, Claim::Repeat { resources: vec![1], actions: vec![101] });
}

#[tokio::test]
async fn what_was_given_up_can_be_tried_again_and_keys_run_out() {
    let service = Service::start().await;
    let (store, team) = (service.database.store(), service.ours.team);
    let hash = hash_request("POST", "/v2/droplets", b"{}");
    let mut tx = store.tenant(team).await.unwrap();
    assert_eq!(claim(&mut tx, team, "key", &hash).await.unwrap(), Claim::First);
    let waiting = make(store, team, "key", &hash, 7);
    let giving_up = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(tx);
    };
    assert_eq!(tokio::join!(waiting, giving_up).0, Claim::First);
    assert_eq!(forget_old(store).await.unwrap(), 0);
    sqlx::query("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
        .execute(store.pool())
        .await
        .unwrap();
    assert_eq!(forget_old(store).await.unwrap(), 1);
    assert_eq!(make(store, team, "key", &hash, 8).await, Claim::First);
}
