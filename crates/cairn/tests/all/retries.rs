//! What is sent again, and what never is.

use crate::cloud::{Cloud, Reply, TOKEN};
use crate::values::{account, action, error, image, server, ssh_key};
use serde_json::json;

fn created() -> Reply {
    let link = json!({"id": 9, "rel": "create", "href": "https://elsewhere.invalid"});
    Reply::json(202, &json!({"droplet": server(42, "web-1", "new"), "links": {"actions": [link]}}))
}

const CREATE: &str = "server create web-1 --size small --image 1 --no-wait -o name";

#[test]
fn a_create_whose_answer_was_lost_is_sent_again_with_the_same_key() {
    let cloud = Cloud::start();
    let busy = Reply::json(503, &error("service_unavailable", "Not now.")).header("retry-after", "0");
    cloud.on("POST /v2/droplets", [Reply::Lost, busy, Reply::empty(502), created()]);
    let ran = cloud.cairn(CREATE).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "web-1\n"), "{}", ran.stderr);
    let asked = cloud.asked();
    assert_eq!(asked.len(), 4);
    for again in &asked {
        assert_eq!(again.headers["idempotency-key"], asked[0].headers["idempotency-key"]);
        assert_eq!(again.body, asked[0].body);
        assert_eq!(again.headers["authorization"], format!("Bearer {TOKEN}"));
    }
    cloud.cairn(CREATE).run();
    let next = &cloud.asked()[4];
    assert_ne!(next.headers["idempotency-key"], asked[0].headers["idempotency-key"], "a new invocation is a new wish");
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    let cloud = Cloud::start();
    cloud.on("POST /v2/droplets", [Reply::Lost]);
    let ran = cloud.cairn(CREATE).word("--timeout").word("1").word("--idempotency-key").word("key-1").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("it is not known whether web-1 was ordered"), "{}", ran.stderr);
    assert!(ran.stderr.contains("cairn server list") && ran.stderr.contains("key-1"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("cannot create"), "{}", ran.stderr);
    let asked = cloud.asked();
    assert!(asked.len() > 1 && asked.iter().all(|asked| asked.headers["idempotency-key"] == "key-1"));
    // A refusal is known, also after an answer that was lost.
    let no = Reply::json(422, &error("quota_exceeded", "The team may have 10 servers, and has them."));
    cloud.on("POST /v2/droplets", [Reply::Lost, no]);
    let ran = cloud.cairn(CREATE).run();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cannot create web-1"), "{}", ran.stderr);
}

#[test]
fn what_could_happen_twice_is_not_sent_twice() {
    let cloud = Cloud::start();
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    cloud.on("POST /v2/droplets/42/actions", [Reply::Lost]);
    let ran = cloud.cairn("server snapshot 42 --no-wait").run();
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    assert_eq!(cloud.asked_for("POST").len(), 1);
    // Refused for now means that nothing was done.
    let later = Reply::json(429, &error("too_many_requests", "Later.")).header("retry-after", "0");
    let done = Reply::json(201, &json!({"action": action(9, "snapshot", "in-progress")}));
    cloud.on("POST /v2/droplets/42/actions", [later, done]);
    let ran = cloud.cairn("server snapshot 42 --no-wait -o name").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "9\n"), "{}", ran.stderr);
}

#[test]
fn reading_and_deleting_is_repeated() {
    let cloud = Cloud::start();
    cloud.on("GET /v2/account", [Reply::Lost, Reply::Lost, Reply::json(200, &json!({"account": account()}))]);
    assert_eq!(cloud.cairn("account -o name").run().stdout, "team@example.org\n");
    cloud.json("GET /v2/account/keys/5", &json!({"ssh_key": ssh_key()}));
    let gone = Reply::json(404, &error("not_found", "Gone."));
    cloud.on("DELETE /v2/account/keys/5", [Reply::Lost, gone]);
    let ran = cloud.cairn("ssh-key delete 5 --yes").run();
    assert_eq!(ran.code, 0, "the first attempt did it: {}", ran.stderr);
    assert_eq!(cloud.cairn("ssh-key delete 5 --yes").run().code, 4);
}

#[test]
fn an_hour_is_not_waited_for_unasked() {
    let cloud = Cloud::start();
    let later = Reply::json(429, &error("too_many_requests", "Later.")).header("retry-after", "3600");
    cloud.on("GET /v2/account", [later]);
    let ran = cloud.cairn("account").run();
    assert_eq!((ran.code, cloud.asked().len()), (1, 1), "{}", ran.stderr);
}

#[test]
fn refusals_are_final() {
    let cloud = Cloud::start();
    for status in [400, 401, 403, 404, 409, 422, 501] {
        cloud.on("GET /v2/images/1", [Reply::json(status, &json!({"image": image()}))]);
        let before = cloud.asked().len();
        assert_ne!(cloud.cairn("image get 1").run().code, 0);
        assert_eq!(cloud.asked().len(), before + 1, "{status}");
    }
}
