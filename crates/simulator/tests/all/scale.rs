//! A large cluster is answered for, whole and in little time. How little is said by script/bench.

use crate::client::started;
use simulator::Scenario;

#[tokio::test]
async fn forty_nodes_and_two_thousand_guests_are_one_answer() {
    let (_simulator, client) = started(Scenario::large(40, 2_000)).await;
    let got = client.get("/cluster/resources").await;
    let entries = got.data().as_array().unwrap();
    let count = |kind: &str| entries.iter().filter(|entry| entry["type"] == kind).count();
    assert_eq!((count("qemu"), count("node"), count("storage"), count("network")), (2_000, 40, 120, 40));
}

#[tokio::test]
async fn a_hundred_creates_at_once_take_a_hundred_ids() {
    let (simulator, client) = started(Scenario::large(4, 0)).await;
    let creates = (0..100_u32).map(|number| {
        let client = &client;
        async move {
            let vmid = (100 + number).to_string();
            let form = [("vmid", vmid.as_str()), ("scsi0", "local-lvm:8"), ("start", "1")];
            let upid = client.done("POST", &format!("/nodes/pve{}/qemu", number % 4 + 1), &form).await.text();
            client.exit(&upid).await
        }
    });
    let mut ends = Vec::new();
    for create in creates {
        ends.push(create.await);
    }
    assert!(ends.iter().all(|end| end == "OK"));
    assert_eq!(simulator.control.guests().iter().filter(|guest| guest.status == "running").count(), 100);
}
