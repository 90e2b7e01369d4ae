//! What a create can say in the object `cloud`, beyond the API that it is compatible with.

use crate::service::Service;
use model::catalogue::Catalogue;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const IMAGE: &str = "debian-12-x64";

/// A region whose image can be used.
async fn service() -> Service {
    let service = Service::start().await;
    let store = service.database.store();
    let files = BTreeMap::from([(IMAGE.to_owned(), "/nowhere.qcow2".to_owned())]);
    let catalogue = Catalogue::default_catalogue().unwrap().with_image_files(&files).unwrap();
    store::catalogue::apply(store, &catalogue).await.unwrap();
    service
}

fn order(name: &str, cloud: Value) -> Value {
    json!({ "name": name, "region": "local", "size": "small", "image": IMAGE, "cloud": cloud })
}

#[tokio::test]
async fn a_group_is_named_and_said_back() {
    let service = service().await;
    let answer = service.post("/v2/droplets", &order("a", json!({ "group": { "name": "web" } }))).await.expect(202);
    let group = json!({ "name": "web", "policy": "anti-affinity" });
    assert_eq!(answer.body["droplet"]["cloud"]["group"], group);
    assert_eq!(answer.body["droplet"]["cloud"]["kind"], "machine");
    let id = &answer.body["droplet"]["id"];
    assert_eq!(service.get(&format!("/v2/droplets/{id}")).await.expect(200).body["droplet"]["cloud"]["group"], group);

    let plain = service.post("/v2/droplets", &order("b", json!({}))).await.expect(202);
    assert_eq!(plain.body["droplet"]["cloud"]["group"], Value::Null);
    assert_eq!(plain.body["droplet"]["cloud"]["high_availability"], false);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_its_name() {
    let service = service().await;
    service.post("/v2/droplets", &order("a", json!({ "group": { "name": "web" } }))).await.expect(202);
    for (cloud, words) in [
        (json!({ "group": { "name": "no spaces" } }), "cloud.group.name"),
        (json!({ "group": { "name": "" } }), "cloud.group.name"),
        (json!({ "group": { "name": "web", "policy": "affinity" } }), "cloud.group.policy"),
        (json!({ "group": { "name": "web", "policy": "soft-anti-affinity" } }), "cloud.group.policy"),
        (json!({ "group": {} }), "cloud.group"),
        (json!({ "group": "web" }), "cloud.group"),
        (json!([]), "cloud"),
        (json!({ "high_availability": "yes" }), "cloud.high_availability"),
        (json!({ "high_availability": true }), "cloud.high_availability"),
    ] {
        let answer = service.post("/v2/droplets", &order("b", cloud)).await;
        answer.refused(422, words);
    }
}
