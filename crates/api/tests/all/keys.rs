use crate::service::Service;
use axum::body::Body;
use serde_json::json;
use std::process::Stdio;

/// A key of its own for each test, as ssh-keygen writes it.
pub(crate) fn public_key(nth: u8) -> String {
    use base64::Engine;
    let mut blob = Vec::new();
    for part in [&b"ssh-ed25519"[..], &[nth; 32]] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap().to_be_bytes());
        blob.extend_from_slice(part);
    }
    format!("ssh-ed25519 {} nth-{nth}", base64::engine::general_purpose::STANDARD.encode(blob))
}

#[tokio::test]
async fn a_key_comes_changes_and_goes_by_id_and_by_fingerprint() {
    let service = Service::start().await;
    let made =
        service.post("/v2/account/keys", &json!({"name": "laptop", "public_key": public_key(1)})).await.expect(201);
    let key = &made.body["ssh_key"];
    let (id, fingerprint) = (key["id"].as_i64().unwrap(), key["fingerprint"].as_str().unwrap());
    assert_eq!(fingerprint.len(), 47);
    for reference in [id.to_string(), fingerprint.to_owned()] {
        let shown = service.get(&format!("/v2/account/keys/{reference}")).await.expect(200);
        assert_eq!(shown.body, made.body);
    }
    let renamed = service.put(&format!("/v2/account/keys/{fingerprint}"), &json!({"name": "desk"})).await.expect(200);
    assert_eq!(renamed.body["ssh_key"]["name"], "desk");
    let same = service.put(&format!("/v2/account/keys/{id}"), &json!({})).await.expect(200);
    assert_eq!(same.body, renamed.body);
    service.put(&format!("/v2/account/keys/{id}"), &json!({"name": ""})).await.refused(422, "name");
    service.delete(&format!("/v2/account/keys/{id}")).await.expect(204);
    for method in ["GET", "PUT", "DELETE"] {
        let path = format!("/v2/account/keys/{id}");
        service.call(method, &path, &service.ours.token, Body::empty()).await.expect(404);
    }
    let operations: Vec<String> = service.audit().await.into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(operations, ["ssh_key.create", "ssh_key.update", "ssh_key.update", "ssh_key.delete"]);
}

#[tokio::test]
async fn a_key_twice_is_refused_in_the_words_that_clients_know() {
    let service = Service::start().await;
    let body = json!({"name": "a", "public_key": public_key(2)});
    service.post("/v2/account/keys", &body).await.expect(201);
    service.post("/v2/account/keys", &body).await.refused(422, "SSH Key is already in use on your account");
    // Another team may have the same key.
    service.call("POST", "/v2/account/keys", &service.theirs.token, body.to_string()).await.expect(201);
    for wrong in ["", "ssh-rsa", "ssh-ed25519 AAAA", "-----BEGIN OPENSSH PRIVATE KEY-----", "a\nb"] {
        let body = json!({"name": "a", "public_key": wrong});
        service.post("/v2/account/keys", &body).await.refused(422, "public_key");
    }
}

#[tokio::test]
async fn keys_are_the_teams_own() {
    let service = Service::start().await;
    let made = service.post("/v2/account/keys", &json!({"name": "a", "public_key": public_key(3)})).await.expect(201);
    let key = &made.body["ssh_key"];
    for reference in [key["id"].to_string(), key["fingerprint"].as_str().unwrap().to_owned()] {
        for (method, body) in [("GET", ""), ("PUT", "{\"name\":\"b\"}"), ("DELETE", "")] {
            let path = format!("/v2/account/keys/{reference}");
            service.call(method, &path, &service.theirs.token, body).await.expect(404);
        }
    }
    let listed = service.call("GET", "/v2/account/keys", &service.theirs.token, Body::empty()).await.expect(200);
    assert_eq!(listed.body, json!({"ssh_keys": [], "links": {}, "meta": {"total": 0}}));
    service.get(&format!("/v2/account/keys/{}", key["id"])).await.expect(200);
}

#[tokio::test]
async fn pages_lead_through_all_keys_once() {
    let service = Service::start().await;
    for nth in 0..5 {
        let body = json!({"name": format!("key {nth}"), "public_key": public_key(nth)});
        service.post("/v2/account/keys", &body).await.expect(201);
    }
    let (mut path, mut names) = ("/v2/account/keys?per_page=2".to_owned(), Vec::new());
    loop {
        let page = service.get(&path).await.expect(200);
        assert_eq!(page.body["meta"]["total"], 5);
        names.extend(page.body["ssh_keys"].as_array().unwrap().iter().map(|key| key["name"].clone()));
        let Some(next) = page.body["links"]["pages"]["next"].as_str() else { break };
        path = next.strip_prefix("https://cloud.example").expect("an address on our own host").to_owned();
    }
    assert_eq!(names, ["key 0", "key 1", "key 2", "key 3", "key 4"]);
    let all = service.get("/v2/account/keys").await.expect(200);
    assert_eq!(all.body["links"], json!({}));
}

#[tokio::test]
async fn the_limit_holds_also_when_many_come_at_once() {
    let service = Service::start().await;
    sqlx::query("UPDATE quotas SET ssh_keys = 3 WHERE team_id = $1")
        .bind(service.ours.team.0)
        .execute(service.database.store().pool())
        .await
        .unwrap();
    let bodies: Vec<_> = (0..8).map(|nth| json!({"name": "k", "public_key": public_key(nth)})).collect();
    let answers = bodies.iter().map(|body| service.post("/v2/account/keys", body));
    let answers = futures_util::future::join_all(answers).await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(made, 3);
    for answer in answers.into_iter().filter(|answer| answer.status != 201) {
        assert_eq!(answer.body["cloud"]["code"], "quota_exceeded");
        answer.refused(422, "SSH key limit");
    }
    let quota = service.get("/cloud/v1/quotas").await.expect(200);
    assert_eq!((&quota.body["limits"]["ssh_keys"], &quota.body["used"]["ssh_keys"]), (&json!(3), &json!(3)));
}

/// What ssh-keygen says the fingerprint is.
#[tokio::test]
async fn the_fingerprint_is_ssh_keygens() {
    let line = public_key(9);
    let keygen = tokio::process::Command::new("ssh-keygen")
        .args(["-l", "-E", "md5", "-f", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut keygen) = keygen else { return acceptance::skip("ssh-keygen is not installed") };
    let mut input = keygen.stdin.take().unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut input, line.as_bytes()).await.unwrap();
    drop(input);
    let said = String::from_utf8(keygen.wait_with_output().await.unwrap().stdout).unwrap();
    let service = Service::start().await;
    let made = service.post("/v2/account/keys", &json!({"name": "a", "public_key": line})).await.expect(201);
    assert!(said.contains(made.body["ssh_key"]["fingerprint"].as_str().unwrap()), "{said}");
}
