use crate::service::{Service, options};
use api::Options;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, header};
use jiff::{SignedDuration, Timestamp};
use model::authority::Role;
use model::ids::TeamId;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use store::tenancy::{self, NewToken, Owner, TeamRole};

#[tokio::test]
async fn a_valid_token_is_the_teams_own() {
    let service = Service::start().await;
    let account = service.get("/v2/account").await.expect(200);
    assert_eq!(account.body["account"]["team"]["name"], "ours");
    assert_eq!(account.body["account"]["droplet_limit"], 25);
    let account = service.call("GET", "/v2/account", &service.theirs.token, Body::empty()).await.expect(200);
    assert_eq!(account.body["account"]["team"]["uuid"], service.theirs.team.to_string());
}

#[tokio::test]
async fn what_is_no_token_is_401() {
    let service = Service::start().await;
    let almost = format!("{}x", service.ours.token);
    let long = format!("cairn_{}", "a".repeat(100_000));
    for token in ["", "cairn_", "x", almost.as_str(), long.as_str(), "dop_v1_0000"] {
        let answer = service.call("GET", "/v2/account", token, Body::empty()).await;
        answer.refused(401, "Unable to authenticate you");
    }
    for value in [format!("Basic {}", service.ours.token), service.ours.token.clone(), "Bearer".to_owned()] {
        let request = Request::get("/v2/account").header(header::AUTHORIZATION, value).body(Body::empty()).unwrap();
        service.send(request).await.expect(401);
    }
    let request = Request::get("/v2/account").header(header::AUTHORIZATION, &b"Bearer \xff"[..]).body(Body::empty());
    service.send(request.unwrap()).await.expect(401);
    // The scheme's name has no case.
    let request = Request::get("/v2/account").header(header::AUTHORIZATION, format!("bearer {}", service.ours.token));
    service.send(request.body(Body::empty()).unwrap()).await.expect(200);
}

#[tokio::test]
async fn an_expired_token_is_401_also_when_it_was_kept() {
    let service = Service::start().await;
    let end = Timestamp::now() + SignedDuration::from_millis(1500);
    let mut tx = service.database.store().begin().await.unwrap();
    let team = service.ours.team;
    let new = NewToken { team, owner: Owner::Team, name: "short", scopes: &[], networks: &[], expires_at: Some(end) };
    let minted = tenancy::mint(&mut tx, &new).await.unwrap();
    tx.commit().await.unwrap();
    let token = minted.secret.reveal();
    service.call("GET", "/v2/account", token, Body::empty()).await.expect(200);
    let info = service.call("GET", "/v1/oauth/token/info", token, Body::empty()).await.expect(200);
    assert!(info.body["expires_in_seconds"].as_i64().unwrap() <= 2);
    while Timestamp::now() <= end {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    service.call("GET", "/v2/account", token, Body::empty()).await.expect(401);
}

/// Far below the five seconds for which a token may be kept: the notice does it.
#[tokio::test]
async fn a_revoked_token_ends_at_once_however_it_was_revoked() {
    let service = Service::with(Options { token_cache: Duration::from_secs(600), ..options() }).await;
    let token = service.token(&[]).await;
    // Until the listener is there nothing is kept, and this test would prove nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    for _ in 0..3 {
        service.call("GET", "/v2/account", &token, Body::empty()).await.expect(200);
    }
    sqlx::query("UPDATE tokens SET revoked_at = now() WHERE secret_hash = $1")
        .bind(&tenancy::hash_secret(&token)[..])
        .execute(service.database.store().pool())
        .await
        .unwrap();
    let began = Instant::now();
    while service.call("GET", "/v2/account", &token, Body::empty()).await.status == 200 {
        assert!(began.elapsed() < Duration::from_secs(10), "still valid");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    service.get("/v2/account").await.expect(200);
}

#[tokio::test]
async fn a_token_can_end_itself() {
    let service = Service::start().await;
    let token = service.token(&["account:read"]).await;
    let body = format!("{{\"token\":\"{}\"}}", service.ours.token);
    service.call("GET", "/v2/account", &token, Body::empty()).await.expect(200);
    service.call("POST", "/v1/oauth/revoke", &token, body).await.expect(200);
    // Here it is known without being told by the database.
    service.call("GET", "/v2/account", &token, Body::empty()).await.expect(401);
    service.get("/v2/account").await.expect(200);
    assert_eq!(service.audit().await.last().unwrap().0, "token.revoke");
}

#[tokio::test]
async fn scopes_limit_what_a_token_may_do() {
    let service = Service::start().await;
    let reads = service.token(&["tag:read", "account:read"]).await;
    service.call("GET", "/v2/tags", &reads, Body::empty()).await.expect(200);
    service.call("POST", "/v2/tags", &reads, "{\"name\":\"a\"}").await.refused(403, "tag:create");
    service.call("GET", "/v2/account/keys", &reads, Body::empty()).await.refused(403, "ssh_key:read");
    let all = service.token(&["*"]).await;
    service.call("POST", "/v2/tags", &all, "{\"name\":\"a\"}").await.expect(201);
    let info = service.call("GET", "/v1/oauth/token/info", &reads, Body::empty()).await.expect(200);
    assert_eq!(info.body["scopes"], serde_json::json!(["tag:read", "account:read"]));
    assert!(info.body["resource_owner_id"].is_i64());
}

#[tokio::test]
async fn the_first_hour_happens_once() {
    let database = store::testing::database().await;
    let one = tenancy::bootstrap(database.store(), "O", "T", "t@example.com");
    let two = tenancy::bootstrap(database.store(), "O", "T", "t@example.com");
    let (one, two) = tokio::join!(one, two);
    assert_eq!([one.unwrap(), two.unwrap()].iter().flatten().count(), 1);
    let first = tenancy::installation(database.store()).await.unwrap();
    assert_eq!(tenancy::installation(database.store()).await.unwrap(), first);
}

/// A person's token is worth what their role in the team is worth, from the moment of a change on.
#[tokio::test]
async fn a_persons_token_goes_as_far_as_their_role() {
    let service = Service::with(Options { token_cache: Duration::from_secs(600), ..options() }).await;
    let store = service.database.store();
    let mut tx = store.begin().await.unwrap();
    let user = tenancy::create_user(&mut tx, "Viewer@Example.test", "Viewer").await.unwrap();
    let role = TeamRole::Usual(Role::ResourceViewer);
    tenancy::set_team_role(&mut tx, service.ours.team, user, role).await.unwrap();
    let token = mint(&mut tx, service.ours.team, Owner::User(user), &[]).await;
    tx.commit().await.unwrap();
    let reads = async |status: u16| drop(service.call("GET", "/v2/droplets", &token, "").await.expect(status));
    let tags = async |name: &str, status: u16| {
        let body = serde_json::json!({ "name": name }).to_string();
        service.call("POST", "/v2/tags", &token, body).await.expect(status)
    };
    reads(200).await;
    tags("one", 403).await.refused(403, "tag:create");

    let mut tx = store.begin().await.unwrap();
    tenancy::set_team_role(&mut tx, service.ours.team, user, TeamRole::Usual(Role::Member)).await.unwrap();
    tx.commit().await.unwrap();
    until(async || service.call("POST", "/v2/tags", &token, r#"{"name": "two"}"#).await.status == 201).await;

    sqlx::query("DELETE FROM team_members WHERE user_id = $1").bind(user.0).execute(store.pool()).await.unwrap();
    until(async || service.call("GET", "/v2/droplets", &token, "").await.status == 401).await;
}

#[tokio::test]
async fn a_token_is_taken_from_its_networks_only() {
    let service = Service::start().await;
    let mut tx = service.database.store().begin().await.unwrap();
    let networks = ["198.51.100.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
    let token = mint(&mut tx, service.ours.team, Owner::Team, &networks).await;
    tx.commit().await.unwrap();
    let from = async |peer: Option<&str>| {
        let request = Request::get("/v2/account").header(header::AUTHORIZATION, format!("Bearer {token}"));
        let mut request = request.body(Body::empty()).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 4711)));
        }
        service.send(request).await
    };
    from(Some("198.51.100.7")).await.expect(200);
    from(Some("::ffff:198.51.100.7")).await.expect(200);
    from(Some("2001:db8::1")).await.expect(200);
    from(Some("203.0.113.1")).await.refused(401, "address");
    from(None).await.refused(401, "address");
}

async fn mint(tx: &mut store::Tx, team: TeamId, owner: Owner, networks: &[ipnet::IpNet]) -> String {
    let new = NewToken { team, owner, name: "test", scopes: &[], networks, expires_at: None };
    tenancy::mint(tx, &new).await.unwrap().secret.reveal().to_owned()
}

/// Waits for what a notice brings about.
async fn until(mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done().await {
        assert!(Instant::now() < deadline, "waited in vain");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
