//! A token that may do no more than the script that Cairn prints allows, on the oldest and the newest version.

use crate::stage::{Stage, interface, scenario, seed, spec, vpc};
use provider::{
    GuestPower, InterfaceRole, Move, NetworkKind, NetworkRef, NetworkSpec, PowerWish, Provider, Resources, Severity,
};
use provider_proxmox::{Config, Secret, pveum_script};
use simulator::{AclSpec, Scenario, TOKEN_SECRET, TokenSpec, UserSpec};
use std::net::Ipv4Addr;

fn adjust(config: &mut Config) {
    config.token_id = "cairn@pve!main".to_owned();
    config.private_zone = Some("cairn".to_owned());
}

/// The same cluster after an administrator ran the script.
fn after_the_script(version: &str) -> Scenario {
    let installation = crate::stage::installation(1);
    let mut config = Config::new(installation, "https://pve1:8006", "", Secret::new(TOKEN_SECRET));
    adjust(&mut config);
    let mut scenario = scenario();
    scenario.version = version.to_owned();
    scenario.users = vec![UserSpec { id: "cairn@pve".to_owned(), password: None }];
    let token = |id: &str| TokenSpec { id: id.to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: false };
    scenario.tokens = vec![token("cairn@pve!main"), token("root@pam!admin")];
    for line in pveum_script(version, &config).lines() {
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
