//! A large cluster is answered for, whole and in little time. How little is said by script/bench.

use crate::client::{Client, started};
use simulator::{Profile, Scenario};
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// What the process of fifty large clusters may hold, in MiB; it holds less than half of it.
const MOST_MEMORY: usize = 512;

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

/// The profile in a process of its own: its clusters' names, URLs and tokens.
async fn fleet(profile: &Path) -> (Child, Vec<(String, String, String)>) {
    let mut process = Command::new(env!("CARGO_BIN_EXE_pve-simulator"))
        .args(["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--scenario"])
        .arg(profile)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut clusters: Vec<(String, String, String)> = Vec::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        let words: Vec<&str> = line.split(' ').collect();
        match (words.as_slice(), clusters.last_mut()) {
            (["cluster", name], _) => clusters.push(((*name).to_owned(), String::new(), String::new())),
            (["entry", "any", url, _], Some(cluster)) => (*url).clone_into(&mut cluster.1),
            (["token", token], Some(cluster)) => (*token).clone_into(&mut cluster.2),
            (["control", _], _) => break,
            _ => panic!("{line}"),
        }
    }
    (process, clusters)
}

/// The most that a process held at once, in MiB.
fn peak(process: &Child) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id().unwrap())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() / 1024
}

#[tokio::test]
async fn fifty_clusters_of_one_file_answer_within_bounded_memory() {
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles/fifty-clusters.toml");
    let wanted: Profile = toml::from_str(&std::fs::read_to_string(&profile).unwrap()).unwrap();
    assert_eq!(
        wanted.clusters.iter().map(|one| (one.count, one.nodes, one.guests)).collect::<Vec<_>>(),
        [(50, 40, 2_000)]
    );
    let (mut process, clusters) = fleet(&profile).await;
    let names: std::collections::BTreeSet<&str> = clusters.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!((clusters.len(), names.len(), clusters[16].0.as_str()), (50, 50, "load-17"));
    for (_, url, token) in [&clusters[0], &clusters[16], &clusters[49]] {
        let client = Client::at(url, token.clone());
        let got = client.get("/cluster/resources").await;
        let count = |kind: &str| got.data().as_array().unwrap().iter().filter(|entry| entry["type"] == kind).count();
        assert_eq!((count("qemu"), count("node")), (2_000, 40));
    }
    let memory = peak(&process);
    process.kill().await.unwrap();
    crate::figures("profile", &[("clusters", 50), ("guests", 100_000), ("peak MiB", memory)]);
    assert!(memory < MOST_MEMORY, "{memory} MiB");
}
