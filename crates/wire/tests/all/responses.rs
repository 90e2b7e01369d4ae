//! What the server writes, letter by letter where clients depend on the letter.

use crate::{read, through};
use jiff::Timestamp;
use model::ids::{ActionId, ImageId, ServerId};
use model::refusal::{Code, Refusal};
use model::states::{ActionStatus, ImageKind, ImageStatus, ServerStatus};
use serde_json::{Value, json, to_value};
use wire::action::Action;
use wire::admin::{Alert, HostState, RegionCreate, RegionUpdate};
use wire::cloud::{
    ActionDetailResponse, ConsoleLogResponse, Event, QuotaResponse, ServerCloud, SshEndpoint, StepState,
};
use wire::envelope::{ActionLink, ActionLinks, List, Meta, PageLinks, Pages};
use wire::error::ErrorBody;
use wire::image::Image;
use wire::region::Region;
use wire::server::{CreatedServer, NetworkKind, NetworkV4, Networks, Server, ServerCreateResponse, ServerList};
use wire::size::{DiskInfo, Size, price_from_micros};
use wire::time::WireTime;
use wire::token_info::TokenInfo;

fn time(text: &str) -> WireTime {
    text.parse().unwrap()
}

fn region() -> Region {
    Region {
        name: "Here".into(),
        slug: "here".into(),
        features: vec!["metadata".into()],
        available: true,
        sizes: vec!["small".into()],
    }
}

fn size() -> Size {
    Size {
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
        gpu_info: None,
    }
}

fn image() -> Image {
    Image {
        id: ImageId(1),
        name: "13".into(),
        kind: ImageKind::Base,
        distribution: "Debian".into(),
        slug: Some("debian-13".into()),
        public: true,
        regions: vec!["here".into()],
        created_at: time("2026-01-01T00:00:00Z"),
        min_disk_size: Some(7),
        size_gigabytes: None,
        description: String::new(),
        tags: vec![],
        status: ImageStatus::Available,
        error_message: None,
    }
}

fn server() -> Server {
    Server {
        id: ServerId(42),
        name: "web-1".into(),
        memory: 2048,
        vcpus: 1,
        disk: 20,
        disk_info: vec![DiskInfo::local(20)],
        locked: false,
        status: ServerStatus::Active,
        kernel: None,
        created_at: time("2026-01-02T15:04:05Z"),
        features: vec!["private_networking".into()],
        backup_ids: vec![],
        next_backup_window: None,
        snapshot_ids: vec![ImageId(7)],
        image: image(),
        volume_ids: vec![],
        size: size(),
        size_slug: "small".into(),
        gpu_info: None,
        networks: Networks {
            v4: vec![NetworkV4 {
                ip_address: "10.0.0.2".parse().unwrap(),
                netmask: "255.255.240.0".parse().unwrap(),
                gateway: None,
                kind: NetworkKind::Private,
            }],
            v6: vec![],
        },
        region: region(),
        tags: vec![],
        vpc_uuid: Some("018f3a52-0000-7000-8000-000000000001".parse().unwrap()),
        cloud: Some(ServerCloud {
            kind: "container".into(),
            group: Some(wire::cloud::ServerGroup { name: "web".into(), policy: Some("anti-affinity".into()) }),
            high_availability: true,
            ssh: Some(SshEndpoint { host: "127.0.0.1".into(), port: 2222, user: "root".into() }),
            state: "Running.".into(),
            last_error: None,
            incarnation: "first".into(),
        }),
    }
}

#[test]
fn gpus_are_told_with_their_memory() {
    let gpus = wire::size::GpuInfo::new(2, "nvidia_a100", 80);
    let said = json!({ "count": 2, "model": "nvidia_a100", "vram": { "amount": 80, "unit": "gib" } });
    let size = Size { gpu_info: Some(gpus.clone()), ..size() };
    let one = to_value(Server { gpu_info: Some(gpus), size, ..server() }).unwrap();
    assert_eq!((&one["gpu_info"], &one["size"]["gpu_info"]), (&said, &said));
}

#[test]
fn a_server_is_a_droplet_on_the_wire() {
    let written = to_value(ServerList::new(vec![server()], PageLinks::default(), Meta { total: 1 })).unwrap();
    assert_eq!(written["links"], json!({}));
    assert_eq!(written["meta"], json!({ "total": 1 }));
    let one = &written["droplets"][0];
    // Present and null: clients look for the key.
    for key in ["kernel", "next_backup_window"] {
        assert_eq!(one.get(key), Some(&Value::Null), "{key}");
    }
    assert_eq!((one.get("gpu_info"), one["size"].get("gpu_info")), (None, None));
    assert_eq!(one["networks"]["v4"][0].get("gateway"), None);
    assert_eq!(one["networks"]["v6"], json!([]));
    assert_eq!(one["status"], "active");
    assert_eq!(one["image"]["type"], "base");
    assert_eq!(one["image"].get("size_gigabytes"), Some(&Value::Null));
    assert_eq!(one["cloud"]["ssh"], json!({ "host": "127.0.0.1", "port": 2222, "user": "root" }));
    assert_eq!(one["cloud"].get("last_error"), Some(&Value::Null));
    assert_eq!(one["disk_info"], json!([{ "type": "local", "size": { "amount": 20, "unit": "gib" } }]));
    assert_eq!(read::<ServerList>(&written).unwrap().into_items(), [server()]);
    assert_eq!(through::<ServerList>(&written).unwrap(), written);
}

#[test]
fn what_is_null_in_a_list_is_read_as_empty() {
    let mut written = to_value(server()).unwrap();
    written["tags"] = Value::Null;
    written["image"]["tags"] = Value::Null;
    assert_eq!(read::<Server>(&written).unwrap(), server());
}

#[test]
fn prices_are_written_as_they_were_set() {
    assert_eq!(price_from_micros(8_930).to_string(), "0.00893");
    let written = serde_json::to_string(&size()).unwrap();
    assert!(written.contains(r#""price_hourly":0.00893"#), "{written}");
    for micros in [0, 1, 7_440, 999_999, 1_000_001, 123_456_789_012] {
        let read: f64 = serde_json::from_str(&serde_json::to_string(&price_from_micros(micros)).unwrap()).unwrap();
        assert_eq!((read * 1_000_000.0).round().to_string(), micros.to_string());
    }
}

#[test]
fn times_have_whole_seconds() {
    let exact: Timestamp = "2026-01-02T15:04:05.987654321Z".parse().unwrap();
    assert_eq!(to_value(WireTime::from(exact)).unwrap(), "2026-01-02T15:04:05Z");
    assert_eq!(to_value(time("2026-01-02T16:04:05.5+01:00")).unwrap(), "2026-01-02T15:04:05Z");
    assert_eq!(WireTime::from(exact), time("2026-01-02T15:04:05Z"));
    assert_eq!(WireTime::from(exact).timestamp().subsec_nanosecond(), 0);
    let error = read::<WireTime>(&json!("yesterday")).unwrap_err();
    assert!(error.contains("2026-01-02T15:04:05Z"), "{error}");
}

#[test]
fn a_middle_page_names_all_four_others() {
    let page = |n: u8| Some(format!("https://cloud.example/v2/droplets?page={n}"));
    let links = PageLinks { pages: Some(Pages { first: page(1), prev: page(1), next: page(3), last: page(3) }) };
    let written = to_value(&links).unwrap();
    assert_eq!(written["pages"].as_object().unwrap().len(), 4);
    let last = PageLinks { pages: Some(Pages { first: page(1), prev: page(2), next: None, last: None }) };
    assert_eq!(to_value(&last).unwrap()["pages"].get("next"), None);
}

#[test]
fn a_create_links_to_its_action() {
    let link = ActionLink { id: ActionId(9), rel: "create".into(), href: "https://cloud.example/v2/actions/9".into() };
    let created = CreatedServer { server: server(), links: ActionLinks { actions: vec![link] } };
    let written = to_value(ServerCreateResponse::One(Box::new(created.clone()))).unwrap();
    assert_eq!(written["droplet"]["id"], 42);
    let link = json!([{ "id": 9, "rel": "create", "href": "https://cloud.example/v2/actions/9" }]);
    assert_eq!(written["links"]["actions"], link);
    let ServerCreateResponse::One(read) = read(&written).unwrap() else { panic!("one was written") };
    assert_eq!(*read, created);
}

#[test]
fn an_action_in_progress_has_a_null_end() {
    let action = Action {
        id: ActionId(9),
        status: ActionStatus::InProgress,
        kind: "create".into(),
        started_at: time("2026-01-02T15:04:05Z"),
        completed_at: None,
        resource_id: Some(42),
        resource_type: "droplet".into(),
        region: Some(region()),
        region_slug: Some("here".into()),
    };
    let written = to_value(&action).unwrap();
    assert_eq!(written.get("completed_at"), Some(&Value::Null));
    assert_eq!(written["status"], "in-progress");
    assert_eq!(written["type"], "create");
    assert_eq!(read::<Action>(&written).unwrap(), action);
}

#[test]
fn an_error_says_which_field() {
    let refusal = Refusal::new(Code::NoCapacity, "No host has room.").at("size");
    let written = to_value(ErrorBody::new(&refusal, "r-1")).unwrap();
    let expected = json!({
        "id": "unprocessable_entity",
        "message": "size: No host has room.",
        "request_id": "r-1",
        "cloud": { "code": "no_capacity", "field": "size" },
    });
    assert_eq!(written, expected);
    // A proxy's answer, or another cloud's.
    let bare = json!({ "id": "not_found", "message": "No." });
    assert_eq!(through::<ErrorBody>(&bare).unwrap(), bare);
}

#[test]
fn a_token_is_described_in_integers() {
    let written = json!({
        "resource_owner_id": 1, "scopes": ["droplet:read"], "expires_in_seconds": null,
        "application": { "uid": "018f3a52" }, "created_at": 1_767_366_245,
    });
    assert_eq!(through::<TokenInfo>(&written).unwrap(), written);
}

#[test]
fn our_own_shapes_come_back_whole() {
    let step = |state: &str| {
        json!({ "name": "create_guest", "sentence": "copying the disk", "direction": "make", "state": state,
                "attempts": 4, "started_at": "2026-01-02T15:04:05Z", "finished_at": null,
                "waiting_for": "the copy of the disk", "last_error": null })
    };
    let detail = json!({
        "action": { "id": 9, "status": "in-progress", "type": "create", "started_at": "2026-01-02T15:04:05Z",
                    "completed_at": null, "resource_id": 42, "resource_type": "droplet", "region_slug": "here" },
        "workflow": { "direction": "make", "state": "ready", "sentence": "Copying the disk, attempt 4.",
                      "progress": "41 %", "steps": [step("running"), step("pending")],
                      "deadline": "2026-01-02T15:14:05Z",
                      "refusal": { "code": "no_capacity", "message": "No host has room." } },
    });
    assert_eq!(through::<ActionDetailResponse>(&detail).unwrap(), detail);
    let event = json!({ "id": 5, "type": "server.active", "urn": "do:droplet:42", "at": "2026-01-02T15:04:05Z",
                        "body": { "name": "web-1" } });
    assert_eq!(through::<Event>(&event).unwrap(), event);
    let amounts = json!({ "servers": 10, "vcpus": 20, "memory_mib": 40960, "disk_gb": 400, "snapshots": 5,
                          "ssh_keys": 9 });
    let quota = json!({ "limits": amounts, "used": amounts });
    assert_eq!(through::<QuotaResponse>(&quota).unwrap(), quota);
    let console = json!({ "console": { "server_id": 42, "text": "login:", "truncated": true,
                                       "at": "2026-01-02T15:04:05Z" } });
    assert_eq!(through::<ConsoleLogResponse>(&console).unwrap(), console);
    let alert = json!({ "id": 1, "severity": "warning", "kind": "late", "subject": "server:42", "message": "It takes long.",
                        "raised_at": "2026-01-02T15:04:05Z", "acknowledged_at": null, "resolved_at": null });
    assert_eq!(through::<Alert>(&alert).unwrap(), alert);
}

#[test]
fn a_word_of_a_newer_server_is_no_error() {
    assert_eq!(read::<StepState>(&json!("levitating")).unwrap(), StepState::Unknown);
    assert_eq!(read::<HostState>(&json!("levitating")).unwrap(), HostState::Unknown);
}

#[test]
fn what_holds_a_secret_does_not_print_it() {
    let create = json!({ "slug": "lab", "provider": "proxmox", "secret": "do-not-print-me" });
    let create: RegionCreate = read(&create).unwrap();
    assert_eq!(create.secret.as_deref(), Some("do-not-print-me"));
    let update = RegionUpdate { secret: create.secret.clone(), ..RegionUpdate::default() };
    assert!(!format!("{create:?} {update:?}").contains("do-not"));
}
