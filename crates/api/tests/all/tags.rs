use crate::service::Service;
use axum::body::Body;
use serde_json::{Value, json};

/// An image of our team's, which can be tagged without a hypervisor.
async fn image(service: &Service, team: model::ids::TeamId) -> i32 {
    sqlx::query_scalar(
        "INSERT INTO images (team_id, name, distribution, kind, status, source, min_disk_gb)
         VALUES ($1, 'mine', 'Debian', 'snapshot', 'available', '\"snapshot\"', 1) RETURNING id",
    )
    .bind(team.0)
    .fetch_one(service.database.store().pool())
    .await
    .unwrap()
}

fn resources(of: &[(&str, String)]) -> Value {
    let each: Vec<_> = of.iter().map(|(kind, id)| json!({"resource_type": kind, "resource_id": id})).collect();
    json!({ "resources": each })
}

#[tokio::test]
async fn a_tag_comes_counts_and_goes() {
    let service = Service::start().await;
    let made = service.post("/v2/tags", &json!({"name": "Env:Prod_1"})).await.expect(201);
    assert_eq!(made.body["tag"]["resources"]["count"], 0);
    assert_eq!(made.body["tag"]["resources"]["droplets"], json!({"count": 0}));
    let (one, two) = (image(&service, service.ours.team).await, image(&service, service.ours.team).await);
    let both = resources(&[("image", one.to_string()), ("image", two.to_string())]);
    service.post("/v2/tags/Env:Prod_1/resources", &both).await.expect(204);
    service.post("/v2/tags/Env:Prod_1/resources", &both).await.expect(204);
    let shown = service.get("/v2/tags/Env:Prod_1").await.expect(200);
    let images = &shown.body["tag"]["resources"]["images"];
    assert_eq!(images["count"], 2);
    assert_eq!(images["last_tagged_uri"], format!("https://cloud.example/v2/images/{two}"));
    assert_eq!(shown.body["tag"]["resources"]["last_tagged_uri"], images["last_tagged_uri"]);
    let listed = service.get("/v2/tags").await.expect(200);
    assert_eq!(listed.body["tags"][0], shown.body["tag"]);

    let body = resources(&[("image", two.to_string()), ("image", "2147483647".to_owned())]).to_string();
    service.call("DELETE", "/v2/tags/Env:Prod_1/resources", &service.ours.token, body).await.expect(204);
    let shown = service.get("/v2/tags/Env:Prod_1").await.expect(200);
    assert_eq!(shown.body["tag"]["resources"]["count"], 1);
    sqlx::query("UPDATE images SET status = 'deleted', deleted_at = now()")
        .execute(service.database.store().pool())
        .await
        .unwrap();
    let shown = service.get("/v2/tags/Env:Prod_1").await.expect(200);
    assert_eq!(shown.body["tag"]["resources"]["count"], 0, "what is deleted does not count");

    service.delete("/v2/tags/Env:Prod_1").await.expect(204);
    service.get("/v2/tags/Env:Prod_1").await.expect(404);
    service.delete("/v2/tags/Env:Prod_1").await.expect(404);
    let operations: Vec<String> = service.audit().await.into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(operations, ["tag.create", "tag.assign", "tag.assign", "tag.unassign", "tag.delete"]);
}

#[tokio::test]
async fn capitals_make_no_difference_and_the_first_writing_stays() {
    let service = Service::start().await;
    service.post("/v2/tags", &json!({"name": "Web"})).await.expect(201);
    let again = service.post("/v2/tags", &json!({"name": "wEB"})).await.expect(201);
    assert_eq!(again.body["tag"]["name"], "Web");
    let id = image(&service, service.ours.team).await;
    service.post("/v2/tags/WEB/resources", &resources(&[("image", id.to_string())])).await.expect(204);
    let listed = service.get("/v2/tags").await.expect(200);
    assert_eq!(listed.body["meta"]["total"], 1);
    assert_eq!(listed.body["tags"][0]["resources"]["count"], 1);
    let written: String =
        sqlx::query_scalar("SELECT tag FROM tagged").fetch_one(service.database.store().pool()).await.unwrap();
    assert_eq!(written, "Web");
    service.delete("/v2/tags/web").await.expect(204);
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let service = Service::start().await;
    let id = image(&service, service.ours.team).await.to_string();
    // Clients make the tag and try again on exactly this status.
    service.post("/v2/tags/none/resources", &resources(&[("image", id.clone())])).await.expect(404);
    let body = resources(&[("image", id.clone())]).to_string();
    service.call("DELETE", "/v2/tags/none/resources", &service.ours.token, body).await.expect(404);
    for name in ["", "a b", "ä", "a/b", &"a".repeat(256)] {
        service.post("/v2/tags", &json!({"name": name})).await.refused(422, "name");
    }
    service.post("/v2/tags", &json!({"name": "t"})).await.expect(201);
    let theirs = image(&service, service.theirs.team).await.to_string();
    for (kind, wrong) in [
        ("image", "1000000"),
        ("image", "x"),
        ("image", "99999999999999999999"),
        ("droplet", "1"),
        ("image", theirs.as_str()),
        ("image", ""),
    ] {
        let body = resources(&[("image", id.clone()), (kind, wrong.to_owned())]);
        service.post("/v2/tags/t/resources", &body).await.refused(422, "resources[1].resource_id");
    }
    let body = resources(&[("volume", "3d80cb72-342b-4aaa-b92e-4e4abb24a933".to_owned())]);
    service.post("/v2/tags/t/resources", &body).await.refused(422, "resources[0].resource_type");
    service.post("/v2/tags/t/resources", &resources(&[("castle", id.clone())])).await.refused(422, "resource_type");
    let many = resources(&vec![("image", id); 1001]);
    service.post("/v2/tags/t/resources", &many).await.refused(422, "at most 1000");
    let shown = service.get("/v2/tags/t").await.expect(200);
    assert_eq!(shown.body["tag"]["resources"]["count"], 0, "all or none");
}

#[tokio::test]
async fn tags_are_the_teams_own() {
    let service = Service::start().await;
    service.post("/v2/tags", &json!({"name": "ours"})).await.expect(201);
    let body = resources(&[("image", image(&service, service.ours.team).await.to_string())]).to_string();
    for (method, path, body) in [
        ("GET", "/v2/tags/ours", String::new()),
        ("DELETE", "/v2/tags/ours", String::new()),
        ("POST", "/v2/tags/ours/resources", body.clone()),
        ("DELETE", "/v2/tags/ours/resources", body),
    ] {
        service.call(method, path, &service.theirs.token, body).await.expect(404);
    }
    let listed = service.call("GET", "/v2/tags", &service.theirs.token, Body::empty()).await.expect(200);
    assert_eq!(listed.body["meta"]["total"], 0);
    // The same word is another tag for another team.
    service.call("POST", "/v2/tags", &service.theirs.token, "{\"name\":\"ours\"}").await.expect(201);
    service.call("DELETE", "/v2/tags/ours", &service.theirs.token, Body::empty()).await.expect(204);
    service.get("/v2/tags/ours").await.expect(200);
}
