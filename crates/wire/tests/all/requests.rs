//! What clients send, well and badly.

use crate::{read, through};
use model::ids::ImageId;
use model::refusal::Code;
use serde_json::{Value, json};
use wire::image_action::{ImageActionRequest, ImageWish};
use wire::key::SshKeyCreate;
use wire::reference::{IdOrSlug, KeyReference};
use wire::server::ServerCreate;
use wire::server_action::{DiskOnResize, ServerActionKind, ServerActionRequest, ServerWish};
use wire::server_backup::{BackupPlan, BackupPolicy};
use wire::tag::{TagResourceKind, TagResources};

fn create(with: Value) -> Value {
    let mut request = json!({ "name": "web-1", "size": "small", "image": "debian-13" });
    for (key, value) in with.as_object().unwrap() {
        request[key] = value.clone();
    }
    request
}

#[test]
fn keys_come_as_numbers_as_numeric_strings_and_as_fingerprints() {
    let request = create(json!({ "ssh_keys": [289794, "289795", "3b:16:bf:e4"], "tags": null, "image": "12" }));
    let request: ServerCreate = read(&request).unwrap();
    let keys = [KeyReference::Id(289794), KeyReference::Id(289795), KeyReference::Fingerprint("3b:16:bf:e4".into())];
    assert_eq!(request.ssh_keys.unwrap(), keys);
    assert_eq!(request.tags, None);
    assert_eq!(request.image, IdOrSlug::Id(12));
    assert_eq!("debian-13".parse::<IdOrSlug>().unwrap(), IdOrSlug::Slug("debian-13".into()));
    assert_eq!("".parse::<IdOrSlug>().unwrap(), IdOrSlug::Slug(String::new()));
    // More digits than any id has: a word that nothing is called, not a crash.
    let long = "9".repeat(40);
    assert_eq!(long.parse::<IdOrSlug>().unwrap(), IdOrSlug::Slug(long));
}

#[test]
fn unknown_fields_are_ignored() {
    let request = create(json!({ "colour": { "of": ["the", 1] } }));
    assert_eq!(through::<ServerCreate>(&request).unwrap(), create(json!({})));
}

#[test]
fn a_short_request_is_written_short() {
    let request = ServerCreate::new("web-1", "small", "debian-13".to_owned().into());
    assert_eq!(serde_json::to_value(request).unwrap(), create(json!({})));
}

#[test]
fn what_is_wrong_is_named() {
    let wrong = [
        (create(json!({ "size": null })), "size: invalid type: null"),
        (create(json!({ "size": 3 })), "size: invalid type: integer `3`, expected a string"),
        (create(json!({ "image": true })), "image: invalid type: boolean `true`, expected an image id"),
        (create(json!({ "image": 1.5 })), "image: invalid type: floating point `1.5`"),
        (create(json!({ "image": 18_446_744_073_709_551_615_u64 })), "image: invalid value: integer"),
        (create(json!({ "ssh_keys": [1, {}] })), "ssh_keys[1]: invalid type: map, expected an SSH key id"),
        (create(json!({ "ssh_keys": "all" })), "ssh_keys: invalid type: string"),
        (create(json!({ "backups": "yes" })), "backups: invalid type: string"),
        (create(json!({ "backup_policy": { "weekday": "sunday" } })), "backup_policy.weekday: unknown variant"),
        (create(json!({ "tags": [null] })), "tags[0]: invalid type: null"),
        (json!({ "name": "web-1", "image": 1 }), "missing field `size`"),
        (json!([]), "invalid type: sequence, expected an object"),
        (json!(["web-1", ["web-1"], "here", "small", 1]), "invalid type: sequence, expected an object"),
        (create(json!({ "backup_policy": ["daily"] })), "backup_policy: invalid type: sequence, expected an object"),
        (create(json!({ "backup_policy": { "plan": { "daily": null } } })), "backup_policy.plan: invalid type: map"),
        (json!("x"), "invalid type: string"),
    ];
    for (request, expected) in wrong {
        let error = read::<ServerCreate>(&request).unwrap_err();
        assert!(error.contains(expected), "{request}: {error}");
    }
    let error = read::<ServerActionRequest>(&json!({ "type": { "power_off": null } })).unwrap_err();
    assert!(error.contains("type: invalid type: map, expected a string"), "{error}");
    assert!(read::<ServerActionRequest>(&json!(["power_off"])).is_err());
    let error = read::<SshKeyCreate>(&json!({ "name": "laptop" })).unwrap_err();
    assert!(error.contains("missing field `public_key`"), "{error}");
    let error = read::<TagResources>(&json!({ "resources": [{ "resource_id": 1, "resource_type": "droplet" }] }));
    assert!(error.unwrap_err().contains("resources[0].resource_id: invalid type"));
}

#[test]
fn every_action_is_a_wish_and_back() {
    let policy = BackupPolicy { plan: Some(BackupPlan::Daily), hour: Some(20), ..BackupPolicy::default() };
    let wishes = [
        ServerWish::EnableBackups(Some(policy.clone())),
        ServerWish::DisableBackups,
        ServerWish::ChangeBackupPolicy(policy),
        ServerWish::Reboot,
        ServerWish::PowerCycle,
        ServerWish::Shutdown,
        ServerWish::PowerOff,
        ServerWish::PowerOn,
        ServerWish::Restore(ImageId(7)),
        ServerWish::PasswordReset,
        ServerWish::Resize { size: "medium".into(), disk: DiskOnResize::Grow },
        ServerWish::Rebuild(IdOrSlug::Slug("debian-13".into())),
        ServerWish::Rename("web-2".into()),
        ServerWish::ChangeKernel(1),
        ServerWish::EnableIpv6,
        ServerWish::Snapshot(Some("before".into())),
    ];
    for (wish, kind) in wishes.into_iter().zip(ServerActionKind::ALL) {
        let request = ServerActionRequest::from(wish.clone());
        let written = serde_json::to_value(&request).unwrap();
        assert_eq!(written["type"], kind.as_str());
        assert_eq!(read::<ServerActionRequest>(&written).unwrap(), request);
        assert_eq!(request.wish().unwrap(), wish);
    }
    let by_tag = ServerActionKind::ALL.iter().filter(|kind| kind.allowed_by_tag()).count();
    assert_eq!(by_tag, 8);
}

#[test]
fn an_action_without_what_it_needs_is_refused_by_field() {
    let wrong = [
        (json!({ "type": "resize" }), "size"),
        (json!({ "type": "resize", "size": null }), "size"),
        (json!({ "type": "rename" }), "name"),
        (json!({ "type": "rebuild" }), "image"),
        (json!({ "type": "restore" }), "image"),
        (json!({ "type": "restore", "image": "debian-13" }), "image"),
        (json!({ "type": "restore", "image": 4_294_967_296_i64 }), "image"),
        (json!({ "type": "change_kernel" }), "kernel"),
        (json!({ "type": "change_backup_policy" }), "backup_policy"),
    ];
    for (request, field) in wrong {
        let refusal = read::<ServerActionRequest>(&request).unwrap().wish().unwrap_err();
        assert_eq!((refusal.field.as_deref(), refusal.code), (Some(field), Code::UnprocessableEntity), "{request}");
    }
    let error = read::<ServerActionRequest>(&json!({ "type": "levitate" })).unwrap_err();
    assert!(error.contains("type: unknown variant `levitate`"), "{error}");
    let error = read::<ServerActionRequest>(&json!({ "type": "resize", "size": 1 })).unwrap_err();
    assert!(error.contains("size: invalid type"), "{error}");
    // What another type would need is not looked at.
    let plain = read::<ServerActionRequest>(&json!({ "type": "reboot", "name": "x" })).unwrap();
    assert_eq!(plain.wish().unwrap(), ServerWish::Reboot);
    let grow = read::<ServerActionRequest>(&json!({ "type": "resize", "size": "medium" })).unwrap().wish().unwrap();
    assert_eq!(grow, ServerWish::Resize { size: "medium".into(), disk: DiskOnResize::Keep });
}

#[test]
fn an_image_is_converted_or_transferred() {
    for wish in [ImageWish::Convert, ImageWish::Transfer("there".into())] {
        assert_eq!(ImageActionRequest::from(wish.clone()).wish().unwrap(), wish);
    }
    let refusal = read::<ImageActionRequest>(&json!({ "type": "transfer" })).unwrap().wish().unwrap_err();
    assert_eq!(refusal.field.as_deref(), Some("region"));
}

#[test]
fn tags_go_on_what_the_words_say() {
    let request = json!({ "resources": [{ "resource_id": "42", "resource_type": "droplet" }] });
    let read: TagResources = read(&request).unwrap();
    assert_eq!(read.resources[0].resource_type, TagResourceKind::Server);
    for kind in ["droplet", "image", "volume", "volume_snapshot", "database"] {
        assert_eq!(crate::read::<TagResourceKind>(&json!(kind)).unwrap().as_str(), kind);
    }
}
