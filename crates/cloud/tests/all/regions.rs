//! Regions that operators connect.

use crate::stage::{Stage, code};
use cloud::region::{NewRegion, Probe, RegionEdit, connect, edit, remove, test, test_saved};
use cloud::secrets::Key;
use model::catalogue::Catalogue;
use model::healing::{Heal, Healing};
use model::ids::RegionSlug;
use model::refusal::Code;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn demo() -> NewRegion {
    let pool = json!({ "name": "public", "kind": "public_bridged", "range": "203.0.113.0/24" });
    NewRegion {
        slug: "demo".to_owned(),
        name: "Demo".to_owned(),
        provider: "crowd".to_owned(),
        settings: json!({ "entries": ["https://pve1:8006"] }),
        secret: Some("swordfish".to_owned()),
        fingerprints: Vec::new(),
        available: true,
        features: Vec::new(),
        resolvers: vec!["192.0.2.53".parse().unwrap()],
        vpc_range: "10.200.0.0/16".parse().unwrap(),
        overcommit: model::placement::Overcommit::default(),
        placement: model::catalogue::Placing::default(),
        heal: model::healing::Healing::default(),
        pools: vec![serde_json::from_value(pool).unwrap()],
    }
}

fn slug() -> RegionSlug {
    RegionSlug::from("demo")
}

#[tokio::test]
async fn a_region_comes_changes_and_goes() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    let mut listener = store::regions::Listener::open(store).await.unwrap();
    let made = connect(store, &key, &stage.operator, &demo()).await.unwrap().region;
    listener.heard().await.unwrap();
    assert_eq!((made.origin.as_str(), made.state.as_str(), made.has_secret), ("operator", "new", true));
    assert_eq!((made.pools[0].name.as_str(), made.pools[0].free), ("public", 253));
    assert_eq!(code(connect(store, &key, &stage.operator, &demo()).await), Code::NameTaken);

    let stored: Vec<u8> = stage.one("SELECT secret FROM region_connections WHERE region = 'demo'").await;
    assert!(!stored.windows(9).any(|part| part == b"swordfish"), "sealed");
    let listed = store::regions::connections(store).await.unwrap();
    let connection = listed.iter().find(|one| one.region == slug()).unwrap();
    assert_eq!(key.open(&connection.sealed_for, connection.secret.as_deref().unwrap()).unwrap(), "swordfish");

    // The catalogue's file knows nothing of it, and leaves it alone.
    store::catalogue::apply(store, &Catalogue::default_catalogue().unwrap()).await.unwrap();
    let change = RegionEdit {
        name: Some("Demo 2".to_owned()),
        settings: Some(json!({ "entries": [] })),
        secret: Some("swordfish".to_owned()),
        ..RegionEdit::default()
    };
    let edited = edit(store, &key, &stage.operator, &slug(), &change).await.unwrap().region;
    listener.heard().await.unwrap();
    assert_eq!((edited.name.as_str(), edited.revision, edited.available, edited.has_secret), ("Demo 2", 2, true, true));
    assert_eq!(edited.resolvers, demo().resolvers, "what is not named stays");

    remove(store, &stage.operator, &slug()).await.unwrap();
    listener.heard().await.unwrap();
    assert_eq!(store::regions::get(store, &slug()).await.unwrap(), None);
    assert!(store::regions::connections(store).await.unwrap().iter().all(|one| one.region != slug()));
    assert_eq!(code(remove(store, &stage.operator, &slug()).await), Code::NotFound);
    assert_eq!(connect(store, &key, &stage.operator, &demo()).await.unwrap().region.name, "Demo", "and may come back");
}

#[tokio::test]
async fn what_is_wrong_is_refused_before_anything_is_written() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    for wrong in [
        NewRegion { slug: "Demo".to_owned(), ..demo() },
        NewRegion { settings: json!([]), ..demo() },
        NewRegion { vpc_range: "203.0.113.0/24".parse().unwrap(), ..demo() },
        NewRegion { heal: Healing { per_hour: 0, ..Healing::default() }, ..demo() },
    ] {
        assert_eq!(code(connect(store, &key, &stage.operator, &wrong).await), Code::UnprocessableEntity);
    }
    let local = RegionSlug::from("local");
    assert_eq!(code(edit(store, &key, &stage.operator, &local, &RegionEdit::default()).await), Code::WrongState);
    assert_eq!(code(remove(store, &stage.operator, &local).await), Code::WrongState);
}

/// A worker would send such a file to whoever the settings name, or run it.
#[tokio::test]
async fn no_request_names_a_file_of_the_host() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    connect(store, &key, &stage.operator, &demo()).await.unwrap();
    for name in ["token_secret_file", "qemu_binary", "qemu_img_binary"] {
        let settings = json!({ "entries": ["https://pve1:8006"], name: "/etc/shadow" });
        let twin = NewRegion { slug: "twin".to_owned(), settings: settings.clone(), ..demo() };
        let change = RegionEdit { settings: Some(settings.clone()), ..RegionEdit::default() };
        let provider = "crowd".to_owned();
        let probe = Probe { provider, settings, secret: None, fingerprints: Vec::new() };
        for refused in [
            connect(store, &key, &stage.operator, &twin).await.map(drop),
            edit(store, &key, &stage.operator, &slug(), &change).await.map(drop),
            test(store, &key, &stage.operator, &probe).await.map(drop),
        ] {
            let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
            assert_eq!(refusal.code, Code::UnprocessableEntity);
            assert_eq!(refusal.field, Some(format!("settings.{name}")));
        }
    }
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM region_probes").await, 0, "no worker hears of it");
}

#[tokio::test]
async fn two_regions_on_one_cluster_give_numbers_of_their_own() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    connect(store, &key, &stage.operator, &NewRegion { pools: addresses(2, 199), ..demo() }).await.unwrap();
    let twin = NewRegion { slug: "twin".to_owned(), pools: addresses(200, 254), ..demo() };
    let refused = connect(store, &key, &stage.operator, &twin).await;
    let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.field.as_deref(), Some("settings.guest_numbers"));
    assert!(refusal.message.contains("Region `demo`"), "{}", refusal.message);
    connect(store, &key, &stage.operator, &NewRegion { settings: apart(), ..twin.clone() }).await.unwrap();
    let secret = Some("swordfish".to_owned());
    let back = RegionEdit { settings: Some(json!({ "entries": ["https://pve1:8006"] })), ..RegionEdit::default() };
    let twin = RegionSlug::from("twin");
    assert_eq!(code(edit(store, &key, &stage.operator, &twin, &back).await), Code::UnprocessableEntity);
    let settings = Some(json!({ "entries": ["https://pve9:8006"] }));
    let elsewhere = RegionEdit { settings, secret, ..RegionEdit::default() };
    edit(store, &key, &stage.operator, &twin, &elsewhere).await.unwrap();
}

/// Settings of a second region on the cluster of the first.
fn apart() -> serde_json::Value {
    json!({ "entries": ["https://pve1:8006"], "guest_numbers": [200_000, 299_999], "template_numbers": [80_000, 89_999] })
}

/// A pool on the operator's bridge that gives a part of one network.
fn addresses(first: u8, last: u8) -> Vec<model::catalogue::Pool> {
    let pool = json!({ "name": "public", "kind": "public_bridged", "range": "203.0.113.0/24", "gateway": "203.0.113.1",
                       "first": format!("203.0.113.{first}"), "last": format!("203.0.113.{last}") });
    vec![serde_json::from_value(pool).unwrap()]
}

#[tokio::test]
async fn addresses_that_two_regions_give_are_told_and_on_one_bridge_refused() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    let first = connect(store, &key, &stage.operator, &NewRegion { pools: addresses(2, 99), ..demo() }).await.unwrap();
    assert_eq!(first.warnings, Vec::<String>::new());
    let settings = json!({ "entries": ["https://pve9:8006"] });
    let site = NewRegion { slug: "site".to_owned(), settings, pools: addresses(90, 254), ..demo() };
    let told = connect(store, &key, &stage.operator, &site).await.unwrap().warnings;
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["203.0.113.90 to 203.0.113.99", "pool `public` of region `demo`"] {
        assert!(told[0].contains(part), "{part} is not in {told:?}");
    }
    let change = RegionEdit { name: Some("Demo".to_owned()), ..RegionEdit::default() };
    let edited = edit(store, &key, &stage.operator, &slug(), &change).await.unwrap();
    assert!(edited.warnings.len() == 1 && edited.warnings[0].contains("region `site`"), "{:?}", edited.warnings);

    let twin = NewRegion { slug: "twin".to_owned(), settings: apart(), pools: addresses(50, 60), ..demo() };
    let refused = connect(store, &key, &stage.operator, &twin).await;
    let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
    assert_eq!(refusal.field.as_deref(), Some("pools"));
    assert!(refusal.message.contains("region `demo`"), "{}", refusal.message);
    let mut other_vlan = apart();
    other_vlan["bridges"] = json!({ "public": { "name": "vmbr0", "vlan": 7 } });
    let told =
        connect(store, &key, &stage.operator, &NewRegion { settings: other_vlan, ..twin }).await.unwrap().warnings;
    assert_eq!(told.len(), 1, "another network, as far as anybody knows: {told:?}");
}

/// Whoever may change a region must not learn its secret by that.
#[tokio::test]
async fn a_stored_secret_goes_to_nobody_else_than_it_was_given_for() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    let pinned = NewRegion { fingerprints: vec!["AB:CD".to_owned()], ..demo() };
    connect(store, &key, &stage.operator, &pinned).await.unwrap();
    let nothing = RegionEdit::default();
    let elsewhere = |entries: serde_json::Value| Some(json!({ "entries": entries }));
    for change in [
        RegionEdit { settings: elsewhere(json!(["https://mine:8006"])), ..nothing.clone() },
        RegionEdit { settings: elsewhere(json!(["https://pve1:8006", "https://mine:8006"])), ..nothing.clone() },
        RegionEdit { fingerprints: Some(vec!["EF:01".to_owned()]), ..nothing.clone() },
        RegionEdit { fingerprints: Some(Vec::new()), ..nothing.clone() },
        RegionEdit {
            settings: Some(json!({ "entries": ["https://pve1:8006"], "fingerprints": ["EF:01"] })),
            ..nothing.clone()
        },
    ] {
        let refused = edit(store, &key, &stage.operator, &slug(), &change).await;
        let Err(cloud::Error::Refused(refusal)) = refused else { panic!("{refused:?}") };
        assert_eq!(refusal.field.as_deref(), Some("secret"));
        assert!(refusal.message.contains("Send `secret` again"), "{}", refusal.message);
        let again = RegionEdit { secret: Some("swordfish".to_owned()), ..change };
        edit(store, &key, &stage.operator, &slug(), &again).await.unwrap();
        let back = RegionEdit {
            settings: elsewhere(json!(["https://pve1:8006"])),
            fingerprints: Some(vec!["AB:CD".to_owned()]),
            secret: Some("swordfish".to_owned()),
            ..nothing.clone()
        };
        edit(store, &key, &stage.operator, &slug(), &back).await.unwrap();
    }
    // What does not say where it goes may change, however the address is written.
    let settings = Some(json!({ "entries": ["https://PVE1:8006/"], "storage": "ceph" }));
    let same = RegionEdit { settings, fingerprints: Some(vec!["abcd".to_owned()]), ..nothing };
    edit(store, &key, &stage.operator, &slug(), &same).await.unwrap();
}

#[tokio::test]
async fn a_regions_policy_is_changed_part_by_part() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store(), Key::generate());
    connect(store, &key, &stage.operator, &demo()).await.unwrap();
    let heal = Healing { what: Heal::Power, per_hour: 5 };
    let change = RegionEdit { heal: Some(heal), ..RegionEdit::default() };
    let edited = edit(store, &key, &stage.operator, &slug(), &change).await.unwrap().region;
    assert_eq!(edited.policy["heal"], json!({ "what": "power", "per_hour": 5 }));
    assert_eq!(edited.policy["overcommit"]["vcpus_percent"], 400, "what is not said stays");
    assert_eq!(edited.revision, 1, "nobody connects anew for it");
    let placement = model::catalogue::Placing {
        preference: model::placement::Preference::Pack,
        ..model::catalogue::Placing::default()
    };
    let change = RegionEdit { placement: Some(placement), ..RegionEdit::default() };
    let edited = edit(store, &key, &stage.operator, &slug(), &change).await.unwrap().region;
    assert_eq!(
        (&edited.policy["placement"]["preference"], &edited.policy["heal"]["what"]),
        (&json!("pack"), &json!("power"))
    );
}

#[tokio::test]
async fn a_region_with_servers_stays() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    stage.run("UPDATE regions SET origin = 'operator'").await;
    let local = RegionSlug::from("local");
    assert_eq!(code(remove(stage.store(), &stage.operator, &local).await), Code::InUse);
    stage.destroy(server).await;
    stage.settle().await;
    remove(stage.store(), &stage.operator, &local).await.unwrap();
}

#[tokio::test]
async fn a_connection_is_tried_out_by_a_worker() {
    let stage = Stage::set().await;
    let (store, key) = (stage.store().clone(), Key::generate());
    let stop = CancellationToken::new();
    let engine = workflow::Engine::new(
        store.clone(),
        cloud::registry().unwrap(),
        stage.site.clone(),
        workflow::Options::default(),
    );
    let ending = stop.clone();
    let worker = tokio::spawn(async move { engine.run(ending).await });
    let secret = Some("swordfish".to_owned());
    let probe = Probe { provider: "crowd".to_owned(), settings: json!({}), secret, fingerprints: Vec::new() };
    let tested = test(&store, &key, &stage.operator, &probe).await.unwrap();
    assert_eq!((tested.findings[0].severity.as_str(), tested.findings[0].subject.as_str()), ("error", "bridge vmbr7"));
    assert_eq!(tested.offers.unwrap()["version"], "Crowd 1", "and what there is to choose from");
    let unknown = Probe { provider: "nothing".to_owned(), ..probe };
    let tested = test(&store, &key, &stage.operator, &unknown).await.unwrap();
    assert_eq!(tested.findings[0].subject, "connection");
    assert!(tested.findings[0].sentence.contains("nothing"));
    connect(&store, &key, &stage.operator, &demo()).await.unwrap();
    let tested = test_saved(&store, &stage.operator, &slug()).await.unwrap();
    assert_eq!(tested.findings.len(), 1);
    let settings = json!({ "entries": ["https://pve9:8006"] });
    connect(&store, &key, &stage.operator, &NewRegion { slug: "site".to_owned(), settings, ..demo() }).await.unwrap();
    let tested = test_saved(&store, &stage.operator, &slug()).await.unwrap();
    let told = tested.findings.iter().find(|finding| finding.subject == "pools").unwrap();
    assert!(told.severity == "warning" && told.sentence.contains("region `site`"), "{told:?}");
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM region_probes WHERE secret IS NOT NULL").await, 0, "not kept");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(10), worker).await.unwrap().unwrap();
}

#[tokio::test]
async fn tenants_see_nothing_of_what_is_operators() {
    let stage = Stage::set().await;
    for table in [
        "region_connections",
        "region_probes",
        "guest_numbers",
        "storages",
        "strangers",
        "region_images",
        "server_migrations",
        "alerts",
    ] {
        let mut tx = stage.store().tenant(stage.team()).await.unwrap();
        let looked = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT * FROM {table}"))).fetch_all(&mut *tx).await;
        let refused = looked.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().as_deref(), Some("42501"), "{table}");
    }
}
