//! The recordings of real clusters: the lifecycles of a virtual machine and of a container.

use crate::client::{Client, started};
use crate::exchanges::{contracts, difference};
use serde_json::Value;
use simulator::{ClockKind, NodeSpec, Scenario, StorageSpec, TokenSpec};
use std::collections::HashMap;

struct Recorded {
    method: String,
    path: String,
    body: String,
    status: u16,
    answer: Value,
}

/// The few keys of the recordings' YAML that matter, which stand on lines of their own.
fn read(text: &str) -> Vec<Recorded> {
    let mut list = Vec::new();
    for part in text.split("\n    - id: ").skip(1) {
        let Some((request, response)) = part.split_once("\n      response:") else { continue };
        let value = |text: &str, key: &str| {
            let line = text
                .lines()
                .find_map(|line| line.trim_start().strip_prefix(key)?.strip_prefix(": ").map(str::to_owned));
            let line = line.unwrap_or_default();
            line.strip_prefix('\'')
                .and_then(|line| line.strip_suffix('\''))
                .map_or_else(|| line.clone(), |line| line.replace("''", "'"))
        };
        let url = value(request, "url");
        list.push(Recorded {
            method: value(request, "method"),
            path: url.split_once("/api2/json").map(|(_, path)| path.to_owned()).unwrap_or_default(),
            body: value(request, "body"),
            status: value(response, "code").parse().unwrap_or(0),
            answer: serde_json::from_str(&value(response, "body")).unwrap_or(Value::Null),
        });
    }
    list
}

async fn replay(file: &str) {
    let Some(contracts) = contracts() else {
        println!("SKIP recordings of real clusters: ../shared/contracts/proxmox is absent");
        return;
    };
    let text = std::fs::read_to_string(contracts.join("recordings").join(file)).unwrap();
    let node = |name: &str| NodeSpec { name: name.to_owned(), ..NodeSpec::default() };
    let scenario = Scenario {
        cluster: "dogfood".to_owned(),
        version: "9.2.4".to_owned(),
        nodes: vec![node("pve"), node("pve2-dogfood"), node("pve3-dogfood")],
        storages: vec![
            StorageSpec::new("local", "dir", "iso,vztmpl,backup,import", 100 << 30),
            StorageSpec::new("local-zfs", "zfspool", "images,rootdir", 400 << 30),
        ],
        tokens: vec![TokenSpec { id: "root@pam!sdk".to_owned(), secret: "s".to_owned(), privsep: false }],
        ..Scenario::cluster_of(1).with_clock(ClockKind::Instant)
    };
    let (_simulator, client) = started(scenario).await;
    let mut upids: HashMap<String, String> = HashMap::new();
    let recorded = read(&text);
    assert!(!recorded.is_empty(), "{file} has no interactions");
    for theirs in recorded.iter().filter(|one| one.path != "/access/ticket") {
        one(&client, &mut upids, theirs).await;
    }
}

async fn one(client: &Client, upids: &mut HashMap<String, String>, theirs: &Recorded) {
    let mut path = percent_encoding::percent_decode_str(&theirs.path).decode_utf8_lossy().into_owned();
    for (their, our) in upids.iter() {
        path = path.replace(their, our);
    }
    let mut request = client.request(&theirs.method, &path);
    if !theirs.body.is_empty() {
        request = request.header("Content-Type", "application/x-www-form-urlencoded").body(theirs.body.clone());
    }
    let ours = client.send(request).await.unwrap();
    assert_eq!(theirs.status, ours.status, "{} {path}: {ours:?}", theirs.method);
    if let (Some(their), Some(our)) = (theirs.answer["data"].as_str(), ours.data().as_str()) {
        upids.insert(their.to_owned(), our.to_owned());
    }
    let found = difference(&theirs.answer, &ours.body);
    assert_eq!(found, None, "{} {path}: {}", theirs.method, ours.body);
    let (their, our) = (&theirs.answer["data"]["exitstatus"], &ours.data()["exitstatus"]);
    if their.is_string() {
        assert_eq!(their, our, "{path}");
    }
}

#[tokio::test]
async fn the_life_of_a_virtual_machine() {
    replay("TestQEMULifecycle.yaml").await;
}

#[tokio::test]
async fn the_life_of_a_container() {
    replay("TestLXCLifecycle.yaml").await;
}

#[tokio::test]
async fn what_is_read_at_first() {
    for file in [
        "TestVersionRoundTrip.yaml",
        "TestComputeReads.yaml",
        "TestNetworkReads.yaml",
        "TestSDNStatusReads.yaml",
        "TestHAStatusReads.yaml",
    ] {
        replay(file).await;
    }
}
