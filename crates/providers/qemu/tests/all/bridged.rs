//! Bridged networking in a network namespace of the test's own, as root.

use crate::stage::{Stage, run};
use provider::{FaultKind, InterfaceRole, NetworkKind, NetworkRef, NetworkSpec, PowerWish, Provider};
use provider_qemu::Networking;
use std::net::Ipv4Addr;

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
        let name = links.lines().nth(0).unwrap().split(": ").nth(1).unwrap().to_owned();
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
