//! A guest from its first look to its last.

use crate::stage::{Stage, installation, seed, spec};
use provider::{FaultKind, Guest, GuestKind, GuestPower, Mark, PowerWish, Provider, Resources};

#[tokio::test]
async fn a_guest_is_made_as_it_was_ordered() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 2));
    stage.fetch(&image).await;
    assert_eq!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Absent);
    let seen = stage.create(&guest, &spec(image)).await;
    assert_eq!(seen.guest.host, "pve2");
    assert_eq!(seen.power, GuestPower::Stopped);
    assert_eq!(seen.resources, Resources { vcpus: 2, memory_mib: 2048, disk_gb: 20 });
    let config = stage.really(&guest).unwrap().config;
    assert_eq!(config["name"], "web-1");
    let tags = &config["tags"];
    assert!(["cairn", "cairn-i00000001", "cairn-s1"].iter().all(|tag| tags.split(';').any(|t| t == *tag)), "{tags}");
    let net = config["net0"].to_lowercase();
    assert!(net.contains("02:ca:12:00:00:05") && net.contains("bridge=vmbr0") && net.contains("firewall=1"), "{net}");
    assert_eq!(config["ipconfig0"], "ip=198.18.0.5/24,gw=198.18.0.1");
    assert!(config["sshkeys"].starts_with("ssh-ed25519%20AAAA"), "{}", config["sshkeys"]);
    assert!(config["description"].contains("server=1") && config["description"].contains("state=made"));
    assert!(config.values().any(|value| value.contains("cloudinit")), "{config:?}");
    // Made once more, nothing is done.
    let before = stage.asked("POST", "/clone");
    stage.until(|| async { stage.proxmox.create_guest(&guest, &spec(image)).await }).await.unwrap();
    assert_eq!(stage.asked("POST", "/clone"), before);
}

#[tokio::test]
async fn a_guest_is_started_stopped_resized_and_deleted_with_all_that_is_its() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(2, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    stage.power(&guest, PowerWish::On).await;
    let seen = stage.ours(&guest).await;
    assert_eq!(seen.power, GuestPower::Running);
    let first = seen.boot.unwrap();
    stage.power(&guest, PowerWish::Reset).await;
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Running);
    stage.power(&guest, PowerWish::Off).await;
    stage.power(&guest, PowerWish::Off).await;
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Stopped);
    let larger = Resources { vcpus: 4, memory_mib: 4096, disk_gb: 40 };
    stage.until(|| stage.proxmox.resize_guest(&guest, &larger)).await.unwrap();
    assert_eq!(stage.ours(&guest).await.resources, larger);
    stage.power(&guest, PowerWish::On).await;
    assert_ne!(stage.ours(&guest).await.boot.unwrap(), first);
    stage.delete(&guest).await;
    assert_eq!(stage.really(&guest), None);
    assert_eq!(stage.volumes("100002"), Vec::<String>::new());
    stage.until(|| stage.proxmox.delete_guest(&guest)).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_and_a_reboot_are_asked_for_and_not_waited_for() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(3, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    assert_eq!(stage.proxmox.power(&guest, PowerWish::Reboot).await.unwrap_err().kind, FaultKind::Refused);
    stage.power(&guest, PowerWish::On).await;
    let first = stage.ours(&guest).await.boot;
    assert_eq!(stage.proxmox.power(&guest, PowerWish::Reboot).await.unwrap(), provider::Begun::Done);
    assert_ne!(stage.ours(&guest).await.boot, first);
    assert_eq!(stage.proxmox.power(&guest, PowerWish::Shutdown).await.unwrap(), provider::Begun::Done);
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Stopped);
}

#[tokio::test]
async fn a_tenants_own_document_comes_on_a_disc_that_goes_with_the_guest() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(4, 3));
    stage.fetch(&image).await;
    let mut spec = spec(image);
    spec.seed = seed(Some("#!/bin/true\n"));
    stage.create(&guest, &spec).await;
    let config = stage.really(&guest).unwrap().config;
    assert!(config["ide2"].contains(":iso/cairn-00000001-s4-") && config["ide2"].contains("media=cdrom"), "{config:?}");
    assert!(!config.contains_key("sshkeys"));
    assert_eq!(stage.volumes("cairn-00000001-s4-").len(), 1);
    // Another document: another disc, and the first is gone.
    let old = stage.volumes("cairn-00000001-s4-");
    stage.proxmox.reseed_guest(&guest, &seed(Some("#!/bin/false\n"))).await.unwrap();
    let new = stage.volumes("cairn-00000001-s4-");
    assert!(new.len() == 1 && new != old, "{new:?}");
    // Back to single values: no disc at all.
    stage.proxmox.reseed_guest(&guest, &seed(None)).await.unwrap();
    assert_eq!(stage.volumes("cairn-00000001-s4-"), Vec::<String>::new());
    stage.proxmox.reseed_guest(&guest, &seed(Some("#!/bin/true\n"))).await.unwrap();
    stage.delete(&guest).await;
    assert_eq!(stage.volumes("cairn-00000001-s4-"), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_not_ours_is_neither_changed_nor_deleted() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(5, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    let mut other = guest.clone();
    other.mark = Mark { installation: installation(2), server: guest.mark.server };
    let Guest::Foreign(whose) = stage.proxmox.find_guest(&other).await.unwrap() else { panic!() };
    assert!(whose.contains("server 5") && whose.contains("100005"), "{whose}");
    for fault in [
        stage.proxmox.delete_guest(&other).await.unwrap_err(),
        stage.proxmox.power(&other, PowerWish::Off).await.unwrap_err(),
        stage.proxmox.create_guest(&other, &spec(image)).await.unwrap_err(),
        stage.proxmox.adopt_guest(&other).await.unwrap_err(),
    ] {
        assert_eq!(fault.kind, FaultKind::Refused, "{fault}");
    }
    assert!(stage.really(&guest).is_some());
}

#[tokio::test]
async fn a_rebuild_replaces_the_disk_once_per_token() {
    let stage = Stage::new().await;
    let (first, second, guest) = (stage.image(1), stage.image(2), stage.guest(6, 2));
    stage.fetch(&first).await;
    stage.fetch(&second).await;
    stage.create(&guest, &spec(first)).await;
    stage.until(|| async { stage.proxmox.rebuild_guest(&guest, &spec(second), "token-1").await }).await.unwrap();
    let seen = stage.ours(&guest).await;
    assert_eq!(seen.rebuilt.as_deref(), Some("token-1"));
    assert_eq!(seen.resources, spec(second).resources);
    let config = stage.really(&guest).unwrap().config;
    assert!(!config.keys().any(|key| key.starts_with("unused")), "{config:?}");
    let disks = stage.volumes("vm-100006-disk");
    assert_eq!(disks.len(), 1, "{disks:?}");
    let imports = stage.asked("POST", "/config");
    stage.until(|| async { stage.proxmox.rebuild_guest(&guest, &spec(second), "token-1").await }).await.unwrap();
    assert_eq!(stage.asked("POST", "/config"), imports);
    stage.until(|| async { stage.proxmox.rebuild_guest(&guest, &spec(first), "token-2").await }).await.unwrap();
    assert_eq!(stage.ours(&guest).await.rebuilt.as_deref(), Some("token-2"));
    assert_eq!(stage.asked("POST", "/config"), imports + 1);
}

#[tokio::test]
async fn a_container_is_made_from_an_archive() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(3), stage.guest(7, 2));
    let source = provider::ImageSource::Url {
        url: "https://images.example/alpine.tar.xz".to_owned(),
        checksum: Some(provider::Checksum::Sha512("cd".repeat(64))),
    };
    stage.until(|| stage.proxmox.ensure_image(&image, &source)).await.unwrap();
    assert!(stage.proxmox.find_image(&image).await.unwrap().is_some());
    let spec = provider::GuestSpec { kind: GuestKind::Container, ..spec(image) };
    let seen = stage.create(&guest, &spec).await;
    assert_eq!(seen.resources, spec.resources);
    let real = stage.really(&guest).unwrap();
    assert!(real.container);
    assert_eq!(real.config["unprivileged"], "1");
    assert!(real.config["net0"].contains("ip=198.18.0.5/24") && real.config["net0"].contains("gw=198.18.0.1"));
    stage.power(&guest, PowerWish::On).await;
    assert_eq!(stage.ours(&guest).await.power, GuestPower::Running);
    let larger = Resources { vcpus: 4, memory_mib: 4096, disk_gb: 30 };
    stage.power(&guest, PowerWish::Off).await;
    stage.until(|| stage.proxmox.resize_guest(&guest, &larger)).await.unwrap();
    assert_eq!(stage.ours(&guest).await.resources, larger);
    stage.delete(&guest).await;
    assert_eq!(stage.volumes("100007"), Vec::<String>::new());
    stage.until(|| stage.proxmox.delete_image(&image)).await.unwrap();
    assert_eq!(stage.proxmox.find_image(&image).await.unwrap(), None);
}

#[tokio::test]
async fn an_address_is_bound_to_its_guest() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(8, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    assert_eq!(stage.asked("PUT", "/qemu/100008/firewall/options"), 1);
    assert_eq!(stage.asked("POST", "/qemu/100008/firewall/ipset/ipfilter-net0"), 1);
}
