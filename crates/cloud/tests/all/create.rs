//! What a request answers is what stands in the tables, though it is not read back.

use crate::stage::Stage;
use cloud::server::create::{CreateServers, create};

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
