//! A service with two teams, and a client that checks every `/v2` answer against the specification.

use acceptance::contract::Contract;
use api::{Limits, Options};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use model::ids::TeamId;
use serde_json::Value;
use std::sync::OnceLock;
use store::tenancy::{self, USUAL_LIMITS};
use store::testing::TestDatabase;
use tower::ServiceExt;

pub(crate) struct Service {
    pub(crate) router: Router,
    pub(crate) database: TestDatabase,
    /// The team of most requests.
    pub(crate) ours: Member,
    /// Another one, which must see nothing of the first.
    pub(crate) theirs: Member,
    /// An operator's token that may do everything that operators can.
    pub(crate) operator: String,
}

/// A team with a token that may do everything.
pub(crate) struct Member {
    pub(crate) team: TeamId,
    pub(crate) token: String,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

/// Read once, because it is long.
pub(crate) fn contract() -> Option<&'static Contract> {
    static CONTRACT: OnceLock<Option<Contract>> = OnceLock::new();
    CONTRACT.get_or_init(Contract::load).as_ref()
}

pub(crate) fn options() -> Options {
    Options { limits: Limits { per_hour: 1_000_000, per_minute: 0 }, ..Options::new("https://cloud.example") }
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let database = store::testing::database().await;
        let store = database.store();
        let made = tenancy::bootstrap(store, "Ours Inc.", "ours", "ours@example.com").await.unwrap().unwrap();
        let token = made.token.secret.reveal().to_owned();
        let ours = Member { team: made.team, token };
        let mut tx = store.begin().await.unwrap();
        let organization = tenancy::create_organization(&mut tx, "Theirs Ltd.").await.unwrap();
        let team =
            tenancy::create_team(&mut tx, organization, "theirs", "theirs@example.com", USUAL_LIMITS).await.unwrap();
        let minted = tenancy::mint_token(&mut tx, team, "all", &[]).await.unwrap();
        tx.commit().await.unwrap();
        let theirs = Member { team, token: minted.secret.reveal().to_owned() };
        let operator = store::operators::bootstrap(store).await.unwrap().unwrap().secret.reveal().to_owned();
        let router = api::router(store.clone(), options);
        Self { router, database, ours, theirs, operator }
    }

    /// Another token of our team.
    pub(crate) async fn token(&self, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let mut tx = self.database.store().begin().await.unwrap();
        let minted = tenancy::mint_token(&mut tx, self.ours.team, "some", &scopes).await.unwrap();
        tx.commit().await.unwrap();
        minted.secret.reveal().to_owned()
    }

    /// Another operator's token.
    pub(crate) async fn operator_token(&self, scopes: &[&str]) -> String {
        let scopes: Vec<String> = scopes.iter().map(|&scope| scope.to_owned()).collect();
        let mut tx = self.database.store().begin().await.unwrap();
        let minted = store::operators::mint(&mut tx, "some", &scopes).await.unwrap();
        tx.commit().await.unwrap();
        minted.secret.reveal().to_owned()
    }

    /// A request of the operator.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.call(method, &format!("/admin/v1{path}"), &self.operator, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &self.ours.token, Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &self.ours.token, body.to_string()).await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Answer {
        self.call("PUT", path, &self.ours.token, body.to_string()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &self.ours.token, Body::empty()).await
    }

    /// Any request; an empty token sends none.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    /// Sends it, and checks what is true of every answer.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let id = parts.headers.get("x-request-id").expect("every answer has an id").to_str().unwrap().to_owned();
        let body: Value =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap_or(Value::Null) };
        let what = format!("{method} {uri} → {} {body}", parts.status);
        assert!(!parts.status.is_server_error(), "{what}");
        if parts.status.is_client_error() && method != "HEAD" {
            assert_eq!(body["request_id"], id, "{what}");
            assert!(body["id"].is_string() && body["message"].is_string(), "{what}");
        }
        if uri.path().starts_with("/v2/") || uri.path().starts_with("/admin/") {
            assert!(parts.headers.contains_key("ratelimit-remaining"), "{what}");
        }
        check_contract(method.as_str(), uri.path(), parts.status, &parts.headers, &bytes);
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// The audit entries of our team: operation and URN.
    pub(crate) async fn audit(&self) -> Vec<(String, Option<String>)> {
        sqlx::query_as("SELECT operation, urn FROM audit_events WHERE team_id = $1 ORDER BY id")
            .bind(self.ours.team.0)
            .fetch_all(self.database.store().pool())
            .await
            .unwrap()
    }
}

fn check_contract(method: &str, path: &str, status: StatusCode, headers: &HeaderMap, body: &[u8]) {
    let Some(contract) = contract() else { return };
    // A path or method that the specification does not know has no declared answer.
    if !path.starts_with("/v2/") || contract.operation(method, path).is_none() {
        return;
    }
    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    if let Err(violations) = contract.check(method, path, status.as_u16(), headers, body) {
        panic!("{violations}");
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        self
    }

    /// An error with that status whose message contains the words.
    #[track_caller]
    pub(crate) fn refused(self, status: u16, words: &str) -> Self {
        let answer = self.expect(status);
        let message = answer.body["message"].as_str().unwrap_or_default();
        assert!(message.contains(words), "`{message}` does not say `{words}`");
        answer
    }
}
