//! What a request answers is what stands in the tables, though it is not read back.

use crate::stage::{Stage, code};
use cloud::image::verbs::{BringImage, bring};
use cloud::server::create::{CreateServers, create};
use model::image_url::Reach;
use model::refusal::Code;
use store::servers::ImageChoice;

#[tokio::test]
async fn a_create_answers_with_the_servers_as_a_read_would_find_them() {
    let stage = Stage::set().await;
    let first = CreateServers { tags: vec!["Web".to_owned()], ..stage.request(&["zero"]) };
    create(stage.store(), &stage.caller, &first).await.unwrap();
    let request = CreateServers {
        tags: vec!["web".to_owned(), "db".to_owned()],
        backups: Some(serde_json::json!({ "plan": "daily", "hour": 4 })),
        user_data: Some("#cloud-config\n".to_owned()),
        ..stage.request(&["one", "two"])
    };
    let created = create(stage.store(), &stage.caller, &request).await.unwrap();
    let ids: Vec<i32> = created.servers.iter().map(|server| server.id.0).collect();
    let mut tx = stage.store().tenant(stage.team()).await.unwrap();
    let read = store::servers::by_ids(&mut tx, stage.team(), &ids).await.unwrap();
    drop(tx);
    assert_eq!(created.servers, read);
    assert_eq!(created.servers[0].tags, ["db", "Web"], "a tag is shown as it was first written");
    assert!(created.servers.iter().all(|server| server.locked && server.public_address.is_some()));

    let acts: Vec<(i32, i32)> = stage.all("SELECT resource_id, id FROM actions ORDER BY id").await;
    let answered: Vec<(i32, i32)> = ids.into_iter().zip(created.actions.iter().map(|action| action.0)).collect();
    assert_eq!(answered, acts[1..]);
    let ready = "SELECT count(*) FROM workflows WHERE state = 'ready' AND lifecycle AND NOT exclusive";
    assert_eq!(stage.one::<i64>(ready).await, 3);
    stage.settle().await;
    let running = "SELECT count(*) FROM servers WHERE answered_at IS NOT NULL";
    assert_eq!(stage.one::<i64>(running).await, 3);
}

/// An archive of which containers are made.
const ARCHIVE: &str = "ubuntu-24-04-container-x64";

#[tokio::test]
async fn an_archive_makes_containers_where_there_are_any() {
    let stage = Stage::set().await;
    stage.run(&format!("UPDATE images SET status = 'available' WHERE slug = '{ARCHIVE}'")).await;
    stage.run("UPDATE regions SET capabilities = jsonb_set(capabilities, '{containers}', 'false')").await;
    let request = CreateServers { image: ImageChoice::Slug(ARCHIVE.to_owned()), ..stage.request(&["box"]) };
    let refused = |answer| match answer {
        Err(cloud::Error::Refused(refusal)) => {
            let refusal: model::refusal::Refusal = refusal;
            (refusal.code, refusal.field)
        }
        other => panic!("{other:?} is no refusal"),
    };
    let answer = create(stage.store(), &stage.caller, &request).await;
    assert_eq!(refused(answer), (Code::Unsupported, Some("image".to_owned())));
    let own = BringImage {
        name: "mine".to_owned(),
        url: "https://images.example.org/mine.tar.zst".to_owned(),
        region: "local".to_owned(),
        distribution: None,
        description: None,
        tags: Vec::new(),
    };
    assert_eq!(code(bring(stage.store(), &stage.caller, &own, Reach::Public).await), Code::Unsupported);
    let regions = async || {
        let mut tx = stage.store().tenant(stage.team()).await.unwrap();
        let choice = ImageChoice::Slug(ARCHIVE.to_owned());
        store::images::get(&mut tx, stage.team(), &choice).await.unwrap().unwrap().regions
    };
    assert_eq!(regions().await, Vec::<String>::new(), "it is offered nowhere");

    stage.run("UPDATE regions SET capabilities = jsonb_set(capabilities, '{containers}', 'true')").await;
    assert_eq!(regions().await, ["local"]);
    for (field, request) in [
        ("user_data", CreateServers { user_data: Some("#cloud-config\n".to_owned()), ..request.clone() }),
        ("backups", CreateServers { backups: Some(serde_json::json!({ "plan": "weekly" })), ..request.clone() }),
    ] {
        let answer = create(stage.store(), &stage.caller, &request).await;
        assert_eq!(refused(answer), (Code::Unsupported, Some(field.to_owned())));
    }
    let made = create(stage.store(), &stage.caller, &request).await.unwrap();
    assert_eq!(made.servers[0].image.guest, model::states::GuestKind::Container);
    assert!(bring(stage.store(), &stage.caller, &own, Reach::Public).await.is_ok());
}
