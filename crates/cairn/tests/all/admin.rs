//! What operators see and do.

use crate::cloud::{Cloud, Reply, Run, TOKEN};
use crate::golden;
use crate::values::{error, page};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;

/// The operator's token: recognisable wherever it should not be.
const OPERATOR: &str = "cairn_op_0123456789abcdef-do-not-print-me-either";
const SECRET: &str = "11111111-2222-3333-4444-do-not-print-this";
const MIGRATION: &str = "0197c2a0-0000-7000-8000-000000000001";
const HOST: &str = "0197c2a0-0000-7000-8000-00000000000a";
const TEAM: &str = "0197c2a0-0000-7000-8000-00000000000b";
const AT: &str = "2026-01-02T15:04:05Z";

fn region(slug: &str) -> Value {
    json!({"slug": slug, "name": "Lab", "provider": "proxmox", "origin": "operator", "available": true,
        "settings": {"entries": ["https://pve1:8006"], "storage": "local-zfs", "token_id": "cairn@pve!cairn"},
        "has_secret": true, "fingerprints": ["AB:CD"], "features": [], "resolvers": ["192.0.2.53"],
        "vpc_range": "10.100.0.0/16",
        "overcommit": {"vcpus_percent": 400, "memory_percent": 100, "disk_percent": 100},
        "pools": [{"name": "public", "kind": "public_bridged", "range": "192.0.2.0/24", "gateway": "192.0.2.1",
            "first": "192.0.2.2", "last": "192.0.2.254", "free": 250}],
        "connection": {"state": "connected", "connected_at": AT, "problem": null},
        "capabilities": {"migration": true}, "hosts": 4, "servers": 3})
}

fn host(state: &str, servers: i64) -> Value {
    json!({"id": HOST, "region": "lab", "name": "pve1", "state": state, "draining": false, "tags": ["nvme"],
        "version": "9.2.1", "architecture": "x86_64",
        "capacity": {"vcpus": 64, "memory_mib": 131072, "disk_gb": 2000},
        "reserved": {"vcpus": 6, "memory_mib": 12288, "disk_gb": 240},
        "gpus": [{"mapping": "a100", "total": 4, "reserved": 1}, {"mapping": "l4", "total": 2, "reserved": 0}],
        "servers": servers, "seen_at": AT})
}

fn storage() -> Value {
    json!({"region": "lab", "name": "local-zfs", "host": "pve1", "technique": "zfspool", "content": ["images", "rootdir"],
        "total_bytes": 2_000_000_000_000_i64, "used_bytes": 1_250_000_000_000_i64, "online": true,
        "used_for_guests": true, "seen_at": AT})
}

fn template() -> Value {
    json!({"region": "lab", "image_id": 1, "slug": "debian-13-x64", "name": "13 x64", "distribution": "Debian",
        "status": "available", "at_hand": true, "stored_bytes": 412_000_000, "seen_at": AT})
}

fn guest() -> Value {
    json!({"region": "lab", "host": "pve1", "name": "105", "kind": "machine", "title": "old-mail", "power": "running",
        "vcpus": 2, "memory_mib": 4096, "disk_gb": 40, "owner": null, "seen_at": AT})
}

fn migration(state: &str, sentence: Value) -> Value {
    let finished = if state == "running" { Value::Null } else { json!(AT) };
    json!({"id": MIGRATION, "server_id": 42, "server": "web-1", "team_id": TEAM, "region": "lab", "from": "pve1",
        "to": "pve2", "reason": "operator", "state": state, "sentence": sentence, "progress": "41 %", "started_at": AT,
        "finished_at": finished})
}

fn alert() -> Value {
    json!({"id": 7, "severity": "error", "kind": "region_unreachable", "subject": "region:lab",
        "message": "No node of lab answers.", "raised_at": AT, "acknowledged_at": null, "resolved_at": null})
}

fn placed(id: i32, name: &str) -> Value {
    json!({"id": id, "name": name, "team_id": TEAM, "team": "ours", "region": "lab", "host": "pve1", "size": "small",
        "vcpus": 1, "memory_mib": 2048, "disk_gb": 20, "status": "active", "address": "192.0.2.7", "created_at": AT})
}

fn operator() -> Value {
    json!({"token_id": TEAM, "name": "first operator", "scopes": [], "created_at": AT, "expires_at": null})
}

fn finding(severity: &str, subject: &str, sentence: &str) -> Value {
    json!({"severity": severity, "subject": subject, "sentence": sentence})
}

fn tested(passed: bool, findings: &[Value]) -> Value {
    json!({"test": {"at": AT, "passed": passed, "findings": findings, "offers": offers(&["ceph"])}})
}

/// What a cluster has: `local` for images, and these for disks beside `local-zfs`.
fn offers(disks: &[&str]) -> Value {
    let storage = |name: &str, not_for_disks: Value, not_for_images: Value| {
        json!({"name": name, "technique": "dir", "content": ["images"], "shared": false, "hosts": ["pve1"],
               "total_bytes": 100, "free_bytes": 50, "not_for_disks": not_for_disks, "not_for_images": not_for_images})
    };
    let mut storages = vec![
        storage("local", json!("Storage local does not take images"), Value::Null),
        storage("local-zfs", Value::Null, json!("it keeps no files")),
    ];
    storages.extend(disks.iter().map(|name| storage(name, Value::Null, json!("it keeps no files"))));
    let bridge = json!({"name": "vmbr0", "hosts": ["pve1"], "vlan_aware": true, "comment": null, "missing_on": []});
    json!({"version": "Proxmox VE 9.1.7", "hosts": [{"name": "pve1", "online": true}], "storages": storages,
           "bridges": [bridge], "zones": [], "pools": ["cairn"]})
}

/// The program as an operator runs it.
fn admin(cloud: &Cloud, words: &str) -> Run {
    cloud.cairn(&format!("admin {words}")).env("CAIRN_OPERATOR_TOKEN", OPERATOR)
}

#[test]
fn everything_that_is_looked_at_in_every_format() {
    let list = |words, path: &'static str, field: &str, item: Value, name| {
        (words, format!("GET /admin/v1/{path}"), page(field, std::slice::from_ref(&item)), json!([item]), name)
    };
    let get = |words, path: String, field: &str, item: Value, name| {
        (words, format!("GET /admin/v1/{path}"), json!({field: item}), item, name)
    };
    let cases = [
        list("region list", "regions", "regions", region("lab"), "lab\n"),
        get("region get lab", "regions/lab".into(), "region", region("lab"), "lab\n"),
        list("host list", "hosts", "hosts", host("up", 3), &*format!("{HOST}\n").leak()),
        get(
            "host get 0197c2a0-0000-7000-8000-00000000000a",
            format!("hosts/{HOST}"),
            "host",
            host("up", 3),
            &*format!("{HOST}\n").leak(),
        ),
        list("storage list", "storages", "storages", storage(), "local-zfs\n"),
        list("template list", "templates", "templates", template(), "debian-13-x64\n"),
        list("guest list", "guests", "guests", guest(), "105\n"),
        list(
            "migration list",
            "migrations",
            "migrations",
            migration("running", json!("copying")),
            &*format!("{MIGRATION}\n").leak(),
        ),
        get(
            "migration get 0197c2a0-0000-7000-8000-000000000001",
            format!("migrations/{MIGRATION}"),
            "migration",
            migration("completed", Value::Null),
            &*format!("{MIGRATION}\n").leak(),
        ),
        list("alert list", "alerts", "alerts", alert(), "7\n"),
        list("server list", "servers", "servers", placed(42, "web-1"), "42\n"),
        get("whoami", "operator".into(), "operator", operator(), "first operator\n"),
    ];
    let mut tables = String::new();
    for (words, line, answer, data, names) in cases {
        let cloud = Cloud::start();
        cloud.json(&line, &answer);
        for format in ["table", "json", "yaml", "name"] {
            let ran = admin(&cloud, words).word("-o").word(format).run();
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words} -o {format}");
            match format {
                "json" => assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), data, "{words}"),
                "yaml" => assert_eq!(serde_saphyr::from_str::<Value>(&ran.stdout).unwrap(), data, "{words}"),
                "name" => assert_eq!(ran.stdout, names, "{words}"),
                _ => tables.push_str(&format!("{}\n", ran.transcript)),
            }
        }
        for asked in cloud.asked() {
            assert_eq!(asked.headers["authorization"], format!("Bearer {OPERATOR}"), "{words}");
        }
    }
    golden::check("admin_tables", &tables);
}

#[test]
fn lists_are_narrowed_by_the_server() {
    let cloud = Cloud::start();
    for (words, line) in [
        ("host list --region lab", "GET /admin/v1/hosts?region=lab&"),
        ("storage list --region lab", "GET /admin/v1/storages?region=lab&"),
        ("guest list --region lab", "GET /admin/v1/guests?region=lab&"),
        ("alert list --all", "GET /admin/v1/alerts?all=true&"),
        ("server list --region lab --team abc", "GET /admin/v1/servers?region=lab&team_id=abc&"),
    ] {
        let path = line.split(['?']).next().unwrap();
        cloud.json(path, &page(path.rsplit('/').next().unwrap(), &[]));
        assert_eq!(admin(&cloud, words).word("-o").word("json").run().stdout, "[]\n", "{words}");
        assert_eq!(cloud.asked_for(line).len(), 1, "{words}: {:?}", cloud.asked().last());
    }
}

#[test]
fn the_token_of_an_operator_is_tried_and_stored_beside_the_teams() {
    let cloud = Cloud::start();
    cloud.json("GET /v2/account", &json!({"account": crate::values::account()}));
    cloud.json("GET /admin/v1/operator", &json!({"operator": operator()}));
    cloud.bare("login --context home --url").word(&cloud.url()).stdin(TOKEN).run();
    let ran = cloud.bare("admin login").stdin(OPERATOR).run();
    golden::check("admin_login", &ran.transcript);
    let path = cloud.home.path().join(".config/cairn/config.toml");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stored = std::fs::read_to_string(&path).unwrap();
    assert!(stored.contains(TOKEN) && stored.contains(OPERATOR), "both are there");
    // Each goes where it belongs, and nowhere else.
    assert_eq!(cloud.bare("account -o name").run().code, 0);
    assert_eq!(cloud.asked().last().unwrap().headers["authorization"], format!("Bearer {TOKEN}"));
    assert_eq!(cloud.bare("admin whoami -o name").run().stdout, "first operator\n");
    assert_eq!(cloud.asked().last().unwrap().headers["authorization"], format!("Bearer {OPERATOR}"));
    assert!(!cloud.bare("context show -o json").run().stdout.contains("cairn_op_"));

    cloud.on("GET /admin/v1/operator", [Reply::json(401, &error("unauthorized", "Unable to authenticate you."))]);
    let ran = cloud.bare("admin login").stdin("cairn_op_wrong").run();
    assert_eq!(ran.code, 3, "{}", ran.transcript);
    assert!(ran.stderr.contains("cairn admin login"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), stored, "what was not accepted is not stored");
}

#[test]
fn an_operator_need_not_be_of_a_team() {
    let cloud = Cloud::start();
    cloud.json("GET /admin/v1/operator", &json!({"operator": operator()}));
    let file = cloud.home.path().join("operator-token");
    std::fs::write(&file, format!("{OPERATOR}\n")).unwrap();
    let with_file = |words: &str| {
        let run = cloud.bare(words).word("--operator-token-file").word(file.to_str().unwrap());
        run.word("--url").word(&cloud.url())
    };
    let ran = with_file("admin whoami -o name").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "first operator\n"), "{}", ran.transcript);
    let ran = with_file("admin login").run();
    assert_eq!(ran.code, 0, "{}", ran.transcript);
    assert_eq!(cloud.bare("admin whoami -o name").run().stdout, "first operator\n");
    let ran = cloud.bare("account").run();
    assert_eq!(ran.code, 3, "an operator's token is no team's: {}", ran.transcript);
    // And a team's token is no operator's.
    let other = Cloud::start();
    let ran = other.cairn("admin region list").run();
    assert_eq!(ran.code, 3);
    golden::check("admin_without_token", &ran.transcript);
    assert!(other.asked().is_empty());
}

#[test]
fn hosts_are_kept_free_and_emptied() {
    let cloud = Cloud::start();
    cloud.json("GET /admin/v1/hosts", &page("hosts", &[host("up", 2)]));
    cloud.json(&format!("PUT /admin/v1/hosts/{HOST}"), &json!({"host": host("maintenance", 2)}));
    let ran = admin(&cloud, "host maintenance pve1 on -o name").run();
    assert_eq!((ran.code, ran.stdout), (0, format!("{HOST}\n")), "{}", ran.stderr);
    assert_eq!(cloud.asked_for("PUT")[0].json(), json!({"maintenance": true}));
    admin(&cloud, "host tag lab/pve1 nvme fast").run();
    assert_eq!(cloud.asked_for("PUT")[1].json(), json!({"tags": ["nvme", "fast"]}));
    assert_eq!(admin(&cloud, "host get nowhere").run().code, 4);
    assert_eq!(admin(&cloud, "host drain pve1").run().code, 2, "it is asked first");

    let begun = json!({"host": host("maintenance", 2), "migrations": [MIGRATION], "waiting": 0});
    cloud.json(&format!("POST /admin/v1/hosts/{HOST}/drain"), &begun);
    let hosts = [host("maintenance", 2), host("maintenance", 0)].map(|host| Reply::json(200, &json!({"host": host})));
    cloud.on(&format!("GET /admin/v1/hosts/{HOST}"), hosts);
    let moving = json!({"migration": migration("running", json!("copying the disk"))});
    cloud.json(&format!("GET /admin/v1/migrations/{MIGRATION}"), &moving);
    let ran = admin(&cloud, "host drain pve1 --yes").run();
    golden::check("admin_drain", &ran.transcript);

    cloud.json(&format!("GET /admin/v1/hosts/{HOST}"), &json!({"host": host("maintenance", 1)}));
    let stuck = json!({"migration": migration("failed", json!("No host of the region has room."))});
    cloud.json(&format!("GET /admin/v1/migrations/{MIGRATION}"), &stuck);
    let ran = admin(&cloud, "host drain pve1 --yes").run();
    assert_eq!(ran.code, 1);
    golden::check("admin_drain_stuck", &ran.transcript);
}

#[test]
fn a_server_is_moved_and_waited_for() {
    let cloud = Cloud::start();
    cloud.json(
        "GET /admin/v1/servers",
        &page("servers", &[placed(42, "web-1"), placed(43, "web-1"), placed(44, "db-1")]),
    );
    cloud.json("GET /admin/v1/hosts", &page("hosts", &[host("up", 2)]));
    cloud.on("POST /admin/v1/migrations", [Reply::json(202, &json!({"migration": migration("running", Value::Null)}))]);
    let seen = [migration("running", json!("waiting for the copy")), migration("completed", Value::Null)];
    let seen = seen.map(|migration| Reply::json(200, &json!({"migration": migration})));
    cloud.on(&format!("GET /admin/v1/migrations/{MIGRATION}"), seen);
    let ran = admin(&cloud, "migration start db-1 --to pve1").run();
    golden::check("admin_migration", &ran.transcript);
    assert_eq!(cloud.asked_for("POST")[0].json(), json!({"server_id": 44, "host_id": HOST}));
    assert_eq!(admin(&cloud, "migration start web-1").run().code, 1, "two are called that");
    admin(&cloud, "migration start 43 --no-wait").run();
    assert_eq!(cloud.asked_for("POST")[1].json(), json!({"server_id": 43}));

    let failed = json!({"migration": migration("failed", json!("No host of the region has room."))});
    cloud.json(&format!("GET /admin/v1/migrations/{MIGRATION}"), &failed);
    let ran = admin(&cloud, &format!("migration watch {MIGRATION}")).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    assert!(ran.stderr.contains("web-1 was not moved: No host of the region has room."), "{}", ran.stderr);
}

fn adoption(state: &str, sentence: Value) -> Value {
    json!({"adoption": {"workflow_id": MIGRATION, "server_id": 51, "region": "lab", "guest": "105", "state": state,
                        "sentence": sentence, "started_at": AT}})
}

#[test]
fn guests_are_adopted_and_alerts_acknowledged() {
    let cloud = Cloud::start();
    let adopted = json!({"server_id": 51, "workflow_id": MIGRATION});
    cloud.on("POST /admin/v1/guests/adopt", [Reply::json(202, &adopted)]);
    let words = format!("guest adopt 105 --region lab --team {TEAM} --name mail");
    assert_eq!(admin(&cloud, &words).run().code, 2, "it is asked first");
    let path = format!("GET /admin/v1/guests/adoptions/{MIGRATION}");
    let waits = [
        adoption("running", json!("waiting for its addresses to be written down")),
        adoption("completed", json!(null)),
    ];
    cloud.on(&path, waits.map(|adoption| Reply::json(200, &adoption)));
    let ran = admin(&cloud, &words).word("--yes").word("-o").word("name").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "51\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("105 of lab: is server 51"), "{}", ran.stderr);
    let body = json!({"region": "lab", "guest": "105", "team_id": TEAM, "name": "mail"});
    assert_eq!(cloud.asked_for("POST")[0].json(), body);
    let looks = cloud.asked_for(&path).len();
    assert_eq!(looks, 2, "it waits");

    let lacks = "guest 105 of region lab was not adopted: the token lacks VM.Config.Options on /vms/105";
    cloud.json(&path, &adoption("failed", json!(lacks)));
    let ran = admin(&cloud, &words).word("--yes").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.transcript);
    assert!(ran.stderr.contains("VM.Config.Options on /vms/105"), "{}", ran.stderr);
    let looks = cloud.asked_for(&path).len();
    let ran = admin(&cloud, &words).word("--yes").word("--no-wait").word("-o").word("name").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "51\n"), "{}", ran.stderr);
    assert_eq!(cloud.asked_for(&path).len(), looks, "it does not look");

    let mut known = alert();
    known["acknowledged_at"] = json!(AT);
    cloud.json("POST /admin/v1/alerts/7/acknowledge", &json!({"alert": known}));
    let ran = admin(&cloud, "alert ack 7").run();
    assert!(ran.stdout.contains("acknowledged"), "{}", ran.transcript);
    let ran = admin(&cloud, "alert ack 7 8").run();
    assert_eq!(ran.code, 4, "{}", ran.transcript);
}

#[test]
fn a_region_is_tested_changed_and_removed() {
    let cloud = Cloud::start();
    let findings = [
        finding("fine", "storage local-zfs", "Holds disks."),
        finding("warning", "host pve4", "Does not answer; the others do."),
        finding("error", "privileges", "The token lacks VM.Clone on /vms."),
    ];
    cloud.json("POST /admin/v1/regions/lab/test", &tested(false, &findings));
    let ran = admin(&cloud, "region test lab").run();
    assert_eq!(ran.code, 1);
    golden::check("admin_region_test", &ran.transcript);
    cloud.json("POST /admin/v1/regions/lab/test", &tested(true, &findings[..2]));
    assert_eq!(admin(&cloud, "region test lab -o name").run().stdout, "passed\n");

    cloud.json("GET /admin/v1/regions/lab", &json!({"region": region("lab")}));
    cloud.json("PUT /admin/v1/regions/lab", &json!({"region": region("lab")}));
    let ran =
        admin(&cloud, "region edit lab --storage ceph --overcommit-vcpus 300 --available false --set connections=7")
            .env("CAIRN_REGION_SECRET", SECRET)
            .run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.transcript.contains(SECRET));
    let sent = cloud.asked_for("PUT")[0].json();
    let settings =
        json!({"entries": ["https://pve1:8006"], "storage": "ceph", "token_id": "cairn@pve!cairn", "connections": 7});
    let sold = json!({"vcpus_percent": 300, "memory_percent": 100, "disk_percent": 100});
    assert_eq!(sent, json!({"settings": settings, "secret": SECRET, "available": false, "overcommit": sold}));
    assert_eq!(admin(&cloud, "region edit lab").run().code, 2, "nothing to change");
    let warned = json!({"region": region("lab"), "warnings": ["Pool `public` gives what `attic` gives."]});
    cloud.json("PUT /admin/v1/regions/lab", &warned);
    let ran = admin(&cloud, "region edit lab --pool-range 192.0.2.0/24").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("warning: Pool `public` gives what `attic` gives."), "{}", ran.stderr);
    let ran = admin(&cloud, "region edit lab --set token_secret=x").run();
    assert_eq!(ran.code, 2, "a secret is no argument: {}", ran.stderr);

    let stands = "3 servers stand in it.";
    cloud.on("DELETE /admin/v1/regions/lab", [Reply::json(409, &error("in_use", stands)), Reply::empty(204)]);
    let template = |id: i32, name: &str, at_hand: bool| {
        json!({"region": "lab", "image_id": id, "slug": name, "name": name, "distribution": "Debian", "status": "available",
               "at_hand": at_hand, "stored_bytes": at_hand.then_some(1), "seen_at": at_hand.then_some(AT)})
    };
    let templates = [template(10, "debian-13", true), template(11, "ubuntu", false)];
    cloud.json("GET /admin/v1/templates", &page("templates", &templates));
    assert_eq!(admin(&cloud, "region remove lab").run().code, 2, "it is asked first");
    let ran = admin(&cloud, "region remove lab --yes").run();
    assert!(ran.code == 1 && ran.stderr.contains(stands), "{}", ran.stderr);
    let ran = admin(&cloud, "region remove lab --yes").run();
    assert_eq!(ran.code, 0);
    assert!(ran.stderr.contains("keeps the templates of its images: cairn-image-10 (debian-13)."), "{}", ran.stderr);
    assert!(ran.stderr.contains("qm destroy NUMBER") && !ran.stderr.contains("cairn-image-11"), "{}", ran.stderr);
}

/// A cluster with a certificate, as far as it can be looked at from outside.
fn cluster() -> (Cloud, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let digest = <sha2::Sha256 as sha2::Digest>::digest(made.cert.der());
    let shown = digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    (Cloud::start_tls(std::sync::Arc::new(config)), shown)
}

const FOUND: [(&str, &str, &str); 4] = [
    ("fine", "storage local", "Holds downloads."),
    ("fine", "storage local-zfs", "Holds disks."),
    ("fine", "storage ceph", "Holds disks, for every host."),
    ("fine", "bridge vmbr0", "Is on every host."),
];

fn found() -> Vec<Value> {
    FOUND.iter().map(|(severity, subject, sentence)| finding(severity, subject, sentence)).collect()
}

#[test]
fn a_cluster_is_connected_without_a_question() {
    let cloud = Cloud::start();
    cloud.json("POST /admin/v1/region_tests", &tested(true, &found()));
    cloud.on("POST /admin/v1/regions", [Reply::json(201, &json!({"region": region("lab")}))]);
    let pin = ["ab"; 32].join(":");
    let secret = cloud.home.path().join("secret");
    std::fs::write(&secret, format!("{SECRET}\n")).unwrap();
    let words = format!(
        "region add proxmox pve1.example.org https://pve2.example.org:8006 --slug lab --token-id cairn@pve!cairn \
         --fingerprint {pin} --storage local-zfs --file-storage local --bridge vmbr0 --vlan 12 \
         --pool-range 192.0.2.0/24 --pool-first 192.0.2.100 --resolver 192.0.2.53"
    );
    let ran = admin(&cloud, &words).word("--secret-file").word(secret.to_str().unwrap()).run();
    golden::check("admin_region_add", &ran.transcript);
    let asked = cloud.asked_for("POST");
    assert_eq!(asked.len(), 2, "what is said is not looked up");
    let settings = json!({"entries": ["https://pve1.example.org:8006", "https://pve2.example.org:8006"],
        "token_id": "cairn@pve!cairn", "storage": "local-zfs", "file_storage": "local",
        "bridges": {"public": {"name": "vmbr0", "vlan": 12}}});
    let connection =
        json!({"provider": "proxmox", "settings": settings, "secret": SECRET, "fingerprints": [pin.to_uppercase()]});
    assert_eq!(asked[0].json(), connection);
    let mut whole = connection;
    whole["slug"] = json!("lab");
    whole["available"] = json!(true);
    whole["resolvers"] = json!(["192.0.2.53"]);
    whole["pools"] =
        json!([{"name": "public", "kind": "public_bridged", "range": "192.0.2.0/24", "first": "192.0.2.100"}]);
    assert_eq!(asked[1].json(), whole);
}

#[test]
fn what_is_missing_is_told_exactly_and_nothing_is_connected() {
    let cloud = Cloud::start();
    let mut findings = found();
    findings.push(finding(
        "error",
        "privileges",
        "The token lacks VM.Clone on /vms and Datastore.Audit on /storage/ceph.",
    ));
    cloud.json("POST /admin/v1/region_tests", &tested(false, &findings));
    cloud.on("POST /admin/v1/regions", [Reply::json(201, &json!({"region": region("lab")}))]);
    let words = format!(
        "region add proxmox pve1 --token-id cairn@pve!cairn --fingerprint {} --storage ceph --bridge vmbr0",
        "ab".repeat(32)
    );
    let run = |more: &str| admin(&cloud, &format!("{words}{more}")).env("CAIRN_REGION_SECRET", SECRET).run();
    let ran = run("");
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    golden::check("admin_region_add_missing", &ran.transcript);
    assert!(cloud.asked_for("POST /admin/v1/regions").iter().all(|asked| asked.line.contains("region_tests")));
    let ran = run(" --anyway");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(cloud.asked_for("POST").last().unwrap().json()["available"], false, "nobody makes servers there yet");
}

#[test]
fn where_nobody_can_be_asked_the_flag_is_named() {
    let cloud = Cloud::start();
    let (other, shown) = cluster();
    cloud.json("POST /admin/v1/region_tests", &tested(true, &found()));
    let there = format!("localhost:{}", other.address.port());
    // The certificate that is shown is said, so that it can be compared and pinned.
    let ran = admin(&cloud, &format!("region add proxmox {there}")).run();
    assert!(ran.code == 2 && ran.stderr.contains(&format!("--fingerprint {shown}")), "{}", ran.stderr);
    let pinned = format!("region add proxmox {there} --fingerprint {shown}");
    let ran = admin(&cloud, &pinned).run();
    assert!(ran.code == 2 && ran.stderr.contains("--token-id"), "{}", ran.stderr);
    let named = format!("{pinned} --token-id cairn@pve!cairn");
    let ran = admin(&cloud, &named).run();
    assert!(ran.code == 2 && ran.stderr.contains("--secret-file"), "{}", ran.stderr);
    let ran = admin(&cloud, &named).env("CAIRN_REGION_SECRET", SECRET).run();
    assert!(
        ran.code == 2 && ran.stderr.contains("local-zfs, ceph") && ran.stderr.contains("--storage"),
        "{}",
        ran.stderr
    );
    let ran = admin(&cloud, "region add proxmox http://pve1").run();
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    let ran = admin(&cloud, "region add proxmox localhost:1").run();
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert!(other.asked().is_empty(), "nothing is asked of a cluster over an unchecked connection");
}

#[test]
fn what_leaves_no_choice_is_chosen_and_the_policy_goes_along() {
    let cloud = Cloud::start();
    let mut seen = tested(true, &found());
    seen["test"]["offers"] = offers(&[]);
    cloud.json("POST /admin/v1/region_tests", &seen);
    cloud.on("POST /admin/v1/regions", [Reply::json(201, &json!({"region": region("lab")}))]);
    let words = format!(
        "region add proxmox pve1 --token-id cairn@pve!cairn --fingerprint {} --placement pack --headroom 10 --heal power \
         --overcommit-vcpus 200 --private-zone cairn",
        "ab".repeat(32)
    );
    let ran = admin(&cloud, &words).env("CAIRN_REGION_SECRET", SECRET).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let sent = cloud.asked_for("POST").last().unwrap().json();
    assert_eq!(sent["settings"]["storage"], "local-zfs");
    assert_eq!(sent["settings"]["file_storage"], "local");
    assert_eq!(sent["settings"]["bridges"], json!({"public": {"name": "vmbr0"}}));
    assert_eq!(sent["settings"]["private_zone"], "cairn");
    assert_eq!(sent["placement"], json!({"preference": "pack", "headroom_percent": 10}));
    assert_eq!(sent["heal"], json!({"what": "power", "per_hour": 3}));
    assert_eq!(sent["overcommit"], json!({"vcpus_percent": 200, "memory_percent": 100, "disk_percent": 100}));
    assert_eq!(admin(&cloud, &format!("{words} --heal-per-hour 0")).run().code, 2);
}

#[test]
fn teams_are_listed_and_named() {
    let cloud = Cloud::start();
    let amount = json!({"used": 1, "limit": 25});
    let team = |id: &str| {
        json!({"id": id, "name": "Web", "email": "web@example.org", "organization_id": TEAM, "organization": "Acme",
               "servers": amount, "vcpus": amount, "memory_mib": amount, "disk_gb": amount, "created_at": AT})
    };
    cloud.json("GET /admin/v1/teams", &page("teams", &[team(TEAM)]));
    let ran = admin(&cloud, "team list").run();
    assert!(
        ran.stdout.contains("Web") && ran.stdout.contains("1 of 25") && ran.stdout.contains(TEAM),
        "{}",
        ran.transcript
    );
    let adopted = json!({"server_id": 51, "workflow_id": MIGRATION});
    cloud.on("POST /admin/v1/guests/adopt", [Reply::json(202, &adopted)]);
    let ran = admin(&cloud, "guest adopt 105 --region lab --team Web --over-quota --yes --no-wait").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let body = json!({"region": "lab", "guest": "105", "team_id": TEAM, "over_quota": true});
    assert_eq!(cloud.asked_for("POST")[0].json(), body);
    cloud.json("GET /admin/v1/teams", &page("teams", &[]));
    let ran = admin(&cloud, "guest adopt 105 --region lab --team Nobody --yes").run();
    assert!(ran.code == 4 && ran.stderr.contains("cairn admin team list"), "{}", ran.stderr);
}

#[test]
fn the_script_that_makes_a_token_is_printed_as_it_is() {
    let cloud = Cloud::start();
    let script = "#!/bin/sh\npveum role add Cairn\n";
    cloud.json("GET /admin/v1/providers/proxmox/setup", &json!({"setup": {"provider": "proxmox", "script": script}}));
    let ran = admin(&cloud, "region add proxmox --setup").run();
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, script, ""));
    admin(&cloud, "region add proxmox --setup --storage ceph --bridge vmbr1 --pve-version 8.4").run();
    let line = "GET /admin/v1/providers/proxmox/setup?storage=ceph&bridge=vmbr1&version=8.4";
    assert_eq!(cloud.asked_for(line).len(), 1);
    let ran = admin(&cloud, "region add proxmox --setup -o json").run();
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap()["script"], script);
}
