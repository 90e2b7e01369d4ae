//! A token that may do no more than the script that Cairn prints allows, on the oldest and the newest version.

use crate::stage::{Stage, interface, scenario, seed, spec, vpc};
use provider::{
    FaultKind, Guest, GuestPower, InterfaceRole, Move, NetworkKind, NetworkRef, NetworkSpec, PowerWish, Provider,
    Resources, Severity,
};
use provider_proxmox::{Config, Secret, pveum_script};
use simulator::{AclSpec, GuestSpec, Scenario, TOKEN_SECRET, TokenSpec, UserSpec};
use std::net::Ipv4Addr;

fn adjust(config: &mut Config) {
    config.token_id = "cairn@pve!main".to_owned();
    config.private_zone = Some("cairn".to_owned());
    config.gpu_mappings = ["a100".to_owned()].into();
}

/// The same cluster after an administrator ran the script.
fn after_the_script(version: &str) -> Scenario {
    after(version, |line| line)
}

/// The same, with what stands commented out in it.
fn after_all_of_the_script(version: &str) -> Scenario {
    after(version, |line| line.trim_start_matches("#   "))
}

fn after(version: &str, read: fn(&str) -> &str) -> Scenario {
    let installation = crate::stage::installation(1);
    let mut config = Config::new(installation, "https://pve1:8006", "", Secret::new(TOKEN_SECRET));
    adjust(&mut config);
    let mut scenario = scenario();
    scenario.version = version.to_owned();
    scenario.mappings = vec![simulator::MappingSpec::new("a100", &[("pve2", 1)])];
    scenario.users = vec![UserSpec { id: "cairn@pve".to_owned(), password: None }];
    let token = |id: &str| TokenSpec { id: id.to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: false };
    scenario.tokens = vec![token("cairn@pve!main"), token("root@pam!admin")];
    for line in pveum_script(Some(version), &config).lines().map(read) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["pveum", "role", "add", role, "--privs", ..] => {
                let privileges = line.split('\'').nth(1).unwrap().split(' ').map(str::to_owned).collect();
                scenario.roles.insert((*role).to_owned(), privileges);
            }
            ["pveum", "acl", "modify", path, "--users", who, "--roles", role, "--propagate", down] => {
                scenario.acl.push(AclSpec {
                    path: (*path).to_owned(),
                    who: (*who).to_owned(),
                    role: (*role).to_owned(),
                    propagate: *down == "1",
                });
            }
            _ => {}
        }
    }
    scenario
}

async fn lives(version: &str) {
    let stage = Stage::of(after_the_script(version), adjust).await;
    let admin = format!("PVEAPIToken=root@pam!admin={TOKEN_SECRET}");
    crate::operator::raw(&stage, &admin, "POST", "/cluster/sdn/zones", "type=simple&zone=cairn").await;
    crate::operator::raw(&stage, &admin, "PUT", "/cluster/sdn", "").await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 2));
    stage.fetch(&image).await;
    let network = NetworkSpec {
        network: NetworkRef::Vpc(vpc(1)),
        kind: NetworkKind::Private,
        gateway: None,
        base: Ipv4Addr::new(10, 116, 0, 0),
        prefix: 20,
    };
    stage.proxmox.ensure_network("pve2", &network).await.unwrap();
    let with_gpu = stage.guest(2, 2);
    let gpus = Some(provider::Gpus { mapping: "a100".to_owned(), count: 1 });
    stage.create(&with_gpu, &provider::GuestSpec { gpus, ..spec(image) }).await;
    stage.power(&with_gpu, PowerWish::On).await;
    stage.delete(&with_gpu).await;
    let mut spec = spec(image);
    spec.interfaces.push(interface(InterfaceRole::Private, network.network.clone(), 9));
    spec.seed = seed(Some("#!/bin/true\n"));
    stage.create(&guest, &spec).await;
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    stage.power(&guest, PowerWish::Off).await;
    let larger = Resources { vcpus: 4, memory_mib: 4096, disk_gb: 40 };
    stage.until(|| stage.proxmox.resize_guest(&guest, &larger)).await.unwrap();
    spec.resources = larger;
    spec.image = copy;
    spec.seed = seed(None);
    stage.until(|| async { stage.proxmox.rebuild_guest(&guest, &spec, "t").await }).await.unwrap();
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.move_guest(&guest, "pve1", Move::Live)).await.unwrap();
    let seen = stage.ours(&guest).await;
    assert_eq!((seen.guest.host.as_str(), seen.power, seen.resources), ("pve1", GuestPower::Running, larger));
    assert_eq!(stage.proxmox.inventory().await.unwrap().guests.len(), 1);
    stage.delete(&guest).await;
    stage.proxmox.delete_network("pve1", &network.network).await.unwrap();
    for image in [image, copy] {
        stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    }
    assert_eq!(stage.simulator.control.guests(), []);
    assert_eq!(stage.volumes("cairn-"), Vec::<String>::new());
}

#[tokio::test]
async fn the_rights_of_the_script_suffice_on_the_newest_version() {
    lives("9.2.3").await;
}

#[tokio::test]
async fn the_rights_of_the_script_suffice_on_the_oldest_version() {
    lives("8.4.1").await;
}

#[tokio::test]
async fn what_the_token_may_not_is_named_with_its_path() {
    let mut scenario = after_the_script("9.2.3");
    for role in scenario.roles.values_mut() {
        role.retain(|privilege| privilege != "VM.Config.Disk" && privilege != "Sys.AccessNetwork");
    }
    let stage = Stage::of(scenario, adjust).await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let missing: Vec<&str> =
        findings.iter().filter(|finding| finding.subject == "privileges").map(|f| f.sentence.as_str()).collect();
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing.iter().any(|text| text.starts_with("The token lacks Sys.AccessNetwork on /nodes.")), "{missing:?}");
    assert!(
        missing.iter().any(|text| text.starts_with("The token lacks VM.Config.Disk on /pool/cairn.")),
        "{missing:?}"
    );
}

/// A guest of somebody's that is in no pool.
fn with_a_stranger(mut scenario: Scenario) -> Scenario {
    scenario.guests = vec![GuestSpec { vmid: 500, name: "old-web".to_owned(), ..GuestSpec::default() }];
    scenario
}

#[tokio::test]
async fn a_guest_outside_the_pool_is_not_adopted_and_what_is_missing_is_named() {
    let stage = Stage::of(with_a_stranger(after_the_script("9.2.3")), adjust).await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let note = findings.iter().find(|finding| finding.subject == "adoption").unwrap();
    assert_eq!(note.severity, Severity::Warning, "servers do without: {note:?}");
    for part in ["VM.Allocate, VM.Config.Options on /vms", "Pool.Allocate on /pool/cairn", "pveum pool modify cairn"] {
        assert!(note.sentence.contains(part), "{part} is not in {note:?}");
    }
    let mut guest = stage.guest(9, 1);
    guest.name = "500".to_owned();
    let fault = stage.proxmox.adopt_guest(&guest).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    for part in [
        "lacks Pool.Allocate on /pool/cairn and VM.Allocate on /vms/500 and VM.Config.Options on /vms/500",
        "--vms 500",
    ] {
        assert!(fault.detail.contains(part), "{part} is not in {fault:?}");
    }
    assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Foreign(_)), "it is as it was");

    // The way that needs no more rights.
    let admin = format!("PVEAPIToken=root@pam!admin={TOKEN_SECRET}");
    crate::operator::raw(&stage, &admin, "PUT", "/pools", "poolid=cairn&vms=500").await;
    stage.proxmox.adopt_guest(&guest).await.unwrap();
    assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Ours(_)));
    stage.power(&guest, PowerWish::Off).await;
}

#[tokio::test]
async fn with_the_last_lines_of_the_script_a_guest_is_adopted_out_of_the_pool() {
    for version in ["8.4.1", "9.2.3"] {
        let stage = Stage::of(with_a_stranger(after_all_of_the_script(version)), adjust).await;
        let findings = stage.proxmox.preflight().await.unwrap();
        assert!(findings.iter().all(|finding| finding.subject != "adoption"), "{findings:?}");
        let mut guest = stage.guest(9, 1);
        guest.name = "500".to_owned();
        stage.proxmox.adopt_guest(&guest).await.unwrap();
        stage.power(&guest, PowerWish::Off).await;
        stage.delete(&guest).await;
    }
}
