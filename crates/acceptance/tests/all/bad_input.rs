//! Every write operation of the document with bodies that nobody should send: each field missing, of every wrong type,
//! too long, naming what is not there and what belongs to others. Never a 5xx, and a 422 names the field. And what no
//! body is: malformed pages, ids beyond 2^63, ten megabytes, invalid UTF-8, ten thousand unknown fields: answered fast.

use crate::isolation::{Operation, Tenants, admin_operations, operations, tidy};
use acceptance::figures;
use acceptance::installation::{Client, Installation};
use nix::sys::signal::Signal;
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

/// Nothing wrong takes longer to be told so, however busy the machine is.
const QUICK: Duration = Duration::from_secs(5);

/// One body, and the field that is wrong in it.
struct Case {
    field: String,
    what: &'static str,
    body: Value,
    /// Whether it has to be refused: a required field is missing, or none may be of this type.
    refused: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_bodies_are_refused_with_the_field_named() {
    let installation = Installation::with_empty_image().await;
    let daemon = installation.start().await;
    let tenants = Tenants::make(&installation).await;
    let document = tenants.ours.client.get("/openapi.json").await;
    let (mut cases, mut refused, mut operations_written) = (0_u64, 0_u64, 0_u64);
    let mut wrong = Vec::new();
    let operator = installation.operator();
    let planes = planes(&document, &tenants, &operator);
    for (client, path, operation) in &planes {
        let Some(schema) = operation.body.clone() else { continue };
        operations_written += 1;
        let schema = resolved(&document, &schema);
        let good = good_bodies(&operation.id, &tenants);
        for case in good.iter().flat_map(|good| cases_of(&document, &schema, good, &tenants)) {
            let began = Instant::now();
            let (status, answer) = client.send(&operation.method, path, Some(case.body.clone())).await;
            let named = format!("{} {path}: {} {}", operation.method, case.field, case.what);
            cases += 1;
            refused += u64::from((400..500).contains(&status));
            let told = answer["message"].as_str().unwrap_or_default();
            let top = case.field.split(['.', '[']).next().unwrap_or_default();
            let verdict = match status {
                500.. => Some("is our fault"),
                200..300 if case.refused => Some("is accepted"),
                422 if case.refused && !told.contains(top) => Some("does not name the field"),
                422 if case.what == "is another team's" && told.contains(&case.body.to_string()) => Some("leaks"),
                _ if began.elapsed() > QUICK => Some("takes too long"),
                200..300 | 400..500 => None,
                _ => Some("is answered strangely"),
            };
            if let Some(verdict) = verdict {
                let body: String = case.body.to_string().chars().take(300).collect();
                wrong.push(format!("{named} {verdict}: {status} {told} to {body}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {cases}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(operations_written >= 15 && refused > 500, "{operations_written} operations, {refused} refused");
    let malformed = malformed(&planes, &tenants).await;
    assert_eq!(tenants.ours.client.get("/v2/account").await["account"]["status"], "active");
    assert!(!installation.log().contains("panicked"), "{}", installation.log());
    tidy(&installation, &[&tenants.ours.client, &tenants.theirs.client]).await;
    daemon.end(Signal::SIGTERM).await;
    figures::write(
        "bad-input",
        &[
            ("write operations", operations_written),
            ("bodies", cases),
            ("refused with 4xx", refused),
            ("malformed requests", malformed),
        ],
    );
}

/// Every operation, with who may call it and on what.
fn planes<'a>(document: &Value, tenants: &'a Tenants, operator: &'a Client) -> Vec<(&'a Client, String, Operation)> {
    let ours = operations(document).into_iter();
    let ours = ours.map(|operation| (&tenants.ours.client, operation.path_of(&tenants.ours), operation));
    let admins = admin_operations(document).into_iter();
    ours.chain(admins.map(|operation| (operator, operation.admin_path(), operation))).collect()
}

/// Bodies that this operation understands, of each kind one; one field after the other is then spoiled.
fn good_bodies(id: &str, tenants: &Tenants) -> Vec<Value> {
    if !id.starts_with("dropletActions_post") {
        return vec![good_body(id, tenants)];
    }
    vec![
        good_body(id, tenants),
        json!({ "type": "rebuild", "image": "no-such-image" }),
        json!({ "type": "restore", "image": 2_147_483_647 }),
        json!({ "type": "rename", "name": "not a host name" }),
        json!({ "type": "snapshot", "name": "" }),
        json!({ "type": "change_backup_policy", "backup_policy": { "plan": "daily", "hour": 3 } }),
        json!({ "type": "enable_backups", "backup_policy": { "plan": "weekly", "weekday": "MON", "hour": 3 } }),
        json!({ "type": "change_kernel", "kernel": 7 }),
    ]
}

fn good_body(id: &str, tenants: &Tenants) -> Value {
    let ours = &tenants.ours;
    match id {
        "droplets_create" => json!({
            "name": "x", "size": "s-1vcpu-512mb-10gb", "image": acceptance::installation::IMAGE, "region": "nowhere"
        }),
        "dropletActions_post" | "dropletActions_post_byTag" => json!({ "type": "resize", "size": "no-such-size" }),
        "images_create_custom" => json!({ "name": "x", "url": "https://192.0.2.1/x.qcow2", "region": "nowhere" }),
        "imageActions_post" => json!({ "type": "transfer", "region": "nowhere" }),
        "sshKeys_create" => json!({ "name": "x", "public_key": "ssh-ed25519 x" }),
        "tags_create" => json!({ "name": "bad input" }),
        "tags_assign_resources" | "tags_unassign_resources" => {
            json!({ "resources": [{ "resource_id": ours.server.to_string(), "resource_type": "droplet" }] })
        }
        "images_post_account_transfer_create" => json!({ "recipient_uuid": "x" }),
        "images_post_account_transfer_accept" => json!({ "transfer_id": 2_147_483_647, "recipient_uuid": "x" }),
        "images_post_account_transfer_cancel" | "images_post_account_transfer_decline" => {
            json!({ "transfer_id": 2_147_483_647 })
        }
        "admin_regions_create" => json!({
            "slug": "Not A Slug", "provider": "nobody", "vpc_range": "10.0.0.0/8", "settings": { "entries": [] }, "secret": "x",
            "pools": [{ "name": "public", "kind": "public_bridged", "range": "192.0.2.0/24" }]
        }),
        "admin_regions_probe" => json!({ "provider": "nobody" }),
        "admin_templates_fetch" => json!({ "region": "nowhere", "image_id": 2_147_483_647 }),
        "admin_guests_adopt" => json!({ "region": "nowhere", "guest": "105", "team_id": ours.id.0 }),
        "admin_migrations_create" => json!({ "server_id": 2_147_483_647 }),
        _ => json!({}),
    }
}

/// A schema without references, and without the `null` that an optional field may be.
fn resolved(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return resolved(
            document,
            document.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere"),
        );
    }
    if let Some(alternatives) = schema["oneOf"].as_array() {
        let mut real = alternatives.iter().filter(|one| one["type"] != "null");
        if let (Some(one), None) = (real.next(), real.next()) {
            return resolved(document, one);
        }
    }
    schema.clone()
}

/// The JSON types that a schema takes; empty: any.
fn types(document: &Value, schema: &Value) -> Vec<String> {
    let schema = if schema.get("$ref").is_some() { &resolved(document, schema) } else { schema };
    match (&schema["type"], &schema["oneOf"]) {
        (Value::String(one), _) => vec![one.clone()],
        (Value::Array(several), _) => several.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        (_, Value::Array(alternatives)) => alternatives.iter().flat_map(|one| types(document, one)).collect(),
        _ => Vec::new(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn cases_of(document: &Value, schema: &Value, good: &Value, tenants: &Tenants) -> Vec<Case> {
    let mut cases = Vec::new();
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    cases.push(Case { field: String::new(), what: "nothing", body: json!({}), refused: !required.is_empty() });
    for field in &required {
        let mut body = good.clone();
        body.as_object_mut().map(|fields| fields.remove(*field));
        cases.push(Case { field: (*field).to_owned(), what: "is missing", body, refused: true });
    }
    for (field, of) in schema["properties"].as_object().into_iter().flatten() {
        let allowed = types(document, of);
        let mut spoil = |what, value: Value, refused| {
            let mut body = good.clone();
            body[field] = value;
            cases.push(Case { field: field.clone(), what, body, refused });
        };
        for value in mistyped() {
            let kind = type_of(&value);
            // Where a number is meant, 1.5 is none of the integers, and 1 is one of the numbers.
            let fits = allowed.iter().any(|allowed| allowed == kind || (allowed == "number" && kind == "integer"));
            spoil("is of another type", value, !fits && !allowed.is_empty() && of["readOnly"] != true);
        }
        for value in unknown() {
            spoil("names nothing", value, false);
        }
        for value in foreign(tenants) {
            spoil("is another team's", value.clone(), false);
            spoil("is another team's", json!([value]), false);
            spoil("is another team's", json!([{ "resource_id": value, "resource_type": "droplet" }]), false);
            spoil("is another team's", json!([{ "resource_id": value, "resource_type": "image" }]), false);
        }
        spoil("is too long", json!("x".repeat(100_000)), false);
        spoil("is too long", json!(vec!["x"; 10_000]), false);
        spoil("is too deep", deep(), false);
        if let Some(items) = of.get("items") {
            let items = resolved(document, items);
            let allowed = types(document, &items);
            for value in mistyped() {
                let fits = allowed.iter().any(|allowed| allowed == type_of(&value));
                spoil("holds another type", json!([value]), !fits && !allowed.is_empty());
            }
            for (inner, of) in items["properties"].as_object().into_iter().flatten() {
                let optional = types(document, of).iter().any(|allowed| allowed == "null");
                let whole = good[field][0].clone();
                let fits = |value: &Value| value.is_string() || optional && value.is_null();
                for value in mistyped().into_iter().filter(|value| !fits(value)) {
                    let mut one = whole.clone();
                    if one.is_object() {
                        one[inner] = value;
                        spoil("holds a wrong field", json!([one]), true);
                    }
                }
            }
        }
    }
    cases
}

fn mistyped() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(7),
        json!(-1.5),
        json!("word"),
        json!([]),
        json!([[1]]),
        json!({}),
        json!({"x": 1}),
    ]
}

/// What could name something, and names nothing.
fn unknown() -> Vec<Value> {
    let mut values = vec![json!(2_147_483_647), json!(1_i64 << 62), json!(u64::MAX), json!(i64::MIN), json!(1e300)];
    values.extend(
        ["", " ", "no-such-thing", "2147483647", "9223372036854775808", "\u{1f980}", "../../etc/passwd", "'; --"]
            .map(Value::from),
    );
    values.push(json!("00000000-0000-7000-8000-000000000000"));
    values.push(json!(["no-such-thing", 2_147_483_647]));
    values
}

fn foreign(tenants: &Tenants) -> Vec<Value> {
    let theirs = &tenants.theirs;
    vec![
        json!(theirs.server),
        json!(theirs.snapshot),
        json!(theirs.key),
        json!(theirs.server.to_string()),
        json!(theirs.fingerprint),
        json!(theirs.id.0.to_string()),
    ]
}

fn deep() -> Value {
    (0..100).fold(json!(1), |inner, _| json!([inner]))
}

/// What is wrong before there is a body to speak of.
async fn malformed(planes: &[(&Client, String, Operation)], tenants: &Tenants) -> u64 {
    let mut count = 0;
    for (client, path, operation) in planes {
        if operation.parameters.iter().any(|name| name == "per_page") {
            for query in
                ["page=0", "page=-1", "page=x", "page=1.5", "per_page=0", "per_page=201", "per_page=%ff", "page=%00"]
            {
                let (status, answer) = client.send("GET", &format!("{path}?{query}"), None).await;
                assert_eq!(status, 422, "{path}?{query}: {answer}");
                assert!(answer["message"].as_str().unwrap().contains("page") || query.contains("%00"), "{answer}");
                count += 1;
            }
        }
        // A tag has its name in the path, and may well be called 2147483648.
        if operation.template.contains('{') && !operation.template.contains("{tag_id}") {
            for id in
                ["9223372036854775808", "18446744073709551616", "2147483648", "-1", "%00", "%ff", &"9".repeat(5000)]
            {
                let path = operation.path_with(&|_| id.to_owned());
                let began = Instant::now();
                let (status, answer) = client
                    .send(&operation.method, &path, operation.body.as_ref().map(|_| good_body(&operation.id, tenants)))
                    .await;
                assert!((400..500).contains(&status), "{} {path}: {status} {answer}", operation.method);
                assert!(began.elapsed() < QUICK, "{} {path} takes too long", operation.method);
                count += 1;
            }
        }
        if operation.body.is_none() {
            continue;
        }
        let many: Map<String, Value> =
            (0..10_000).map(|number| (format!("unknown{number}"), json!([number]))).collect();
        let many = serde_json::to_vec(&many).unwrap();
        let large = format!("{{\"name\":\"{}\"}}", "a".repeat(10_000_000)).into_bytes();
        let nested = [b"{\"name\":".as_slice(), &b"[".repeat(500_000)].concat();
        let bodies: [(Vec<u8>, &[u16]); 7] = [
            (b"{\"name\":\"\xff\xfe\"}".to_vec(), &[400]),
            (b"{\"name\":\"\\ud800\"}".to_vec(), &[400]),
            (b"{".to_vec(), &[400]),
            (b"[]".to_vec(), &[422]),
            (nested, &[400]),
            // Refused while it is on its way.
            (large, &[413, 0]),
            // Ignored, so that what is left is `{}`: whatever that is worth.
            (many, &[200, 201, 202, 204, 400, 404, 422]),
        ];
        for (body, expected) in bodies {
            let (began, length) = (Instant::now(), body.len());
            let (status, answer) = client.send_bytes(&operation.method, path, body).await;
            assert!(expected.contains(&status), "{} {path}, {length} bytes: {status} {answer}", operation.method);
            assert!(began.elapsed() < QUICK, "{} {path}, {length} bytes: takes too long", operation.method);
            count += 1;
        }
    }
    count
}
