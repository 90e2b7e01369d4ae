//! GPUs by mappings: counted, handed to guests and taken back, and what is said when there is none.

use crate::stage::{Stage, installation, scenario, spec};
use provider::{FaultKind, Gpus, GpusSeen, GuestPower, GuestSpec, ImageRef, Move, PowerWish, Provider, Severity};
use provider_proxmox::{Config, Secret, pveum_script};
use simulator::{AclSpec, MappingSpec, Scenario, TOKEN_SECRET, TokenSpec};

/// Two on pve2, one on pve3.
fn equipped() -> Scenario {
    Scenario { mappings: vec![MappingSpec::new("a100", &[("pve2", 2), ("pve3", 1)])], ..scenario() }
}

fn adjust(config: &mut Config) {
    config.gpu_mappings = ["a100".to_owned()].into();
}

fn some(count: u32) -> Gpus {
    Gpus { mapping: "a100".to_owned(), count }
}

fn with_gpus(image: ImageRef, count: u32) -> GuestSpec {
    GuestSpec { gpus: Some(some(count)), ..spec(image) }
}

async fn counted(stage: &Stage) -> Vec<(String, Vec<GpusSeen>)> {
    let hosts = stage.proxmox.inventory().await.unwrap().hosts;
    hosts.into_iter().map(|host| (host.name, host.gpus)).filter(|(_, gpus)| !gpus.is_empty()).collect()
}

fn devices(stage: &Stage, guest: &provider::GuestRef) -> Vec<String> {
    let config = stage.really(guest).unwrap().config;
    config.into_iter().filter(|(key, _)| key.starts_with("hostpci")).map(|(_, value)| value).collect()
}

#[tokio::test]
async fn devices_are_counted_by_host_where_a_mapping_is_named() {
    let stage = Stage::of(equipped(), adjust).await;
    assert!(stage.proxmox.capabilities().gpus);
    let seen = |count| vec![GpusSeen { mapping: "a100".to_owned(), count }];
    assert_eq!(counted(&stage).await, [("pve2".to_owned(), seen(2)), ("pve3".to_owned(), seen(1))]);
    let stage = Stage::of(equipped(), |_| {}).await;
    assert_eq!(counted(&stage).await, []);
    assert_eq!((stage.asked("GET", "/cluster/mapping/pci"), stage.proxmox.capabilities().gpus), (0, false));
}

#[tokio::test]
async fn what_the_token_may_not_see_is_not_counted_and_no_fault() {
    let mut one = equipped();
    let id = "root@pam!narrow";
    one.tokens.push(TokenSpec { id: id.to_owned(), secret: TOKEN_SECRET.to_owned(), privsep: true });
    one.roles.insert("Look".to_owned(), ["Sys.Audit", "Datastore.Audit", "VM.Audit"].map(str::to_owned).to_vec());
    let acl = AclSpec { path: "/".to_owned(), who: id.to_owned(), role: "Look".to_owned(), propagate: true };
    one.acl.push(acl);
    let stage = Stage::of(one, |config| {
        adjust(config);
        config.token_id = id.to_owned();
    })
    .await;
    assert_eq!(counted(&stage).await, []);
    let findings = stage.proxmox.preflight().await.unwrap();
    let said = |text: &str| findings.iter().any(|finding| finding.sentence.contains(text));
    assert!(said("The token lacks Mapping.Use on /mapping/pci/a100."), "{findings:?}");
    assert!(said("There is no PCI mapping a100"), "{findings:?}");
}

#[tokio::test]
async fn a_guest_gets_its_gpu_on_a_machine_with_pci_express() {
    let stage = Stage::of(equipped(), adjust).await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    let guests = [stage.guest(1, 2), stage.guest(2, 2), stage.guest(3, 2)];
    for guest in &guests {
        stage.create(guest, &with_gpus(image, 1)).await;
        assert_eq!(devices(&stage, guest), ["mapping=a100,pcie=1"]);
        assert_eq!(stage.really(guest).unwrap().config["machine"], "q35");
    }
    stage.power(&guests[0], PowerWish::On).await;
    stage.power(&guests[1], PowerWish::On).await;
    let begun = stage.proxmox.power(&guests[2], PowerWish::On).await;
    let fault = stage.settle(begun).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Full, "{fault}");
    assert!(fault.detail.contains("could not find a free device"), "{fault}");
    for guest in &guests {
        stage.delete(guest).await;
    }
    let plain = stage.guest(4, 2);
    stage.create(&plain, &spec(image)).await;
    assert_eq!((devices(&stage, &plain).len(), stage.really(&plain).unwrap().config.get("machine")), (0, None));
}

#[tokio::test]
async fn gpus_are_given_and_taken_back_and_stay_out_of_copies() {
    let stage = Stage::of(equipped(), adjust).await;
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 2));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    for _ in 0..2 {
        stage.proxmox.give_gpus(&guest, Some(&some(2))).await.unwrap();
        assert_eq!(devices(&stage, &guest), ["mapping=a100", "mapping=a100"], "it keeps the machine that it knows");
    }
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    let templates = stage.simulator.control.guests().into_iter().filter(|seen| seen.config.contains_key("template"));
    assert_eq!(templates.filter(|seen| seen.config.contains_key("hostpci0")).count(), 0);
    stage.power(&guest, PowerWish::Off).await;
    stage.proxmox.give_gpus(&guest, Some(&some(1))).await.unwrap();
    assert_eq!(devices(&stage, &guest).len(), 1);
    stage.proxmox.give_gpus(&guest, None).await.unwrap();
    assert_eq!(devices(&stage, &guest).len(), 0);
    let unknown = Gpus { mapping: "l4".to_owned(), count: 1 };
    let fault = stage.proxmox.give_gpus(&guest, Some(&unknown)).await.unwrap_err();
    assert!(fault.kind == FaultKind::Refused && fault.detail.contains("gpu_mappings"), "{fault}");
}

#[tokio::test]
async fn a_gpu_is_exchanged_for_another_hosts_only_while_the_guest_is_off() {
    let stage = Stage::of(equipped(), |config| {
        adjust(config);
        config.storage = "shared".to_owned();
    })
    .await;
    let (image, guest) = (stage.image(1), stage.guest(1, 2));
    stage.fetch(&image).await;
    stage.create(&guest, &with_gpus(image, 1)).await;
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    let movable = stage.proxmox.movable(&guest).await.unwrap();
    assert!(movable.hindrances.len() == 1 && movable.hindrances[0].contains("hostpci0 (a100)"), "{movable:?}");
    stage.power(&guest, PowerWish::Off).await;
    let movable = stage.proxmox.movable(&guest).await.unwrap();
    assert_eq!(movable.hindrances, Vec::<String>::new());
    assert_eq!(movable.not_to, [("pve1".to_owned(), "it lacks the device hostpci0".to_owned())]);
    stage.until(|| stage.proxmox.move_guest(&guest, "pve3", Move::Cold)).await.unwrap();
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    assert_eq!(stage.ours(&guest).await.guest.host, "pve3");
}

#[tokio::test]
async fn mappings_are_part_of_the_preflight_and_of_the_script() {
    let stage = Stage::of(equipped(), |config| config.gpu_mappings = ["a100".to_owned(), "l4".to_owned()].into()).await;
    let findings = stage.proxmox.preflight().await.unwrap();
    let severity = |subject: &str| findings.iter().find(|finding| finding.subject == subject).unwrap().severity;
    assert_eq!((severity("mapping a100"), severity("mapping l4")), (Severity::Fine, Severity::Error));
    let mut config = Config::new(installation(1), "https://pve1:8006", "cairn@pve!main", Secret::new("x"));
    adjust(&mut config);
    let script = pveum_script(Some("9.2"), &config);
    for line in [
        "pveum role add Cairn-mapping-pci-a100 --privs 'Mapping.Use'",
        "pveum acl modify /mapping/pci/a100 --users cairn@pve --roles Cairn-mapping-pci-a100 --propagate 1",
    ] {
        assert!(script.contains(line), "{line} is not in\n{script}");
    }
}
