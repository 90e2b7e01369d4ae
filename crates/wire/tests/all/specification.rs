//! The shapes, held against the specification: its examples, and one full sample of every schema, made from the
//! examples of its fields. Nothing that the specification knows may get lost between reading and writing.

use crate::{read, through};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use wire::server_action::ServerActionRequest;
use wire::{
    account, action, firewall, image, image_action, key, region, server, server_action, server_backup, server_destroy,
    size, snapshot, tag,
};

type Shape = fn(&Value) -> Result<Value, String>;

/// What of the specification is served by these shapes.
const TAGS: [&str; 11] = [
    "Account",
    "Regions",
    "Sizes",
    "Images",
    "Image Actions",
    "SSH Keys",
    "Droplets",
    "Droplet Actions",
    "Actions",
    "Snapshots",
    "Tags",
];

/// Left out on purpose: the schema of tags misspells `images`, while its example and the clients do not.
const LEFT_OUT: [&str; 1] = ["imgages"];

/// The shapes of an operation's request and response.
fn shapes(operation: &str) -> Option<(Option<Shape>, Option<Shape>)> {
    let listed: Shape = through::<server::ServerList>;
    let action: Shape = through::<action::ActionResponse>;
    let actions: Shape = through::<action::ActionList>;
    let key: Shape = through::<key::SshKeyResponse>;
    let image: Shape = through::<image::ImageResponse>;
    let transfer: Shape = through::<image::ImageTransferReference>;
    let tag: Shape = through::<tag::TagResponse>;
    let server_action: Shape = through::<server_action::ServerActionRequest>;
    Some(match operation {
        "account_get" => (None, Some(through::<account::AccountResponse>)),
        "actions_list" | "dropletActions_list" | "imageActions_list" => (None, Some(actions)),
        "actions_get" | "dropletActions_get" | "imageActions_get" => (None, Some(action)),
        "dropletActions_post" => (Some(server_action), Some(action)),
        "dropletActions_post_byTag" => (Some(server_action), Some(through::<action::StartedActions>)),
        "imageActions_post" => (Some(through::<image_action::ImageActionRequest>), Some(action)),
        "sshKeys_list" => (None, Some(through::<key::SshKeyList>)),
        "sshKeys_create" => (Some(through::<key::SshKeyCreate>), Some(key)),
        "sshKeys_get" => (None, Some(key)),
        "sshKeys_update" => (Some(through::<key::SshKeyUpdate>), Some(key)),
        "droplets_list" => (None, Some(listed)),
        "droplets_create" => (Some(through::<server::ServerCreate>), Some(through::<server::ServerCreateResponse>)),
        "droplets_get" => (None, Some(through::<server::ServerResponse>)),
        "droplets_list_backups" => (None, Some(through::<snapshot::ServerBackupList>)),
        "droplets_list_snapshots" => (None, Some(through::<snapshot::ServerSnapshotList>)),
        "droplets_get_backup_policy" => (None, Some(through::<server_backup::BackupPolicyResponse>)),
        "droplets_list_backup_policies" => (None, Some(through::<server_backup::BackupPolicyMap>)),
        "droplets_list_supported_backup_policies" => (None, Some(through::<server_backup::SupportedBackupPolicies>)),
        "droplets_list_kernels" => (None, Some(through::<server::KernelList>)),
        "droplets_list_firewalls" => (None, Some(through::<firewall::FirewallList>)),
        "droplets_list_neighbors" => (None, Some(through::<server::Neighbors>)),
        "droplets_list_neighborsIds" => (None, Some(through::<server::NeighborIds>)),
        "droplets_list_associatedResources" => (None, Some(through::<server_destroy::AssociatedResources>)),
        "droplets_destroy_withAssociatedResourcesSelective" => {
            (Some(through::<server_destroy::AssociatedSelection>), None)
        }
        "droplets_get_DestroyAssociatedResourcesStatus" => (None, Some(through::<server_destroy::DestroyStatus>)),
        "images_list" => (None, Some(through::<image::ImageList>)),
        "images_get" => (None, Some(image)),
        "images_create_custom" => (Some(through::<image::ImageCreate>), Some(image)),
        "images_update" => (Some(through::<image::ImageUpdate>), Some(image)),
        "images_post_account_transfer_create" => {
            (Some(through::<image::ImageTransferCreate>), Some(through::<image::ImageTransferCreated>))
        }
        "images_post_account_transfer_accept" => (Some(through::<image::ImageTransferAccept>), None),
        "images_post_account_transfer_cancel" | "images_post_account_transfer_decline" => (Some(transfer), None),
        "regions_list" => (None, Some(through::<region::RegionList>)),
        "sizes_list" => (None, Some(through::<size::SizeList>)),
        "snapshots_list" => (None, Some(through::<snapshot::SnapshotList>)),
        "snapshots_get" => (None, Some(through::<snapshot::SnapshotResponse>)),
        "tags_list" => (None, Some(through::<tag::TagList>)),
        "tags_create" => (Some(through::<tag::TagCreate>), Some(tag)),
        "tags_get" => (None, Some(tag)),
        "tags_assign_resources" | "tags_unassign_resources" => (Some(through::<tag::TagResources>), None),
        "sshKeys_delete"
        | "droplets_destroy"
        | "droplets_destroy_byTag"
        | "droplets_destroy_withAssociatedResourcesDangerous"
        | "droplets_destroy_retryWithAssociatedResources"
        | "images_delete"
        | "snapshots_delete"
        | "tags_delete" => (None, None),
        _ => return None,
    })
}

/// Which half of an exchange a sample is for: a request has no read-only fields.
#[derive(Clone, Copy, PartialEq)]
enum Half {
    Request,
    Response,
}

struct Specification(Value);

impl Specification {
    /// `None`, with a loud word, where the contracts are not beside the repository.
    fn open() -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let contracts = std::env::var_os("CAIRN_CONTRACTS").map_or(root.join("../shared/contracts"), PathBuf::from);
        let file = contracts.join("digitalocean/openapi.json");
        let Ok(text) = std::fs::read_to_string(&file) else {
            // Written past the capture of the test's output, so that it is seen although the test passes.
            let word = format!("SKIPPED: no specification at {}; set CAIRN_CONTRACTS\n", file.display());
            std::io::stderr().write_all(word.as_bytes()).unwrap();
            return None;
        };
        Some(Self(serde_json::from_str(&text).unwrap()))
    }

    fn operations(&self) -> Vec<(&str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        let ours = operations.filter(|operation| TAGS.iter().any(|tag| operation["tags"][0] == *tag));
        ours.map(|operation| (operation["operationId"].as_str().unwrap(), operation)).collect()
    }

    fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        while let Some(reference) = value["$ref"].as_str() {
            value = self.0.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        }
        value
    }

    /// The JSON bodies of a request, or of the successful responses.
    fn bodies<'a>(&'a self, operation: &'a Value, half: Half) -> Vec<&'a Value> {
        let holders = match half {
            Half::Request => vec![&operation["requestBody"]],
            Half::Response => {
                let responses = operation["responses"].as_object().unwrap().iter();
                responses.filter(|(status, _)| status.starts_with('2')).map(|(_, response)| response).collect()
            }
        };
        let bodies = holders.into_iter().map(|holder| &self.resolve(holder)["content"]["application/json"]);
        bodies.filter(|body| !body.is_null()).collect()
    }

    /// What the specification itself gives as examples of a body.
    fn examples(&self, body: &Value) -> Vec<Value> {
        let mut found: Vec<_> = [&body["example"], &self.resolve(&body["schema"])["example"]]
            .into_iter()
            .filter(|example| example.is_object())
            .cloned()
            .collect();
        let named = body["examples"].as_object().into_iter().flat_map(Map::values);
        found.extend(named.map(|example| self.resolve(example)["value"].clone()));
        found
    }

    /// Samples with every field of a body: one for each of its alternatives.
    fn samples(&self, body: &Value, half: Half) -> Vec<Value> {
        let schema = self.resolve(&body["schema"]);
        if let Some(mapping) = schema["discriminator"]["mapping"].as_object() {
            let sample = |(word, reference): (&String, &Value)| {
                let mut sample = self.sample(&json!({ "$ref": reference }), half);
                sample["type"] = json!(word);
                sample
            };
            return mapping.iter().map(sample).collect();
        }
        match schema["oneOf"].as_array() {
            Some(forms) => forms.iter().map(|form| self.sample(form, half)).collect(),
            None => vec![self.sample(schema, half)],
        }
    }

    fn sample(&self, schema: &Value, half: Half) -> Value {
        let schema = self.resolve(schema);
        let mut fields = Map::new();
        for part in ["allOf", "anyOf"].iter().filter_map(|word| schema[word].as_array()).flatten() {
            match self.sample(part, half) {
                Value::Object(more) => fields.extend(more),
                Value::Null => {}
                other => return other,
            }
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let read_only = self.resolve(property)["readOnly"] == true;
            if !(half == Half::Request && read_only) {
                fields.insert(name.clone(), self.sample(property, half));
            }
        }
        if !fields.is_empty() {
            return Value::Object(fields);
        }
        if schema["additionalProperties"].is_object() {
            return json!({ "42": self.sample(&schema["additionalProperties"], half) });
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            return self.sample(&forms[0], half);
        }
        let items = self.resolve(&schema["items"]);
        if items["properties"].is_object() || items["allOf"].is_array() {
            return json!([self.sample(items, half)]);
        }
        let given = [&schema["example"], &schema["default"], &schema["enum"][0]];
        if let Some(given) = given.into_iter().find(|given| !given.is_null()) {
            return given.clone();
        }
        match schema["type"].as_str() {
            Some("integer" | "number") => json!(8),
            Some("boolean") => json!(true),
            Some("array") => json!([self.sample(items, half)]),
            Some("string") if schema["format"] == "date-time" => json!("2026-01-02T15:04:05Z"),
            Some("string") => json!("text"),
            _ => Value::Null,
        }
    }
}

/// Where `after` lacks or changes something of `before`.
fn lost(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before {
                let path = format!("{path}.{key}");
                match after.get(key) {
                    _ if LEFT_OUT.contains(&key.as_str()) => {}
                    Some(after) => lost(value, after, &path, found),
                    None => found.push(path),
                }
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                lost(before, after, &format!("{path}[{index}]"), found);
            }
        }
        (Value::Number(before), Value::Number(after)) if before.as_f64() == after.as_f64() => {}
        _ if before == after => {}
        _ => found.push(format!("{path} ({before} became {after})")),
    }
}

/// Where the specification contradicts itself and the clients show which side is right.
fn as_clients_see_it(operation: &str, mut value: Value) -> Value {
    // The schema of one image action lacks the envelope that the example beside it has.
    if matches!(operation, "imageActions_post" | "imageActions_get") && value.get("resource_type").is_some() {
        return json!({ "action": value });
    }
    // Examples of images that leave out what every image has.
    if let Some(image) = value.get_mut("image").and_then(Value::as_object_mut) {
        image.entry("type").or_insert(json!("custom"));
        image.entry("public").or_insert(json!(false));
    }
    // An example that is wrapped twice.
    if let Some(inner) = value.pointer("/tag/tag") {
        return json!({ "tag": inner });
    }
    // The example names the day `day`, the schema and the clients `weekday`.
    if let Some(policy) = value.get_mut("backup_policy").and_then(Value::as_object_mut)
        && let Some(day) = policy.remove("day")
    {
        policy.insert("weekday".to_owned(), day);
    }
    value
}

#[test]
fn nothing_the_specification_knows_gets_lost() {
    let Some(specification) = Specification::open() else { return };
    let (mut faults, mut examples, mut samples) = (vec![], 0, 0);
    let mut operations = BTreeSet::new();
    for (operation, definition) in specification.operations() {
        let Some((request, response)) = shapes(operation) else {
            faults.push(format!("{operation} has no shape"));
            continue;
        };
        operations.insert(operation);
        for (half, shape) in [(Half::Request, request), (Half::Response, response)] {
            let bodies = specification.bodies(definition, half);
            assert_eq!(bodies.is_empty(), shape.is_none(), "{operation}: a shape for each body, and no other");
            for body in bodies {
                let given = specification.examples(body);
                let made = specification.samples(body, half);
                (examples, samples) = (examples + given.len(), samples + made.len());
                for value in given.into_iter().chain(made) {
                    let value = as_clients_see_it(operation, value);
                    match shape.unwrap()(&value) {
                        Ok(after) => lost(&value, &after, operation, &mut faults),
                        Err(error) => faults.push(format!("{operation}: {error}: {value}")),
                    }
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(examples > 40 && samples > 60, "{examples} examples, {samples} samples");
    write_figures(operations.len(), examples, samples);
}

#[test]
fn every_action_of_the_specification_is_a_wish() {
    let Some(specification) = Specification::open() else { return };
    let operations = specification.operations();
    let (_, post) = operations.iter().find(|(name, _)| *name == "dropletActions_post").unwrap();
    let bodies = specification.bodies(post, Half::Request);
    let samples = specification.samples(bodies[0], Half::Request);
    let words: BTreeSet<_> = samples.iter().map(|sample| sample["type"].as_str().unwrap()).collect();
    assert_eq!(words, server_action::ServerActionKind::ALL.iter().map(|kind| kind.as_str()).collect());
    for sample in &samples {
        read::<ServerActionRequest>(sample).unwrap().wish().unwrap_or_else(|refusal| panic!("{sample}: {refusal}"));
    }
    let (_, by_tag) = operations.iter().find(|(name, _)| *name == "dropletActions_post_byTag").unwrap();
    let bodies = specification.bodies(by_tag, Half::Request);
    let samples = specification.samples(bodies[0], Half::Request);
    let words: BTreeSet<_> = samples.iter().map(|sample| sample["type"].as_str().unwrap()).collect();
    let allowed = server_action::ServerActionKind::ALL.iter().filter(|kind| kind.allowed_by_tag());
    assert_eq!(words, allowed.map(|kind| kind.as_str()).collect());
}

fn write_figures(operations: usize, examples: usize, samples: usize) {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    let figures = target.join("figures");
    std::fs::create_dir_all(&figures).unwrap();
    let content = json!({
        "wire_operations_shaped": operations,
        "wire_specification_examples": examples,
        "wire_specification_samples": samples,
    });
    std::fs::write(figures.join("wire.json"), content.to_string()).unwrap();
}
