//! Images: fetched, shared between guests, made of guests, deleted.

use crate::stage::{Stage, source, spec};
use provider::{FaultKind, GuestPower, ImageSource, Move, PowerWish, Provider};

#[tokio::test]
async fn an_image_is_fetched_once_and_deleted_with_its_files() {
    let stage = Stage::new().await;
    let image = stage.image(1);
    assert_eq!(stage.proxmox.find_image(&image).await.unwrap(), None);
    stage.fetch(&image).await;
    let seen = stage.proxmox.find_image(&image).await.unwrap().unwrap();
    assert!(seen.virtual_bytes > 0, "{seen:?}");
    stage.until(|| async { stage.proxmox.ensure_image(&image, &source()).await }).await.unwrap();
    assert_eq!(stage.asked("POST", "/download-url"), 1);
    assert_eq!(stage.asked("POST", "/template"), 1);
    stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    assert_eq!(stage.proxmox.find_image(&image).await.unwrap(), None);
    assert!(!stage.simulator.control.guests().iter().any(|guest| guest.vmid >= 90_000));
    assert_eq!(stage.volumes("cairn-00000001-1."), Vec::<String>::new());
}

#[tokio::test]
async fn each_host_with_a_storage_of_its_own_gets_a_template_of_its_own() {
    let stage = Stage::new().await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    for host in 1..=3 {
        let guest = stage.guest(10 + i32::try_from(host).unwrap(), host);
        let seen = stage.create(&guest, &spec(image)).await;
        assert_eq!(seen.guest.host, guest.host);
    }
    assert_eq!(stage.asked("POST", "/template"), 3);
    let again = stage.guest(20, 1);
    stage.create(&again, &spec(image)).await;
    assert_eq!(stage.asked("POST", "/template"), 3);
}

#[tokio::test]
async fn hosts_with_a_shared_storage_share_one_template() {
    let stage = Stage::shared().await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    for host in 1..=3 {
        let guest = stage.guest(10 + i32::try_from(host).unwrap(), host);
        assert_eq!(stage.create(&guest, &spec(image)).await.guest.host, guest.host);
    }
    assert_eq!(stage.asked("POST", "/template"), 1);
}

#[tokio::test]
async fn a_template_that_disks_build_on_stays_until_the_last_of_them_is_gone() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    let linked = stage.simulator.control.volumes().into_iter().any(|volume| volume.parent.is_some());
    assert!(linked, "the storage makes linked clones");
    stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    assert_eq!(stage.proxmox.find_image(&image).await.unwrap(), None);
    assert!(stage.really(&guest).is_some());
    let inventory = stage.proxmox.inventory().await.unwrap();
    assert_eq!(inventory.leftovers.len(), 1, "{:?}", inventory.leftovers);
    stage.delete(&guest).await;
    stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    assert_eq!(stage.simulator.control.guests(), []);
}

#[tokio::test]
async fn a_template_out_of_use_is_swept_once_nothing_is_built_on_it() {
    let stage = Stage::shared().await;
    let (image, other, guest) = (stage.image(1), stage.image(2), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    stage.fetch(&other).await;
    let deletions = || stage.simulator.control.calls().iter().filter(|call| call.method == "DELETE").count();
    let before = deletions();
    assert_eq!(stage.proxmox.sweep().await.unwrap(), 0, "a disk is built on it");
    assert_eq!(deletions(), before, "no try that is bound to fail");
    stage.delete(&guest).await;
    assert_eq!(stage.proxmox.sweep().await.unwrap(), 1);
    while stage.simulator.control.running_tasks() > 0 {
        tokio::task::yield_now().await;
    }
    let left = stage.simulator.control.guests();
    assert_eq!(left.len(), 1, "what is in use stays: {left:?}");
    assert!(stage.proxmox.find_image(&other).await.unwrap().is_some());
    assert_eq!(stage.proxmox.sweep().await.unwrap(), 0);
}

#[tokio::test]
async fn an_image_of_a_guest_makes_guests_elsewhere() {
    let stage = Stage::new().await;
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    assert!(stage.proxmox.find_image(&copy).await.unwrap().is_some());
    let template = stage
        .simulator
        .control
        .guests()
        .into_iter()
        .find(|seen| seen.config.get("tags").is_some_and(|tags| tags.contains("cairn-img-00000001-2")));
    let config = template.unwrap().config;
    for key in ["net0", "sshkeys", "ipconfig0"] {
        assert!(!config.contains_key(key), "{key} is still in {config:?}");
    }
    assert_eq!(stage.proxmox.inventory().await.unwrap().guests.len(), 1);
    // On a host that has no such template, and nowhere to fetch it from.
    let elsewhere = stage.guest(2, 3);
    let seen = stage.create(&elsewhere, &spec(copy)).await;
    assert_eq!((seen.guest.host.as_str(), seen.resources), ("pve3", spec(copy).resources));
    stage.until(|| stage.proxmox.delete_image(&copy)).await.unwrap();
    assert_eq!(stage.proxmox.find_image(&copy).await.unwrap(), None);
}

#[tokio::test]
async fn what_proxmox_cannot_fetch_is_refused() {
    let stage = Stage::new().await;
    let image = stage.image(1);
    let packed = ImageSource::Url { url: "https://x.example/a.img.xz".to_owned(), checksum: None };
    let file = ImageSource::File { path: "/tmp/a.qcow2".to_owned(), checksum: None };
    for source in [packed, file, ImageSource::Snapshot] {
        assert_eq!(stage.proxmox.ensure_image(&image, &source).await.unwrap_err().kind, FaultKind::Refused);
    }
}

#[tokio::test]
async fn a_template_that_is_there_already_is_used() {
    let mut scenario = crate::stage::scenario();
    let template = simulator::GuestSpec {
        vmid: 9000,
        name: "debian".to_owned(),
        running: false,
        template: true,
        disk: 4,
        storage: "shared".to_owned(),
        ..simulator::GuestSpec::default()
    };
    scenario.guests = vec![template];
    let stage = Stage::of(scenario, |config| {
        config.storage = "shared".to_owned();
        config.templates.insert(model::ids::ImageId(1), 9000);
    })
    .await;
    let image = stage.image(1);
    stage.until(|| async { stage.proxmox.ensure_image(&image, &source()).await }).await.unwrap();
    assert_eq!(stage.asked("POST", "/download-url"), 0);
    assert_eq!(stage.create(&stage.guest(1, 2), &spec(image)).await.guest.host, "pve2");
}

#[tokio::test]
async fn a_template_on_a_storage_that_the_region_had_before_is_made_anew() {
    let mut stage = Stage::new().await;
    let image = stage.image(1);
    stage.fetch(&image).await;
    stage.create(&stage.guest(1, 1), &spec(image)).await;
    stage.put_disks_on("shared");
    assert_eq!(stage.proxmox.find_image(&image).await.unwrap(), None);
    let before = stage.asked("POST", "/template");
    stage.fetch(&image).await;
    assert_eq!(stage.asked("POST", "/template"), before + 1);
    for host in 1..=3 {
        let guest = stage.guest(10 + i32::try_from(host).unwrap(), host);
        assert_eq!(stage.create(&guest, &spec(image)).await.guest.host, guest.host);
        assert_eq!(stage.disk_storage(&guest), "shared");
    }
    assert_eq!(stage.asked("POST", "/template"), before + 1);
    // Back again, the old ones are as good as they were; and with the image all of them go.
    stage.put_disks_on("local-lvm");
    let guest = stage.guest(20, 1);
    stage.create(&guest, &spec(image)).await;
    assert_eq!(stage.disk_storage(&guest), "local-lvm");
    assert_eq!(stage.asked("POST", "/template"), before + 1);
    for guest in [stage.guest(1, 1), stage.guest(11, 1), stage.guest(12, 2), stage.guest(13, 3), guest] {
        stage.delete(&guest).await;
    }
    for _ in 0..3 {
        stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    }
    assert_eq!(stage.simulator.control.guests(), []);
}

#[tokio::test]
async fn what_cannot_be_made_anew_is_copied_from_the_storage_that_it_is_on() {
    let mut stage = Stage::new().await;
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    stage.put_disks_on("shared");
    assert!(stage.proxmox.find_image(&copy).await.unwrap().is_some());
    for host in [1, 3] {
        let made = stage.guest(10 + i32::try_from(host).unwrap(), host);
        assert_eq!(stage.create(&made, &spec(copy)).await.guest.host, made.host);
        assert_eq!(stage.disk_storage(&made), "shared");
    }
}

#[tokio::test]
async fn whether_a_disk_can_be_made_anew_is_known_while_the_guest_runs() {
    let stage = Stage::new().await;
    let (image, copy, guest) = (stage.image(1), stage.image(2), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.snapshot_guest(&guest, &copy)).await.unwrap();
    stage.until(|| stage.proxmox.prepare_rebuild(&guest, &copy)).await.unwrap();
    stage.until(|| stage.proxmox.move_guest(&guest, "pve2", Move::Live)).await.unwrap();
    let fault = stage.proxmox.prepare_rebuild(&guest, &copy).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Refused);
    assert!(fault.detail.contains("only copy is on pve1"), "{fault}");
    // What can be fetched is brought to where the guest is.
    stage.until(|| stage.proxmox.prepare_rebuild(&guest, &image)).await.unwrap();
    let made = stage.asked("POST", "/template");
    stage.until(|| stage.proxmox.prepare_rebuild(&guest, &image)).await.unwrap();
    assert_eq!(stage.asked("POST", "/template"), made);
    let seen = stage.ours(&guest).await;
    assert_eq!((seen.guest.host.as_str(), seen.power), ("pve2", GuestPower::Running));
}
