//! Making, changing and deleting servers.

use crate::cloud::{Cloud, Reply};
use crate::golden;
use crate::values::{action, detail, image, own_image, page, server, ssh_key, step, workflow};
use serde_json::{Value, json};

/// Answers for a create of web-1 that works at once.
fn ready() -> Cloud {
    let cloud = Cloud::start();
    let link = json!({"id": 9, "rel": "create", "href": "https://elsewhere.invalid/v2/actions/9"});
    let created = json!({"droplet": server(42, "web-1", "new"), "links": {"actions": [link]}});
    cloud.json("GET /v2/images/debian-13", &json!({"image": image()}));
    cloud.on("POST /v2/droplets", [Reply::json(202, &created)]);
    let flow =
        workflow("resting", &[step("place", "choosing a host", "done", 1), step("start", "starting", "done", 2)]);
    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "completed"), &flow));
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    cloud
}

const CREATE: &str = "server create web-1 --size small --image debian-13";

#[test]
fn create_waits_and_prints_the_server_as_it_is_then() {
    let cloud = ready();
    let mut copying = step("disk", "copying the disk", "running", 2);
    copying["waiting_for"] = json!("the clone that is still running");
    copying["last_error"] = json!("the storage was busy");
    let flow = workflow(
        "ready",
        &[step("place", "choosing a host", "done", 1), copying, step("start", "starting", "pending", 0)],
    );
    let done = workflow(
        "resting",
        &[
            step("place", "choosing a host", "done", 1),
            step("disk", "copying the disk", "done", 2),
            step("start", "starting", "done", 1),
        ],
    );
    cloud.on(
        "GET /cloud/v1/actions/9",
        [
            Reply::json(200, &detail(&action(9, "create", "in-progress"), &flow)),
            Reply::json(200, &detail(&action(9, "create", "completed"), &done)),
        ],
    );
    let ran = cloud.cairn(CREATE).run();
    golden::check("create", &ran.transcript);
    let ran = cloud.cairn(CREATE).word("-o").word("json").run();
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), server(42, "web-1", "active"));
    let ran = cloud.cairn(CREATE).word("--quiet").run();
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

#[test]
fn create_asks_for_what_was_wished() {
    let cloud = ready();
    let keys = page("ssh_keys", &[ssh_key()]);
    cloud.json("GET /v2/account/keys", &keys);
    std::fs::write(cloud.home.path().join("user-data"), "#cloud-config\n").unwrap();
    let data = cloud.home.path().join("user-data");
    let ran = cloud
        .cairn(CREATE)
        .word("--user-data-file")
        .word(data.to_str().unwrap())
        .word("--ssh-key=anna@laptop")
        .word("--ssh-key=7b:8d:1f:a3:34:fb:8b:40:08:13:b1:a6:60:10:81:fd")
        .word("--ssh-key=77")
        .word("--tag=web")
        .word("--tag=blue")
        .word("--region=here")
        .word("--no-public")
        .word("--no-wait")
        .run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let asked = cloud.asked_for("POST /v2/droplets").pop().unwrap();
    assert_eq!(
        asked.json(),
        json!({
            "name": "web-1", "region": "here", "size": "small", "image": "debian-13", "user_data": "#cloud-config\n",
            "ssh_keys": [5, "7b:8d:1f:a3:34:fb:8b:40:08:13:b1:a6:60:10:81:fd", 77], "tags": ["web", "blue"],
            "public_networking": false,
        })
    );
    assert!(cloud.asked_for("GET /cloud/v1").is_empty(), "--no-wait looks at nothing");
}

#[test]
fn several_at_once_are_one_request() {
    let cloud = ready();
    let servers = [server(42, "web-1", "new"), server(43, "web-2", "new")];
    let link = |id: i32| json!({"id": id, "rel": "create", "href": "https://elsewhere.invalid"});
    let created = json!({"droplets": servers, "links": {"actions": [link(9), link(10)]}});
    cloud.on("POST /v2/droplets", [Reply::json(202, &created)]);
    let mut refused = workflow("refused", &[]);
    refused["refusal"] = json!({"code": "no_capacity", "message": "No host here has room for it."});
    cloud.json("GET /cloud/v1/actions/10", &detail(&action(10, "create", "errored"), &refused));
    let ran = cloud.cairn("server create web-1 web-2 --size small --image 1 -o json").run();
    assert_eq!(ran.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), json!([server(42, "web-1", "active")]));
    assert!(ran.stderr.contains("web-2: create failed: No host here has room for it. (no_capacity)"), "{}", ran.stderr);
    let asked = cloud.asked_for("POST /v2/droplets").pop().unwrap().json();
    assert_eq!((&asked["names"], asked.get("name")), (&json!(["web-1", "web-2"]), None));
}

#[test]
fn a_create_that_fails_says_why() {
    let cloud = ready();
    let mut refused = workflow("refused", &[step("place", "choosing a host", "refused", 1)]);
    refused["refusal"] = json!({"code": "no_capacity", "message": "No host here has room for it."});
    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "errored"), &refused));
    golden::check("create_failed", &cloud.cairn(CREATE).run().transcript);
    let mut parked = workflow("parked", &[]);
    parked["sentence"] = json!("It stopped, and the operator has been told.");
    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "in-progress"), &parked));
    golden::check("create_parked", &cloud.cairn(CREATE).run().transcript);
}

#[test]
fn what_takes_too_long_goes_on_without_us() {
    let cloud = ready();
    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "in-progress"), &workflow("ready", &[])));
    golden::check("create_timed_out", &cloud.cairn(CREATE).word("--timeout=1").run().transcript);
}

#[test]
fn a_cloud_that_tells_no_steps() {
    let cloud = ready();
    cloud.on("GET /cloud/v1/actions/9", [Reply::empty(404)]);
    cloud.on(
        "GET /v2/actions/9",
        [
            Reply::json(200, &json!({"action": action(9, "create", "in-progress")})),
            Reply::json(200, &json!({"action": action(9, "create", "completed")})),
        ],
    );
    let ran = cloud.cairn(CREATE).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(cloud.asked_for("GET /cloud/v1").len(), 1);
    cloud.json("GET /v2/actions/9", &json!({"action": action(9, "create", "errored")}));
    let ran = cloud.cairn(CREATE).run();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("web-1: create failed"), "{}", ran.stderr);
}

#[test]
fn a_server_that_starts_anew_is_waited_for() {
    let cloud = ready();
    let done = Reply::json(200, &detail(&action(9, "create", "completed"), &workflow("resting", &[])));
    let mut away = vec![Reply::empty(502); 5];
    away.push(done);
    cloud.on("GET /cloud/v1/actions/9", away);
    let ran = cloud.cairn(CREATE).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("still waiting"), "{}", ran.stderr);
}

#[test]
fn delete_asks_and_waits_until_it_is_gone() {
    let cloud = ready();
    cloud.json("GET /v2/droplets", &page("droplets", &[server(42, "web-1", "active"), server(43, "web-10", "active")]));
    golden::check("delete_unasked", &cloud.cairn("server delete web-1").run().transcript);
    assert!(cloud.asked_for("DELETE").is_empty());
    let mut going = server(42, "web-1", "active");
    going["cloud"]["state"] = json!("removing the disk");
    cloud.on("DELETE /v2/droplets/42", [Reply::empty(204)]);
    let gone = Reply::json(404, &crate::values::error("not_found", "The resource you requested could not be found."));
    cloud.on("GET /v2/droplets/42", [Reply::json(200, &json!({"droplet": going})), gone]);
    golden::check("delete_elsewhere", &cloud.cairn("server delete web-1 --yes").run().transcript);
}

#[test]
fn delete_follows_the_action() {
    let cloud = ready();
    cloud.on("DELETE /v2/droplets/42", [Reply::empty(204)]);
    let mut other = action(12, "destroy", "in-progress");
    other["resource_id"] = json!(43);
    let ours = action(11, "destroy", "in-progress");
    cloud.json("GET /v2/actions", &page("actions", &[other, ours.clone(), action(9, "create", "completed")]));
    let mut undo = step("disk", "removing the disk", "running", 1);
    undo["direction"] = json!("unmake");
    let mut flow = workflow("ready", &[step("disk", "making the disk", "done", 1), undo]);
    // Nobody has turned the workflow round yet: what it made is not what is waited for.
    let before = flow.clone();
    flow["direction"] = json!("unmake");
    cloud.on(
        "GET /cloud/v1/actions/11",
        [
            Reply::json(200, &detail(&ours, &before)),
            Reply::json(200, &detail(&ours, &flow)),
            Reply::json(200, &detail(&action(11, "destroy", "completed"), &flow)),
        ],
    );
    golden::check("delete", &cloud.cairn("server delete 42 --yes").run().transcript);
    let before = cloud.asked().len();
    assert_eq!(cloud.cairn("server delete 42 --yes --no-wait").run().code, 0);
    assert_eq!(cloud.asked().len(), before + 2, "found and deleted, and not looked at again");
}

#[test]
fn an_ambiguous_name_is_nobody() {
    let cloud = ready();
    let twins = [server(142, "web-1", "active"), server(43, "web-1", "active")];
    cloud.json("GET /v2/droplets", &page("droplets", &twins));
    golden::check("ambiguous", &cloud.cairn("server delete web-1 --yes").run().transcript);
    assert!(cloud.asked_for("DELETE").is_empty());
    let missing = cloud.cairn("server get web-9").run();
    assert_eq!(missing.code, 4);
    golden::check("missing", &missing.transcript);
}

#[test]
fn what_can_be_asked_of_a_server() {
    let cloud = ready();
    cloud.json("GET /v2/images/12", &json!({"image": own_image()}));
    let wishes = [
        ("start", "start 42", json!({"type": "power_on"})),
        ("stop", "stop 42", json!({"type": "power_off"})),
        ("shutdown", "shutdown 42", json!({"type": "shutdown"})),
        ("reboot", "reboot 42", json!({"type": "reboot"})),
        ("power-cycle", "power-cycle 42", json!({"type": "power_cycle"})),
        ("resize", "resize 42 --size large --disk", json!({"type": "resize", "size": "large", "disk": true})),
        ("resize", "resize 42 --size large", json!({"type": "resize", "size": "large", "disk": false})),
        ("rebuild", "rebuild 42 debian-13 --yes", json!({"type": "rebuild", "image": "debian-13"})),
        ("restore", "restore 42 12 --yes", json!({"type": "restore", "image": 12})),
        ("rename", "rename 42 web-2", json!({"type": "rename", "name": "web-2"})),
        ("snapshot", "snapshot 42 --name before", json!({"type": "snapshot", "name": "before"})),
        ("snapshot", "snapshot 42", json!({"type": "snapshot"})),
    ];
    for (name, words, body) in wishes {
        let kind = body["type"].as_str().unwrap();
        cloud
            .on("POST /v2/droplets/42/actions", [Reply::json(201, &json!({"action": action(9, kind, "in-progress")}))]);
        cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, kind, "completed"), &workflow("completed", &[])));
        let ran = cloud.cairn(&format!("server {words} -o json")).run();
        assert_eq!(ran.code, 0, "{name}: {}", ran.stderr);
        assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), action(9, kind, "completed"), "{name}");
        assert_eq!(cloud.asked_for("POST").pop().unwrap().json(), body, "{name}");
        let ran = cloud.cairn(&format!("server {words} -o json --no-wait")).run();
        assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), action(9, kind, "in-progress"), "{name}");
    }
    for words in ["rebuild 42 debian-13", "restore 42 12"] {
        assert_eq!(cloud.cairn(&format!("server {words}")).run().code, 2, "{words} loses data, so it asks");
    }
}

#[test]
fn watching_actions() {
    let cloud = ready();
    let ran = cloud.cairn("action watch 9").run();
    golden::check("watch", &ran.transcript);
}

#[test]
fn a_creation_is_not_told_by_the_deletion_that_followed() {
    let cloud = ready();
    let mut flow = workflow("undone", &[step("place", "choosing a host", "done", 1)]);
    let mut unmade = step("place", "giving the host's room back", "done", 1);
    unmade["direction"] = json!("unmake");
    flow["steps"].as_array_mut().unwrap().insert(0, unmade);
    flow["direction"] = json!("unmake");
    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "completed"), &flow));
    let ran = cloud.cairn("action watch 9").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(!ran.stderr.contains("giving the host's room back"), "{}", ran.stderr);
    assert!(ran.stderr.contains("create is done; what it made is deleted since"), "{}", ran.stderr);

    cloud.json("GET /cloud/v1/actions/9", &detail(&action(9, "create", "errored"), &flow));
    let ran = cloud.cairn("action watch 9").run();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("create was overtaken by the deletion"), "{}", ran.stderr);
}
