//! The schemas that the OpenAPI document is made of.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use utoipa::ToSchema;
use wire::{
    account, action, admin, cloud, error, firewall, image, image_action, key, region, server, server_action,
    server_backup, server_destroy, size, snapshot, tag, token_info,
};

#[derive(Default)]
struct Components(BTreeMap<String, Value>);

impl Components {
    fn with<T: ToSchema>(mut self) -> Self {
        let mut schemas = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut schemas);
        for (name, schema) in schemas {
            let schema = serde_json::to_value(schema).unwrap();
            let before = self.0.insert(name.clone(), schema.clone());
            assert!(before.is_none_or(|before| before == schema), "two schemas are called {name}");
        }
        self
    }
}

fn components() -> BTreeMap<String, Value> {
    let read = Components::default()
        .with::<account::AccountResponse>()
        .with::<action::ActionResponse>()
        .with::<action::ActionList>()
        .with::<action::StartedActions>()
        .with::<cloud::ActionDetailResponse>()
        .with::<admin::AdoptedGuest>()
        .with::<admin::AlertList>()
        .with::<admin::AlertResponse>()
        .with::<admin::GuestList>()
        .with::<admin::HostDrain>()
        .with::<admin::HostList>()
        .with::<admin::HostResponse>()
        .with::<admin::MigrationList>()
        .with::<admin::MigrationResponse>()
        .with::<admin::OperatorResponse>()
        .with::<admin::PlacedServerList>()
        .with::<admin::ProviderSetupResponse>()
        .with::<admin::RegionList>()
        .with::<admin::RegionResponse>()
        .with::<admin::RegionTestResponse>()
        .with::<admin::StorageList>()
        .with::<admin::TemplateFetching>()
        .with::<admin::TemplateList>()
        .with::<cloud::ConsoleLogResponse>()
        .with::<cloud::Event>()
        .with::<cloud::QuotaResponse>()
        .with::<error::ErrorBody>()
        .with::<firewall::FirewallList>()
        .with::<image::ImageResponse>()
        .with::<image::ImageList>()
        .with::<image::ImageTransferCreated>()
        .with::<key::SshKeyResponse>()
        .with::<key::SshKeyList>()
        .with::<region::RegionList>()
        .with::<server::ServerResponse>()
        .with::<server::ServerList>()
        .with::<server::ServerCreateResponse>()
        .with::<server::KernelList>()
        .with::<server::Neighbors>()
        .with::<server::NeighborIds>()
        .with::<server_backup::BackupPolicyResponse>()
        .with::<server_backup::BackupPolicyMap>()
        .with::<server_backup::SupportedBackupPolicies>()
        .with::<server_destroy::AssociatedResources>()
        .with::<server_destroy::DestroyStatus>()
        .with::<size::SizeList>()
        .with::<snapshot::SnapshotResponse>()
        .with::<snapshot::SnapshotList>()
        .with::<snapshot::ServerSnapshotList>()
        .with::<snapshot::ServerBackupList>()
        .with::<tag::TagResponse>()
        .with::<tag::TagList>()
        .with::<token_info::TokenInfo>();
    let written = read
        .with::<admin::GuestAdopt>()
        .with::<admin::HostUpdate>()
        .with::<admin::MigrationCreate>()
        .with::<admin::RegionCreate>()
        .with::<admin::RegionProbe>()
        .with::<admin::RegionUpdate>()
        .with::<admin::TemplateFetch>()
        .with::<image::ImageCreate>()
        .with::<image::ImageUpdate>()
        .with::<image::ImageTransferCreate>()
        .with::<image::ImageTransferAccept>()
        .with::<image::ImageTransferReference>()
        .with::<image_action::ImageActionRequest>()
        .with::<key::SshKeyCreate>()
        .with::<key::SshKeyUpdate>()
        .with::<server::ServerCreate>()
        .with::<server_action::ServerActionRequest>()
        .with::<server_destroy::AssociatedSelection>()
        .with::<tag::TagCreate>()
        .with::<tag::TagResources>();
    written.0
}

fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|field| references(field, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let components = components();
    let mut found = vec![];
    components.values().for_each(|schema| references(schema, &mut found));
    assert!(!found.is_empty());
    for reference in found {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(components.contains_key(name), "{reference}");
        assert!(!name.to_lowercase().contains("droplet"), "{name}: the noun is server");
    }
}

fn may_be_null(schema: &Value) -> bool {
    schema["type"] == "null"
        || schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")))
        || schema["oneOf"].as_array().is_some_and(|forms| forms.iter().any(may_be_null))
}

#[test]
fn null_and_absent_are_told_apart() {
    let components = components();
    let about = |schema: &str, field: &str| {
        let schema = &components[schema];
        let property = &schema["properties"][field];
        assert!(property.is_object(), "{field}: {schema:#}");
        let required = schema["required"].as_array().is_some_and(|names| names.contains(&json!(field)));
        (required, may_be_null(property))
    };
    for field in ["kernel", "next_backup_window"] {
        assert_eq!(about("Server", field), (true, true), "{field}");
    }
    for field in ["id", "status", "tags", "image", "networks"] {
        assert_eq!(about("Server", field), (true, false), "{field}");
    }
    assert_eq!(about("Server", "vpc_uuid"), (false, false));
    assert_eq!(about("Server", "cloud"), (false, false));
    assert_eq!(about("ServerCloud", "ssh"), (true, true));
    assert_eq!(about("Action", "completed_at"), (true, true));
    assert_eq!(about("Action", "region"), (false, false));
    assert_eq!(about("Image", "slug"), (true, true));
    assert_eq!(about("ServerList", "links"), (true, false));
    assert_eq!(about("PageLinks", "pages"), (false, false));
    assert_eq!(about("Pages", "next"), (false, false));
    assert_eq!(about("ServerCreate", "tags"), (false, true));
    assert_eq!(about("ServerCreate", "size"), (true, false));
}

#[test]
fn state_words_are_enumerated() {
    let components = components();
    assert_eq!(components["Server"]["properties"]["status"]["enum"], json!(["new", "active", "off", "archive"]));
    let kinds = &components["ServerActionKind"]["enum"];
    let words: Vec<_> = wire::server_action::ServerActionKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, &json!(words));
    assert_eq!(components["Time"]["format"], "date-time");
    assert_eq!(components["Server"]["properties"]["id"]["format"], "int32");
}

/// The document is data for code generators: a schema without a sentence is a field without documentation there.
#[test]
fn every_schema_and_field_is_explained() {
    for (name, schema) in components() {
        assert!(schema["description"].is_string(), "{name}");
        assert!(!schema.to_string().contains("[`"), "{name} refers its readers to Rust");
        let properties = schema["properties"].as_object().cloned().unwrap_or_default();
        for (field, property) in properties {
            // A reference that may be null carries its sentence inside.
            let sentences = [&property["description"], &property["oneOf"][0]["description"]];
            let explained = sentences.iter().any(|sentence| sentence.is_string());
            assert!(explained, "{name}.{field}: {property}");
        }
    }
}
