//! Guests that were there before they were ours.

use crate::crowd::stranger;
use crate::stage::{REGION, Stage, code};
use cloud::adoption::{Adopt, Quota, State, adopt};
use model::ids::{RegionSlug, TeamId, WorkflowId};
use model::refusal::Code;

fn wanted(stage: &Stage) -> Adopt {
    Adopt {
        region: RegionSlug::from(REGION),
        name: "4711".to_owned(),
        team: stage.team(),
        server_name: None,
        size: None,
        quota: Quota::Kept,
    }
}

async fn with_stranger() -> Stage {
    let stage = Stage::set().await;
    stage.crowd.state().strangers.insert("4711".to_owned(), stranger("4711", "pve2"));
    stage.look().await;
    stage
}

#[tokio::test]
async fn a_stranger_becomes_a_teams_server() {
    let stage = with_stranger().await;
    let (server, _) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    let mut tx = stage.store().tenant(stage.team()).await.unwrap();
    let shown = store::servers::get(&mut tx, stage.team(), server).await.unwrap().unwrap();
    drop(tx);
    assert_eq!((shown.name.as_str(), shown.memory_mib, shown.disk_gb), ("legacy-4711", 3000, 33));
    assert!(shown.answered);
    assert_eq!(shown.seen_power, Some(model::states::Power::Off), "it stays as it was found");
    assert_eq!(stage.held(server).await, [("home".to_owned(), "pve2".to_owned())]);
    assert_eq!(stage.number(server).await, "4711");
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
    assert_eq!(store::strangers::list(stage.store(), None, 10, 0).await.unwrap().1, 0);

    stage.destroy(server).await;
    stage.settle().await;
    assert_eq!(stage.crowd.state().deleted, ["4711"], "once it is its tenant's, its tenant may delete it");
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM reservations").await, 0);
}

#[tokio::test]
async fn a_guest_is_adopted_by_its_name_where_only_one_has_it() {
    let stage = with_stranger().await;
    stage.crowd.state().strangers.insert("4712".to_owned(), stranger("4712", "pve1"));
    stage.crowd.state().strangers.insert("4713".to_owned(), stranger("4713", "pve2"));
    stage.crowd.state().strangers.get_mut("4713").unwrap().title = "legacy-4712".to_owned();
    stage.look().await;
    let several = Adopt { name: "legacy-4712".to_owned(), ..wanted(&stage) };
    let refused = adopt(stage.store(), &stage.operator, &several).await;
    let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::UnprocessableEntity, Some("guest")));
    assert!(refusal.message.contains("4712, 4713"), "{}", refusal.message);

    let named = Adopt { name: "legacy-4711".to_owned(), ..wanted(&stage) };
    let (server, _) = adopt(stage.store(), &stage.operator, &named).await.unwrap();
    assert_eq!(stage.number(server).await, "4711");
    let left = store::strangers::list(stage.store(), None, 10, 0).await.unwrap().0;
    assert_eq!(left.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["4712", "4713"]);
}

#[tokio::test]
async fn an_adoption_that_fails_touches_nothing() {
    let stage = with_stranger().await;
    stage.crowd.state().refuse_adoption = true;
    let (server, _) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    assert!(stage.one::<bool>(&format!("SELECT deleted_at IS NOT NULL FROM servers WHERE id = {server}")).await);
    assert!(stage.crowd.state().strangers.contains_key("4711"));
    assert!(stage.crowd.state().deleted.is_empty());
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM reservations").await, 0);
}

#[tokio::test]
async fn an_operator_hears_how_an_adoption_ends_and_why() {
    let stage = with_stranger().await;
    stage.crowd.state().refuse_adoption = true;
    let (server, workflow) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    let standing = async |workflow| cloud::adoption::standing(stage.store(), workflow).await.unwrap();
    let running = standing(workflow).await.unwrap();
    assert_eq!((running.state, running.server, running.guest.as_str()), (State::Running, server, "4711"));
    stage.settle().await;
    let failed = standing(workflow).await.unwrap();
    assert_eq!(failed.state, State::Failed);
    let told = failed.sentence.unwrap();
    assert!(told.contains("its description cannot be written"), "what the provider said: {told}");
    let error: String = stage.one("SELECT error FROM actions ORDER BY id DESC LIMIT 1").await;
    assert!(!error.contains("description") && error.contains("your operator can see why"), "{error}");

    stage.crowd.state().refuse_adoption = false;
    stage.look().await;
    let (_, again) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    let done = standing(again).await.unwrap();
    assert_eq!((done.state, done.sentence), (State::Completed, None));
    assert_eq!(standing(WorkflowId(uuid::Uuid::nil())).await, None);
    let other = stage.server("web").await;
    let life: uuid::Uuid = stage.one(&format!("SELECT workflow_id FROM servers WHERE id = {other}")).await;
    assert_eq!(standing(WorkflowId(life)).await, None, "a server that was made is nobody's adoption");
}

#[tokio::test]
async fn what_is_not_there_or_somebodys_is_not_adopted() {
    let stage = with_stranger().await;
    let elsewhere = Adopt { name: "12".to_owned(), ..wanted(&stage) };
    assert_eq!(code(adopt(stage.store(), &stage.operator, &elsewhere).await), Code::NotFound);
    let nobody = Adopt { team: TeamId(uuid::Uuid::nil()), ..wanted(&stage) };
    assert_eq!(code(adopt(stage.store(), &stage.operator, &nobody).await), Code::UnprocessableEntity);
    let large = Adopt { size: Some("no-such-size".to_owned()), ..wanted(&stage) };
    assert_eq!(code(adopt(stage.store(), &stage.operator, &large).await), Code::SizeUnavailable);
    stage.crowd.state().strangers.get_mut("4711").unwrap().owner = Some("installation X".to_owned());
    stage.look().await;
    assert_eq!(code(adopt(stage.store(), &stage.operator, &wanted(&stage)).await), Code::WrongState);
}

#[tokio::test]
async fn what_is_unknown_is_refused_with_where_to_look() {
    let stage = with_stranger().await;
    for (wrong, field, words) in [
        (Adopt { name: "12".to_owned(), ..wanted(&stage) }, "guest", "cairn admin guest list --region local"),
        (Adopt { region: RegionSlug::from("mars"), ..wanted(&stage) }, "region", "cairn admin region list"),
        (Adopt { team: TeamId(uuid::Uuid::nil()), ..wanted(&stage) }, "team_id", "cairn admin team list"),
    ] {
        let refused = adopt(stage.store(), &stage.operator, &wrong).await;
        let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.field.as_deref(), Some(field));
        assert!(refusal.message.contains(words), "{}", refusal.message);
    }
}

#[tokio::test]
async fn a_quota_is_kept_unless_the_operator_says_otherwise() {
    let stage = with_stranger().await;
    stage.run("UPDATE quotas SET vcpus = 1").await;
    let refused = adopt(stage.store(), &stage.operator, &wanted(&stage)).await;
    let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::QuotaExceeded, Some("over_quota")));
    assert!(refusal.message.contains("--over-quota") && refusal.message.contains("2 vCPUs"), "{}", refusal.message);
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM guest_numbers").await, 0, "nothing is written");
    let overrun = Adopt { quota: Quota::Overrun, ..wanted(&stage) };
    adopt(stage.store(), &stage.operator, &overrun).await.unwrap();
    stage.settle().await;
    assert_eq!(stage.one::<i64>("SELECT sum(vcpus) FROM reservations").await, 2);
}

#[tokio::test]
async fn its_addresses_are_claimed_where_they_are_ours_and_noted_where_they_are_not() {
    let stage = with_stranger().await;
    let ours: String = stage.one("SELECT host(first + 300) FROM address_pools WHERE vpc_id IS NULL LIMIT 1").await;
    let free = async || {
        let region = store::regions::get(stage.store(), &RegionSlug::from(REGION)).await.unwrap().unwrap();
        region.pools[0].free
    };
    let before = free().await;
    stage.crowd.state().addresses = vec![ours.parse().unwrap(), "203.0.113.77".parse().unwrap()];
    let (server, _) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    let claimed: Vec<(String, i32)> =
        stage.all("SELECT host(address), server_id FROM addresses WHERE server_id IS NOT NULL").await;
    assert_eq!(claimed, [(ours, server.0)]);
    let noted: String =
        stage.one(&format!("SELECT array_to_string(own_addresses, ' ') FROM servers WHERE id = {server}")).await;
    assert_eq!(noted, "203.0.113.77");
    assert_eq!(free().await, before - 1, "one less, also before its turn has come");
    // The pool is extended past it, and nobody gets it twice.
    stage.run("UPDATE quotas SET servers = 1000, vcpus = 1000, memory_mib = 4000000, disk_gb = 400000").await;
    stage.run("UPDATE address_pools SET next = first + 290 WHERE vpc_id IS NULL").await;
    for n in 0..12 {
        stage.order(&format!("web-{n}")).await;
    }
    let twice: i64 =
        stage.one("SELECT count(*) FROM (SELECT address FROM addresses WHERE server_id IS NOT NULL GROUP BY pool_id, address HAVING count(*) > 1) x").await;
    assert_eq!(twice, 0);
}

#[tokio::test]
async fn an_address_that_is_somebody_elses_ends_the_adoption_and_is_told() {
    let stage = with_stranger().await;
    let other = stage.server("web").await;
    let taken: String = stage
        .one(&format!(
            "SELECT host(a.address) FROM addresses a JOIN address_pools p ON p.id = a.pool_id
                       WHERE a.server_id = {other} AND p.vpc_id IS NULL"
        ))
        .await;
    stage.crowd.state().addresses = vec![taken.parse().unwrap()];
    let (server, _) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    assert!(stage.one::<bool>(&format!("SELECT deleted_at IS NOT NULL FROM servers WHERE id = {server}")).await);
    assert!(stage.crowd.state().strangers.contains_key("4711"), "the guest stays as it was");
    let told: String =
        stage.one("SELECT message FROM alerts WHERE kind = 'adoption_failed' AND resolved_at IS NULL").await;
    assert!(told.contains(&taken) && told.contains(&format!("server {other}")), "{told}");
    let owner: i32 = stage.one("SELECT server_id FROM addresses WHERE server_id IS NOT NULL AND address = (SELECT a.address FROM addresses a JOIN address_pools p ON p.id = a.pool_id WHERE p.vpc_id IS NULL AND a.server_id IS NOT NULL LIMIT 1)").await;
    assert_eq!(owner, other.0);
}

#[tokio::test]
async fn a_container_is_adopted_as_what_it_is() {
    let stage = with_stranger().await;
    stage.crowd.state().strangers.get_mut("4711").unwrap().kind = provider::GuestKind::Container;
    stage.look().await;
    let (server, _) = adopt(stage.store(), &stage.operator, &wanted(&stage)).await.unwrap();
    stage.settle().await;
    let guest: String = stage
        .one(&format!("SELECT i.guest FROM servers s JOIN images i ON i.id = s.image_id WHERE s.id = {server}"))
        .await;
    assert_eq!(guest, "container");
    assert!(stage.one::<bool>(&format!("SELECT answered_at IS NOT NULL FROM servers WHERE id = {server}")).await);
}
