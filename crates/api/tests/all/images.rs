//! Images: listed, brought, changed, deleted; and what is asked of them.

use crate::service::{Service, options};
use crate::stage::{BASE, REGION, Stage};
use axum::body::Body;
use serde_json::{Value, json};

fn names(body: &Value, list: &str) -> Vec<String> {
    body[list].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

fn brought(name: &str) -> Value {
    json!({ "name": name, "url": "https://images.example.org/a.qcow2?token=hush", "region": REGION,
            "distribution": "Debian", "description": "mine", "tags": ["web", "Web"] })
}

#[tokio::test]
async fn a_brought_image_becomes_available_and_goes_again() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let made = service.post("/v2/images", &brought("one")).await.expect(202);
    let image = &made.body["image"];
    assert_eq!((&image["status"], &image["type"], &image["public"]), (&json!("NEW"), &json!("custom"), &json!(false)));
    assert_eq!((&image["tags"], &image["regions"]), (&json!(["web"]), &json!([REGION])));
    let path = format!("/v2/images/{}", image["id"]);
    stage.settle().await;
    let image = service.get(&path).await.expect(200).body["image"].clone();
    assert_eq!((&image["status"], &image["min_disk_size"]), (&json!("available"), &json!(5)));
    assert_eq!(image["size_gigabytes"], 1.23);
    assert_eq!(stage.shelf.held().len(), 1);

    let change = json!({ "name": "two", "distribution": "Plan 9", "description": "" });
    let changed = service.put(&path, &change).await.expect(200).body["image"].clone();
    assert_eq!((&changed["name"], &changed["distribution"]), (&json!("two"), &json!("Unknown")));
    assert_eq!(changed["description"], "");
    let same = service.put(&path, &json!({})).await.expect(200);
    assert_eq!(same.body["image"], changed);

    // Gone from everything at once, while the bytes and the quota wait for a worker.
    service.delete(&path).await.expect(204);
    service.get(&path).await.expect(404);
    service.delete(&path).await.expect(404);
    assert_eq!(service.get("/v2/images?private=true").await.expect(200).body["meta"]["total"], 0);
    assert_eq!(service.get("/v2/tags/web").await.expect(200).body["tag"]["resources"]["images"]["count"], 0);
    assert_eq!(service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 1);
    stage.settle().await;
    assert_eq!(stage.shelf.held(), [0; 0]);
    assert_eq!(service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
    let audit: Vec<String> = service.audit().await.into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(audit, ["image.create", "image.update", "image.update", "image.delete"]);
    let said: Vec<(String,)> = stage.all("SELECT detail::text FROM audit_events").await;
    assert!(!format!("{said:?}").contains("hush"), "what stands in the query may be a secret");
}

#[tokio::test]
async fn an_image_that_cannot_be_fetched_says_why_until_it_is_deleted() {
    let stage = Stage::set().await;
    stage.shelf.refuse();
    let made = stage.service.post("/v2/images", &brought("bad")).await.expect(202);
    let path = format!("/v2/images/{}", made.body["image"]["id"]);
    stage.settle().await;
    let image = stage.service.get(&path).await.expect(200).body["image"].clone();
    assert_eq!(image["status"], "deleted");
    assert!(image["error_message"].as_str().unwrap().contains("could not be fetched"), "{image}");
    assert_eq!(stage.service.get("/v2/images?private=true").await.expect(200).body["meta"]["total"], 0);
    assert_eq!(stage.service.get("/cloud/v1/quotas").await.expect(200).body["used"]["snapshots"], 0);
    stage.service.delete(&path).await.expect(204);
    stage.service.get(&path).await.expect(404);
    stage.settle().await;
}

#[tokio::test]
async fn an_image_deleted_while_it_is_fetched_leaves_nothing() {
    let stage = Stage::set().await;
    stage.shelf.set_away(true);
    let made = stage.service.post("/v2/images", &brought("late")).await.expect(202);
    stage.settle_within(std::time::Duration::from_millis(50)).await;
    stage.service.delete(&format!("/v2/images/{}", made.body["image"]["id"])).await.expect(204);
    stage.shelf.set_away(false);
    stage.settle().await;
    assert_eq!(stage.shelf.held(), [0; 0]);
    let ends: Vec<(bool, String)> =
        stage.all("SELECT erased_at IS NOT NULL, status FROM images WHERE kind = 'custom'").await;
    assert_eq!(ends, [(true, "deleted".to_owned())]);
}

#[tokio::test]
async fn what_is_wrong_with_an_image_is_named() {
    let stage = Stage::set().await;
    for (field, value, words) in [
        ("url", json!("http://images.example.org/x"), "url: "),
        ("url", json!("https://10.0.0.1/x"), "public internet"),
        ("url", json!("https://169.254.169.254/x"), "public internet"),
        ("url", json!("https://localhost/x"), "url: "),
        ("url", json!("https://u:p@example.org/x"), "user name"),
        ("url", json!("file:///etc/shadow"), "https"),
        ("url", json!(5), "url: "),
        ("url", json!(""), "url: "),
        ("name", json!(""), "name: "),
        ("name", json!("a\nb"), "name: "),
        ("region", json!("nowhere"), "region: "),
        ("region", json!(""), "region: "),
        ("tags", json!(["a b"]), "tags[0]: "),
        ("tags", json!(vec!["a"; 101]), "tags: "),
        ("description", json!("x".repeat(5000)), "description: "),
        ("distribution", json!([]), "distribution: "),
    ] {
        let mut body = brought("one");
        body[field] = value;
        stage.service.post("/v2/images", &body).await.refused(422, words);
    }
    for missing in ["name", "url", "region"] {
        let mut body = brought("one");
        body.as_object_mut().unwrap().remove(missing);
        stage.service.post("/v2/images", &body).await.refused(422, missing);
    }
    let kept: Vec<(i64,)> = stage.all("SELECT count(*) FROM images WHERE team_id IS NOT NULL").await;
    assert_eq!(kept, [(0,)]);
}

#[tokio::test]
async fn an_operator_can_let_images_come_from_anywhere() {
    let options = api::Options { image_reach: model::image_url::Reach::Anywhere, ..options() };
    let service = Service::with(options).await;
    let body = json!({ "name": "a", "url": "http://10.0.0.1/x", "region": "nowhere" });
    service.post("/v2/images", &body).await.refused(422, "region: ");
}

#[tokio::test]
async fn the_limit_holds_for_what_is_brought() {
    let stage = Stage::set().await;
    stage.run("UPDATE quotas SET snapshots = 2").await;
    let post = |name: &'static str| async { stage.service.post("/v2/images", &brought(name)).await.status.as_u16() };
    let (one, two, three) = tokio::join!(post("a"), post("b"), post("c"));
    let mut all = [one, two, three];
    all.sort_unstable();
    assert_eq!(all, [202, 202, 422]);
}

#[tokio::test]
async fn lists_are_narrowed_and_paged_and_each_teams_own() {
    let stage = Stage::set().await;
    let service = &stage.service;
    for name in ["a", "b"] {
        service.post("/v2/images", &brought(name)).await.expect(202);
    }
    let body = json!({ "name": "c", "url": "https://example.org/c", "region": REGION });
    service.call("POST", "/v2/images", &service.theirs.token, body.to_string()).await.expect(202);
    stage.settle().await;

    let public = service.get("/v2/images?type=distribution&per_page=200").await.expect(200);
    let public = public.body["meta"]["total"].as_i64().unwrap();
    assert!(public > 0);
    let total = |query: &'static str| async move {
        service.get(&format!("/v2/images{query}")).await.expect(200).body["meta"]["total"].as_i64().unwrap()
    };
    assert_eq!(total("").await, public + 2);
    assert_eq!(total("?private=true").await, 2);
    assert_eq!(total("?private=false").await, public + 2);
    assert_eq!(total("?type=application").await, 0);
    assert_eq!(total("?type=distribution&private=true").await, 0);
    assert_eq!(total("?tag_name=WEB").await, 2);
    assert_eq!(total("?tag_name=other").await, 0);
    let page = service.get("/v2/images?private=true&per_page=1&page=2").await.expect(200);
    assert_eq!(names(&page.body, "images"), ["b"]);
    assert!(page.body["links"]["pages"]["first"].as_str().unwrap().contains("private=true"));
    for (query, field) in [("type=base", "type"), ("private=maybe", "private"), ("per_page=201", "per_page")] {
        service.get(&format!("/v2/images?{query}")).await.refused(422, field);
    }

    let base = service.get(&format!("/v2/images/{BASE}")).await.expect(200).body["image"].clone();
    assert_eq!((&base["type"], &base["public"], &base["regions"]), (&json!("base"), &json!(true), &json!([REGION])));
    assert_eq!(service.get(&format!("/v2/images/{}", base["id"])).await.expect(200).body["image"], base);
    for path in ["no-such-slug", "2147483648", "-1", "0", "%F0%9F%A6%80"] {
        service.get(&format!("/v2/images/{path}")).await.expect(404);
    }
}

#[tokio::test]
async fn nobody_elses_image_can_be_seen_or_touched() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let made = service.post("/v2/images", &brought("ours")).await.expect(202);
    stage.settle().await;
    let theirs = format!("/v2/images/{}", made.body["image"]["id"]);
    let offer = json!({ "recipient_uuid": uuid::Uuid::new_v4().to_string() }).to_string();
    let taken = json!({ "transfer_id": 1, "recipient_uuid": service.theirs.team.to_string() }).to_string();
    for (method, path, body) in [
        ("GET", theirs.clone(), String::new()),
        ("PUT", theirs.clone(), json!({ "name": "x" }).to_string()),
        ("DELETE", theirs.clone(), String::new()),
        ("GET", format!("{theirs}/actions"), String::new()),
        ("POST", format!("{theirs}/actions"), json!({ "type": "convert" }).to_string()),
        ("POST", format!("{theirs}/account_transfer"), offer),
        ("POST", format!("{theirs}/account_transfer/accept"), taken),
        ("POST", format!("{theirs}/account_transfer/cancel"), json!({ "transfer_id": 1 }).to_string()),
        ("POST", format!("{theirs}/account_transfer/decline"), json!({ "transfer_id": 1 }).to_string()),
        ("GET", theirs.replace("images", "snapshots"), String::new()),
        ("DELETE", theirs.replace("images", "snapshots"), String::new()),
    ] {
        service.call(method, &path, &service.theirs.token, body).await.expect(404);
    }
    let base = service.get(&format!("/v2/images/{BASE}")).await.expect(200).body["image"]["id"].clone();
    let base = format!("/v2/images/{base}");
    service.put(&base, &json!({ "name": "mine now" })).await.refused(403, "catalogue");
    service.delete(&base).await.refused(403, "catalogue");
    service.post(&format!("{base}/actions"), &json!({ "type": "convert" })).await.refused(403, "catalogue");
    service.get(&base).await.expect(200);
    let actions = service.get(&format!("{base}/actions")).await.expect(200);
    assert_eq!(actions.body["actions"], json!([]));
}

#[tokio::test]
async fn a_transfer_to_where_it_is_completes_and_to_elsewhere_is_refused() {
    let stage = Stage::set().await;
    let service = &stage.service;
    stage
        .run("INSERT INTO regions (slug, name, provider, vpc_range) VALUES ('far', 'Far', 'qemu', '10.0.0.0/16')")
        .await;
    let made = service.post("/v2/images", &brought("one")).await.expect(202);
    let path = format!("/v2/images/{}/actions", made.body["image"]["id"]);
    let here = json!({ "type": "transfer", "region": REGION });
    service.post(&path, &here).await.refused(422, "not available yet");
    stage.settle().await;
    let asked = service.post(&path, &here).await.expect(201).body;
    assert_eq!((&asked["action"]["type"], &asked["action"]["status"]), (&json!("transfer"), &json!("in-progress")));
    assert_eq!(asked["action"]["resource_type"], "image");
    service.post(&path, &here).await.refused(422, "pending event");
    stage.settle().await;
    let one = format!("{path}/{}", asked["action"]["id"]);
    let done = service.get(&one).await.expect(200).body;
    assert_eq!((&done["action"]["status"], &done["action"]["region_slug"]), (&json!("completed"), &json!(REGION)));
    assert_eq!(service.get(&path).await.expect(200).body["actions"], json!([done["action"]]));
    service.get(&one.replace(&path, &path.replace("/actions", "0/actions"))).await.expect(404);
    service.get(&format!("{path}/2147483647")).await.expect(404);

    service.post(&path, &json!({ "type": "transfer", "region": "far" })).await.refused(422, "not copied");
    service.post(&path, &json!({ "type": "transfer", "region": "nowhere" })).await.refused(422, "no such region");
    service.post(&path, &json!({ "type": "transfer" })).await.refused(422, "region");
    service.post(&path, &json!({ "type": "explode" })).await.refused(422, "type");
    service.post(&path, &json!({ "type": "convert" })).await.refused(422, "backup");
    service.post(&path, &json!({})).await.refused(422, "type");
}

#[tokio::test]
async fn an_image_that_a_disk_is_being_made_from_stays() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web").await;
    let image = stage.snapshot(server, "kept").await;
    let rebuild = json!({ "type": "rebuild", "image": image });
    service.post(&format!("/v2/droplets/{server}/actions"), &rebuild).await.expect(201);
    service.delete(&format!("/v2/images/{image}")).await.refused(409, "being made from");
    service.delete(&format!("/v2/snapshots/{image}")).await.refused(409, "being made from");
    stage.settle().await; // the stage has no guests: the rebuild ends with that
    service.delete(&format!("/v2/images/{image}")).await.expect(204);
}

#[tokio::test]
async fn scopes_are_the_specifications() {
    let stage = Stage::set().await;
    let reads = stage.service.token(&["image:read"]).await;
    stage.service.call("GET", "/v2/images", &reads, Body::empty()).await.expect(200);
    stage.service.call("POST", "/v2/images", &reads, "{}").await.refused(403, "image:create");
    stage.service.call("GET", "/v2/snapshots", &reads, Body::empty()).await.refused(403, "snapshot:read");
    stage.service.call("DELETE", "/v2/images/1", &reads, Body::empty()).await.refused(403, "image:delete");
}
