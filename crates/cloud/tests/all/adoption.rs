//! Guests that were there before they were ours.

use crate::crowd::stranger;
use crate::stage::{REGION, Stage, code};
use cloud::adoption::{Adopt, adopt};
use model::ids::{RegionSlug, TeamId};
use model::refusal::Code;

fn wanted(stage: &Stage) -> Adopt {
    Adopt {
        region: RegionSlug::from(REGION),
        name: "4711".to_owned(),
        team: stage.team(),
        server_name: None,
        size: None,
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
