//! Two workers in two processes, and 200 creates at once against room for 150: exactly 150 are accepted, the others
//! get the documented refusal, and no address is given twice.

use acceptance::figures;
use acceptance::installation::{Client, IMAGE, Installation};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::Barrier;

const ASKED: usize = 200;
const ROOM: usize = 150;

async fn order_at_once(client: &Client) -> Vec<(u16, serde_json::Value)> {
    let start = Arc::new(Barrier::new(ASKED));
    let orders = (0..ASKED).map(|number| {
        let (client, start) = (client.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            let body = json!({ "name": format!("n{number}"), "size": "s-1vcpu-512mb-10gb", "image": IMAGE });
            client.send("POST", "/v2/droplets", Some(body)).await
        })
    });
    let orders: Vec<_> = orders.collect();
    let mut answers = Vec::with_capacity(ASKED);
    for order in orders {
        answers.push(order.await.unwrap());
    }
    answers
}

fn judge(answers: &[(u16, serde_json::Value)], words: &str) {
    let accepted: Vec<_> = answers.iter().filter(|(status, _)| *status == 202).collect();
    let refused: Vec<_> = answers.iter().filter(|(status, _)| *status == 422).collect();
    assert_eq!((accepted.len(), refused.len()), (ROOM, ASKED - ROOM));
    for (_, body) in &refused {
        assert_eq!(body["id"], "unprocessable_entity");
        assert!(body["message"].as_str().unwrap().contains(words), "{body}");
    }
    // Private ones only where there are private networks.
    let mut given = BTreeSet::new();
    let mut public = 0;
    for (_, body) in &accepted {
        for network in body["droplet"]["networks"]["v4"].as_array().unwrap() {
            assert!(given.insert(network["ip_address"].as_str().unwrap().to_owned()), "{network} was given twice");
            public += usize::from(network["type"] == "public");
        }
    }
    assert_eq!(public, ROOM);
}

/// A catalogue with a tiny size, a host that may be sold a hundred times over, and a public range of `addresses`.
fn catalogue(prefix: &str, addresses: usize) -> String {
    let last = 9 + addresses;
    format!(
        r#"
[[region]]
slug = "local"
name = "Race"
provider = "qemu"
features = []
resolvers = ["192.0.2.53"]
vpc_range = "10.117.0.0/16"
overcommit = {{ vcpus_percent = 20000, memory_percent = 400, disk_percent = 4000 }}

[[region.pool]]
name = "race"
kind = "public_nat"
range = "{prefix}0/24"
first = "{prefix}10"
last = "{prefix}{last}"

[[size]]
slug = "s-1vcpu-512mb-10gb"
vcpus = 1
memory_mib = 128
disk_gb = 1
transfer_tb = 1.0
price_monthly = 4.0
price_hourly = 0.00595
description = "Tiny"

[[image]]
slug = "{IMAGE}"
name = "Empty"
distribution = "Debian"
url = "https://images.invalid/empty.qcow2"
checksum = "sha256:{zeros}"
min_disk_gb = 1
default_user = "debian"
"#,
        zeros = "0".repeat(64),
    )
}

async fn installation(addresses: usize) -> Installation {
    let installation = Installation::with_empty_image().await;
    let file = installation.scratch().join("catalogue.toml");
    std::fs::write(&file, catalogue(installation.range_prefix(), addresses)).unwrap();
    installation.set("CAIRN_CATALOGUE", file.to_str().unwrap())
}

/// Migrates, makes a team with this limit of servers, and gives its token.
async fn prepare(installation: &Installation, database: &store::testing::TestDatabase, servers: i32) -> String {
    let migrated = installation.role("migrate", &database.url()).await.done().await;
    assert!(migrated.success(), "{}", installation.log());
    let made = store::tenancy::bootstrap(database.store(), "Race", "Race", "race@example.test").await.unwrap().unwrap();
    sqlx::query("UPDATE quotas SET servers = $1, vcpus = 100000, memory_mib = 100000000, disk_gb = 100000000")
        .bind(servers)
        .execute(database.store().pool())
        .await
        .unwrap();
    made.token.secret.reveal().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_for_150_admits_150() {
    let installation = installation(240).await;
    let database = store::testing::database().await;
    let token = prepare(&installation, &database, 150).await;
    let daemon = installation.serve(&database.url()).await;
    let answers = order_at_once(&installation.client_with(token)).await;
    judge(&answers, "will exceed your droplet limit");
    daemon.end(nix::sys::signal::Signal::SIGTERM).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_make_150_servers_of_200_orders_with_150_addresses() {
    let installation = installation(ROOM).await;
    let database = store::testing::database().await;
    let token = prepare(&installation, &database, 1000).await;
    let serving = installation.serve(&database.url()).await;
    let observer = installation.role("observe", &database.url()).await;
    let workers = [installation.role("work", &database.url()).await, installation.role("work", &database.url()).await];
    let client = installation.client_with(token);
    let answers = order_at_once(&client).await;
    judge(&answers, "free addresses");
    for (_, body) in answers.iter().filter(|(status, _)| *status == 202) {
        let action = body["links"]["actions"][0]["id"].as_i64().unwrap();
        assert_eq!(client.ended(action).await["status"], "completed");
    }
    assert_eq!(installation.guests().len(), ROOM);
    let ids: Vec<i64> = answers.iter().filter_map(|(_, body)| body["droplet"]["id"].as_i64()).collect();
    for id in &ids {
        let (status, _) = client.send("DELETE", &format!("/v2/droplets/{id}"), None).await;
        assert_eq!(status, 204);
    }
    let actions = client.get("/v2/actions?per_page=200").await;
    for action in actions["actions"].as_array().unwrap().iter().filter(|action| action["type"] == "destroy") {
        assert_eq!(client.ended(action["id"].as_i64().unwrap()).await["status"], "completed");
    }
    assert_eq!(installation.guests(), Vec::<i32>::new());
    let held: i64 = sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM addresses WHERE server_id IS NOT NULL) + (SELECT count(*) FROM reservations)",
    )
    .fetch_one(database.store().pool())
    .await
    .unwrap();
    assert_eq!(held, 0);
    for worker in workers {
        worker.end(nix::sys::signal::Signal::SIGTERM).await;
    }
    observer.end(nix::sys::signal::Signal::SIGTERM).await;
    serving.end(nix::sys::signal::Signal::SIGTERM).await;
    figures::write("race", &[("orders at once", ASKED), ("accepted", ROOM), ("worker processes", 2)]);
}
