//! Snapshots that change hands.

use crate::service::Answer;
use crate::stage::Stage;
use axum::body::Body;
use model::ids::ImageId;
use serde_json::{Value, json};

async fn theirs(stage: &Stage, method: &str, path: &str, body: &Value) -> Answer {
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    stage.service.call(method, path, &stage.service.theirs.token, body).await
}

async fn offered(stage: &Stage, image: ImageId, to: &Value) -> i64 {
    let path = format!("/v2/images/{image}/account_transfer");
    stage.service.post(&path, to).await.expect(201).body["transfer_id"].as_i64().unwrap()
}

#[tokio::test]
async fn an_accepted_snapshot_belongs_to_the_other_team() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let image = stage.snapshot(server, "golden").await;
    let path = format!("/v2/images/{image}");
    service.post("/v2/tags", &json!({ "name": "gold" })).await.expect(201);
    let tagged = json!({ "resources": [{ "resource_id": image.to_string(), "resource_type": "image" }] });
    service.post("/v2/tags/gold/resources", &tagged).await.expect(204);
    // A server that goes on living with its disk made from it.
    stage.run(&format!("UPDATE servers SET image_id = {image} WHERE id = {server}")).await;

    let transfer = offered(&stage, image, &json!({ "recipient_email": "THEIRS@example.com" })).await;
    assert!(transfer > 0);
    theirs(&stage, "GET", &path, &Value::Null).await.expect(404);
    let team = service.theirs.team.to_string();
    let accept = json!({ "transfer_id": transfer, "recipient_uuid": team });
    // Not by us, not in another team's name, not under another number.
    service.post(&format!("{path}/account_transfer/accept"), &accept).await.expect(422);
    let ours = json!({ "transfer_id": transfer, "recipient_uuid": service.ours.team.to_string() });
    service.post(&format!("{path}/account_transfer/accept"), &ours).await.expect(404);
    theirs(&stage, "POST", &format!("{path}/account_transfer/accept"), &ours).await.refused(422, "recipient_uuid");
    let wrong = json!({ "transfer_id": transfer + 1, "recipient_uuid": team });
    theirs(&stage, "POST", &format!("{path}/account_transfer/accept"), &wrong).await.expect(404);
    theirs(&stage, "POST", &format!("{path}0/account_transfer/accept"), &accept).await.expect(404);
    theirs(&stage, "POST", &format!("{path}/account_transfer/cancel"), &json!({ "transfer_id": transfer }))
        .await
        .expect(404);

    theirs(&stage, "POST", &format!("{path}/account_transfer/accept"), &accept).await.expect(201);
    service.get(&path).await.expect(404);
    let got = theirs(&stage, "GET", &path, &Value::Null).await.expect(200).body["image"].clone();
    assert_eq!((&got["name"], &got["tags"]), (&json!("golden"), &json!([])));
    let shown = service.get(&format!("/v2/droplets/{server}")).await.expect(200);
    assert_eq!(shown.body["droplet"]["image"]["id"], image.0, "the server is still listed with what it was made from");
    assert_eq!(shown.body["droplet"]["snapshot_ids"], json!([]));
    assert_eq!(service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
    assert_eq!(theirs(&stage, "GET", "/cloud/v1/quotas", &Value::Null).await.expect(200).body["used"]["snapshots"], 1);
    // Once is once.
    theirs(&stage, "POST", &format!("{path}/account_transfer/accept"), &accept).await.expect(404);
    theirs(&stage, "POST", &format!("{path}/account_transfer/decline"), &json!({ "transfer_id": transfer }))
        .await
        .expect(404);
    service.post(&format!("{path}/account_transfer/cancel"), &json!({ "transfer_id": transfer })).await.expect(404);
    // The new owner can do everything with it.
    theirs(&stage, "DELETE", &path, &Value::Null).await.expect(204);
    stage.settle().await;
    assert_eq!(stage.shelf.held(), [0; 0]);
}

#[tokio::test]
async fn an_offer_can_be_taken_back_and_declined_and_says_nothing_of_who_exists() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let image = stage.snapshot(server, "golden").await;
    let path = format!("/v2/images/{image}/account_transfer");
    let to = json!({ "recipient_uuid": service.theirs.team.to_string() });

    let first = offered(&stage, image, &to).await;
    service.post(&path, &to).await.refused(409, "on offer already");
    service.post(&format!("{path}/cancel"), &json!({ "transfer_id": first })).await.expect(204);
    let accept = json!({ "transfer_id": first, "recipient_uuid": service.theirs.team.to_string() });
    theirs(&stage, "POST", &format!("{path}/accept"), &accept).await.expect(404);

    let second = offered(&stage, image, &to).await;
    service.post(&format!("{path}/decline"), &json!({ "transfer_id": second })).await.expect(404);
    theirs(&stage, "POST", &format!("{path}/decline"), &json!({ "transfer_id": second })).await.expect(204);
    service.get(&format!("/v2/images/{image}")).await.expect(200);

    for nobody in [
        json!({ "recipient_email": "nobody@example.net" }),
        json!({ "recipient_uuid": uuid::Uuid::new_v4().to_string() }),
    ] {
        let transfer = offered(&stage, image, &nobody).await;
        let accept = json!({ "transfer_id": transfer, "recipient_uuid": service.theirs.team.to_string() });
        theirs(&stage, "POST", &format!("{path}/accept"), &accept).await.expect(404);
        service.post(&format!("{path}/cancel"), &json!({ "transfer_id": transfer })).await.expect(204);
    }
    for (body, field) in [
        (json!({}), "recipient_email"),
        (json!({ "recipient_email": "x" }), "recipient_email"),
        (json!({ "recipient_uuid": "x" }), "recipient_uuid"),
        (json!({ "recipient_uuid": 5 }), "recipient_uuid"),
        (json!({ "recipient_email": "a@b", "recipient_uuid": "x" }), "recipient_uuid"),
        (json!({ "recipient_uuid": service.ours.team.to_string() }), "recipient_uuid"),
    ] {
        service.post(&path, &body).await.refused(422, field);
    }
    let huge = json!({ "transfer_id": i64::MAX, "recipient_uuid": service.theirs.team.to_string() });
    theirs(&stage, "POST", &format!("{path}/accept"), &huge).await.expect(404);
}

#[tokio::test]
async fn only_what_can_be_given_is_and_only_where_there_is_room() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let to = json!({ "recipient_uuid": service.theirs.team.to_string() });
    let body = json!({ "name": "brought", "url": "https://example.org/a", "region": crate::stage::REGION });
    let made = service.post("/v2/images", &body).await.expect(202).body;
    service.post(&format!("/v2/images/{}/account_transfer", made["image"]["id"]), &to).await.refused(422, "snapshots");

    let server = stage.server(service.ours.team, "web").await;
    let image = stage.snapshot(server, "golden").await;
    let transfer = offered(&stage, image, &to).await;
    stage.run(&format!("UPDATE quotas SET snapshots = 0 WHERE team_id = '{}'", service.theirs.team)).await;
    let path = format!("/v2/images/{image}/account_transfer/accept");
    let accept = json!({ "transfer_id": transfer, "recipient_uuid": service.theirs.team.to_string() });
    theirs(&stage, "POST", &path, &accept).await.refused(422, "snapshot limit");
    service.get(&format!("/v2/images/{image}")).await.expect(200);
    // A deleted one is on offer no more.
    stage.run("UPDATE quotas SET snapshots = 10").await;
    service.delete(&format!("/v2/images/{image}")).await.expect(204);
    theirs(&stage, "POST", &path, &accept).await.expect(404);
}

#[tokio::test]
async fn a_team_can_neither_take_nor_end_what_is_not_between_it_and_another() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let image = stage.snapshot(server, "golden").await;
    offered(&stage, image, &json!({ "recipient_email": "third@example.com" })).await;
    let mut tx = service.database.store().tenant(service.theirs.team).await.unwrap();
    let seen: Vec<(i32,)> = sqlx::query_as("SELECT id FROM image_transfers").fetch_all(&mut *tx).await.unwrap();
    assert_eq!(seen, []);
    let ended = sqlx::query("UPDATE image_transfers SET status = 'declined', ended_at = now()").execute(&mut *tx).await;
    assert_eq!(ended.unwrap().rows_affected(), 0);
    let taken: bool = sqlx::query_scalar("SELECT accept_image_transfer(1)").fetch_one(&mut *tx).await.unwrap();
    assert!(!taken);
    drop(tx);
    let owner: Vec<(uuid::Uuid,)> = stage.all("SELECT team_id FROM images WHERE kind = 'snapshot'").await;
    assert_eq!(owner, [(service.ours.team.0,)]);
}
