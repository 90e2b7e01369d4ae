//! The document, and through it every endpoint.

use crate::service::{Service, contract};
use api::edge::operations::{Operation, Permission, enumerate};
use axum::body::Body;
use serde_json::Value;
use std::collections::HashSet;

/// Write the document anew instead of comparing it.
const WRITE: &str = "CAIRN_WRITE_DOCUMENT";

fn operations() -> Vec<Operation> {
    let operations = enumerate(&api::document());
    assert!(operations.len() >= 20, "{}", operations.len());
    operations
}

#[test]
fn the_committed_document_is_the_generated_one() {
    let mut generated = serde_json::to_string_pretty(&api::document()).unwrap();
    generated.push('\n');
    let path = acceptance::workspace().join("docs/openapi.json");
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let line = committed.lines().zip(generated.lines()).position(|(one, other)| one != other);
    assert!(
        committed == generated,
        "docs/openapi.json is not what the handlers say (line {:?}); run the tests with {WRITE}=1 and commit it",
        line.map(|line| line + 1)
    );
}

#[test]
fn every_endpoint_says_who_may_call_it_what_it_leaves_and_how_it_counts() {
    let mut ids = HashSet::new();
    for operation in operations() {
        let what = format!("{} {}", operation.method, operation.path);
        assert!(
            !operation.id.is_empty() && ids.insert(operation.id.clone()),
            "{what}: operation id {:?}",
            operation.id
        );
        assert!(operation.rate.is_some(), "{what} declares no rate class");
        let permission = operation.permission.unwrap_or_else(|| panic!("{what} declares no permission"));
        if operation.path.starts_with("/v2/") {
            assert!(matches!(permission, Permission::Scopes(_)), "{what} declares no scope");
        }
        let operators = operation.path.starts_with("/admin/") || operation.path == "/metrics";
        assert_eq!(
            operators,
            matches!(permission, Permission::Operator(_)),
            "{what}: operators have a plane of their own, and nothing else"
        );
        assert_eq!(
            operation.audit.is_some(),
            operation.method != "GET",
            "{what}: what changes is audited, what reads is not"
        );
    }
}

#[test]
fn operations_are_called_and_guarded_as_in_the_specification() {
    let Some(contract) = contract() else { return };
    let text = std::fs::read_to_string(acceptance::contract::directory().join("digitalocean/openapi.json")).unwrap();
    let specification: Value = serde_json::from_str(&text).unwrap();
    for operation in operations().into_iter().filter(|operation| operation.path.starts_with("/v2/")) {
        let theirs = contract.operation(operation.method.as_str(), &operation.path);
        let theirs =
            theirs.unwrap_or_else(|| panic!("{} {} is not in the specification", operation.method, operation.path));
        assert_eq!(operation.id, theirs.operation_id);
        let method = operation.method.as_str().to_ascii_lowercase();
        let scopes = &specification["paths"][&theirs.template][method]["security"][0]["bearer_auth"];
        let Some(Permission::Scopes(ours)) = &operation.permission else { panic!("{}", operation.id) };
        for scope in ours {
            let known = scopes.as_array().is_some_and(|scopes| scopes.iter().any(|known| known == scope.as_str()));
            assert!(known, "{} wants {scope}, the specification {scopes}", operation.id);
        }
    }
}

/// Fills every parameter with something that is nobody's.
fn path(operation: &Operation) -> String {
    let segments = operation.path.split('/').map(|part| if part.starts_with('{') { "2147483647" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn nothing_answers_without_a_token_that_is_not_public() {
    let service = Service::start().await;
    let mut public = Vec::new();
    let mut guarded = 0;
    for operation in operations() {
        let answer = service.call(operation.method.as_str(), &path(&operation), "", "{}").await;
        if operation.permission == Some(Permission::Public) {
            public.push(operation.path);
        } else {
            assert_eq!(answer.status, 401, "{}", operation.id);
            guarded += 1;
        }
    }
    public.sort();
    assert_eq!(public, ["/healthz", "/readyz"]);
    acceptance::figures::write("guarded_operations", &[("operations", guarded)]);
}

#[tokio::test]
async fn nothing_answers_a_token_without_the_scope() {
    let service = Service::start().await;
    let token = service.token(&["nothing:at_all"]).await;
    for operation in operations() {
        if let Some(Permission::Scopes(scopes)) = &operation.permission {
            let answer = service.call(operation.method.as_str(), &path(&operation), &token, "{}").await;
            answer.refused(403, &scopes[0]);
        }
    }
}

/// What one plane's token may do in the other: nothing, however much it may do in its own.
#[tokio::test]
async fn no_token_opens_the_other_plane() {
    let service = Service::start().await;
    let narrow = service.operator_token(&["nothing:at_all"]).await;
    let mut refused = 0;
    for operation in operations() {
        let (method, path) = (operation.method.as_str(), path(&operation));
        match &operation.permission {
            Some(Permission::Operator(scopes)) => {
                service.call(method, &path, &service.ours.token, "{}").await.refused(401, "operator's token");
                if let Some(scope) = scopes.first() {
                    service.call(method, &path, &narrow, "{}").await.refused(403, scope);
                }
            }
            Some(Permission::Public) => continue,
            _ => drop(service.call(method, &path, &service.operator, "{}").await.refused(401, "/admin/v1")),
        }
        refused += 1;
    }
    acceptance::figures::write("plane_isolation", &[("operations", refused)]);
}

/// What is not declared is not there: every route stands in the document, so a handler cannot forget its guard.
#[tokio::test]
async fn the_document_and_its_reader_are_served() {
    let service = Service::start().await;
    let answer = service.call("GET", "/openapi.json", "", Body::empty()).await.expect(200);
    assert_eq!(answer.body, api::document());
    assert_eq!(answer.body["openapi"], "3.1.0");
    for path in ["/reference", "/reference/redoc.js"] {
        service.call("GET", path, "", Body::empty()).await.expect(200);
    }
}
