//! What a server is shown as: its networks, who logs in, how it stands.

use crate::service::Service;
use crate::stage::Stage;
use model::catalogue::Catalogue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const IMAGE: &str = "debian-12-x64";

#[tokio::test]
async fn where_there_are_no_private_networks_none_is_shown() {
    let service = Service::start().await;
    let store = service.database.store();
    let files = BTreeMap::from([(IMAGE.to_owned(), "/nowhere.qcow2".to_owned())]);
    let catalogue = Catalogue::default_catalogue().unwrap().with_image_files(&files).unwrap();
    store::catalogue::apply(store, &catalogue).await.unwrap();
    let order = |name: &str, more: Value| {
        let mut body = json!({ "name": name, "region": "local", "size": "small", "image": IMAGE });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let kinds = |server: &Value| -> Vec<Value> {
        server["networks"]["v4"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect()
    };
    let with = service.post("/v2/droplets", &order("with", json!({}))).await.expect(202).body["droplet"].take();
    assert_eq!(kinds(&with), ["private", "public"]);
    let vpc = with["vpc_uuid"].clone();
    assert!(vpc.is_string(), "{with}");

    let without = r#"UPDATE regions SET capabilities = '{"private_networks": false}'"#;
    sqlx::raw_sql(without).execute(store.pool()).await.unwrap();
    let made = service.post("/v2/droplets", &order("without", json!({}))).await.expect(202).body["droplet"].take();
    let path = format!("/v2/droplets/{}", made["id"]);
    let read = service.get(&path).await.expect(200).body["droplet"].take();
    for server in [made, read] {
        assert_eq!(kinds(&server), ["public"]);
        assert_eq!((server.get("vpc_uuid"), &server["features"]), (None, &json!([])), "{server}");
    }
    let path = format!("/v2/droplets/{}", with["id"]);
    assert_eq!(service.get(&path).await.expect(200).body["droplet"]["vpc_uuid"], vpc, "who has one keeps it");
    for (field, more) in
        [("vpc_uuid", json!({ "vpc_uuid": vpc })), ("public_networking", json!({ "public_networking": false }))]
    {
        let refused = service.post("/v2/droplets", &order("no", more)).await.expect(422);
        assert_eq!(refused.body["cloud"]["field"], field, "{:?}", refused.body);
        assert!(refused.body["message"].as_str().unwrap().contains("no private networks"), "{:?}", refused.body);
    }
}

#[tokio::test]
async fn root_logs_in_whatever_the_image_is() {
    let stage = Stage::set().await;
    let server = stage.server(stage.service.ours.team, "web").await;
    stage.run("UPDATE servers SET seen_ssh_host = '127.0.0.1', seen_ssh_port = 2222").await;
    for (kind, team) in [("base", "NULL".to_owned()), ("snapshot", format!("'{}'", stage.service.ours.team))] {
        stage.run(&format!("UPDATE images SET kind = '{kind}', team_id = {team} WHERE slug = '{IMAGE}'")).await;
        let shown = stage.service.get(&format!("/v2/droplets/{server}")).await.expect(200);
        assert_eq!(shown.body["droplet"]["cloud"]["ssh"]["user"], "root", "{kind}");
    }
}

#[tokio::test]
async fn operators_and_tenants_are_told_the_same_of_how_a_server_stands() {
    let stage = Stage::set().await;
    let server = stage.server(stage.service.ours.team, "web").await;
    for (change, word) in [
        ("seen_power = 'on'", "active"),
        ("seen_power = 'off'", "off"),
        ("seen_power = NULL", "off"),
        ("answered_at = NULL", "new"),
    ] {
        stage.run(&format!("UPDATE servers SET {change}")).await;
        let tenant = stage.service.get(&format!("/v2/droplets/{server}")).await.expect(200);
        let operator = stage.service.admin("GET", "/servers", &Value::Null).await.expect(200);
        assert_eq!(
            (&tenant.body["droplet"]["status"], &operator.body["servers"][0]["status"]),
            (&json!(word), &json!(word))
        );
    }
}
