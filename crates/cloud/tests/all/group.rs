//! Requests that are accepted together, and that it is not to be seen.

use crate::stage::{Stage, code};
use cloud::server::create::{CreateServers, Created};
use cloud::server::group::Groups;
use cloud::{Caller, Error};
use futures_util::future::join_all;
use model::refusal::Code;
use uuid::Uuid;

/// The transactions that wrote the servers.
const TRANSACTIONS: &str = "SELECT count(DISTINCT xmin::text) FROM audit_events WHERE operation = 'droplets_create'";

/// What `count` clients are answered who ask at once, each for a server of its own name under a request id of its own.
async fn crowd(stage: &Stage, groups: &Groups, count: usize) -> Vec<(Caller, String, cloud::Result<Created>)> {
    let asked = (0..count).map(|nth| {
        let caller = Caller { request_id: Uuid::now_v7(), ..stage.caller.clone() };
        let name = format!("web-{nth}");
        let request = stage.request(&[&name]);
        async move {
            let created = groups.create(stage.store(), &caller, request).await;
            (caller, name, created)
        }
    });
    join_all(asked).await
}

#[tokio::test]
async fn those_who_ask_for_the_same_at_once_share_a_transaction_and_nothing_else() {
    let stage = Stage::set().await;
    let groups = Groups::default();
    let answered = crowd(&stage, &groups, 20).await;
    for (caller, name, created) in answered {
        let created = created.unwrap();
        let [server] = created.servers.as_slice() else { panic!("{created:?}") };
        assert_eq!((server.name.as_str(), created.repeated), (name.as_str(), false));
        let urn = format!("do:droplet:{}", server.id);
        let told: Vec<(Uuid, String)> =
            stage.all(&format!("SELECT request_id, detail->>'name' FROM audit_events WHERE urn = '{urn}'")).await;
        assert_eq!(told, [(caller.request_id, name)]);
        let acts: Vec<(i32,)> = stage.all(&format!("SELECT id FROM actions WHERE resource_id = {}", server.id)).await;
        assert_eq!(acts, [(created.actions[0].0,)]);
    }
    assert_eq!(stage.one::<i64>(TRANSACTIONS).await, 1, "twenty servers, one commit");
    stage.settle().await;
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM servers WHERE answered_at IS NOT NULL").await, 20);

    // Nothing is left waiting: the next one is served.
    groups.create(stage.store(), &stage.caller, stage.request(&["later"])).await.unwrap();
    assert_eq!(stage.one::<i64>(TRANSACTIONS).await, 2);
}

#[tokio::test]
async fn more_than_a_transaction_should_hold_goes_on_in_the_next() {
    let stage = Stage::set().await;
    stage.run("UPDATE quotas SET servers = 200, vcpus = 2000, memory_mib = 2000000, disk_gb = 200000").await;
    let answered = crowd(&stage, &Groups::default(), 120).await;
    assert!(answered.iter().all(|(_, _, created)| created.is_ok()), "{answered:?}");
    assert_eq!(stage.one::<i64>(TRANSACTIONS).await, 3, "fifty, fifty and twenty");
}

#[tokio::test]
async fn where_not_all_fit_as_many_are_accepted_as_alone() {
    let stage = Stage::set().await;
    stage.run("UPDATE quotas SET servers = 5").await;
    let answered = crowd(&stage, &Groups::default(), 8).await;
    let (made, refused): (Vec<_>, Vec<_>) =
        answered.into_iter().map(|(_, _, created)| created).partition(Result::is_ok);
    assert_eq!((made.len(), refused.len()), (5, 3));
    assert!(refused.into_iter().all(|refused| code(refused) == Code::QuotaExceeded));
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM servers").await, 5);
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM addresses WHERE server_id IS NOT NULL").await, 10);
}

#[tokio::test]
async fn only_what_is_alike_goes_together() {
    let stage = Stage::set().await;
    let groups = Groups::default();
    let mut keyed = stage.request(&["keyed"]);
    keyed.idempotency = Some(("once".to_owned(), [7; 32]));
    let requests = [
        stage.request(&["plain"]),
        CreateServers { tags: vec!["web".to_owned()], ..stage.request(&["tagged"]) },
        CreateServers { region: None, ..stage.request(&["anywhere"]) },
        keyed,
    ];
    let asked = requests.into_iter().map(|request| groups.create(stage.store(), &stage.caller, request));
    for created in join_all(asked).await {
        created.unwrap();
    }
    assert_eq!(stage.one::<i64>(TRANSACTIONS).await, 4);
    let tagged: Vec<(String,)> =
        stage.all("SELECT s.name FROM tagged t JOIN servers s ON s.id::text = t.resource_id").await;
    assert_eq!(tagged, [("tagged".to_owned(),)]);
}

#[tokio::test]
async fn whoever_leaves_before_it_is_their_turn_gets_nothing() {
    let stage = Stage::set().await;
    let groups = Groups::default();
    let left = groups.create(stage.store(), &stage.caller, stage.request(&["left"]));
    tokio::select! {
        biased;
        _ = left => panic!("answered before anybody was at work"),
        () = std::future::ready(()) => {}
    }
    groups.create(stage.store(), &stage.caller, stage.request(&["stayed"])).await.unwrap();
    let names: Vec<(String,)> = stage.all("SELECT name FROM servers").await;
    assert_eq!(names, [("stayed".to_owned(),)]);
}

#[tokio::test]
async fn a_refusal_of_what_they_share_reaches_everybody() {
    let stage = Stage::set().await;
    let groups = Groups::default();
    let asked = ["one", "two"].map(|name| {
        let request = CreateServers { size: "none-such".to_owned(), ..stage.request(&[name]) };
        groups.create(stage.store(), &stage.caller, request)
    });
    for created in join_all(asked).await {
        assert_eq!(code(created), Code::SizeUnavailable);
    }
    stage.store().pool().close().await;
    let asked = ["one", "two"].map(|name| groups.create(stage.store(), &stage.caller, stage.request(&[name])));
    for created in join_all(asked).await {
        assert!(matches!(created, Err(Error::Store(_))), "{created:?}");
    }
}
