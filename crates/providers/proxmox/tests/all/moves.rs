//! Guests that move, that were moved, and that are somebody else's.

use crate::stage::{Stage, scenario, spec};
use provider::{FaultKind, Guest, GuestPower, Move, PowerWish, Provider};
use simulator::Deed;

#[tokio::test]
async fn a_running_guest_moves_with_its_disks() {
    let stage = Stage::new().await;
    let (image, guest) = (stage.image(1), stage.guest(1, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    let movable = stage.proxmox.movable(&guest).await.unwrap();
    assert_eq!(movable.hindrances, Vec::<String>::new());
    assert!(movable.copies_disks);
    stage.until(|| stage.proxmox.move_guest(&guest, "pve2", Move::Live)).await.unwrap();
    let seen = stage.ours(&guest).await;
    assert_eq!((seen.guest.host.as_str(), seen.power), ("pve2", GuestPower::Running));
    // Moved already: nothing is begun.
    let begun = stage.asked("POST", "/migrate");
    stage.until(|| stage.proxmox.move_guest(&guest, "pve2", Move::Live)).await.unwrap();
    assert_eq!(stage.asked("POST", "/migrate"), begun);
}

#[tokio::test]
async fn a_cold_move_stops_the_guest_first() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(2, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.power(&guest, PowerWish::On).await;
    stage.until(|| stage.proxmox.move_guest(&guest, "pve3", Move::Cold)).await.unwrap();
    let seen = stage.ours(&guest).await;
    assert_eq!((seen.guest.host.as_str(), seen.power), ("pve3", GuestPower::Stopped));
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_no_place_to_move_to() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(3, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.simulator.control.deed(Deed::NodeDies { node: "pve3".to_owned() }).await.unwrap();
    let fault = stage.proxmox.move_guest(&guest, "pve3", Move::Live).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::Transient);
}

#[tokio::test]
async fn a_guest_that_somebody_moved_is_found_where_it_is() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(4, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    stage.simulator.control.deed(Deed::GuestMoved { vmid: Some(100_004), to: "pve2".to_owned() }).await.unwrap();
    assert_eq!(stage.ours(&guest).await.guest.host, "pve2");
    stage.power(&guest, PowerWish::On).await;
    stage.delete(&guest).await;
    assert_eq!(stage.really(&guest), None);
}

#[tokio::test]
async fn a_stranger_is_listed_and_adopted() {
    let mut scenario = scenario();
    let stranger = simulator::GuestSpec { vmid: 777, name: "old-web".to_owned(), ..simulator::GuestSpec::default() };
    let tagged = simulator::GuestSpec {
        vmid: 778,
        name: "container".to_owned(),
        container: true,
        tags: "prod;cairn-iffffffff".to_owned(),
        ..simulator::GuestSpec::default()
    };
    scenario.guests = vec![stranger, tagged];
    let stage = Stage::of(scenario, |_| {}).await;
    let inventory = stage.proxmox.inventory().await.unwrap();
    assert_eq!(inventory.guests, []);
    let names: Vec<&str> = inventory.strangers.iter().map(|stranger| stranger.title.as_str()).collect();
    assert_eq!(names, ["old-web", "container"]);
    assert_eq!(inventory.strangers[1].owner.as_deref(), Some("cairn-iffffffff"));
    let mut guest = stage.guest(9, 1);
    guest.name = "777".to_owned();
    assert!(matches!(stage.proxmox.find_guest(&guest).await.unwrap(), Guest::Foreign(_)));
    stage.proxmox.adopt_guest(&guest).await.unwrap();
    stage.proxmox.adopt_guest(&guest).await.unwrap();
    let seen = stage.ours(&guest).await;
    assert_eq!((seen.power, seen.resources.memory_mib), (GuestPower::Running, 2048));
    let inventory = stage.proxmox.inventory().await.unwrap();
    assert_eq!(inventory.guests.len(), 1);
    assert_eq!(inventory.guests[0].guest, guest);
}

#[tokio::test]
async fn an_inventory_costs_as_much_with_two_thousand_guests_as_with_none() {
    let mut scenario = simulator::Scenario::large(3, 2000);
    scenario.guests.iter_mut().for_each(|guest| guest.disk = 0);
    let stage = Stage::of(scenario, |config| config.guest_numbers = (200_000, 299_999)).await;
    let inventory = stage.proxmox.inventory().await.unwrap();
    assert_eq!((inventory.hosts.len(), inventory.strangers.len()), (3, 2000));
    assert!(inventory.hosts.iter().all(|host| host.online && host.version.as_deref() == Some("Proxmox VE 9.2.3")));
    let before = stage.simulator.control.calls().len();
    stage.proxmox.inventory().await.unwrap();
    assert_eq!(stage.simulator.control.calls().len() - before, 2);
}

#[tokio::test]
async fn high_availability_is_told_and_left_before_the_end() {
    let stage = Stage::shared().await;
    let (image, guest) = (stage.image(1), stage.guest(5, 1));
    stage.fetch(&image).await;
    stage.create(&guest, &spec(image)).await;
    let token = stage.simulator.token.clone().unwrap();
    crate::operator::raw(&stage, &token, "POST", "/cluster/ha/resources", "sid=vm:100005&state=stopped").await;
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    assert_eq!(stage.asked("POST", "/100005/status/start"), 0);
    stage.until(|| stage.proxmox.move_guest(&guest, "pve2", Move::Live)).await.unwrap();
    assert_eq!(stage.ours(&guest).await.guest.host, "pve2");
    stage.until_seen(&guest, PowerWish::Off, GuestPower::Stopped).await;
    stage.until_seen(&guest, PowerWish::On, GuestPower::Running).await;
    stage.delete(&guest).await;
    assert_eq!(stage.really(&guest), None);
}
