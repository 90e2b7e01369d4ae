//! What a server could say, written down by hand in the words of the wire.

use serde_json::{Value, json, to_value};
use wire::cloud::{ServerCloud, SshEndpoint};
use wire::error::{ErrorBody, ErrorCloud};
use wire::image::Image;
use wire::region::Region;
use wire::server::{NetworkKind, NetworkV4, Networks, Server};
use wire::size::{DiskInfo, GpuInfo, Size, price_from_micros};

pub(crate) fn error(code: &str, message: &str) -> Value {
    to_value(ErrorBody {
        id: "unprocessable_entity".to_owned(),
        message: message.to_owned(),
        request_id: Some("req-0123".to_owned()),
        cloud: Some(ErrorCloud { code: code.to_owned(), field: None }),
    })
    .unwrap()
}

/// A page of a list that has no other.
pub(crate) fn page(field: &str, items: &[Value]) -> Value {
    json!({field: items, "links": {}, "meta": {"total": items.len()}})
}

/// With a field that is newer than the client.
fn newer(value: impl serde::Serialize) -> Value {
    let mut value = to_value(value).unwrap();
    value["newer_than_the_client"] = json!({"ä": [1, 2.5, null, "yes", "2026-01-02"]});
    value
}

pub(crate) fn region() -> Value {
    newer(Region {
        name: "Here".into(),
        slug: "here".into(),
        features: vec!["metadata".into()],
        available: true,
        sizes: vec!["small".into()],
    })
}

pub(crate) fn size() -> Value {
    newer(Size {
        slug: "small".into(),
        memory: 2048,
        vcpus: 1,
        disk: 20,
        transfer: 1.0,
        price_monthly: price_from_micros(6_000_000),
        price_hourly: price_from_micros(8_930),
        regions: vec!["here".into()],
        available: true,
        description: "Basic".into(),
        disk_info: vec![DiskInfo::local(20)],
        gpu_info: Some(GpuInfo::new(2, "nvidia_a100", 80)),
    })
}

pub(crate) fn image() -> Value {
    newer(Image {
        id: model::ids::ImageId(1),
        name: "13".into(),
        kind: model::states::ImageKind::Base,
        distribution: "Debian".into(),
        slug: Some("debian-13".into()),
        public: true,
        regions: vec!["here".into()],
        created_at: "2026-01-01T00:00:00Z".parse().unwrap(),
        min_disk_size: Some(7),
        size_gigabytes: None,
        description: "Stable".into(),
        tags: vec![],
        status: model::states::ImageStatus::Available,
        error_message: None,
    })
}

/// An image that a team brought, and that is not there yet.
pub(crate) fn own_image() -> Value {
    let mut image = image();
    image["id"] = json!(12);
    image["name"] = json!("my image");
    image["slug"] = Value::Null;
    image["type"] = json!("custom");
    image["status"] = json!("NEW");
    image["public"] = json!(false);
    image
}

pub(crate) fn snapshot() -> Value {
    json!({"id": "7", "name": "before the change", "created_at": "2026-01-03T00:00:00Z", "regions": ["here"],
        "min_disk_size": 20, "size_gigabytes": 1.25, "resource_id": "42", "resource_type": "droplet", "tags": []})
}

pub(crate) fn ssh_key() -> Value {
    json!({"id": 5, "fingerprint": "7b:8d:1f:a3:34:fb:8b:40:08:13:b1:a6:60:10:81:fd", "public_key": PUBLIC_KEY,
        "name": "anna@laptop"})
}

pub(crate) const PUBLIC_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP3efffqa8OF7LlKte4NXhL8XMwWPBGiAYv9irTqgk54 anna@laptop";

pub(crate) fn tag() -> Value {
    let none = json!({"count": 0});
    json!({"name": "web", "resources": {"count": 1, "last_tagged_uri": "https://cloud.example/v2/droplets/42",
        "droplets": {"count": 1}, "images": none, "volumes": none, "volume_snapshots": none, "databases": none}})
}

pub(crate) fn account() -> Value {
    json!({"droplet_limit": 25, "floating_ip_limit": 3, "email": "team@example.org", "uuid": "0190-team",
        "email_verified": true, "status": "active", "status_message": "", "team": {"uuid": "0190-team", "name": "Blue"}})
}

pub(crate) fn quota() -> Value {
    let amounts = |n: i64| json!({"servers": n, "vcpus": n, "memory_mib": n * 1024, "disk_gb": n * 20, "snapshots": n, "ssh_keys": n});
    json!({"limits": amounts(10), "used": amounts(3)})
}

pub(crate) fn server(id: i32, name: &str, status: &str) -> Value {
    newer(Server {
        id: model::ids::ServerId(id),
        name: name.into(),
        memory: 2048,
        vcpus: 1,
        disk: 20,
        disk_info: vec![DiskInfo::local(20)],
        locked: false,
        status: status.parse().unwrap(),
        kernel: None,
        created_at: "2026-01-02T15:04:05Z".parse().unwrap(),
        features: vec!["private_networking".into()],
        backup_ids: vec![],
        next_backup_window: None,
        snapshot_ids: vec![],
        image: serde_json::from_value(image()).unwrap(),
        volume_ids: vec![],
        size: serde_json::from_value(size()).unwrap(),
        size_slug: "small".into(),
        gpu_info: None,
        networks: Networks {
            v4: vec![v4("10.0.0.2", NetworkKind::Private), v4("192.0.2.7", NetworkKind::Public)],
            v6: vec![],
        },
        region: serde_json::from_value(region()).unwrap(),
        tags: vec!["web".into()],
        vpc_uuid: None,
        cloud: Some(ServerCloud {
            kind: "machine".into(),
            group: None,
            high_availability: false,
            ssh: Some(SshEndpoint { host: "127.0.0.1".into(), port: 40022, user: "debian".into() }),
            state: "running".into(),
            last_error: None,
            incarnation: "first".into(),
        }),
    })
}

fn v4(address: &str, kind: NetworkKind) -> NetworkV4 {
    NetworkV4 { ip_address: address.parse().unwrap(), netmask: "255.255.255.0".parse().unwrap(), gateway: None, kind }
}

pub(crate) fn action(id: i32, kind: &str, status: &str) -> Value {
    let completed = if status == "in-progress" { Value::Null } else { json!("2026-01-02T15:05:00Z") };
    json!({"id": id, "status": status, "type": kind, "started_at": "2026-01-02T15:04:05Z", "completed_at": completed,
        "resource_id": 42, "resource_type": "droplet", "region": region(), "region_slug": "here"})
}

pub(crate) fn step(name: &str, sentence: &str, state: &str, attempts: i64) -> Value {
    json!({"name": name, "sentence": sentence, "direction": "make", "state": state, "attempts": attempts,
        "started_at": null, "finished_at": null, "waiting_for": null, "last_error": null})
}

pub(crate) fn workflow(state: &str, steps: &[Value]) -> Value {
    json!({"direction": "make", "state": state, "sentence": "Copying the disk.", "progress": "41 %", "steps": steps,
        "deadline": "2026-01-02T15:20:00Z", "refusal": null})
}

/// An answer of `GET /cloud/v1/actions/{id}`.
pub(crate) fn detail(action: &Value, workflow: &Value) -> Value {
    json!({"action": action, "workflow": workflow})
}
