//! ssh, console, screenshot and events.

use crate::cloud::{Cloud, Reply};
use crate::golden;
use crate::values::{page, server};
use serde_json::{Value, json};

fn cloud() -> Cloud {
    let cloud = Cloud::start();
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    cloud
}

#[test]
fn ssh_goes_where_the_server_says() {
    let cloud = cloud();
    cloud.json("GET /v2/droplets", &page("droplets", &[server(42, "web-1", "active")]));
    let ran = cloud
        .cairn("server ssh web-1 --print --user root --option ConnectTimeout=5 -i /keys/mine -- echo")
        .word("it's me")
        .run();
    golden::check("ssh", &ran.transcript);
    let ran = cloud.cairn("server ssh web-1 --print -o json").run();
    let endpoint: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(endpoint, json!({"host": "127.0.0.1", "port": 40022, "user": "debian"}));
    let mut plain = server(42, "web-1", "active");
    plain["cloud"]["ssh"] = Value::Null;
    cloud.json("GET /v2/droplets/42", &json!({"droplet": plain}));
    let ran = cloud.cairn("server ssh 42 --print").run();
    assert!(ran.stdout.contains("-p 22 -l root") && ran.stdout.ends_with("-- 192.0.2.7\n"), "{}", ran.stdout);
    plain["networks"]["v4"] = json!([]);
    cloud.json("GET /v2/droplets/42", &json!({"droplet": plain}));
    assert_eq!(cloud.cairn("server ssh 42 --print").run().code, 1);
}

#[test]
fn ssh_becomes_ssh_and_ends_as_it_ends() {
    let cloud = cloud();
    let bin = cloud.home.path().join("ssh");
    std::fs::write(&bin, "#!/bin/sh\nprintf '%s|' \"$@\"\nexit 17\n").unwrap();
    std::os::unix::fs::PermissionsExt::set_mode(&mut std::fs::metadata(&bin).unwrap().permissions(), 0o755);
    std::fs::set_permissions(&bin, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", cloud.home.path().display());
    let ran = cloud.cairn("server ssh 42 --no-wait -- uptime").env("PATH", &path).run();
    assert_eq!(ran.code, 17, "{}", ran.stderr);
    assert!(
        ran.stdout.starts_with("-p|40022|-l|debian|") && ran.stdout.ends_with("--|127.0.0.1|uptime|"),
        "{}",
        ran.stdout
    );
}

#[test]
fn ssh_is_not_led_astray() {
    let cloud = cloud();
    for (field, evil) in [("host", "-oProxyCommand=touch /tmp/x"), ("user", "-x"), ("host", "a b"), ("user", "")] {
        let mut server = server(42, "web-1", "active");
        server["cloud"]["ssh"][field] = json!(evil);
        cloud.json("GET /v2/droplets/42", &json!({"droplet": server}));
        let ran = cloud.cairn("server ssh 42 --print").run();
        assert_eq!((ran.code, ran.stdout.as_str()), (7, ""), "{evil}");
    }
}

#[test]
fn the_console_as_it_is() {
    let cloud = cloud();
    let console = json!({"server_id": 42, "text": "boot\nlogin: ", "truncated": true, "at": "2026-01-02T15:04:05Z"});
    cloud.json("GET /cloud/v1/servers/42/console_log", &json!({"console": console}));
    let ran = cloud.cairn("server console 42").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "boot\nlogin: "));
    assert!(ran.stderr.contains("there was more"), "{}", ran.stderr);
    let ran = cloud.cairn("server console 42 -o json").run();
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), console);
    assert_eq!(cloud.cairn("server console 42 --follow -o json").run().code, 2);
}

#[test]
fn the_screen_as_a_file() {
    let cloud = cloud();
    cloud.on("GET /cloud/v1/servers/42/screenshot", [Reply::Answer(200, vec![], b"\x89PNG".to_vec())]);
    let file = cloud.home.path().join("screen.png");
    let ran = cloud.cairn("server screenshot 42").word(file.to_str().unwrap()).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert_eq!(std::fs::read(file).unwrap(), b"\x89PNG");
    assert!(cloud.cairn("server screenshot 42 -").run().stdout.ends_with("PNG"));
}

#[test]
fn events_go_on_where_they_ended() {
    let cloud = cloud();
    let event = |id: i64| json!({"id": id, "type": "server.created", "urn": "do:droplet:42", "at": "2026-01-02T15:04:05Z", "body": {"n": id}});
    let stream = |ids: &[i64]| {
        let text: String =
            ids.iter().map(|id| format!(": hello\nid: {id}\nevent: x\ndata: {}\n\n", event(*id))).collect();
        Reply::Answer(200, vec![("content-type".to_owned(), "text/event-stream".to_owned())], text.into_bytes())
    };
    cloud.on("GET /cloud/v1/events", [stream(&[7, 8]), Reply::empty(502), stream(&[9])]);
    let ran = cloud.cairn("events --after 6 --count 3 -o json").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let lines: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines, [event(7), event(8), event(9)]);
    let ids: Vec<_> = cloud.asked().iter().map(|asked| asked.headers["last-event-id"].clone()).collect();
    assert_eq!(ids, ["6", "8", "8"]);
    cloud.on("GET /cloud/v1/events", [stream(&[1, 2])]);
    golden::check("events", &cloud.cairn("events --count 2").run().transcript);
    let yaml = cloud.cairn("events --count 2 -o yaml").run().stdout;
    assert_eq!(yaml.matches("---\n").count(), 2, "{yaml}");
}
