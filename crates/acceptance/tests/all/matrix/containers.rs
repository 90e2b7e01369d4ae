//! Containers: servers like any other, made from an image that is an archive. What they cannot do is refused before
//! anything starts.

use super::lab::{BASE, Lab, NODES, REGION};
use super::lines::Ask;
use cloud::server::create::{CreateServers, create};
use cloud::server::wishes::{Wish, ask};
use model::ids::{ImageId, RegionSlug, ServerId};
use model::names::GroupName;
use model::refusal::{Code, Refusal};
use model::states::GroupPolicy;
use provider::{Begun, Checksum, ImageSource};
use serde_json::json;
use simulator::GuestSeen;
use store::servers::{Group, ImageChoice};
use workflow::ManualClock;

const ARCHIVE: &str = "ubuntu-24-04-container-x64";

/// Its archive has an address and a checksum.
async fn offer(lab: &Lab) -> ImageId {
    let checksum = Some(Checksum::Sha256("cd".repeat(32)));
    let source = ImageSource::Url { url: "https://images.example/root.tar.xz".to_owned(), checksum };
    let source = serde_json::to_string(&source).unwrap();
    lab.run(&format!("UPDATE images SET source = '{source}', status = 'available' WHERE slug = '{ARCHIVE}'")).await;
    ImageId(lab.one(&format!("SELECT id FROM images WHERE slug = '{ARCHIVE}'")).await)
}

async fn guest(lab: &Lab, server: ServerId) -> GuestSeen {
    let number = lab.number(server).await;
    lab.guests().into_iter().find(|guest| guest.vmid == number).unwrap()
}

async fn refused(lab: &Lab, server: ServerId, wish: Wish) -> Refusal {
    match ask(lab.store(), &lab.caller, server, &wish).await {
        Err(cloud::Error::Refused(refusal)) => refusal,
        other => panic!("{wish:?}: {other:?}"),
    }
}

async fn alerts(lab: &Lab) -> Vec<(String, String)> {
    lab.all("SELECT kind, message FROM alerts WHERE resolved_at IS NULL").await
}

#[tokio::test]
async fn a_container_is_a_server_like_any_other() {
    let lab = Lab::open().await;
    let clock = ManualClock::starting_now();
    let image = offer(&lab).await;
    let server = lab.order_from("box", ARCHIVE).await;
    lab.settle(&clock).await;
    let made = guest(&lab, server).await;
    assert!(made.container, "{made:?}");
    assert_eq!((made.status.as_str(), made.config["hostname"].as_str()), ("running", "box"));
    assert_eq!((made.config["memory"].as_str(), made.config["cores"].as_str()), ("2048", "1"));
    assert!(made.config["rootfs"].contains("size=20G"), "{made:?}");
    let address: String = lab
        .one(&format!("SELECT host(a.address) FROM addresses a JOIN address_pools p ON p.id = a.pool_id WHERE a.server_id = {server} AND p.vpc_id IS NULL"))
        .await;
    assert!(made.config["net0"].contains(&format!("ip={address}/")), "{made:?}");

    for (wish, status) in [
        (Ask::Shutdown, "stopped"),
        (Ask::PowerOn, "running"),
        (Ask::Reboot, "running"),
        (Ask::PowerCycle, "running"),
        (Ask::PowerOff, "stopped"),
        (Ask::Resize, "stopped"),
        (Ask::Rename, "stopped"),
        (Ask::PowerOn, "running"),
    ] {
        wish.about(&lab, server).await.unwrap();
        lab.settle(&clock).await;
        assert_eq!(guest(&lab, server).await.status, status, "after {wish:?}");
    }
    let resized = guest(&lab, server).await.config;
    assert_eq!((resized["memory"].as_str(), resized["cores"].as_str()), ("4096", "2"));
    assert!(resized["rootfs"].contains("size=40G"), "{resized:?}");
    assert_eq!(resized["hostname"], "other");

    let from = lab.host(server).await;
    Ask::Migrate.about(&lab, server).await.unwrap();
    lab.settle(&clock).await;
    let moved = guest(&lab, server).await;
    assert_ne!(moved.node, from, "it runs on another host");
    assert_eq!((moved.status.as_str(), lab.host(server).await), ("running", moved.node.clone()));
    lab.look().await;
    assert_eq!(alerts(&lab).await, [], "nothing of it looks wrong to the observer");
    let errored: i64 = lab.one("SELECT count(*) FROM actions WHERE errored").await;
    assert_eq!(errored, 0);

    lab.destroy(server).await;
    lab.settle(&clock).await;
    forget(&lab, image).await;
    lab.assert_empty().await;
}

/// The archive goes from every node.
async fn forget(lab: &Lab, image: ImageId) {
    let provider = lab.site.provider(&RegionSlug::from(REGION)).unwrap();
    while let Begun::Task(_) = provider.delete_image(&lab.site.image(image)).await.unwrap() {}
}

#[tokio::test]
async fn what_a_container_cannot_do_is_refused_before_anything_starts() {
    let lab = Lab::open().await;
    let clock = ManualClock::starting_now();
    let image = offer(&lab).await;
    let (container, machine) = (lab.order_from("box", ARCHIVE).await, lab.order("web").await);
    lab.settle(&clock).await;
    let policy = json!({ "plan": "daily", "hour": 4 });
    for wish in [
        Wish::Snapshot(None),
        Wish::EnableBackups(policy.clone()),
        Wish::ChangeBackupPolicy(policy),
        Wish::Rebuild(ImageChoice::Slug(ARCHIVE.to_owned())),
        Wish::Rebuild(ImageChoice::Slug(BASE.to_owned())),
        Wish::Restore(image),
    ] {
        let refusal = refused(&lab, container, wish).await;
        assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Unsupported, Some("type")));
    }
    let refusal = refused(&lab, machine, Wish::Rebuild(ImageChoice::Slug(ARCHIVE.to_owned()))).await;
    assert_eq!((refusal.code, refusal.field.as_deref()), (Code::Unsupported, Some("image")));
    let begun: i64 = lab.one("SELECT count(*) FROM actions WHERE kind NOT IN ('create', 'destroy')").await;
    assert_eq!(begun, 0);
    lab.remove_all().await;
    lab.settle(&clock).await;
    forget(&lab, image).await;
    lab.assert_empty().await;
}

#[tokio::test]
async fn each_host_gets_the_archive_when_its_first_container_needs_it() {
    let lab = Lab::open().await;
    let clock = ManualClock::starting_now();
    let image = offer(&lab).await;
    let apart = Group { name: GroupName::parse("apart").unwrap(), policy: GroupPolicy::AntiAffinity };
    for name in ["a", "b", "c", "d"] {
        let request = CreateServers {
            image: ImageChoice::Slug(ARCHIVE.to_owned()),
            group: Some(apart.clone()),
            ..lab.request(name)
        };
        create(lab.store(), &lab.caller, &request).await.unwrap();
        lab.settle(&clock).await;
    }
    let mut nodes: Vec<String> = lab.guests().into_iter().filter(|guest| guest.container).map(|it| it.node).collect();
    nodes.sort();
    assert_eq!(nodes, NODES);
    lab.remove_all().await;
    lab.settle(&clock).await;
    forget(&lab, image).await;
    lab.assert_empty().await;
}
