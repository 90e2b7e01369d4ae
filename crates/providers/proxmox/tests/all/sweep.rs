//! Every change that a guest's life asks for goes wrong once, in each way; and at the end all is as it should be.

use crate::stage::{Stage, seed, spec};
use provider::{GuestPower, PowerWish, Provider, Resources};
use simulator::{Fault, Rule, When};

/// More than any method is used in one life.
const MOST: u32 = 40;

/// One life, with a fault at one place. `false`: there was no such place.
async fn life_with(method: &str, skip: u32, fault: Fault) -> bool {
    let stage = Stage::new().await;
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 1));
    let when = When { method: Some(method.to_owned()), ..When::default() };
    let rule = stage.simulator.control.fault(Rule::once(when, fault.clone()).after(skip));
    stage.fetch(&image).await;
    let mut spec = spec(image);
    spec.seed = seed(Some("#!/bin/true\n"));
    stage.create(&guest, &spec).await;
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    stage.until_seen(&guest, PowerWish::Off, GuestPower::Stopped).await;
    let larger = Resources { vcpus: 4, memory_mib: 4096, disk_gb: 40 };
    stage.until(|| stage.proxmox.resize_guest(&guest, &larger)).await.unwrap();
    spec.resources = larger;
    stage.until(|| async { stage.proxmox.rebuild_guest(&guest, &spec, "token").await }).await.unwrap();
    let seen = stage.ours(&guest).await;
    let place = format!("{fault:?} at {method} {skip}");
    assert_eq!((seen.resources, seen.rebuilt.as_deref()), (larger, Some("token")), "{place}");
    assert_eq!(stage.volumes("vm-100001-disk").len(), 1, "{place}: {:?}", stage.volumes("100001"));
    stage.delete(&guest).await;
    for image in [image, copy] {
        stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    }
    assert_eq!(stage.simulator.control.guests(), [], "{place}");
    assert_eq!(stage.volumes("cairn-"), Vec::<String>::new(), "{place}");
    stage.simulator.control.hits(rule) > 0
}

async fn sweep(method: &str, at_least: u32, fault: Fault) {
    let mut places = 0;
    while places < MOST && life_with(method, places, fault.clone()).await {
        places += 1;
    }
    assert!((at_least..MOST).contains(&places), "{places} places of {method}");
}

#[tokio::test]
async fn the_answer_to_any_post_may_be_lost() {
    sweep("POST", 12, Fault::Lost).await;
}

#[tokio::test]
async fn the_answer_to_any_put_may_be_lost() {
    sweep("PUT", 6, Fault::Lost).await;
}

#[tokio::test]
async fn the_answer_to_any_delete_may_be_lost() {
    sweep("DELETE", 4, Fault::Lost).await;
}

#[tokio::test]
async fn any_change_may_time_out_at_a_lock() {
    sweep("POST", 12, Fault::LockTimeout).await;
    sweep("PUT", 6, Fault::LockTimeout).await;
    sweep("DELETE", 4, Fault::LockTimeout).await;
}
