//! Servers with GPUs: they go where some are free, nobody gets what another one has, and what they had is free again.

use crate::stage::{Stage, code};
use cloud::migration::{Migrate, start};
use cloud::server::create::{CreateServers, create};
use cloud::server::wishes::{Wish, ask};
use model::ids::{HostId, RegionSlug, ServerId};
use model::refusal::Code;
use provider::{Gpus, GpusSeen};
use store::hosts::HostGpus;
use store::servers::ImageChoice;

const A100: &str = r#"'{"mapping": "a100", "count": 1, "vram_gib": 80}'"#;

/// Sizes `medium` (one) and `xlarge` (two) come with GPUs; the hosts have so many.
async fn stage(devices: &[(&str, u32)]) -> Stage {
    let stage = Stage::set().await;
    stage.run(&format!("UPDATE sizes SET gpu = {A100} WHERE slug = 'medium'")).await;
    stage.run(&format!("UPDATE sizes SET gpu = jsonb_set({A100}, '{{count}}', '2') WHERE slug = 'xlarge'")).await;
    have(&stage, devices).await;
    stage
}

async fn have(stage: &Stage, devices: &[(&str, u32)]) {
    let seen =
        |(host, count): &(&str, u32)| ((*host).to_owned(), GpusSeen { mapping: "a100".to_owned(), count: *count });
    stage.crowd.state().gpus = devices.iter().map(seen).collect();
    stage.look().await;
}

fn request(stage: &Stage, name: &str, size: &str) -> CreateServers {
    CreateServers { size: size.to_owned(), ..stage.request(&[name]) }
}

async fn order(stage: &Stage, name: &str, size: &str) -> ServerId {
    let id = create(stage.store(), &stage.caller, &request(stage, name, size)).await.unwrap().servers[0].id;
    stage.settle().await;
    id
}

/// The sentence of the last action of a kind that failed.
async fn refusal(stage: &Stage, kind: &str) -> String {
    stage.one(&format!("SELECT error FROM actions WHERE kind = '{kind}' AND errored ORDER BY id DESC LIMIT 1")).await
}

async fn on_host(stage: &Stage, name: &str) -> Vec<HostGpus> {
    store::hosts::find(stage.store(), &RegionSlug::from("local"), name).await.unwrap().unwrap().gpus
}

fn gpus(total: i64, reserved: i64) -> Vec<HostGpus> {
    vec![HostGpus { mapping: "a100".to_owned(), total, reserved }]
}

async fn given(stage: &Stage, server: ServerId) -> Option<Gpus> {
    let number = stage.number(server).await;
    stage.crowd.state().given.get(&number).cloned()
}

#[tokio::test]
async fn a_server_with_a_gpu_goes_where_one_is_free() {
    let stage = stage(&[("pve2", 2)]).await;
    let first = order(&stage, "a", "medium").await;
    let second = order(&stage, "b", "medium").await;
    assert_eq!((stage.host(first).await, stage.host(second).await), ("pve2".to_owned(), "pve2".to_owned()));
    assert_eq!(given(&stage, first).await, Some(Gpus { mapping: "a100".to_owned(), count: 1 }));
    assert_eq!(on_host(&stage, "pve2").await, gpus(2, 2));
    assert_eq!(on_host(&stage, "pve1").await, []);

    let third = order(&stage, "c", "medium").await;
    let said = refusal(&stage, "create").await;
    assert!(said.contains("free GPUs"), "{said}");
    assert_eq!(stage.held(third).await, []);
    assert_eq!(stage.crowd.state().guests.len(), 2, "and nothing was made of it");

    stage.destroy(first).await;
    stage.settle().await;
    assert_eq!(on_host(&stage, "pve2").await, gpus(2, 1));
    let fourth = order(&stage, "d", "medium").await;
    assert_eq!(stage.host(fourth).await, "pve2");
    let plain = order(&stage, "e", "small").await;
    assert_eq!((given(&stage, plain).await, stage.held(plain).await.len()), (None, 1));
}

/// What was decided from an old look is decided again under the host's lock, by however many at once.
#[tokio::test]
async fn racing_reservations_never_give_a_gpu_twice() {
    let stage = stage(&[("pve2", 3)]).await;
    let host = HostId(stage.one("SELECT id FROM hosts WHERE name = 'pve2'").await);
    stage.run("UPDATE quotas SET servers = 100, vcpus = 1000, memory_mib = 10000000, disk_gb = 100000").await;
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let all = CreateServers { size: "medium".to_owned(), ..stage.request(&names) };
    let servers = create(stage.store(), &stage.caller, &all).await.unwrap().servers;
    let racers = servers.iter().map(|server| {
        let (store, id) = (stage.store().clone(), server.id);
        tokio::spawn(async move {
            let mut tx = store.begin().await.unwrap();
            let placed = store::servers::place(&mut tx, id, host).await.unwrap();
            tx.commit().await.unwrap();
            usize::from(placed)
        })
    });
    let mut placed = 0;
    for racer in racers.collect::<Vec<_>>() {
        placed += racer.await.unwrap();
    }
    assert_eq!(placed, 3);
    assert_eq!(on_host(&stage, "pve2").await, gpus(3, 3));
}

#[tokio::test]
async fn a_gpu_that_a_stranger_has_ends_a_create_and_leaves_nothing() {
    let stage = stage(&[("pve2", 1)]).await;
    stage.crowd.state().gpus_taken = true;
    let server = order(&stage, "a", "medium").await;
    let said = refusal(&stage, "create").await;
    assert!(said.contains("no GPU free"), "{said}");
    assert_eq!(stage.held(server).await, []);
    assert!(stage.crowd.state().guests.is_empty());
    for held in ["reservations", "addresses WHERE server_id IS NOT NULL", "guest_numbers WHERE freed_at IS NULL"] {
        assert_eq!(stage.one::<i64>(&format!("SELECT count(*) FROM {held}")).await, 0, "{held}");
    }
    stage.crowd.state().gpus_taken = false;
    let server = order(&stage, "b", "medium").await;
    ask(stage.store(), &stage.caller, server, &Wish::PowerOff).await.unwrap();
    stage.settle().await;
    stage.crowd.state().gpus_taken = true;
    ask(stage.store(), &stage.caller, server, &Wish::PowerOn).await.unwrap();
    stage.settle().await;
    let said = refusal(&stage, "power_on").await;
    assert!(said.contains("no GPU free"), "{said}");
    assert_eq!(stage.held(server).await.len(), 1, "one that is there keeps what it has");
}

#[tokio::test]
async fn gpus_come_and_go_with_the_size() {
    let stage = stage(&[("pve1", 2), ("pve2", 2), ("pve3", 2)]).await;
    let server = order(&stage, "a", "small").await;
    let host = stage.host(server).await;
    ask(stage.store(), &stage.caller, server, &Wish::PowerOff).await.unwrap();
    stage.settle().await;
    let resize = async |size: &str| {
        let wish = Wish::Resize { size: size.to_owned(), grow_disk: false };
        stage.run("UPDATE sizes SET disk_gb = 20").await;
        let asked = ask(stage.store(), &stage.caller, server, &wish).await;
        stage.settle().await;
        asked
    };
    resize("medium").await.unwrap();
    assert_eq!(given(&stage, server).await.map(|gpus| gpus.count), Some(1));
    assert_eq!(on_host(&stage, &host).await, gpus(2, 1));
    resize("xlarge").await.unwrap();
    assert_eq!(given(&stage, server).await.map(|gpus| gpus.count), Some(2));
    assert_eq!(on_host(&stage, &host).await, gpus(2, 2));

    stage.run("UPDATE sizes SET gpu = jsonb_set(gpu, '{mapping}', '\"l4\"') WHERE slug = 'medium'").await;
    assert_eq!(code(resize("medium").await), Code::Unsupported, "not for others at once");
    resize("large").await.unwrap();
    assert_eq!(given(&stage, server).await, None);
    assert_eq!(on_host(&stage, &host).await, gpus(2, 0));
    resize("medium").await.unwrap();
    let said = refusal(&stage, "resize").await;
    assert!(said.contains("free GPUs"), "there is no l4: {said}");
    assert_eq!((given(&stage, server).await, on_host(&stage, &host).await), (None, gpus(2, 0)));
    let size: String = stage.one(&format!("SELECT size FROM servers WHERE id = {server}")).await;
    assert_eq!(size, "large");
}

#[tokio::test]
async fn a_move_goes_to_a_host_with_free_gpus_or_not_at_all() {
    let stage = stage(&[("pve1", 1)]).await;
    let server = order(&stage, "a", "medium").await;
    let migrate = Migrate { server, to: None };
    let id = start(stage.store(), &stage.operator, &migrate).await.unwrap().id;
    stage.settle().await;
    let migration = store::migrations::get(stage.store(), id).await.unwrap().unwrap();
    assert_eq!(migration.state, "failed");
    let why = migration.detail.unwrap();
    assert!(why.contains("pve2 has no GPU a100 with 81920 MiB or more"), "{why}");

    have(&stage, &[("pve1", 1), ("pve3", 1)]).await;
    start(stage.store(), &stage.operator, &migrate).await.unwrap();
    stage.settle().await;
    assert_eq!(stage.held(server).await, [("home".to_owned(), "pve3".to_owned())]);
    assert_eq!((on_host(&stage, "pve1").await, on_host(&stage, "pve3").await), (gpus(1, 0), gpus(1, 1)));
}

#[tokio::test]
async fn devices_that_are_gone_are_not_sold() {
    let stage = stage(&[("pve2", 1)]).await;
    have(&stage, &[]).await;
    assert_eq!(on_host(&stage, "pve2").await, []);
    order(&stage, "a", "medium").await;
    assert!(refusal(&stage, "create").await.contains("free GPUs"));
}

#[tokio::test]
async fn what_cannot_have_gpus_is_refused_at_the_request() {
    let stage = stage(&[("pve2", 1)]).await;
    let asked = async |request: CreateServers| code(create(stage.store(), &stage.caller, &request).await);
    let available = CreateServers { high_availability: true, ..request(&stage, "a", "medium") };
    assert_eq!(asked(available).await, Code::Unsupported);
    stage.run("UPDATE images SET guest = 'container' WHERE slug = 'debian-13-x64'").await;
    let image = ImageChoice::Slug("debian-13-x64".to_owned());
    stage.run("UPDATE images SET status = 'available' WHERE slug = 'debian-13-x64'").await;
    assert_eq!(asked(CreateServers { image, ..request(&stage, "a", "medium") }).await, Code::Unsupported);
    stage.run("UPDATE regions SET capabilities = capabilities - 'gpus'").await;
    assert_eq!(asked(request(&stage, "a", "medium")).await, Code::Unsupported);
}
