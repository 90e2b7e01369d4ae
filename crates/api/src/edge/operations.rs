//! What each endpoint needs, read from the one place where it is declared: the OpenAPI document that is generated from
//! the handlers. What the document says and what is enforced cannot differ.

use axum::http::Method;
use model::authority::ScopeSet;
use serde_json::Value;
use std::collections::HashMap;

/// How an endpoint counts against the rate limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateClass {
    /// One request.
    Standard,
    /// One request, however long it streams.
    Stream,
    /// Not at all.
    Free,
}

/// Who may call an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Permission {
    /// Anybody, without a token.
    Public,
    /// Any valid token.
    AnyToken,
    /// A token with all of these scopes.
    Scopes(Vec<String>),
    /// An operator's token with all of these scopes. No tenant's token is one.
    Operator(Vec<String>),
}

/// One endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path's template, as in the document and as axum matches it.
    pub path: String,
    /// The operation id; DigitalOcean's where it has one.
    pub id: String,
    /// Who may call it. `None` where the declaration is missing, which a test refuses and the edge denies.
    pub permission: Option<Permission>,
    /// The scopes of a tenant's token that it needs, as a set.
    pub needs: ScopeSet,
    /// The `operation` of the audit entries that it writes; `None` for what only reads.
    pub audit: Option<String>,
    /// How it counts.
    pub rate: Option<RateClass>,
}

/// Every operation of the document.
pub fn enumerate(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    let paths = document.get("paths").and_then(Value::as_object);
    for (path, item) in paths.into_iter().flatten() {
        for (word, operation) in item.as_object().into_iter().flatten() {
            let method = match word.as_str() {
                "get" => Method::GET,
                "post" => Method::POST,
                "put" => Method::PUT,
                "patch" => Method::PATCH,
                "delete" => Method::DELETE,
                _ => continue,
            };
            operations.push(read(method, path, operation));
        }
    }
    operations
}

fn read(method: Method, path: &str, operation: &Value) -> Operation {
    let cairn = &operation["x-cairn"];
    let permission = permission(&operation["security"]);
    let needs = match &permission {
        Some(Permission::Scopes(scopes)) => ScopeSet::held(scopes),
        _ => ScopeSet::NONE,
    };
    Operation {
        method,
        path: path.to_owned(),
        id: operation["operationId"].as_str().unwrap_or_default().to_owned(),
        permission,
        needs,
        audit: cairn["audit"].as_str().map(str::to_owned),
        rate: match cairn["rate"].as_str() {
            Some("standard") => Some(RateClass::Standard),
            Some("stream") => Some(RateClass::Stream),
            Some("free") => Some(RateClass::Free),
            _ => None,
        },
    }
}

/// `[{}]` is public, `[{"bearer_auth": []}]` any token, `[{"bearer_auth": ["tag:read"]}]` a token with that scope,
/// `[{"operator_auth": ["host:read"]}]` an operator's token with that scope.
fn permission(security: &Value) -> Option<Permission> {
    let requirement = security.as_array()?.first()?.as_object()?;
    if requirement.is_empty() {
        return Some(Permission::Public);
    }
    if let Some(scopes) = requirement.get("operator_auth") {
        return Some(Permission::Operator(words(scopes)?));
    }
    let scopes = words(requirement.get("bearer_auth")?)?;
    // A scope that is in no vocabulary could be held by nobody: that is a slip, and is refused as none declared.
    if scopes.iter().any(|scope| ScopeSet::one(scope).is_none()) {
        return None;
    }
    Some(if scopes.is_empty() { Permission::AnyToken } else { Permission::Scopes(scopes) })
}

fn words(scopes: &Value) -> Option<Vec<String>> {
    Some(scopes.as_array()?.iter().filter_map(|scope| scope.as_str().map(str::to_owned)).collect())
}

/// The operations by path and method, for the edge.
#[derive(Debug, Default)]
pub(crate) struct Table(HashMap<String, HashMap<Method, Operation>>);

impl Table {
    pub(crate) fn new(operations: Vec<Operation>) -> Self {
        let mut table: HashMap<String, HashMap<Method, Operation>> = HashMap::new();
        for operation in operations {
            table.entry(operation.path.clone()).or_default().insert(operation.method.clone(), operation);
        }
        Self(table)
    }

    /// The operation that a matched path and a method lead to. `HEAD` is a `GET`.
    pub(crate) fn find(&self, path: &str, method: &Method) -> Option<&Operation> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(path)?.get(method)
    }
}
