use super::*;
use crate::contract::coverage::{compare, extended};
use serde_json::json;

/// A specification with one of each difference that matters.
fn small() -> Contract {
    let limit = json!({ "ratelimit-limit": { "$ref": "#/components/headers/limit" } });
    let thing = json!({ "$ref": "#/components/schemas/thing" });
    let answer = json!({ "200": {
        "headers": limit,
        "content": { "application/json": { "schema": { "type": "object", "required": ["thing"], "properties": { "thing": thing } } } },
    }, "204": { "headers": limit }, "4XX": { "content": { "application/json": { "schema": { "required": ["id"] } } } } });
    let document = json!({
        "openapi": "3.0.0",
        "paths": {
            "/v2/things/{id}": { "get": { "operationId": "things_get", "tags": ["Things"], "responses": answer } },
            "/v2/things/newest": { "get": { "operationId": "things_newest", "tags": ["Things"], "responses": answer } },
            "/v2/things": { "post": {
                "operationId": "things_create", "tags": ["Things"], "responses": answer,
                "requestBody": { "required": true, "content": { "application/json": { "schema": thing } } },
            } },
            "/v2/things/{id}/actions": { "post": {
                "operationId": "things_act", "tags": ["Things"], "responses": answer,
                "requestBody": { "content": { "application/json": { "schema": {
                    "anyOf": [{ "$ref": "#/components/schemas/act" }, { "$ref": "#/components/schemas/resize" }],
                    "discriminator": { "propertyName": "type", "mapping": {
                        "stop": "#/components/schemas/act", "resize": "#/components/schemas/resize",
                    } },
                } } } },
            } },
        },
        "components": {
            "headers": { "limit": { "schema": { "type": "integer" } } },
            "schemas": {
                "act": { "type": "object", "required": ["type"] },
                "resize": { "allOf": [{ "$ref": "#/components/schemas/act" }, { "required": ["size"] }] },
                "thing": { "type": "object", "required": ["id", "name"], "properties": {
                    "id": { "type": "integer", "readOnly": true },
                    "name": { "type": "string", "example": "a" },
                    "region": { "type": "string", "enum": ["nyc3"] },
                    "share": { "type": "number", "minimum": 0, "exclusiveMinimum": true },
                    "note": { "type": "string", "nullable": true, "enum": ["x"] },
                    "parent": { "$ref": "#/components/schemas/thing", "nullable": false },
                    "born": { "type": "string", "format": "date-time" },
                    "example": { "type": "string" },
                } },
            },
        },
    });
    Contract::parse(&document.to_string())
}

const HEADERS: [(&str, &str); 2] = [("Content-Type", "application/json; charset=utf-8"), ("RateLimit-Limit", "5000")];

fn thing(contract: &Contract, thing: Value) -> Result<Checked, Violations> {
    // Not through `check`, which would note coverage of operations that no specification has.
    let schema =
        contract.0.document.pointer("/paths/~1v2~1things~1{id}/get/responses/200/content/application~1json/schema");
    let body = json!({ "thing": thing }).to_string();
    let all = contract.judged("thing", schema.unwrap(), Direction::Response, body.as_bytes());
    let checked = Checked { operation_id: "things_get".to_owned(), tag: "Things".to_owned() };
    if all.is_empty() { Ok(checked) } else { Err(Violations { of: String::new(), all }) }
}

fn places(result: Result<Checked, Violations>) -> Vec<String> {
    result.unwrap_err().all.into_iter().map(|violation| violation.at).collect()
}

#[test]
fn literal_segments_win() {
    let contract = small();
    let id = |method, path| contract.operation(method, path).map(|operation| operation.operation_id.as_str());
    assert_eq!(id("GET", "/v2/things/newest?page=2"), Some("things_newest"));
    assert_eq!(id("get", "/v2/things/12"), Some("things_get"));
    assert_eq!(id("GET", "/v2/things/"), None);
    assert_eq!(id("DELETE", "/v2/things/12"), None);
}

#[test]
fn a_body_is_held_against_its_schema() {
    let contract = small();
    let good = json!({ "id": 1, "name": "a", "note": null, "share": 0.5, "parent": { "id": 2, "name": "b" } });
    thing(&contract, good).unwrap();
    assert_eq!(places(thing(&contract, json!({ "id": "1", "name": "a" }))), ["body/thing/id"]);
    assert_eq!(places(thing(&contract, json!({ "id": 1 }))), ["body/thing"]);
    assert_eq!(places(thing(&contract, json!({ "id": 1, "name": "a", "share": 0 }))), ["body/thing/share"]);
    assert_eq!(places(thing(&contract, json!({ "id": 1, "name": "a", "note": "y" }))), ["body/thing/note"]);
    assert_eq!(places(thing(&contract, json!({ "id": 1, "name": "a", "example": 3 }))), ["body/thing/example"]);
    assert_eq!(places(thing(&contract, json!({ "id": 1, "name": "a", "born": "today" }))), ["body/thing/born"]);
    let deep = json!({ "id": 1, "name": "a", "parent": { "id": 2, "name": "b", "parent": { "id": 3 } } });
    assert_eq!(places(thing(&contract, deep)), ["body/thing/parent/parent"]);
}

#[test]
fn regions_are_ours_to_name() {
    thing(&small(), json!({ "id": 1, "name": "a", "region": "attic" })).unwrap();
}

#[test]
fn headers_and_content_types_count() {
    let contract = small();
    let body = br#"{"thing":{}}"#;
    let check = |headers: &[(&str, &str)], body: &[u8]| {
        let given: Vec<(&str, &str)> = headers.to_vec();
        contract.check("GET", "/v2/things/1", 200, given, body)
    };
    let missing = check(&HEADERS[..1], body).unwrap_err();
    assert!(missing.all.contains(&violation("header ratelimit-limit", "is missing")), "{missing}");
    let wordy = check(&[HEADERS[0], ("ratelimit-limit", "many")], body).unwrap_err();
    assert!(wordy.to_string().contains("must be an integer"), "{wordy}");
    let typed = check(&[("content-type", "text/html"), HEADERS[1]], body).unwrap_err();
    assert_eq!(typed.all, [violation("header content-type", "is text/html, must be application/json")]);
    let broken = check(&HEADERS, b"{").unwrap_err();
    assert!(broken.to_string().contains("is not JSON"), "{broken}");
    let filled = contract.check("GET", "/v2/things/1", 204, HEADERS, b"{}").unwrap_err();
    assert_eq!(filled.all, [violation("body", "must be empty")]);
}

#[test]
fn statuses_and_operations_must_be_declared() {
    let contract = small();
    assert_eq!(places(contract.check("GET", "/v2/things/1", 302, HEADERS, b"")), ["status"]);
    assert_eq!(places(contract.check("GET", "/v3/things", 200, HEADERS, b"")), ["path"]);
    contract.check("GET", "/v2/things/1", 404, HEADERS, br#"{"id":"not_found"}"#).unwrap();
    assert_eq!(places(contract.check("GET", "/v2/things/1", 404, HEADERS, b"{}")), ["body"]);
}

#[test]
fn requests_are_checked_as_requests() {
    let contract = small();
    // The id is read-only: a request need not have it.
    contract.check_request("POST", "/v2/things", br#"{"name":"a"}"#).unwrap();
    assert_eq!(places(contract.check_request("POST", "/v2/things", b"{}")), ["body"]);
    assert!(contract.check_request("POST", "/v2/things", b"").is_err());
    contract.check_request("GET", "/v2/things/1", b"").unwrap();
    assert!(contract.check_request("GET", "/v2/things/1", b"{}").is_err());
}

#[test]
fn a_discriminator_chooses_by_name() {
    let contract = small();
    let act = |body: &[u8]| contract.check_request("POST", "/v2/things/1/actions", body);
    act(br#"{"type":"stop"}"#).unwrap();
    act(br#"{"type":"resize","size":"l"}"#).unwrap();
    let sizeless = act(br#"{"type":"resize"}"#).unwrap_err();
    assert!(sizeless.to_string().contains(r#""size" is a required property"#), "{sizeless}");
    assert_eq!(places(act(br#"{"type":"fly"}"#)), ["body/type"]);
}

#[test]
fn the_list_of_covered_operations_is_compared() {
    let contract = small();
    let covered = ["things_get", "things_act"].map(str::to_owned).into_iter().collect();
    let list = "# a comment\nthings_act\nthings_create\nthings_forgotten\n";
    let compared = compare(list, &covered, &contract);
    assert_eq!(compared.lost, ["things_create", "things_forgotten"]);
    assert_eq!(compared.gained, ["things_get"]);
    assert_eq!(compared.unknown, ["things_forgotten"]);
    assert_eq!(extended("# a comment\nthings_create\n", &compared.gained), "# a comment\nthings_create\nthings_get\n");
    let tags = coverage::by_tag(&contract, &covered);
    assert_eq!(tags["Things"], coverage::Share { covered: 2, all: 4 });
}

// --- the real specification -----------------------------------------------------------------------------------

/// Each schema compiles, so no test meets a panic about the specification in the middle of its own work.
#[test]
fn every_schema_of_the_specification_compiles() {
    let Some(contract) = Contract::load() else { return };
    assert!(contract.operations().len() > 600);
    for operation in contract.operations() {
        let at = operation.pointer();
        let request = format!("{at}/requestBody/content/application~1json/schema");
        if let Some(schema) = contract.0.document.pointer(&request) {
            contract.validator(&request, schema, Direction::Request);
        }
        for status in [200, 201, 202, 204] {
            let Some((_, response)) = contract.response(&at, status) else { continue };
            if let Some(schema) = response.pointer("/content/application~1json/schema") {
                contract.validator(&format!("{at} {status}"), schema, Direction::Response);
            }
        }
    }
}

#[test]
fn every_relaxation_still_has_something_to_relax() {
    let Some(contract) = Contract::load() else { return };
    for relaxation in relaxations::RELAXATIONS {
        let mut places = vec![(Vec::<String>::new(), &contract.0.document)];
        let mut found = false;
        while let Some((place, value)) = places.pop() {
            let segments: Vec<&str> = place.iter().map(String::as_str).collect();
            found |= value.get(relaxation.keyword).is_some() && relaxations::fits(relaxation.place, &segments);
            let inner = value.as_object().into_iter().flatten().filter(|_| place.len() < 6);
            places.extend(inner.map(|(key, value)| ([place.clone(), vec![key.clone()]].concat(), value)));
        }
        assert!(found, "{} has no {} any more: remove the line", relaxation.place, relaxation.keyword);
    }
}

/// The examples that the specification gives for successful responses: the validator's key, schema and value.
fn examples(contract: &Contract) -> Vec<(String, &Value, &Value)> {
    let mut all = Vec::new();
    for operation in contract.operations() {
        for status in [200, 201, 202] {
            let key = format!("{} {status}", operation.pointer());
            let declared =
                contract.response(&operation.pointer(), status).filter(|(key, _)| *key == status.to_string());
            let media = declared.and_then(|(_, response)| response.pointer("/content/application~1json"));
            let Some((schema, examples)) = media.and_then(|media| media.get("schema").zip(media.get("examples")))
            else {
                continue;
            };
            let values = examples.as_object().into_iter().flatten().map(|(_, example)| contract.followed(example));
            all.extend(values.map(|example| (key.clone(), schema, &example["value"])));
        }
    }
    all
}

/// A conversion that is too strict shows here.
#[test]
fn the_specifications_own_examples_pass() {
    let Some(contract) = Contract::load() else { return };
    let examples = examples(&contract);
    assert!(examples.len() > 100);
    let wrong: Vec<String> = examples
        .into_iter()
        .map(|(key, schema, value)| {
            let all = contract.judged(&key, schema, Direction::Response, value.to_string().as_bytes());
            Violations { of: key, all }
        })
        .filter(|violations| !violations.all.is_empty())
        .map(|violations| violations.to_string())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A conversion that is too lax shows here: each value of each example in turn is replaced by one of no sensible type.
#[test]
fn spoilt_examples_are_refused() {
    let Some(contract) = Contract::load() else { return };
    let (mut spoilt, mut refused, mut lax) = (0_u32, 0_u32, Vec::new());
    for (key, schema, value) in examples(&contract) {
        let before = refused;
        for place in leaves(value, "").into_iter().take(25) {
            let mut value = value.clone();
            *value.pointer_mut(&place).unwrap() = json!([[["spoilt"]]]);
            let all = contract.judged(&key, schema, Direction::Response, value.to_string().as_bytes());
            spoilt += 1;
            refused += u32::from(!all.is_empty());
        }
        if refused == before {
            lax.push(key);
        }
    }
    println!("{refused} of {spoilt} refused; nothing refused: {lax:#?}");
    // The rest are values that the specification says nothing about (examples with fields of no schema).
    assert!(refused * 100 > spoilt * 85, "only {refused} of {spoilt} refused");
}

/// Pointers to all values that hold no other.
fn leaves(value: &Value, at: &str) -> Vec<String> {
    match value {
        Value::Object(object) => {
            let below = object.iter().map(|(key, value)| leaves(value, &format!("{at}/{}", schema::escaped(key))));
            below.flatten().collect()
        }
        Value::Array(array) => {
            array.iter().enumerate().flat_map(|(index, value)| leaves(value, &format!("{at}/{index}"))).collect()
        }
        _ => vec![at.to_owned()],
    }
}
