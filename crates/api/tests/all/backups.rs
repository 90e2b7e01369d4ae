//! Backups: policies as they are shown, and the schedule.

use crate::stage::Stage;
use axum::body::Body;
use cloud::server::backups::{prune, run_due};
use jiff::{SignedDuration, Timestamp};
use model::ids::ServerId;
use serde_json::{Value, json};

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Backs a server up daily at four, as if it had been so since `since`.
async fn daily(stage: &Stage, server: ServerId, since: &str) {
    stage
        .run(&format!(
            "UPDATE servers SET backups = true, backup_policy = '{{\"plan\": \"daily\", \"hour\": 4}}',
                    backups_served_at = '{since}' WHERE id = {server}"
        ))
        .await;
}

async fn backups(stage: &Stage) -> Vec<Value> {
    let images = stage.service.get("/v2/images?private=true&per_page=200").await.expect(200).body;
    images["images"].as_array().unwrap().iter().filter(|image| image["type"] == "backup").cloned().collect()
}

#[tokio::test]
async fn policies_are_shown_as_they_were_set() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let (one, two) = (stage.server(service.ours.team, "one").await, stage.server(service.ours.team, "two").await);
    let supported = service.get("/v2/droplets/backups/supported_policies").await.expect(200).body;
    assert_eq!(
        supported["supported_policies"][0],
        json!({ "name": "weekly", "possible_window_starts": [0, 4, 8, 12, 16, 20], "window_length_hours": 4,
                "retention_period_days": 28, "possible_days": ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"] })
    );
    assert_eq!(supported["supported_policies"][1]["name"], "daily");

    let path = format!("/v2/droplets/{one}/backups/policy");
    let off = service.get(&path).await.expect(200).body;
    assert_eq!(off["policy"], json!({ "droplet_id": one, "backup_enabled": false }));
    let policy = json!({ "plan": "weekly", "weekday": "MON", "hour": 20 });
    let asked = json!({ "type": "enable_backups", "backup_policy": policy });
    service.post(&format!("/v2/droplets/{one}/actions"), &asked).await.expect(201);
    stage.settle().await;
    let on = service.get(&path).await.expect(200).body["policy"].clone();
    assert_eq!(
        on["backup_policy"],
        json!({ "plan": "weekly", "weekday": "MON", "hour": 20, "window_length_hours": 4, "retention_period_days": 28 })
    );
    let start = time(on["next_backup_window"]["start"].as_str().unwrap());
    let end = time(on["next_backup_window"]["end"].as_str().unwrap());
    assert!(end > Timestamp::now() && end.duration_since(start) == SignedDuration::from_hours(4));
    let all = service.get("/v2/droplets/backups/policies").await.expect(200).body;
    assert_eq!(all["meta"]["total"], 2);
    assert_eq!(all["policies"][one.to_string()], on);
    assert_eq!(all["policies"][two.to_string()]["backup_enabled"], false);
    let page = service.get("/v2/droplets/backups/policies?per_page=1").await.expect(200).body;
    assert_eq!(page["policies"].as_object().unwrap().len(), 1);
    assert!(page["links"]["pages"]["next"].is_string());

    service.call("GET", &path, &service.theirs.token, Body::empty()).await.expect(404);
    let none = service.call("GET", "/v2/droplets/backups/policies", &service.theirs.token, Body::empty()).await;
    assert_eq!(none.expect(200).body["policies"], json!({}));
    service.get("/v2/droplets/2147483647/backups/policy").await.expect(404);
}

#[tokio::test]
async fn a_due_backup_is_taken_once_however_many_schedulers_there_are() {
    let stage = Stage::set().await;
    let store = stage.service.database.store();
    let server = stage.server(stage.service.ours.team, "web").await;
    stage.server(stage.service.ours.team, "not-backed-up").await;
    daily(&stage, server, "2026-03-01T12:00:00Z").await;
    assert_eq!(run_due(store, time("2026-03-02T03:59:00Z")).await.unwrap(), 0);
    let now = time("2026-03-02T07:30:00Z");
    let taken = tokio::join!(run_due(store, now), run_due(store, now), run_due(store, now), run_due(store, now));
    let taken = [taken.0.unwrap(), taken.1.unwrap(), taken.2.unwrap(), taken.3.unwrap()];
    assert_eq!(taken.iter().sum::<usize>(), 1, "{taken:?}");
    let actions = stage.service.get(&format!("/v2/droplets/{server}/actions")).await.expect(200).body;
    let action = &actions["actions"][0];
    assert_eq!((&action["type"], &action["status"]), (&json!("backup"), &json!("in-progress")));
    let image = backups(&stage).await.remove(0);
    assert_eq!(image["created_at"], action["started_at"]);
    stage.settle().await;
    assert_eq!(backups(&stage).await[0]["status"], "available");
    let shown = stage.service.get(&format!("/v2/droplets/{server}")).await.expect(200).body;
    assert_eq!(shown["droplet"]["backup_ids"], json!([image["id"]]));
    assert_eq!(run_due(store, time("2026-03-02T07:59:00Z")).await.unwrap(), 0);
    assert_eq!(run_due(store, time("2026-03-03T07:30:00Z")).await.unwrap(), 1);
    // By nobody's token, and not out of anybody's allowance.
    let audit: Vec<(Option<uuid::Uuid>,)> =
        stage.all("SELECT token_id FROM audit_events WHERE operation = 'droplet.backup'").await;
    assert_eq!(audit, [(None,), (None,)]);
    assert_eq!(stage.service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_one_on_its_way_out_is_not() {
    let stage = Stage::set().await;
    let store = stage.service.database.store();
    let server = stage.server(stage.service.ours.team, "web").await;
    daily(&stage, server, "2026-03-01T12:00:00Z").await;
    let body = json!({ "type": "snapshot", "name": "by hand" });
    stage.service.post(&format!("/v2/droplets/{server}/actions"), &body).await.expect(201);
    let now = time("2026-03-02T07:30:00Z");
    assert_eq!(run_due(store, now).await.unwrap(), 0);
    assert!(backups(&stage).await.is_empty(), "nothing of the attempt stays");
    stage.settle().await;
    assert_eq!(run_due(store, now).await.unwrap(), 1);
    stage.settle().await;
    stage.service.delete(&format!("/v2/droplets/{server}")).await.expect(204);
    assert_eq!(run_due(store, time("2026-03-05T07:30:00Z")).await.unwrap(), 0);
    stage.settle().await;
    assert_eq!(backups(&stage).await.len(), 1, "a backup outlives its server until its time is over");
}

#[tokio::test]
async fn what_is_over_is_deleted_but_never_the_last_good_one() {
    let stage = Stage::set().await;
    let store = stage.service.database.store();
    let server = stage.server(stage.service.ours.team, "web").await;
    daily(&stage, server, "2026-03-01T12:00:00Z").await;
    for day in ["2026-03-02", "2026-03-03"] {
        assert_eq!(run_due(store, time(&format!("{day}T07:30:00Z"))).await.unwrap(), 1);
        stage.settle().await;
    }
    assert_eq!(prune(store, time("2026-03-09T07:29:00Z")).await.unwrap(), 0);
    let (one, two) =
        tokio::join!(prune(store, time("2026-03-09T07:31:00Z")), prune(store, time("2026-03-09T07:31:00Z")));
    assert_eq!(one.unwrap() + two.unwrap(), 1);
    stage.settle().await;
    assert_eq!(stage.shelf.held().len(), 1);
    assert_eq!(prune(store, time("2026-06-01T00:00:00Z")).await.unwrap(), 0, "there is no newer one");
    stage.service.delete(&format!("/v2/droplets/{server}")).await.expect(204);
    stage.settle().await;
    assert_eq!(prune(store, time("2026-06-01T00:00:00Z")).await.unwrap(), 1);
    stage.settle().await;
    assert_eq!(stage.shelf.held(), [0; 0]);
}

#[tokio::test]
async fn a_converted_backup_is_a_snapshot_and_stays() {
    let stage = Stage::set().await;
    let (service, store) = (&stage.service, stage.service.database.store());
    let server = stage.server(service.ours.team, "web").await;
    daily(&stage, server, "2026-03-01T12:00:00Z").await;
    assert_eq!(run_due(store, time("2026-03-02T07:30:00Z")).await.unwrap(), 1);
    stage.settle().await;
    let id = backups(&stage).await[0]["id"].as_i64().unwrap();
    let path = format!("/v2/images/{id}/actions");
    stage.run("UPDATE quotas SET snapshots = 0").await;
    service.post(&path, &json!({ "type": "convert" })).await.refused(422, "snapshot limit");
    stage.run("UPDATE quotas SET snapshots = 1").await;
    let asked = service.post(&path, &json!({ "type": "convert" })).await.expect(201).body;
    stage.settle().await;
    assert_eq!(stage.status(&asked).await, "completed");
    assert_eq!(service.get(&format!("/v2/images/{id}")).await.expect(200).body["image"]["type"], "snapshot");
    assert_eq!(service.get("/v2/snapshots").await.expect(200).body["meta"]["total"], 1);
    service.delete(&format!("/v2/droplets/{server}")).await.expect(204);
    stage.settle().await;
    assert_eq!(prune(store, time("2027-01-01T00:00:00Z")).await.unwrap(), 0);
}
