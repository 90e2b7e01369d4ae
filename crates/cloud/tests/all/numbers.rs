//! Numbers of guests.

use crate::crowd::stranger;
use crate::stage::Stage;
use store::guest_numbers;

#[tokio::test]
async fn a_guest_is_called_by_its_number_and_gives_it_back() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let number = stage.number(server).await;
    assert!((100..=199).contains(&number.parse::<u32>().unwrap()), "{number}");
    assert!(stage.crowd.state().guests.contains_key(&number));
    stage.destroy(server).await;
    stage.settle().await;
    assert!(stage.crowd.state().guests.is_empty());
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM guest_numbers WHERE freed_at IS NULL").await, 0);

    let next = stage.server("web").await;
    assert_ne!(stage.number(next).await, number, "a number rests before it is given again");
}

#[tokio::test]
async fn a_strangers_number_is_left_to_it() {
    let stage = Stage::set().await;
    for number in 100..=110 {
        stage.crowd.state().strangers.insert(number.to_string(), stranger(&number.to_string(), "pve1"));
    }
    let servers = [stage.server("a").await, stage.server("b").await];
    for server in servers {
        assert!(stage.number(server).await.parse::<u32>().unwrap() > 110);
    }
    assert_eq!(stage.crowd.state().strangers.len(), 11, "no stranger was touched");
    assert!(stage.crowd.state().deleted.is_empty());
}

#[tokio::test]
async fn a_server_that_only_meets_strangers_is_refused() {
    let stage = Stage::numbered(Some((100, 104))).await;
    for number in 100..=104 {
        stage.crowd.state().strangers.insert(number.to_string(), stranger(&number.to_string(), "pve1"));
    }
    let server = stage.order("web").await;
    stage.settle().await;
    let refusal: serde_json::Value = stage
        .one(&format!("SELECT w.refusal FROM workflows w JOIN servers s ON s.workflow_id = w.id WHERE s.id = {server}"))
        .await;
    assert_eq!(refusal["code"], "guest_id_taken");
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM reservations").await, 0);
    assert_eq!(stage.crowd.state().strangers.len(), 5);
}

#[tokio::test]
async fn a_range_is_used_up_before_a_number_is_given_again_early() {
    let stage = Stage::numbered(Some((100, 102))).await;
    let servers = [stage.server("a").await, stage.server("b").await, stage.server("c").await];
    let full = stage.order("d").await;
    stage.settle().await;
    assert!(stage.one::<bool>(&format!("SELECT deleted_at IS NOT NULL FROM servers WHERE id = {full}")).await);

    let freed = stage.number(servers[1]).await;
    stage.destroy(servers[1]).await;
    stage.settle().await;
    let next = stage.server("e").await;
    assert_eq!(stage.number(next).await, freed, "the only one that is left");
}

#[tokio::test]
async fn a_repeated_claim_finds_what_it_has_and_regions_do_not_share() {
    let stage = Stage::numbered(None).await;
    let store = stage.store();
    let mut tx = store.begin().await.unwrap();
    let region = model::ids::RegionSlug::from("local");
    let (one, two) = (model::ids::ServerId(901), model::ids::ServerId(902));
    let first = guest_numbers::claim(&mut tx, &region, one, (7, 8)).await.unwrap().unwrap();
    assert_eq!(guest_numbers::claim(&mut tx, &region, one, (7, 8)).await.unwrap(), Some(first));
    let second = guest_numbers::claim(&mut tx, &region, two, (7, 8)).await.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(guest_numbers::claim(&mut tx, &region, model::ids::ServerId(903), (7, 8)).await.unwrap(), None);
    tx.commit().await.unwrap();
    let server = stage.server("plain").await;
    assert!(
        stage.crowd.state().guests.contains_key(&format!("s{server}")),
        "a region without numbers names guests as ever"
    );
}

#[tokio::test]
async fn a_server_that_finds_no_room_leaves_nothing() {
    let stage = Stage::set().await;
    stage.run("UPDATE hosts SET state = 'maintenance'").await;
    let server = stage.order("web").await;
    stage.settle().await;
    assert!(stage.one::<bool>(&format!("SELECT deleted_at IS NOT NULL FROM servers WHERE id = {server}")).await);
    for held in ["reservations", "addresses WHERE server_id IS NOT NULL", "guest_numbers WHERE freed_at IS NULL"] {
        assert_eq!(stage.one::<i64>(&format!("SELECT count(*) FROM {held}")).await, 0, "{held}");
    }
}
