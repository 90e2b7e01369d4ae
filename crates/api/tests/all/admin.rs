//! The operators' plane.

use crate::service::{Service, options};
use crate::stage::Stage;
use api::{Options, SetupWish};
use axum::body::Body;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn an_operator_is_told_who_they_are() {
    let service = Service::start().await;
    let told = service.admin("GET", "/operator", &Value::Null).await.expect(200);
    assert_eq!(told.body["operator"]["name"], "first operator");
    assert_eq!(told.body["operator"]["scopes"], json!([]));
    assert!(!told.body.to_string().contains("cairn_op_"), "{}", told.body);
    let reads = service.operator_token(&["server:read"]).await;
    service.call("GET", "/admin/v1/servers", &reads, Body::empty()).await.expect(200);
    service.call("GET", "/admin/v1/providers/proxmox/setup", &reads, Body::empty()).await.refused(403, "region:read");
}

#[tokio::test]
async fn a_revoked_operator_is_out_with_the_next_request() {
    let service = Service::start().await;
    let token = service.operator_token(&[]).await;
    let store = service.database.store();
    service.call("GET", "/admin/v1/operator", &token, Body::empty()).await.expect(200);
    let hash = store::tenancy::hash_secret(&token);
    let id = store::operators::authenticate(store, &hash).await.unwrap().unwrap().id;
    let mut tx = store.begin().await.unwrap();
    assert!(store::operators::revoke(&mut tx, id).await.unwrap());
    assert!(!store::operators::revoke(&mut tx, id).await.unwrap(), "once");
    tx.commit().await.unwrap();
    service.call("GET", "/admin/v1/operator", &token, Body::empty()).await.expect(401);
    service.admin("GET", "/operator", &Value::Null).await.expect(200);
}

#[tokio::test]
async fn the_first_operator_is_made_once() {
    let database = store::testing::database().await;
    let (one, two) =
        tokio::join!(store::operators::bootstrap(database.store()), store::operators::bootstrap(database.store()));
    let made: Vec<_> = [one.unwrap(), two.unwrap()].into_iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert!(made[0].secret.reveal().starts_with("cairn_op_"));
    assert!(store::operators::bootstrap(database.store()).await.unwrap().is_none());
}

/// The second lock: a transaction under the role of tenants sees no operator, whatever it asks for.
#[tokio::test]
async fn no_tenants_transaction_reads_an_operators_row() {
    let service = Service::start().await;
    for table in ["operator_tokens", "operator_audit"] {
        let mut tx = service.database.store().tenant(service.ours.team).await.unwrap();
        let statement = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let error = sqlx::query_scalar::<_, i64>(statement).fetch_one(&mut *tx).await.unwrap_err();
        let code = error.as_database_error().and_then(|error| error.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{table}: {error}");
    }
}

#[tokio::test]
async fn a_provider_is_prepared_by_its_own_script() {
    let write = |provider: &str, wish: &SetupWish| (provider == "proxmox").then(|| format!("{wish:?}"));
    let service = Service::with(Options { setup_script: Some(Arc::new(write)), ..options() }).await;
    let told = service.admin("GET", "/providers/proxmox/setup?storage=local-zfs&version=9.2", &Value::Null).await;
    let wish = SetupWish { storage: Some("local-zfs".into()), version: Some("9.2".into()), ..SetupWish::default() };
    let setup = json!({"setup": {"provider": "proxmox", "script": format!("{wish:?}")}});
    assert_eq!(told.expect(200).body, setup);
    service.admin("GET", "/providers/nobody/setup", &Value::Null).await.expect(404);
    // Somebody will run it as root.
    for word in ["a%3Breboot", "a%20b", "$(id)", "%60id%60", "a'b", "", "-rf", "a%0Ab"] {
        let path = format!("/providers/proxmox/setup?bridge={word}");
        service.admin("GET", &path, &Value::Null).await.refused(422, "bridge");
    }
}

#[tokio::test]
async fn servers_of_all_teams_are_listed_and_narrowed() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let ours = stage.server(service.ours.team, "web-1").await;
    let theirs = stage.server(service.theirs.team, "db-1").await;
    let all = service.admin("GET", "/servers", &Value::Null).await.expect(200);
    assert_eq!(all.body["meta"]["total"], 2);
    let first = &all.body["servers"][0];
    assert_eq!((first["id"].clone(), first["name"].clone()), (json!(ours), json!("web-1")));
    assert_eq!((first["team"].clone(), first["status"].clone()), (json!("ours"), json!("active")));
    let of = |query: String| async move { service.admin("GET", &format!("/servers?{query}"), &Value::Null).await };
    let narrowed = of(format!("team_id={}", service.theirs.team)).await.expect(200);
    assert_eq!((&narrowed.body["servers"][0]["id"], &narrowed.body["meta"]["total"]), (&json!(theirs), &json!(1)));
    assert_eq!(of("region=nowhere".to_owned()).await.expect(200).body["meta"]["total"], 0);
    of("team_id=nobody".to_owned()).await.refused(422, "team_id");
    let page = of("per_page=1&page=2".to_owned()).await.expect(200);
    assert_eq!(page.body["servers"][0]["id"], json!(theirs));
    assert!(
        page.body["links"]["pages"]["prev"].as_str().unwrap().starts_with("https://cloud.example/admin/v1/servers?")
    );
    // A team's own view is as narrow as ever.
    let seen = service.get("/v2/droplets").await.expect(200);
    assert_eq!(seen.body["meta"]["total"], 1);
}

/// A body that connects a cluster which nobody reaches.
fn lab() -> Value {
    json!({
        "slug": "lab", "name": "The lab", "provider": "proxmox", "secret": SECRET,
        "settings": {"entries": ["https://pve1.example:8006"], "token_id": "cairn@pve!cairn", "storage": "local-zfs"},
        "fingerprints": ["ab".repeat(32)], "resolvers": ["192.0.2.53"],
        "pools": [{"name": "public", "kind": "public_bridged", "range": "192.0.2.0/24", "first": "192.0.2.100"}]
    })
}

const SECRET: &str = "swordfish-0123456789";

/// Everything that the database holds, as text.
async fn everything(service: &Service) -> String {
    let tables: Vec<(String,)> = sqlx::query_as(
        "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    .fetch_all(service.database.store().pool())
    .await
    .unwrap();
    let mut all = String::new();
    for (table,) in tables {
        let rows = sqlx::AssertSqlSafe(format!("SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t"));
        let text: (String,) = sqlx::query_as(rows).fetch_one(service.database.store().pool()).await.unwrap();
        all.push_str(&text.0);
    }
    all
}

async fn with_key() -> Service {
    let secrets = Some(Arc::new(cloud::secrets::Key::generate()));
    Service::with(Options { secrets, ..options() }).await
}

#[tokio::test]
async fn a_region_is_connected_changed_and_removed_and_its_secret_is_nowhere() {
    let service = with_key().await;
    let made = service.admin("POST", "/regions", &lab()).await.expect(201);
    let region = &made.body["region"];
    assert_eq!(
        (&region["slug"], &region["has_secret"], &region["origin"]),
        (&json!("lab"), &json!(true), &json!("operator"))
    );
    assert_eq!(region["connection"], json!({"state": "new", "connected_at": null, "problem": null}));
    assert_eq!((&region["pools"][0]["first"], &region["pools"][0]["free"]), (&json!("192.0.2.100"), &json!(155)));
    service.admin("POST", "/regions", &lab()).await.expect(409);
    let settings = json!({"entries": ["https://pve2.example:8006"], "token_id": "cairn@pve!cairn", "storage": "ceph"});
    let sold = json!({"vcpus_percent": 300, "memory_percent": 90, "disk_percent": 100});
    let change = json!({"settings": settings, "secret": SECRET, "available": false, "overcommit": sold});
    let changed = service.admin("PUT", "/regions/lab", &change).await.expect(200);
    assert_eq!((&changed.body["region"]["settings"], &changed.body["region"]["overcommit"]), (&settings, &sold));
    assert_eq!(changed.body["region"]["available"], false);
    let listed = service.admin("GET", "/regions", &Value::Null).await.expect(200);
    let shown = service.admin("GET", "/regions/lab", &Value::Null).await.expect(200);
    for answer in [&made, &changed, &listed, &shown] {
        assert!(!answer.body.to_string().contains(SECRET), "{}", answer.body);
    }
    // Not in the books, the audit, the events either: what is stored is sealed.
    let stored = everything(&service).await;
    let hexadecimal: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(stored.contains("region.connect") && !stored.contains(SECRET) && !stored.contains(&hexadecimal));
    let audit: Vec<(String, String)> = sqlx::query_as("SELECT operation, subject FROM operator_audit ORDER BY id")
        .fetch_all(service.database.store().pool())
        .await
        .unwrap();
    let told: Vec<_> = audit.iter().map(|(operation, subject)| (operation.as_str(), subject.as_str())).collect();
    assert_eq!(told, [("region.connect", "region:lab"), ("region.edit", "region:lab")]);
    service.admin("DELETE", "/regions/lab", &Value::Null).await.expect(204);
    service.admin("GET", "/regions/lab", &Value::Null).await.expect(404);
    service.admin("DELETE", "/regions/lab", &Value::Null).await.expect(404);
}

#[tokio::test]
async fn what_is_wrong_with_a_region_is_named() {
    let service = with_key().await;
    for (field, value, named) in [
        ("slug", json!(7), "slug"),
        ("vpc_range", json!("10.0.0.1/16"), "vpc_range"),
        ("pools", json!([{"name": "p", "kind": "public_bridged", "range": "x"}]), "pools[0].range"),
        ("pools", json!([{"name": "p", "kind": "magic", "range": "192.0.2.0/24"}]), "pools[0].kind"),
        ("overcommit", json!([300, 100, 100]), "overcommit"),
    ] {
        let mut body = lab();
        body[field] = value;
        let answer = service.admin("POST", "/regions", &body).await.refused(422, named);
        assert_eq!(answer.body["cloud"]["field"], named, "{}", answer.body);
    }
    let mut body = lab();
    body["slug"] = json!("Not A Slug");
    service.admin("POST", "/regions", &body).await.refused(422, "slug");
    for field in ["slug", "provider"] {
        let mut body = lab();
        body.as_object_mut().unwrap().remove(field);
        let answer = service.admin("POST", "/regions", &body).await.refused(422, field);
        assert_eq!(answer.body["cloud"]["field"], field, "a missing field is named, too");
    }
    let left: (i64,) =
        sqlx::query_as("SELECT count(*) FROM regions").fetch_one(service.database.store().pool()).await.unwrap();
    assert_eq!(left.0, 0);
}

/// A misspelt field would otherwise silently be as if it was not said.
#[tokio::test]
async fn an_unknown_field_is_refused_by_its_name() {
    let service = with_key().await;
    service.admin("POST", "/regions", &lab()).await.expect(201);
    let nobody = uuid::Uuid::now_v7();
    let mut other = lab();
    other["slug"] = json!("other");
    let mut pool = other.clone();
    pool["pools"][0]["gatway"] = json!("192.0.2.1");
    for (method, path, mut body, unknown) in [
        ("POST", "/regions".to_owned(), other, "vpc_rang"),
        ("PUT", "/regions/lab".to_owned(), json!({"available": false}), "vpc_range"),
        ("POST", "/region_tests".to_owned(), json!({"provider": "proxmox"}), "setings"),
        ("PUT", format!("/hosts/{nobody}"), json!({"maintenance": true}), "tag"),
        ("POST", "/migrations".to_owned(), json!({"server_id": 1}), "host"),
        ("POST", "/templates".to_owned(), json!({"region": "lab", "image_id": 1}), "force"),
        ("POST", "/guests/adopt".to_owned(), json!({"region": "lab", "guest": "1", "team_id": nobody}), "quota"),
    ] {
        body[unknown] = json!("x");
        let answer = service.admin(method, &path, &body).await.refused(422, &format!("unknown field `{unknown}`"));
        assert_eq!(answer.body["cloud"]["field"], unknown, "{}", answer.body);
    }
    let answer = service.admin("POST", "/regions", &pool).await.refused(422, "unknown field `gatway`");
    assert_eq!(answer.body["cloud"]["field"], "pools[0].gatway");
    for (part, said, unknown) in [
        ("overcommit", json!({"memory_percent": 90}), "cpu_percent"),
        ("placement", json!({"preference": "pack"}), "headroom"),
        ("heal", json!({"what": "power"}), "per_day"),
    ] {
        let mut body = json!({ part: said });
        body[part][unknown] = json!(1);
        let answer =
            service.admin("PUT", "/regions/lab", &body).await.refused(422, &format!("unknown field `{unknown}`"));
        assert_eq!(answer.body["cloud"]["field"], format!("{part}.{unknown}"), "{}", answer.body);
    }
    let shown = service.admin("GET", "/regions/lab", &Value::Null).await.expect(200);
    assert_eq!(shown.body["region"]["available"], true, "nothing of it is done");
}

#[tokio::test]
async fn a_stored_secret_is_not_sent_elsewhere_and_shared_addresses_are_told() {
    let service = with_key().await;
    let made = service.admin("POST", "/regions", &lab()).await.expect(201);
    assert!(made.body.get("warnings").is_none(), "{}", made.body);
    let settings = json!({"entries": ["https://mine.example:8006"], "token_id": "cairn@pve!cairn"});
    let answer = service.admin("PUT", "/regions/lab", &json!({"settings": settings})).await.refused(422, "secret");
    assert_eq!(answer.body["cloud"]["field"], "secret", "{}", answer.body);
    let shown = service.admin("GET", "/regions/lab", &Value::Null).await.expect(200);
    assert_eq!(shown.body["region"]["settings"], lab()["settings"]);
    let mut site = lab();
    (site["slug"], site["settings"], site["fingerprints"]) = (json!("site"), settings, json!([]));
    let made = service.admin("POST", "/regions", &site).await.expect(201);
    let told = made.body["warnings"][0].as_str().unwrap();
    assert!(told.contains("192.0.2.100") && told.contains("region `lab`"), "{told}");
}

/// A worker would read it, and send it to whoever the settings name.
#[tokio::test]
async fn no_request_names_a_file_of_the_host() {
    let service = with_key().await;
    service.admin("POST", "/regions", &lab()).await.expect(201);
    let settings =
        json!({"entries": ["https://192.0.2.7:8006"], "token_id": "a@pve!b", "token_secret_file": "/etc/shadow"});
    let mut other = lab();
    other["slug"] = json!("other");
    other["settings"] = settings.clone();
    for (method, path, body) in [
        ("POST", "/regions", other),
        ("PUT", "/regions/lab", json!({"settings": settings})),
        ("POST", "/region_tests", json!({"provider": "proxmox", "settings": settings})),
    ] {
        let answer = service.admin(method, path, &body).await.refused(422, "settings.token_secret_file");
        assert_eq!(answer.body["cloud"]["field"], "settings.token_secret_file");
    }
}

#[tokio::test]
async fn a_host_is_kept_free_and_let_on_again() {
    let stage = Stage::set().await;
    let service = &stage.service;
    stage.server(service.ours.team, "web-1").await;
    let hosts = service.admin("GET", "/hosts?region=local", &Value::Null).await.expect(200);
    let host = &hosts.body["hosts"][0];
    assert_eq!(host["state"], "up");
    let path = format!("/hosts/{}", host["id"].as_str().unwrap());
    for (wanted, state) in [(true, "maintenance"), (true, "maintenance"), (false, "up")] {
        let changed = service.admin("PUT", &path, &json!({"maintenance": wanted})).await.expect(200);
        assert_eq!(changed.body["host"]["state"], state);
    }
    let changed = service.admin("PUT", &path, &json!({"tags": ["nvme", "fast"]})).await.expect(200);
    assert_eq!(changed.body["host"]["tags"].as_array().unwrap().len(), 2);
    assert_eq!(service.admin("GET", &path, &Value::Null).await.expect(200).body["host"], changed.body["host"]);
    service.admin("PUT", &path, &json!({"maintenance": "yes"})).await.refused(422, "maintenance");
    let nobody = format!("/hosts/{}", uuid::Uuid::now_v7());
    service.admin("PUT", &nobody, &json!({"maintenance": true})).await.expect(404);
    service.admin("GET", "/hosts/garbage", &Value::Null).await.expect(404);
}

#[tokio::test]
async fn alerts_are_listed_acknowledged_and_over_when_they_are() {
    let service = Service::start().await;
    let store = service.database.store();
    let mut tx = store.begin().await.unwrap();
    store::alerts::raise(&mut tx, "late", "server:42", "It takes long.").await.unwrap();
    tx.commit().await.unwrap();
    let listed = service.admin("GET", "/alerts", &Value::Null).await.expect(200);
    let alert = &listed.body["alerts"][0];
    assert_eq!((&alert["kind"], &alert["acknowledged_at"]), (&json!("late"), &Value::Null));
    let path = format!("/alerts/{}/acknowledge", alert["id"]);
    let known = service.admin("POST", &path, &Value::Null).await.expect(200);
    assert!(known.body["alert"]["acknowledged_at"].is_string());
    assert_eq!(known.body["alert"]["resolved_at"], Value::Null, "it is not over because somebody knows");
    let mut tx = store.begin().await.unwrap();
    store::alerts::resolve(&mut tx, "late", "server:42").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(service.admin("GET", "/alerts", &Value::Null).await.expect(200).body["meta"]["total"], 0);
    assert_eq!(service.admin("GET", "/alerts?all=true", &Value::Null).await.expect(200).body["meta"]["total"], 1);
    service.admin("POST", "/alerts/2147483647/acknowledge", &Value::Null).await.expect(404);
    service.admin("GET", "/alerts?all=maybe", &Value::Null).await.refused(422, "all");
}

#[tokio::test]
async fn what_needs_a_cluster_is_refused_where_there_is_none() {
    let stage = Stage::set().await;
    let service = &stage.service;
    let server = stage.server(service.ours.team, "web-1").await;
    service.admin("POST", "/migrations", &json!({"server_id": server})).await.expect(422);
    service.admin("POST", "/migrations", &json!({"server_id": 2_147_483_647})).await.expect(404);
    let nobodys = format!("/guests/adoptions/{}", uuid::Uuid::now_v7());
    service.admin("GET", &nobodys, &Value::Null).await.expect(404);
    let adopt = json!({"region": "local", "guest": "105", "team_id": service.ours.team.0});
    let answer = service.admin("POST", "/guests/adopt", &adopt).await;
    assert!(answer.status == 404 || answer.status == 422, "{:?}", answer.body);
    for list in ["storages", "templates", "guests", "migrations"] {
        let listed =
            service.admin("GET", &format!("/{list}?region=local&per_page=200"), &Value::Null).await.expect(200);
        assert!(listed.body[list].is_array(), "{}", listed.body);
    }
}
