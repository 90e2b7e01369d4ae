//! What goes wrong at a cluster, and what comes of it.

use crate::stage::{Stage, scenario, spec};
use provider::{FaultKind, Guest, GuestPower, PowerWish, Provider, TaskRef, TaskState};
use simulator::{Deed, Fault, Moment, Rule, When};

/// A stage with an image, and a fault that comes while a guest is made.
async fn made_despite(rule: Rule) -> Stage {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    let before = stage.guest(2, 1);
    stage.fetch(&image).await;
    // The host's own template is there, so that the fault hits the guest.
    stage.create(&before, &spec(image)).await;
    let rule = stage.simulator.control.fault(rule);
    let seen = stage.create(&guest, &spec(image)).await;
    assert_eq!(stage.simulator.control.hits(rule), 1);
    assert_eq!(seen.resources, spec(image).resources);
    let machines = stage.simulator.control.guests().into_iter().filter(|seen| seen.vmid >= 100_000);
    assert_eq!(machines.count(), 2);
    assert_eq!(stage.volumes("vm-100001-disk").len(), 1, "{:?}", stage.volumes("100001"));
    stage
}

#[tokio::test]
async fn a_clone_whose_answer_was_lost_is_found() {
    let stage = made_despite(Rule::once(When::task("qmclone"), Fault::Lost)).await;
    assert_eq!(stage.asked("POST", "/clone"), 2, "it is not cloned again");
}

#[tokio::test]
async fn a_clone_that_never_began_is_begun_again() {
    for fault in [Fault::LockTimeout, Fault::Unanswered { hold_ms: 0 }, Fault::TimedOut] {
        made_despite(Rule::once(When::task("qmclone"), fault)).await;
    }
}

#[tokio::test]
async fn a_clone_that_failed_is_made_again_and_one_that_warned_is_well() {
    let got_timeout = "can't lock file '/var/lock/qemu-server/lock-90000.conf' - got timeout".to_owned();
    let fails = Fault::TaskFails { message: got_timeout, moment: Moment::Before };
    made_despite(Rule::once(When::task("qmclone"), fails)).await;
    let warns = Fault::TaskWarns { lines: vec!["this is odd".to_owned()] };
    made_despite(Rule::once(When::task("qmclone"), warns)).await;
}

#[tokio::test]
async fn a_resize_or_a_configuration_whose_answer_was_lost_is_seen() {
    made_despite(Rule::once(When::request("PUT", "/nodes/*/qemu/*/resize"), Fault::Lost)).await;
    made_despite(Rule::once(When::request("PUT", "/nodes/*/qemu/*/config"), Fault::Lost)).await;
    made_despite(Rule::once(When::request("PUT", "/nodes/*/qemu/*/resize"), Fault::LockTimeout)).await;
}

#[tokio::test]
async fn a_number_that_a_stranger_took_is_left_to_them() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&stage.guest(2, 1), &spec(image)).await;
    let deed = Deed::StrangerTakes { vmid: Some(100_001) };
    stage.simulator.control.fault(Rule::once(When::task("qmclone"), Fault::Deed { deed }));
    let fault = stage.try_create(&guest, &spec(image)).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Foreign(_)));
    assert!(stage.really(&guest).is_some());
}

#[tokio::test]
async fn a_storage_without_room_is_full() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&stage.guest(2, 1), &spec(image)).await;
    let message = "clone failed: lvcreate 'pve/vm-100001-disk-0' error: No space left on device".to_owned();
    let fails = Fault::TaskFails { message, moment: Moment::Before };
    stage.simulator.control.fault(Rule::once(When::task("qmclone"), fails));
    assert_eq!(stage.try_create(&guest, &spec(image)).await.unwrap_err().kind, FaultKind::Full);
}

#[tokio::test]
async fn somebody_elses_edit_is_not_overwritten() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    let description = stage.really(&guest).unwrap().config["description"].clone() + "\nby hand";
    let deed = Deed::GuestEdited { vmid: Some(100_001), description };
    stage.simulator.control.fault(Rule::once(When::request("PUT", "/nodes/*/qemu/*/config"), Fault::Deed { deed }));
    let fault = stage.proxmox.reseed_guest(&guest, &spec(image).seed).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient, "{fault}");
    stage.proxmox.reseed_guest(&guest, &spec(image).seed).await.unwrap();
    assert!(stage.really(&guest).unwrap().config["description"].contains("by hand"));
}

#[tokio::test]
async fn an_entry_that_is_gone_is_passed_over() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 2));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.simulator.control.deed(Deed::NodeDies { node: "pve1".to_owned() }).await.unwrap();
    stage.power(&guest, PowerWish::On).await;
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Running);
    let inventory = stage.proxmox.inventory().await.unwrap();
    let online: Vec<bool> = inventory.hosts.iter().map(|host| host.online).collect();
    assert_eq!(online, [false, true, true]);
}

#[tokio::test]
async fn a_guest_whose_host_is_away_is_not_gone() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 3));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    assert_eq!(stage.proxmox.inventory().await.unwrap().guests[0].power, GuestPower::Running);
    stage.simulator.control.deed(Deed::NodeDies { node: "pve3".to_owned() }).await.unwrap();
    assert_eq!(stage.proxmox.find_guest(&guest).await.unwrap_err().kind, FaultKind::Transient);
    let inventory = stage.proxmox.inventory().await.unwrap();
    assert_eq!(inventory.guests.len(), 1);
    assert_eq!(inventory.guests[0].power, GuestPower::Running, "the last that was seen");
}

#[tokio::test]
async fn without_quorum_nothing_counts_as_absent() {
    let stage = Stage::new().await;
    stage.simulator.control.deed(Deed::QuorumLost).await.unwrap();
    assert_eq!(stage.proxmox.find_guest(&stage.guest(1, 1)).await.unwrap_err().kind, FaultKind::Transient);
    stage.simulator.control.deed(Deed::QuorumBack).await.unwrap();
    assert_eq!(stage.proxmox.find_guest(&stage.guest(1, 1)).await.unwrap(), Guest::Absent);
}

#[tokio::test]
async fn a_killed_worker_leaves_nothing_that_is_believed() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.simulator.control.fault(Rule::once(When::task("qmstart"), Fault::TaskKilled { moment: Moment::Before }));
    let provider::Begun::Task(task) = stage.proxmox.power(&guest, PowerWish::On).await.unwrap() else { panic!() };
    assert_eq!(stage.proxmox.task(&task).await.unwrap(), TaskState::Vanished);
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Stopped);
}

#[tokio::test]
async fn a_task_that_is_not_known_yet_is_waited_for() {
    let scenario = scenario();
    let stage = Stage::of(scenario, |_| {}).await;
    let upid = "UPID:pve1:0000FFFF:0003C1C5:6B00F249:qmstart:100001:root@pam!cairn:".to_owned();
    let state = stage.proxmox.task(&TaskRef(upid)).await.unwrap();
    assert_eq!(state, TaskState::Running { progress: None });
    assert_eq!(stage.proxmox.task(&TaskRef("nonsense".to_owned())).await.unwrap(), TaskState::Vanished);
}

#[tokio::test]
async fn a_lock_that_was_left_is_named_and_not_broken() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.simulator.control.deed(Deed::LockLeft { vmid: Some(100_001), lock: "backup".to_owned() }).await.unwrap();
    assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Ours(_)));
    let fault = stage.proxmox.delete_guest(&guest).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
    assert!(fault.detail.contains("backup") && fault.detail.contains("qm unlock 100001"), "{fault}");
}
