//! What a server asks of its hosts beside room: company to shun, and a storage that keeps its disk.

use crate::stage::{Stage, code};
use cloud::migration::{Migrate, start};
use cloud::server::create::{CreateServers, create};
use model::ids::{HostId, ServerId};
use model::names::GroupName;
use model::refusal::Code;
use model::states::GroupPolicy;
use provider::StorageSeen;
use std::collections::HashSet;
use store::servers::Group;

fn grouped(stage: &Stage, names: &[&str], policy: GroupPolicy) -> CreateServers {
    let group = Group { name: GroupName::parse("web").unwrap(), policy };
    CreateServers { group: Some(group), ..stage.request(names) }
}

async fn order(stage: &Stage, request: &CreateServers) -> Vec<ServerId> {
    let made = create(stage.store(), &stage.caller, request).await.unwrap();
    stage.settle().await;
    made.servers.iter().map(|server| server.id).collect()
}

/// The sentence of the create that failed.
async fn refusal(stage: &Stage, server: ServerId) -> String {
    stage.one(&format!("SELECT error FROM actions WHERE kind = 'create' AND errored AND resource_id = {server}")).await
}

#[tokio::test]
async fn members_of_a_group_stand_on_different_hosts() {
    let stage = Stage::set().await;
    let servers = order(&stage, &grouped(&stage, &["a", "b", "c"], GroupPolicy::AntiAffinity)).await;
    let mut hosts = HashSet::new();
    for server in &servers {
        hosts.insert(stage.host(*server).await);
    }
    assert_eq!(hosts.len(), 3, "one on each");
    let fourth = order(&stage, &grouped(&stage, &["d"], GroupPolicy::AntiAffinity)).await[0];
    let said = refusal(&stage, fourth).await;
    assert!(said.contains("none of its group"), "{said}");
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM reservations").await, 3, "and holds nothing");

    let soft = grouped(&stage, &["e"], GroupPolicy::SoftAntiAffinity);
    let answer = create(stage.store(), &stage.caller, &soft).await;
    assert_eq!(code(answer), Code::UnprocessableEntity, "a group has one policy");
    stage.destroy(servers[1]).await;
    stage.settle().await;
    let next = order(&stage, &grouped(&stage, &["f"], GroupPolicy::AntiAffinity)).await[0];
    assert!(!stage.host(next).await.is_empty(), "there is a host without a member again");
}

#[tokio::test]
async fn a_soft_group_is_spread_and_never_refused() {
    let stage = Stage::set().await;
    let names = ["a", "b", "c", "d", "e"];
    order(&stage, &grouped(&stage, &names, GroupPolicy::SoftAntiAffinity)).await;
    let on_hosts: Vec<(i64,)> = stage.all("SELECT count(*) FROM servers GROUP BY host_id ORDER BY 1").await;
    assert_eq!(on_hosts, [(1,), (2,), (2,)]);
}

/// What was decided from an old look is decided again under the host's lock.
#[tokio::test]
async fn a_host_is_not_shared_with_a_member_that_came_meanwhile() {
    let stage = Stage::set().await;
    let first = order(&stage, &grouped(&stage, &["a"], GroupPolicy::AntiAffinity)).await[0];
    let taken = HostId(stage.one(&format!("SELECT host_id FROM servers WHERE id = {first}")).await);
    let free = HostId(stage.one(&format!("SELECT id FROM hosts WHERE id <> '{}' LIMIT 1", taken.0)).await);
    let request = grouped(&stage, &["b"], GroupPolicy::AntiAffinity);
    let second = create(stage.store(), &stage.caller, &request).await.unwrap().servers[0].id;
    let mut tx = stage.store().begin().await.unwrap();
    assert!(!store::servers::place(&mut tx, second, taken).await.unwrap());
    assert!(store::servers::place(&mut tx, second, free).await.unwrap());
    assert!(!store::servers::reserve_target(&mut tx, second, taken).await.unwrap());
    assert!(store::servers::confirm(&mut tx, first, taken).await.unwrap(), "who is there may grow there");
}

#[tokio::test]
async fn a_move_keeps_a_group_apart() {
    let stage = Stage::set().await;
    let servers = order(&stage, &grouped(&stage, &["a", "b", "c"], GroupPolicy::AntiAffinity)).await;
    let migrate = Migrate { server: servers[0], to: None };
    let id = start(stage.store(), &stage.operator, &migrate).await.unwrap().id;
    stage.settle().await;
    let migration = store::migrations::get(stage.store(), id).await.unwrap().unwrap();
    assert_eq!(migration.state, "failed");
    let why = migration.detail.unwrap();
    assert!(why.contains("carries 1 of group web"), "{why}");
    assert_eq!(stage.held(servers[0]).await.len(), 1);
}

fn storage(host: Option<&str>, content: &str) -> StorageSeen {
    StorageSeen {
        name: "disks".to_owned(),
        host: host.map(str::to_owned),
        technique: "rbd".to_owned(),
        content: vec![content.to_owned()],
        total_bytes: 1_000_000_000_000,
        used_bytes: 0,
        online: true,
        used_for_guests: true,
    }
}

/// Each of the three hosts says that it has 1000 GB, and it is the same 1000 GB.
#[tokio::test]
async fn a_storage_that_hosts_share_is_sold_once() {
    let stage = Stage::set().await;
    stage.crowd.state().storages = vec![storage(None, "images")];
    stage.look().await;
    stage.run("UPDATE quotas SET servers = 100, vcpus = 1000, memory_mib = 10000000, disk_gb = 100000").await;
    stage.run("UPDATE hosts SET memory_mib = 10000000, disk_gb = 1000").await;
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let request = CreateServers { size: "xlarge".to_owned(), ..stage.request(&names) };
    order(&stage, &request).await;
    let made: (i64, i64) =
        stage.all("SELECT count(*), sum(disk_gb)::bigint FROM reservations WHERE host_id IS NOT NULL").await.remove(0);
    assert_eq!(made, (6, 960));

    let (first, elsewhere): (i32, uuid::Uuid) = stage
        .all("SELECT s.id, h.id FROM servers s JOIN hosts h ON h.id <> s.host_id WHERE s.host_id IS NOT NULL LIMIT 1")
        .await
        .remove(0);
    let mut tx = stage.store().begin().await.unwrap();
    let moves = store::servers::reserve_target(&mut tx, ServerId(first), HostId(elsewhere)).await.unwrap();
    assert!(moves, "a move takes nothing more of it");
}

#[tokio::test]
async fn a_host_without_the_storage_for_its_disk_gets_no_server() {
    let stage = Stage::set().await;
    let offline = StorageSeen { online: false, ..storage(Some("pve3"), "images") };
    stage.crowd.state().storages = vec![storage(Some("pve1"), "rootdir"), storage(Some("pve2"), "images"), offline];
    stage.look().await;
    for name in ["a", "b", "c"] {
        let server = stage.server(name).await;
        assert_eq!(stage.host(server).await, "pve2");
    }
}
