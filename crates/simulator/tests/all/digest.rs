//! Any sequence of operations: the digest changes exactly if the config has changed.

use crate::client::{Client, instant};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Op {
    Put(&'static str, String),
    Delete(&'static str),
    AddDisk(u8),
    Resize,
    Start,
    Stop,
    Snapshot(u8),
    Rollback(u8),
    Forget(u8),
    Look,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        any::<u8>().prop_map(|n| Op::Put("cores", (n % 4 + 1).to_string())),
        any::<u8>().prop_map(|n| Op::Put("description", format!("d{}", n % 3))),
        any::<u8>().prop_map(|n| Op::Put("tags", format!("t{};a", n % 3))),
        Just(Op::Delete("description")),
        Just(Op::Delete("cores")),
        Just(Op::Delete("scsi1")),
        any::<u8>().prop_map(|n| Op::AddDisk(n % 3)),
        Just(Op::Resize),
        Just(Op::Start),
        Just(Op::Stop),
        any::<u8>().prop_map(|n| Op::Snapshot(n % 3)),
        any::<u8>().prop_map(|n| Op::Rollback(n % 3)),
        any::<u8>().prop_map(|n| Op::Forget(n % 3)),
        Just(Op::Look),
    ]
}

async fn apply(client: &Client, op: &Op) {
    let guest = "/nodes/pve1/qemu/100";
    // Refusals are part of the game: a refused operation changes nothing.
    let _ = match op {
        Op::Put(key, value) => client.call("PUT", &format!("{guest}/config"), &[(key, value)]).await,
        Op::Delete(key) => client.call("PUT", &format!("{guest}/config"), &[("delete", key)]).await,
        Op::AddDisk(number) => {
            client.call("PUT", &format!("{guest}/config"), &[(&format!("scsi{number}"), "local-lvm:1")]).await
        }
        Op::Resize => client.call("PUT", &format!("{guest}/resize"), &[("disk", "scsi0"), ("size", "+1G")]).await,
        Op::Start => client.call("POST", &format!("{guest}/status/start"), &[]).await,
        Op::Stop => client.call("POST", &format!("{guest}/status/stop"), &[]).await,
        Op::Snapshot(number) => {
            client.call("POST", &format!("{guest}/snapshot"), &[("snapname", &format!("s{number}"))]).await
        }
        Op::Rollback(number) => client.call("POST", &format!("{guest}/snapshot/s{number}/rollback"), &[]).await,
        Op::Forget(number) => client.call("DELETE", &format!("{guest}/snapshot/s{number}"), &[]).await,
        Op::Look => Some(client.get(&format!("{guest}/status/current")).await),
    };
}

/// The digest, and everything that the API says of the config.
async fn seen(client: &Client) -> (String, Vec<Value>) {
    let guest = "/nodes/pve1/qemu/100";
    let mut config = client.get(&format!("{guest}/config?current=1")).await.data().clone();
    let digest = config.as_object_mut().unwrap().remove("digest").unwrap().as_str().unwrap().to_owned();
    let mut all = vec![config];
    for list in ["pending", "snapshot"] {
        let mut entries = client.get(&format!("{guest}/{list}")).await.data().as_array().unwrap().clone();
        entries.retain(|entry| entry["key"] != "digest" && entry["name"] != "current");
        for entry in &entries {
            if let Some(name) = entry["name"].as_str() {
                all.push(client.get(&format!("{guest}/snapshot/{name}/config")).await.data().clone());
            }
        }
        all.push(Value::Array(entries));
    }
    (digest, all)
}

#[tokio::test]
async fn the_digest_changes_exactly_if_the_config_has_changed() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..12 {
        let operations = proptest::collection::vec(op(), 1..20).new_tree(&mut runner).unwrap().current();
        let (_simulator, client) = instant(1).await;
        client.done("POST", "/nodes/pve1/qemu", &[("vmid", "100"), ("scsi0", "local-lvm:1")]).await;
        let mut before = seen(&client).await;
        for operation in &operations {
            apply(&client, operation).await;
            let after = seen(&client).await;
            assert_eq!(
                before.0 == after.0,
                before.1 == after.1,
                "{operation:?} of {operations:?}: {before:?} {after:?}"
            );
            before = after;
        }
    }
}
