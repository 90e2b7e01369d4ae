//! What users of Proxmox's API trip over and no other test has: the rest of the table in docs/proxmox-gotchas.md.

use crate::operator::raw;
use crate::stage::{Stage, scenario, spec};
use provider::{GuestPower, PowerWish, Provider, Resources, Severity};
use provider_proxmox::CALLS;
use simulator::{ClockKind, Deed, Fault, Moment, Rule, When};
use std::time::Duration;

/// A guest that is whole, with the number 100001, on `pve1`.
async fn whole() -> (Stage, provider::GuestRef) {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    (stage, guest)
}

#[tokio::test]
async fn an_allocation_that_missed_its_storages_lock_is_made_again() {
    for message in [
        "clone failed: cfs-lock 'storage-shared' error: got lock request timeout",
        "clone failed: 'storage-shared'-locked command timed out - aborting",
    ] {
        let stage = Stage::shared().await;
        let (image, guest) = (stage.image(1), stage.guest(1, 2));
        stage.fetch(&image).await;
        let fails = Fault::TaskFails { message: message.to_owned(), moment: Moment::Before };
        let rule = stage.simulator.control.fault(Rule::once(When::task("qmclone"), fails));
        stage.create(&guest, &spec(image)).await;
        assert_eq!(stage.simulator.control.hits(rule), 1);
        assert_eq!(stage.volumes("vm-100001-disk").len(), 1, "{:?}", stage.volumes("100001"));
    }
}

#[test]
fn neither_groups_nor_rules_of_high_availability_are_asked_for() {
    let asked: Vec<_> = CALLS.iter().filter(|(_, path)| path.starts_with("/cluster/ha/")).collect();
    assert!(!asked.is_empty() && asked.iter().all(|(_, path)| path.starts_with("/cluster/ha/resources")), "{asked:?}");
}

#[tokio::test]
async fn a_guest_whose_agent_is_silent_runs_with_the_address_that_it_was_given() {
    assert!(CALLS.iter().all(|(_, path)| !path.contains("/agent")), "an address is ours, and not asked of a guest");
    let (stage, guest) = whole().await;
    let deed = Deed::AgentDies { vmid: Some(100_001) };
    let rule = stage.simulator.control.fault(Rule::once(When::task("qmstart"), Fault::Deed { deed }));
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    assert_eq!(stage.simulator.control.hits(rule), 1);
    assert_eq!(stage.really(&guest).unwrap().config["ipconfig0"], "ip=198.18.0.5/24,gw=198.18.0.1");
}

#[tokio::test]
async fn a_password_that_an_operator_set_survives_a_new_seed() {
    let (stage, guest) = whole().await;
    let token = stage.simulator.token.clone().unwrap();
    raw(&stage, &token, "PUT", "/nodes/pve1/qemu/100001/config", "cipassword=open%20sesame").await;
    let before = stage.really(&guest).unwrap().config["cipassword"].clone();
    stage.proxmox.reseed_guest(&guest, &spec(stage.image(1)).seed).await.unwrap();
    assert_eq!(stage.really(&guest).unwrap().config["cipassword"], before);
}

#[tokio::test]
async fn a_disk_only_grows() {
    let (stage, guest) = whole().await;
    let grown = stage.asked("PUT", "/qemu/100001/resize");
    let smaller = Resources { vcpus: 1, memory_mib: 1024, disk_gb: 5 };
    stage.until(|| stage.proxmox.resize_guest(&guest, &smaller)).await.unwrap();
    assert_eq!(stage.ours(&guest).await.resources, Resources { disk_gb: 20, ..smaller });
    assert_eq!(stage.asked("PUT", "/qemu/100001/resize"), grown);
}

#[test]
fn no_parameter_is_one_that_only_root_may_pass() {
    let calls = include_str!("../../src/calls.rs");
    // `hostpci` is no such one where it names a mapping, and nothing else is ever passed: see `gpus`.
    for name in ["args", "usb", "skiplock", "lock", "migration_network"] {
        assert!(!calls.contains(&format!("\"{name}\"")), "{name} is refused to every token");
    }
}

#[tokio::test]
async fn nothing_of_a_change_stays_pending() {
    let (stage, guest) = whole().await;
    let larger = Resources { vcpus: 4, memory_mib: 4096, disk_gb: 40 };
    stage.until(|| stage.proxmox.resize_guest(&guest, &larger)).await.unwrap();
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    let token = stage.simulator.token.clone().unwrap();
    let answer = raw(&stage, &token, "GET", "/nodes/pve1/qemu/100001/pending", "").await;
    assert!(answer.contains("\"cores\"") && !answer.contains("\"pending\""), "{answer}");
}

#[tokio::test]
async fn a_clock_that_is_off_is_named() {
    let mut scenario = scenario();
    scenario.clock = ClockKind::Stepped;
    let stage = Stage::of(scenario, |_| {}).await;
    stage.simulator.control.advance(Duration::from_secs(600));
    let findings = stage.proxmox.preflight().await.unwrap();
    let warned = findings.iter().filter(|finding| finding.severity == Severity::Warning);
    let clocks: Vec<&str> =
        warned.map(|finding| finding.sentence.as_str()).filter(|text| text.contains("clock")).collect();
    assert!(clocks.iter().any(|text| text.contains("seconds off ours")), "{findings:?}");
}
