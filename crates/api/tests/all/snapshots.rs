//! Snapshots: taken, listed, given away, deleted, and overtaken.

use crate::stage::{REGION, Stage};
use axum::body::Body;
use serde_json::json;

#[tokio::test]
async fn a_snapshot_is_found_by_the_time_of_its_action() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let body = json!({ "type": "snapshot", "name": "before" });
    let asked = service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201).body;
    // One that is being made is not there yet.
    assert_eq!(service.get("/v2/snapshots").await.expect(200).body["meta"]["total"], 0);
    stage.settle().await;
    let list = service.get("/v2/snapshots?resource_type=droplet").await.expect(200).body;
    let snapshot = &list["snapshots"][0];
    assert_eq!(snapshot["created_at"], asked["action"]["started_at"]);
    assert_eq!((&snapshot["name"], &snapshot["resource_type"]), (&json!("before"), &json!("droplet")));
    assert_eq!((&snapshot["resource_id"], &snapshot["regions"]), (&json!(server.to_string()), &json!([REGION])));
    assert_eq!((&snapshot["min_disk_size"], &snapshot["size_gigabytes"]), (&json!(20), &json!(1.23)));
    let id = snapshot["id"].as_str().unwrap().to_owned();
    assert_eq!(service.get(&format!("/v2/snapshots/{id}")).await.expect(200).body["snapshot"], *snapshot);
    assert_eq!(service.get("/v2/snapshots?resource_type=volume").await.expect(200).body["snapshots"], json!([]));
    service.get("/v2/snapshots?resource_type=moon").await.refused(422, "resource_type");

    service.call("GET", &format!("/v2/snapshots/{id}"), &service.theirs.token, Body::empty()).await.expect(404);
    service.delete(&format!("/v2/snapshots/{id}")).await.expect(204);
    service.get(&format!("/v2/snapshots/{id}")).await.expect(404);
    service.delete(&format!("/v2/snapshots/{id}")).await.expect(404);
    stage.settle().await;
    assert_eq!(stage.shelf.held(), [0; 0]);
}

#[tokio::test]
async fn what_is_no_snapshot_is_not_one() {
    let stage = Stage::set().await;
    let service = &stage.service;
    for id in ["fbe805e8-866b-11e6-96bf-000f53315a41", "x", "0", "2147483648", "-1", "2147483647"] {
        service.get(&format!("/v2/snapshots/{id}")).await.expect(404);
        service.delete(&format!("/v2/snapshots/{id}")).await.expect(404);
    }
    let body = json!({ "name": "brought", "url": "https://example.org/a", "region": REGION });
    let made = service.post("/v2/images", &body).await.expect(202).body;
    let path = format!("/v2/snapshots/{}", made["image"]["id"]);
    service.get(&path).await.refused(400, "not a snapshot");
    service.delete(&path).await.refused(400, "not a snapshot");
    service.get(&path.replace("snapshots", "images")).await.expect(200);
}

#[tokio::test]
async fn a_snapshot_that_the_deletion_of_its_server_overtakes_leaves_nothing() {
    let stage = Stage::set().await;
    let service = &stage.service;
    for begun in [false, true] {
        let server = stage.server(service.ours.team, "web").await;
        stage.shelf.set_away(begun);
        let body = json!({ "type": "snapshot", "name": "late" });
        let asked = service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201).body;
        if begun {
            stage.settle_within(std::time::Duration::from_millis(100)).await;
        }
        service.delete(&format!("/v2/droplets/{server}")).await.expect(204);
        stage.shelf.set_away(false);
        stage.settle().await;
        assert_eq!(stage.status(&asked).await, "errored");
        let left: Vec<(i32, String)> =
            stage.all("SELECT id, status FROM images WHERE kind = 'snapshot' AND erased_at IS NULL").await;
        assert_eq!(left, [], "begun: {begun}");
        assert_eq!(stage.shelf.held(), [0; 0]);
    }
}

#[tokio::test]
async fn a_snapshot_deleted_before_it_is_made_is_not_made() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let body = json!({ "type": "snapshot", "name": "never" });
    let asked = service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201).body;
    let image = service.get("/v2/images?private=true").await.expect(200).body["images"][0]["id"].clone();
    service.delete(&format!("/v2/images/{image}")).await.expect(204);
    stage.settle().await;
    assert_eq!(stage.status(&asked).await, "errored");
    assert_eq!(stage.shelf.held(), [0; 0]);
    assert_eq!(service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
}

#[tokio::test]
async fn a_copy_that_fails_errors_its_action_and_leaves_nothing() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    stage.shelf.refuse();
    let body = json!({ "type": "snapshot", "name": "bad" });
    let asked = service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201).body;
    stage.settle().await;
    assert_eq!(stage.status(&asked).await, "errored");
    assert_eq!(service.get("/v2/images?private=true").await.expect(200).body["meta"]["total"], 0);
    assert_eq!(service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
}
