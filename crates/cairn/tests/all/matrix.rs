//! Every command that shows something × every format: stdout is data and nothing else, and `-o json` is exactly what
//! the API sent.

use crate::cloud::Cloud;
use crate::golden;
use crate::values::{account, action, image, page, quota, region, server, size, snapshot, ssh_key, tag, workflow};
use serde_json::{Value, json};

struct Case {
    command: &'static str,
    line: &'static str,
    answer: Value,
    data: Value,
    names: &'static str,
}

fn list(command: &'static str, line: &'static str, field: &str, items: &[Value], names: &'static str) -> Case {
    Case { command, line, answer: page(field, items), data: items.into(), names }
}

fn get(command: &'static str, line: &'static str, field: &str, item: Value, names: &'static str) -> Case {
    Case { command, line, answer: json!({field: item}), data: item, names }
}

fn cases() -> Vec<Case> {
    let servers = [server(42, "web-1", "active"), server(43, "web-2", "off")];
    let flow = workflow("ready", &[crate::values::step("place", "choosing a host", "done", 1)]);
    vec![
        list("server list", "GET /v2/droplets", "droplets", &servers, "web-1\nweb-2\n"),
        get("server get 42", "GET /v2/droplets/42", "droplet", servers[0].clone(), "web-1\n"),
        list("server actions 42", "GET /v2/droplets/42/actions", "actions", &[action(9, "create", "completed")], "9\n"),
        list("image list", "GET /v2/images", "images", &[image()], "debian-13\n"),
        get("image get debian-13", "GET /v2/images/debian-13", "image", image(), "debian-13\n"),
        list("snapshot list", "GET /v2/snapshots", "snapshots", &[snapshot()], "7\n"),
        get("snapshot get 7", "GET /v2/snapshots/7", "snapshot", snapshot(), "7\n"),
        list("ssh-key list", "GET /v2/account/keys", "ssh_keys", &[ssh_key()], "anna@laptop\n"),
        get("ssh-key get 5", "GET /v2/account/keys/5", "ssh_key", ssh_key(), "anna@laptop\n"),
        list("size list", "GET /v2/sizes", "sizes", &[size()], "small\n"),
        list("region list", "GET /v2/regions", "regions", &[region()], "here\n"),
        list("tag list", "GET /v2/tags", "tags", &[tag()], "web\n"),
        get("tag get web", "GET /v2/tags/web", "tag", tag(), "web\n"),
        list("action list", "GET /v2/actions", "actions", &[action(9, "create", "in-progress")], "9\n"),
        get("action get 9", "GET /v2/actions/9", "action", action(9, "create", "in-progress"), "9\n"),
        get("action steps 9", "GET /cloud/v1/actions/9", "workflow", flow, "Copying the disk.\n"),
        get("account", "GET /v2/account", "account", account(), "team@example.org\n"),
        Case {
            command: "quota",
            line: "GET /cloud/v1/quotas",
            answer: quota(),
            data: quota(),
            names: "3 of 10, 3 of 10, 3072 of 10240, 60 of 200, 3 of 10, 3 of 10\n",
        },
    ]
}

#[test]
fn every_command_that_shows_something_in_every_format() {
    let mut tables = String::new();
    let mut count = 0;
    for case in cases() {
        let cloud = Cloud::start();
        cloud.json(case.line, &case.answer);
        if case.command == "server actions 42" {
            cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
        }
        for format in ["table", "json", "yaml", "name"] {
            let ran = cloud.cairn(case.command).word("-o").word(format).run();
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{} -o {format}", case.command);
            match format {
                "json" => {
                    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), case.data, "{}", case.command)
                }
                "yaml" => {
                    assert_eq!(serde_saphyr::from_str::<Value>(&ran.stdout).unwrap(), case.data, "{}", case.command)
                }
                "name" => assert_eq!(ran.stdout, case.names, "{}", case.command),
                _ => tables.push_str(&format!("{}\n", ran.transcript)),
            }
            let quiet = cloud.cairn(case.command).word("-o").word(format).word("--quiet").run();
            assert_eq!(quiet.stdout, ran.stdout, "--quiet changes no data: {}", case.command);
            count += 1;
        }
    }
    assert_eq!(count, 72);
    golden::check("tables", &tables);
}

#[test]
fn an_empty_list_is_data_too() {
    let cloud = Cloud::start();
    cloud.json("GET /v2/droplets", &page("droplets", &[]));
    assert_eq!(cloud.cairn("server list -o json").run().stdout, "[]\n");
    assert_eq!(cloud.cairn("server list -o name").run().stdout, "");
    assert_eq!(cloud.cairn("server list").run().stdout.lines().count(), 1);
    assert_eq!(cloud.cairn("server list -o yaml").run().stdout, "[]\n");
}

#[test]
fn the_order_of_the_fields_stays() {
    let cloud = Cloud::start();
    let body = r#"{"account": {"uuid":"u","zebra":1,"email":"e@x","droplet_limit":1,"floating_ip_limit":1,"alpha":2,"email_verified":true,"status":"active","status_message":""}}"#;
    let reply = crate::cloud::Reply::Answer(200, vec![], body.as_bytes().to_vec());
    cloud.on("GET /v2/account", [reply]);
    let printed = cloud.cairn("account -o json").run().stdout;
    let at = |field: &str| printed.find(field).unwrap();
    assert!(at("uuid") < at("zebra") && at("zebra") < at("email") && at("email") < at("alpha"), "{printed}");
}

#[test]
fn lists_are_read_to_the_end() {
    let cloud = Cloud::start();
    // The public host need not be the one that was asked: its links are not followed, only counted.
    let more = json!({"pages": {"next": "https://elsewhere.invalid/v2/droplets?page=2", "last": "https://elsewhere.invalid/x"}});
    let first = json!({"droplets": [server(1, "a", "active")], "links": more, "meta": {"total": 2}});
    let second = json!({"droplets": [server(2, "b", "active")], "links": {}, "meta": {"total": 2}});
    cloud.on("GET /v2/droplets", [crate::cloud::Reply::json(200, &first), crate::cloud::Reply::json(200, &second)]);
    assert_eq!(cloud.cairn("server list -o name --tag web").run().stdout, "a\nb\n");
    let lines: Vec<_> = cloud.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(
        lines,
        ["GET /v2/droplets?tag_name=web&page=1&per_page=200", "GET /v2/droplets?tag_name=web&page=2&per_page=200",]
    );
}

#[test]
fn what_would_move_the_cursor_is_shown_instead() {
    let cloud = Cloud::start();
    let mut evil = image();
    evil["name"] = json!("\u{1b}[2Jgone\rover");
    cloud.json("GET /v2/images", &page("images", &[evil]));
    let table = cloud.cairn("image list").run().stdout;
    assert!(table.contains(r"\u{1b}[2Jgone\rover"), "{table}");
}
