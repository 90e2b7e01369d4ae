//! The OpenAPI document, generated from the handlers.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Cairn",
        description = "Servers and everything around them. `/v2` is compatible with the DigitalOcean API v2, so its \
                       clients work by changing one address; `/cloud/v1` is what that lacks. `/admin/v1` is for \
                       operators, whose tokens are of another kind: none of theirs opens the rest, and none of a \
                       team's opens it.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    components(schemas(wire::error::ErrorBody))
)]
struct Frame;

/// The document of every endpoint, OpenAPI 3.1. Fields stand in alphabetical order, so it can be compared as text.
pub fn document() -> Value {
    let mut document = Frame::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("bearer_auth", token.clone());
    components.add_security_scheme("operator_auth", token);
    document.merge(crate::routes().into_openapi());
    // Through a value, so that the order of fields does not depend on hash maps.
    let mut document = serde_json::to_value(&document).unwrap_or_default();
    if let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) {
        for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(|item| item.values_mut()) {
            add_errors(operation);
        }
    }
    document
}

/// Every endpoint can answer these; saying so on each handler would hide what is special about it.
fn add_errors(operation: &mut Value) {
    let public = operation["security"] == json!([{}]);
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    let mut add = |status: &str, description: &str| {
        responses.entry(status).or_insert_with(|| {
            json!({
                "description": description,
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
            })
        });
    };
    if !public {
        add("401", "No token, or none that is valid.");
        add("403", "The token lacks a scope.");
        add("429", "Too many requests of this token; `Retry-After` says when to go on.");
    }
    add("default", "Not done; the body says why.");
}
