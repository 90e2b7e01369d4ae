//! Private networks, and the cluster-wide pending state that they share with everybody.

use crate::stage::{Stage, interface, scenario, spec, vpc};
use provider::{FaultKind, InterfaceRole, NetworkKind, NetworkRef, NetworkSpec, Provider};
use std::net::Ipv4Addr;

fn network(n: u128) -> NetworkSpec {
    NetworkSpec {
        network: NetworkRef::Vpc(vpc(n)),
        kind: NetworkKind::Private,
        gateway: None,
        base: Ipv4Addr::new(10, 116, 0, 0),
        prefix: 20,
    }
}

/// A zone of the operator's, made and applied as the operator does it.
async fn stage() -> Stage {
    let stage = Stage::of(scenario(), |config| config.private_zone = Some("cairn".to_owned())).await;
    let token = stage.simulator.token.clone().unwrap();
    crate::operator::raw(&stage, &token, "POST", "/cluster/sdn/zones", "type=simple&zone=cairn").await;
    crate::operator::raw(&stage, &token, "PUT", "/cluster/sdn", "").await;
    stage
}

#[tokio::test]
async fn a_network_is_made_once_and_then_costs_nothing() {
    let stage = stage().await;
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap();
    assert_eq!(stage.asked("POST", "/cluster/sdn/vnets"), 1);
    let before = stage.simulator.control.calls().len();
    stage.proxmox.ensure_network("pve2", &network(1)).await.unwrap();
    assert_eq!(stage.simulator.control.calls().len(), before);
    // Another process, which has seen nothing yet: it looks, and that is all.
    let other = provider_proxmox::Proxmox::new(stage.config.clone()).unwrap();
    other.ensure_network("pve2", &network(1)).await.unwrap();
    assert_eq!(stage.asked("POST", "/cluster/sdn/vnets"), 1);
    assert_eq!(stage.asked("PUT", "/cluster/sdn"), 2);
}

#[tokio::test]
async fn a_network_stays_while_guests_are_on_it() {
    let stage = stage().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap();
    let mut spec = spec(image);
    spec.interfaces.push(interface(InterfaceRole::Private, NetworkRef::Vpc(vpc(1)), 9));
    stage.create(&guest, &spec).await;
    stage.proxmox.delete_network("pve1", &NetworkRef::Vpc(vpc(1))).await.unwrap();
    assert_eq!(stage.simulator.control.calls().iter().filter(|call| call.method == "DELETE").count(), 0);
    stage.delete(&guest).await;
    stage.proxmox.delete_network("pve1", &NetworkRef::Vpc(vpc(1))).await.unwrap();
    stage.proxmox.delete_network("pve1", &NetworkRef::Vpc(vpc(1))).await.unwrap();
    let deleted = stage.simulator.control.calls();
    let deleted = deleted.iter().filter(|call| call.method == "DELETE" && call.path.starts_with("/cluster/sdn/vnets/"));
    assert_eq!(deleted.count(), 1);
    // And made again.
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap();
    assert_eq!(stage.asked("POST", "/cluster/sdn/vnets"), 2);
}

#[tokio::test]
async fn somebody_elses_pending_change_is_not_applied_with_ours() {
    let stage = stage().await;
    let token = stage.simulator.token.clone().unwrap();
    crate::operator::raw(&stage, &token, "POST", "/cluster/sdn/vnets", "vnet=theirs&zone=cairn").await;
    let fault = stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.detail.contains("theirs"), "{fault}");
    assert_eq!(stage.asked("PUT", "/cluster/sdn"), 1);
}

#[tokio::test]
async fn a_deletion_that_nobody_applied_is_taken_back_before_the_network_is_used() {
    let stage = stage().await;
    let token = stage.simulator.token.clone().unwrap();
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap();
    let pending = async || {
        let said = crate::operator::raw(&stage, &token, "GET", "/cluster/sdn/vnets?pending=1", "").await;
        serde_json::from_str::<serde_json::Value>(&said).unwrap()["data"][0].take()
    };
    let name = pending().await["vnet"].as_str().unwrap().to_owned();
    // Whoever was deleting it has died here.
    crate::operator::raw(&stage, &token, "DELETE", &format!("/cluster/sdn/vnets/{name}"), "").await;
    assert_eq!(pending().await["state"], "deleted");

    let other = provider_proxmox::Proxmox::new(stage.config.clone()).unwrap();
    let fault = other.ensure_network("pve1", &network(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    other.ensure_network("pve1", &network(1)).await.unwrap();
    let there = pending().await;
    assert_eq!((there["vnet"].as_str(), there.get("state")), (Some(name.as_str()), None), "{there}");
    assert_eq!(stage.asked("POST", "/cluster/sdn/vnets"), 1, "it never went");
}

#[tokio::test]
async fn an_apply_that_fails_leaves_no_lock() {
    let stage = stage().await;
    let failing = simulator::Fault::Refuse { status: 500, message: "something broke".to_owned() };
    let when = simulator::When::request("PUT", "/cluster/sdn");
    stage.simulator.control.fault(simulator::Rule::once(when, failing));
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap_err();
    assert_eq!(stage.asked("POST", "/cluster/sdn/rollback"), 1);
    stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap();
}

#[tokio::test]
async fn without_a_zone_there_are_no_private_networks() {
    let stage = Stage::new().await;
    assert!(!stage.proxmox.capabilities().private_networks);
    let fault = stage.proxmox.ensure_network("pve1", &network(1)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    let public = NetworkSpec {
        network: NetworkRef::Public("public".to_owned()),
        kind: NetworkKind::PublicBridged,
        ..network(1)
    };
    stage.proxmox.ensure_network("pve1", &public).await.unwrap();
    assert_eq!(stage.simulator.control.calls().len(), 0);
}
