//! Images, keys, tags and snapshots: what is asked for, and how often.

use crate::cloud::{Cloud, Reply};
use crate::values::{PUBLIC_KEY, error, image, own_image, page, server, snapshot, ssh_key, tag};
use serde_json::{Value, json};

#[test]
fn a_brought_image_is_waited_for() {
    let cloud = Cloud::start();
    let (coming, mut there) = (json!({"image": own_image()}), own_image());
    there["status"] = json!("available");
    cloud.on("POST /v2/images", [Reply::json(202, &coming)]);
    cloud.on("GET /v2/images/12", [Reply::json(200, &coming), Reply::json(200, &json!({"image": there}))]);
    let ran = cloud.cairn("image create mine --from https://x.example/a.qcow2 --region here -o json").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(serde_json::from_str::<Value>(&ran.stdout).unwrap(), there);
    let asked = cloud.asked()[0].json();
    assert_eq!(asked, json!({"name": "mine", "url": "https://x.example/a.qcow2", "region": "here"}));
    there["status"] = json!("deleted");
    there["error_message"] = json!("There is nothing at this URL.");
    cloud.json("GET /v2/images/12", &json!({"image": there}));
    let ran = cloud.cairn("image create mine --from https://x.example/a.qcow2 --region here").run();
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("There is nothing at this URL."), "{}", ran.stderr);
}

#[test]
fn images_by_name_are_found_changed_and_deleted() {
    let cloud = Cloud::start();
    cloud.json("GET /v2/images", &page("images", &[image(), own_image()]));
    cloud.json("PUT /v2/images/12", &json!({"image": own_image()}));
    cloud.on("DELETE /v2/images/12", [Reply::empty(204)]);
    let ran = cloud.cairn("image update --description new").word("my image").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(cloud.asked_for("PUT")[0].json(), json!({"description": "new"}));
    assert_eq!(cloud.cairn("image update 12").run().code, 2, "a change that changes nothing");
    assert_eq!(cloud.cairn("image delete --yes").word("my image").run().code, 0);
    assert_eq!(cloud.asked_for("DELETE").len(), 1);
    assert_eq!(cloud.cairn("image get debian-99").run().code, 4);
    cloud.cairn("image list --private").run();
    assert!(cloud.asked().last().unwrap().line.contains("private=true"));
}

#[test]
fn a_public_key_is_registered_and_a_private_one_stays() {
    let cloud = Cloud::start();
    cloud.on("POST /v2/account/keys", [Reply::json(201, &json!({"ssh_key": ssh_key()}))]);
    std::fs::create_dir(cloud.home.path().join(".ssh")).unwrap();
    let file = cloud.home.path().join(".ssh/id_ed25519.pub");
    std::fs::write(&file, format!("{PUBLIC_KEY}\n")).unwrap();
    let ran = cloud.cairn("ssh-key create laptop").run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(cloud.asked()[0].json(), json!({"name": "laptop", "public_key": PUBLIC_KEY}));
    std::fs::write(&file, "-----BEGIN OPENSSH PRIVATE KEY-----\nverysecret\n").unwrap();
    let ran = cloud.cairn("ssh-key create laptop").run();
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("private key") && !ran.stderr.contains("verysecret"), "{}", ran.stderr);
    assert_eq!(cloud.asked().len(), 1);
    cloud.json("GET /v2/account/keys", &page("ssh_keys", &[ssh_key()]));
    cloud.json("PUT /v2/account/keys/5", &json!({"ssh_key": ssh_key()}));
    assert_eq!(cloud.cairn("ssh-key rename anna@laptop desk").run().code, 0);
    assert_eq!(cloud.asked_for("PUT")[0].json(), json!({"name": "desk"}));
}

#[test]
fn tags_are_made_when_they_are_put_on_something() {
    let cloud = Cloud::start();
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    cloud.json("GET /v2/images/12", &json!({"image": own_image()}));
    cloud.on("POST /v2/tags", [Reply::json(201, &json!({"tag": tag()}))]);
    let none = Reply::json(404, &error("not_found", "The resource you requested could not be found."));
    cloud.on("POST /v2/tags/web/resources", [none, Reply::empty(204)]);
    let ran = cloud.cairn("tag add web 42 --image 12").run();
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    let lines: Vec<_> = cloud.asked_for("POST").into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["POST /v2/tags/web/resources", "POST /v2/tags", "POST /v2/tags/web/resources"]);
    let resources = json!({"resources": [
        {"resource_id": "42", "resource_type": "droplet"}, {"resource_id": "12", "resource_type": "image"},
    ]});
    assert_eq!(cloud.asked_for("POST")[2].json(), resources);
    cloud.on("DELETE /v2/tags/web/resources", [Reply::empty(204)]);
    assert_eq!(cloud.cairn("tag remove web 42 --image 12").run().code, 0);
    assert_eq!(cloud.asked_for("DELETE")[0].json(), resources);
    assert_eq!(cloud.cairn("tag add web").run().code, 2);
    cloud.on("DELETE /v2/tags/web", [Reply::empty(204)]);
    assert_eq!(cloud.cairn("tag delete web --yes").run().code, 0);
    let created = cloud.cairn("tag create web -o name").run();
    assert_eq!(created.stdout, "web\n");
}

#[test]
fn snapshots_of_one_server_and_by_name() {
    let cloud = Cloud::start();
    let mut other = snapshot();
    other["id"] = json!("8");
    other["resource_id"] = json!("43");
    cloud.json("GET /v2/snapshots", &page("snapshots", &[snapshot(), other]));
    cloud.json("GET /v2/droplets/42", &json!({"droplet": server(42, "web-1", "active")}));
    assert_eq!(cloud.cairn("snapshot list --server 42 -o name").run().stdout, "7\n");
    let twins = cloud.cairn("snapshot delete --yes").word("before the change").run();
    assert_eq!(twins.code, 1);
    assert!(twins.stderr.contains("2 have this name: 7, 8"), "{}", twins.stderr);
    cloud.json("GET /v2/snapshots/7", &json!({"snapshot": snapshot()}));
    cloud.on("DELETE /v2/snapshots/7", [Reply::empty(204)]);
    assert_eq!(cloud.cairn("snapshot delete 7 --yes").run().code, 0);
}

#[test]
fn a_name_leads_nowhere_else() {
    let cloud = Cloud::start();
    cloud.cairn("tag get").word("../account").run();
    assert_eq!(cloud.asked()[0].line, "GET /v2/tags/..%2Faccount");
    assert_eq!(cloud.cairn("tag get ..").run().code, 2);
    cloud.cairn("image get").word("a?b#c").run();
    assert_eq!(cloud.asked()[1].line, "GET /v2/images/a%3Fb%23c");
}
