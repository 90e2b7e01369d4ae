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

/// The networks of every address that a server has.
async fn networks(stage: &Stage, server: model::ids::ServerId) -> Vec<(bool,)> {
    let statement = "SELECT p.vpc_id IS NULL FROM addresses a JOIN address_pools p ON p.id = a.pool_id";
    stage.all(&format!("{statement} WHERE a.server_id = {server} ORDER BY p.vpc_id NULLS FIRST")).await
}

const WITHOUT: &str = "UPDATE regions SET capabilities = jsonb_set(capabilities, '{private_networks}', 'false')";

#[tokio::test]
async fn where_there_are_no_private_networks_a_server_has_no_address_of_one() {
    let stage = Stage::set().await;
    let before = stage.server("before").await;
    assert_eq!(networks(&stage, before).await, [(true,), (false,)]);
    let vpc: uuid::Uuid = stage.one("SELECT id FROM vpcs").await;
    stage.run(WITHOUT).await;

    let created = create(stage.store(), &stage.caller, &stage.request(&["web"])).await.unwrap();
    assert!(created.servers[0].public_address.is_some() && created.servers[0].private_address.is_none());
    stage.settle().await;
    assert_eq!(networks(&stage, created.servers[0].id).await, [(true,)], "no step claims one later");
    assert_eq!(networks(&stage, before).await, [(true,), (false,)], "who has one keeps it");

    let request = stage.request(&["web-2"]);
    for (field, request) in [
        ("vpc_uuid", CreateServers { vpc: Some(model::ids::VpcId(vpc)), ..request.clone() }),
        ("public_networking", CreateServers { public_networking: false, ..request.clone() }),
    ] {
        match create(stage.store(), &stage.caller, &request).await {
            Err(cloud::Error::Refused(refusal)) => {
                assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Unsupported, Some(field)));
                assert!(refusal.message.contains("has no private networks"), "{}", refusal.message);
            }
            other => panic!("{field}: {other:?} is no refusal"),
        }
    }
}

#[tokio::test]
async fn a_region_that_turns_out_to_have_no_private_networks_takes_the_address_back() {
    let stage = Stage::set().await;
    stage.run("UPDATE regions SET capabilities = capabilities - 'private_networks'").await;
    let (web, closed) =
        (stage.order("web").await, CreateServers { public_networking: false, ..stage.request(&["closed"]) });
    let closed = create(stage.store(), &stage.caller, &closed).await.unwrap().servers[0].id;
    assert_eq!((networks(&stage, web).await.len(), networks(&stage, closed).await.len()), (2, 1));
    stage.run(WITHOUT).await;
    stage.settle().await;
    assert_eq!(networks(&stage, web).await, [(true,)]);
    let made: Vec<(i32, bool)> = stage.all("SELECT resource_id, errored FROM actions ORDER BY resource_id").await;
    assert_eq!(made, [(web.0, false), (closed.0, true)], "one without any network is not made");
}

#[tokio::test]
async fn the_seed_gives_the_keys_to_root_whoever_the_image_comes_with() {
    let stage = Stage::set().await;
    let server = stage.order("web").await;
    for user in ["debian", "root"] {
        stage.run(&format!("UPDATE images SET default_user = '{user}'")).await;
        let work = stage.site.server(server).await.unwrap();
        let spec = cloud::site::guest_spec(&stage.site, &work, &[], work.image, "first").unwrap();
        assert_eq!(spec.seed.plain.user, "root");
    }
}
