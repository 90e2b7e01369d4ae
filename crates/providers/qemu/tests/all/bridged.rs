//! Bridged networking in a network namespace of the test's own, as root.

use crate::stage::{Stage, run};
use provider::{FaultKind, InterfaceRole, NetworkKind, NetworkRef, NetworkSpec, PowerWish, Provider};
use provider_qemu::Networking;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Everything that this thread starts from now on lives in a new network namespace. `false`: not root.
fn alone() -> bool {
    if !crate::stage::is_root() {
        println!("SKIPPED: bridged networking needs root");
        return false;
    }
    // A current-thread runtime starts processes on this very thread.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("a network namespace");
    true
}

fn vpc(stage: &Stage) -> NetworkSpec {
    NetworkSpec {
        network: NetworkRef::Vpc(model::ids::VpcId(stage.installation.0)),
        kind: NetworkKind::Private,
        gateway: None,
        base: Ipv4Addr::new(10, 10, 0, 0),
        prefix: 20,
    }
}

#[tokio::test]
async fn bridges_taps_and_rules_come_and_go() {
    if !alone() {
        return;
    }
    let mut stage = Stage::new(Networking::Bridged).await.with_image().await;
    let capabilities = stage.qemu.capabilities();
    assert!(capabilities.own_addresses && capabilities.private_networks);
    let private = vpc(&stage);
    stage.qemu.ensure_network("here", &private).await.unwrap();
    stage.qemu.ensure_network("here", &private).await.unwrap();
    run("nft", &["add", "table", "inet", "somebody_else"]).await;

    let guest = stage.guest(5);
    let mut spec = stage.spec(5);
    let mut second = spec.interfaces[0].clone();
    second.role = InterfaceRole::Private;
    second.network = private.network.clone();
    second.mac[1] = 0xcb;
    second.address = Ipv4Addr::new(10, 10, 0, 5);
    spec.interfaces.push(second);
    stage.qemu.create_guest(&guest, &spec).await.unwrap();
    let start = std::time::Instant::now();
    stage.power(&guest, PowerWish::On).await;
    println!("bridged power on until QEMU answers: {:?}", start.elapsed());
    assert_eq!(stage.seen(&guest).await.reached.ssh, None);
    let links = run("ip", &["-o", "link", "show"]).await;
    assert_eq!(links.matches(": cbr").count(), 2, "{links}");
    assert_eq!(links.matches(": ct").count(), 2, "{links}");
    assert!(run("ip", &["-o", "address", "show"]).await.contains("10.77.0.1/24"));
    let rules = run("nft", &["list", "ruleset"]).await;
    assert!(rules.contains("02:ca:00:00:00:05 . 10.77.0.5") && rules.contains("02:cb:00:00:00:05 . 10.10.0.5"));
    assert!(rules.contains("10.77.0.0/24") && !rules.contains("10.10.0.0/20"), "only the public network is translated");

    // Somebody flushes everything: a restart of ours heals it.
    run("nft", &["flush", "ruleset"]).await;
    run("nft", &["add", "table", "inet", "somebody_else"]).await;
    stage.restart().await;
    assert_eq!(sorted(&run("nft", &["list", "ruleset"]).await), sorted(&rules));
    // A network in use stays.
    stage.qemu.delete_network("here", &private.network).await.unwrap();
    assert!(run("ip", &["-o", "link", "show"]).await.matches(": cbr").count() == 2);

    stage.power(&guest, PowerWish::Off).await;
    assert!(!run("ip", &["-o", "link", "show"]).await.contains(": ct"));
    assert!(!run("nft", &["list", "ruleset"]).await.contains("02:ca:00"));
    // As after a restart of the host.
    for (index, network) in [stage.network().network, private.network.clone()].iter().enumerate() {
        let links = run("ip", &["-o", "link", "show", "type", "bridge"]).await;
        let name = links.lines().next().unwrap().split(": ").nth(1).unwrap().to_owned();
        run("ip", &["link", "delete", "dev", &name]).await;
        assert!(index < 2, "{network:?}");
    }
    stage.power(&guest, PowerWish::On).await;
    assert!(stage.running(&guest).await);
    stage.delete(&guest).await;
    stage.qemu.delete_network("here", &private.network).await.unwrap();
    stage.close().await;
    let links = run("ip", &["-o", "link", "show"]).await;
    assert!(!links.contains(": cbr") && !links.contains(": ct"), "{links}");
    assert_eq!(run("nft", &["list", "ruleset"]).await.trim(), "table inet somebody_else {\n}");
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn foreign_interfaces_are_not_touched() {
    if !alone() {
        return;
    }
    let stage = Stage::new(Networking::Bridged).await;
    let private = vpc(&stage);
    // Take the name away that the bridge would have.
    stage.qemu.ensure_network("here", &private).await.unwrap();
    let links = run("ip", &["-o", "link", "show", "type", "bridge"]).await;
    let before: Vec<&str> = links.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(before.len(), 2);
    for name in &before {
        run("ip", &["link", "set", "dev", name, "alias", "the-operators"]).await;
    }
    assert_eq!(stage.qemu.ensure_network("here", &private).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(stage.qemu.delete_network("here", &private.network).await.unwrap_err().kind, FaultKind::Refused);
    for name in &before {
        run("ip", &["link", "delete", "dev", name]).await;
    }
    stage.qemu.delete_network("here", &private.network).await.unwrap();
    stage.close().await;
}

/// Two ends of a cable stand in for a guest's tap, so that we can send what QEMU would.
#[tokio::test]
async fn a_guest_speaks_only_with_its_own_addresses_and_not_to_the_host() {
    if !alone() {
        return;
    }
    let stage = Stage::new(Networking::Bridged).await.with_image().await;
    // The rules come with the first guest.
    let neighbor = stage.create(8).await;
    stage.power(&neighbor, PowerWish::On).await;
    let mut other = tokio::process::Command::new("unshare").args(["-n", "sleep", "120"]).spawn().unwrap();
    let namespace = other.id().unwrap().to_string();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let links = run("ip", &["-o", "link", "show", "type", "bridge"]).await;
    let bridge = links.split(": ").nth(1).unwrap().to_owned();
    let tables = run("nft", &["list", "tables"]).await;
    let table = tables.split_whitespace().find(|word| word.starts_with("cairn_")).unwrap().to_owned();
    let mac = "02:ca:00:00:00:09";
    run("ip", &["link", "add", "name", "cttest", "type", "veth", "peer", "name", "guest0", "address", mac]).await;
    run("ip", &["link", "set", "dev", "guest0", "netns", &namespace]).await;
    run("ip", &["link", "set", "dev", "cttest", "master", &bridge, "up"]).await;
    run("nft", &["add", "element", "bridge", &table, "taps", "{ cttest }"]).await;
    let source = format!("{{ cttest . {mac} . 10.77.0.9 }}");
    run("nft", &["add", "element", "bridge", &table, "sources", &source]).await;
    let inside = async |arguments: &[&str]| {
        let mut all = vec!["-t", &namespace, "-n"];
        all.extend(arguments);
        let output = tokio::process::Command::new("nsenter").args(all).output().await.unwrap();
        output.status.success()
    };
    // A closed port that refuses has answered; silence is a timeout or "no route".
    let answers = async |address: &str| {
        let connect = tokio::net::TcpStream::connect((address, 9));
        let ended = tokio::time::timeout(Duration::from_secs(1), connect).await;
        ended.is_ok_and(|ended| ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
    };
    let right = ["ip", "address", "replace", "10.77.0.9/24", "dev", "guest0"];
    assert!(inside(&right).await && inside(&["ip", "link", "set", "dev", "guest0", "up"]).await);
    crate::stage::until("the guest answers the host", Duration::from_secs(10), async || answers("10.77.0.9").await)
        .await;

    let listener = tokio::net::TcpListener::bind("10.77.0.1:0").await.unwrap();
    let connect = format!("exec 3<>/dev/tcp/10.77.0.1/{}", listener.local_addr().unwrap().port());
    assert!(!inside(&["timeout", "2", "bash", "-c", &connect]).await, "a service of the host is out of reach");
    run("nft", &["flush", "chain", "inet", &table, "to_host"]).await;
    assert!(inside(&["timeout", "5", "bash", "-c", &connect]).await, "it was our rule that kept it out of reach");

    assert!(inside(&["ip", "address", "add", "10.77.0.10/24", "dev", "guest0"]).await);
    assert!(!answers("10.77.0.10").await, "another address is silent, already as ARP");
    assert!(answers("10.77.0.9").await);
    assert!(inside(&["ip", "link", "set", "dev", "guest0", "address", "02:ca:00:00:00:0a"]).await);
    run("ip", &["neighbour", "flush", "all"]).await;
    assert!(!answers("10.77.0.9").await, "another MAC address is silent");

    other.kill().await.unwrap();
    stage.delete(&neighbor).await;
    stage.close().await;
}
