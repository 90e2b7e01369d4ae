//! What the observer finds, tells and takes back.

use crate::crowd::{sighting, stranger};
use crate::stage::{REGION, Stage};
use cloud::server::wishes::{Wish, ask};
use model::ids::{RegionSlug, ServerId};
use provider::{GuestPower, Mark, Provider as _, StorageSeen};

fn told(kind: &str, severity: &str) -> (String, String) {
    (kind.to_owned(), severity.to_owned())
}

#[tokio::test]
async fn nothing_new_is_one_statement_and_no_event() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    stage.look().await;
    let events = stage.one::<i64>("SELECT count(*) FROM events").await;
    let before: i64 = stage.one("SELECT seen_generation FROM servers").await;
    let scan = stage.look().await;
    assert_eq!((scan.guests, scan.changed, scan.missing, scan.moved), (1, 0, 0, 0));
    assert_eq!(stage.one::<i64>("SELECT count(*) FROM events").await, events);
    assert!(stage.one::<i64>("SELECT seen_generation FROM servers").await > before);
    assert!(stage.alerts().await.is_empty(), "{server}");
}

#[tokio::test]
async fn a_guest_that_was_moved_is_followed() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let number = stage.number(server).await;
    let there = if stage.host(server).await == "pve1" { "pve2" } else { "pve1" };
    stage.crowd.state().guests.get_mut(&number).unwrap().guest.host = there.to_owned();
    assert_eq!(stage.look().await.moved, 1);
    assert_eq!(stage.host(server).await, there);
    assert_eq!(stage.held(server).await, [("home".to_owned(), there.to_owned())]);
    assert_eq!(stage.alerts().await, [told("guest_moved", "info")]);
    assert_eq!(stage.look().await.moved, 0);

    let (alerts, _) = store::alerts::list(stage.store(), store::alerts::Which::Open, 10, 0).await.unwrap();
    let known = cloud::alert::acknowledge(stage.store(), &stage.operator, alerts[0].id).await.unwrap();
    assert!(known.acknowledged_at.is_some() && known.resolved_at.is_some(), "what is only good to know is closed");
}

#[tokio::test]
async fn what_was_edited_lost_or_stopped_is_told_and_taken_back() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let number = stage.number(server).await;
    let whole = stage.crowd.state().guests[&number].clone();
    stage.crowd.state().guests.get_mut(&number).unwrap().resources.memory_mib = 1;
    stage.look().await;
    assert_eq!(stage.alerts().await, [told("guest_edited", "warning")]);
    stage.crowd.state().guests.remove(&number);
    assert_eq!(stage.look().await.missing, 1);
    assert_eq!(stage.alerts().await, [told("guest_lost", "error")]);
    stage.crowd.state().guests.insert(number.clone(), whole);
    stage.look().await;
    assert!(stage.alerts().await.is_empty());

    stage.crowd.state().guests.get_mut(&number).unwrap().power = GuestPower::Stopped;
    stage.look().await;
    assert!(stage.alerts().await.is_empty(), "a guest may stop by itself");
    stage.run("UPDATE regions SET settings = settings || '{\"watch\": {\"stopped\": true}}'").await;
    stage.look().await;
    assert_eq!(stage.alerts().await, [told("guest_stopped", "warning")]);
}

#[tokio::test]
async fn a_host_that_is_away_says_nothing_of_its_guests() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let host = stage.host(server).await;
    stage.crowd.state().offline = vec![host.clone()];
    assert_eq!(stage.look().await.missing, 0);
    assert_eq!(stage.alerts().await, [told("host_offline", "error")]);
    assert_eq!(stage.one::<String>(&format!("SELECT state FROM hosts WHERE name = '{host}'")).await, "gone");
    stage.crowd.state().offline.clear();
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
    assert_eq!(stage.one::<String>(&format!("SELECT state FROM hosts WHERE name = '{host}'")).await, "up");
}

#[tokio::test]
async fn a_server_that_went_down_with_its_host_is_told_until_it_runs() {
    let stage = Stage::set().await;
    let (fallen, switched_off) = (stage.server("web").await, stage.server("db").await);
    let numbers = [stage.number(fallen).await, stage.number(switched_off).await];
    ask(stage.store(), &stage.caller, switched_off, &Wish::PowerOff).await.unwrap();
    stage.settle().await;
    stage.look().await;
    let hosts = [stage.host(fallen).await, stage.host(switched_off).await];
    stage.crowd.state().offline = hosts.to_vec();
    stage.look().await;
    for number in &numbers {
        stage.crowd.state().guests.get_mut(number).unwrap().power = GuestPower::Stopped;
    }
    stage.crowd.state().offline.clear();
    stage.look().await;
    let told_of = async || -> Vec<(String, String)> {
        stage.all("SELECT kind, subject FROM alerts WHERE resolved_at IS NULL ORDER BY kind").await
    };
    let expected = ("stopped_with_host".to_owned(), format!("server:{fallen}"));
    assert_eq!(told_of().await, std::slice::from_ref(&expected), "one, of the server that ran");
    stage.look().await;
    assert_eq!(told_of().await, [expected], "also when it is no news any more");
    stage.crowd.state().guests.get_mut(&numbers[0]).unwrap().power = GuestPower::Running;
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
    // From inside, with its host there all the time: its own business.
    stage.crowd.state().guests.get_mut(&numbers[0]).unwrap().power = GuestPower::Stopped;
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
}

#[tokio::test]
async fn what_is_out_of_use_is_found_and_swept() {
    let stage = Stage::set().await;
    let region = RegionSlug::from(REGION);
    assert_eq!(stage.look().await.leftovers, 0);
    stage.crowd.state().leftovers = vec!["template 9000 on pve1, which is out of use".to_owned()];
    assert_eq!(stage.look().await.leftovers, 1);
    assert!(cloud::region::sweep(stage.store(), &region).await.unwrap());
    assert!(!cloud::region::sweep(stage.store(), &region).await.unwrap(), "it is begun already");
    stage.settle().await;
    assert_eq!(stage.look().await.leftovers, 0);
    assert!(cloud::region::sweep(stage.store(), &region).await.unwrap());
    stage.settle().await;
}

#[tokio::test]
async fn storages_and_strangers_are_written_down() {
    let stage = Stage::set().await;
    let storage = |used_bytes| StorageSeen {
        name: "fast".to_owned(),
        host: Some("pve1".to_owned()),
        technique: "zfspool".to_owned(),
        content: vec!["images".to_owned()],
        total_bytes: 100,
        used_bytes,
        online: true,
        used_for_guests: true,
    };
    stage.crowd.state().strangers.insert("7".to_owned(), stranger("7", "pve3"));
    for (used, full) in [(89, false), (91, true), (86, true), (84, false)] {
        stage.crowd.state().storages = vec![storage(used)];
        stage.look().await;
        assert_eq!(!stage.alerts().await.is_empty(), full, "{used} %");
    }
    let (storages, total) = store::storages::list(stage.store(), None, 10, 0).await.unwrap();
    assert_eq!((total, storages[0].used_bytes, storages[0].content.as_slice()), (1, 84, &["images".to_owned()][..]));
    let (strangers, _) = store::strangers::list(stage.store(), Some(&RegionSlug::from(REGION)), 10, 0).await.unwrap();
    assert_eq!((strangers[0].title.as_str(), strangers[0].memory_mib), ("legacy-7", 3000));
    stage.crowd.state().strangers.clear();
    stage.crowd.state().storages.clear();
    stage.look().await;
    assert_eq!(store::strangers::list(stage.store(), None, 10, 0).await.unwrap().1, 0);
    assert_eq!(store::storages::list(stage.store(), None, 10, 0).await.unwrap().1, 0);
}

#[tokio::test]
async fn a_stranger_on_our_number_and_a_guest_without_a_server_are_told() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    let number = stage.number(server).await;
    let whole = stage.crowd.state().guests.remove(&number).unwrap();
    stage.crowd.state().strangers.insert(number.clone(), stranger(&number, "pve1"));
    let mark = Mark { installation: stage.site.installation, server: ServerId(999_999) };
    stage.crowd.state().guests.insert("150".to_owned(), sighting(mark, "150", "pve1"));
    stage.look().await;
    let expected =
        [told("guest_without_server", "warning"), told("guest_lost", "error"), told("guest_number_taken", "error")];
    let mut alerts = stage.alerts().await;
    let mut expected = expected.to_vec();
    alerts.sort();
    expected.sort();
    assert_eq!(alerts, expected);
    stage.crowd.state().strangers.clear();
    stage.crowd.state().guests.remove("150");
    stage.crowd.state().guests.insert(number, whole);
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
    assert!(stage.crowd.state().deleted.is_empty(), "nothing was repaired");
}

#[tokio::test]
async fn a_region_that_is_away_is_told_after_a_while_and_taken_back() {
    let stage = Stage::set().await;
    stage.crowd.state().away = true;
    for told in [0, 0, 1, 1] {
        cloud::server::observe::region(&stage.site, &RegionSlug::from(REGION)).await.unwrap_err();
        assert_eq!(stage.alerts().await.len(), told);
    }
    let region = store::regions::get(stage.store(), &RegionSlug::from(REGION)).await.unwrap().unwrap();
    assert_eq!((region.state.as_str(), region.last_error.as_deref()), ("failed", Some("nobody answers")));
    stage.crowd.state().away = false;
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
}

#[tokio::test]
async fn a_backup_that_failed_is_told_until_the_next_one() {
    let stage = Stage::set().await;
    stage.server("web").await;
    let due = "UPDATE servers SET backups = true, backup_policy = '{\"plan\": \"daily\", \"hour\": 0}',
               backups_served_at = now() - interval '3 days'";
    for (refused, open) in [(true, 1), (false, 0)] {
        stage.run(due).await;
        stage.crowd.state().refuse_snapshots = refused;
        let now = jiff::Timestamp::now();
        let begun = cloud::server::backups::run_due(stage.store(), now).await.unwrap();
        assert_eq!(begun, 1);
        stage.settle().await;
        let alerts = stage.alerts().await;
        assert_eq!(alerts.len(), open, "{alerts:?}");
    }
}

#[tokio::test]
async fn what_images_are_at_hand_is_written_down() {
    let stage = Stage::set().await;
    let region = RegionSlug::from(REGION);
    let at_hand = async || {
        let (templates, total) = store::templates::list(stage.store(), Some(&region), 100, 0).await.unwrap();
        assert!(total > 1);
        templates.iter().filter(|template| template.at_hand).count()
    };
    assert_eq!(at_hand().await, 0);
    let seen = cloud::template::look(&stage.site, &region).await.unwrap();
    assert!(seen > 0);
    assert_eq!(at_hand().await, seen);
    stage.crowd.state().refuse_snapshots = true;
    cloud::template::look(&stage.site, &region).await.unwrap();
    assert_eq!(at_hand().await, 0);
    stage.crowd.state().refuse_snapshots = false;

    let image: i32 = stage.one("SELECT id FROM images WHERE slug = 'debian-12-x64'").await;
    let image = model::ids::ImageId(image);
    cloud::template::fetch(stage.store(), &stage.operator, &region, image).await.unwrap();
    stage.settle().await;
    assert_eq!(at_hand().await, 1);
}

#[tokio::test]
async fn a_list_that_lags_behind_is_not_believed() {
    let stage = Stage::set().await;
    let gone = stage.server("old").await;
    let moved = stage.server("web").await;
    let old = stage.crowd.inventory().await.unwrap();
    let wanted = cloud::migration::Migrate { server: moved, to: None };
    cloud::migration::start(stage.store(), &stage.operator, &wanted).await.unwrap();
    stage.destroy(gone).await;
    stage.settle().await;
    let made = stage.server("new").await;
    let there = stage.host(moved).await;
    stage.crowd.state().old_list = Some(old);
    let scan = stage.look().await;
    assert_eq!((scan.changed, scan.missing, scan.moved), (0, 0, 0), "{made} is there, {moved} has moved");
    assert_eq!(stage.host(moved).await, there);
    assert!(stage.alerts().await.is_empty());
}

#[tokio::test]
async fn what_is_wrong_with_a_region_as_a_whole_is_told_and_taken_back() {
    let stage = Stage::set().await;
    stage.server("web").await;
    stage.crowd.state().troubles = vec!["The cluster has no quorum.".to_owned()];
    stage.look().await;
    assert_eq!(stage.alerts().await, [told("region_impaired", "error")]);
    stage.crowd.state().troubles.clear();
    stage.look().await;
    assert!(stage.alerts().await.is_empty());
}

#[tokio::test]
async fn two_regions_that_take_numbers_from_one_range_are_told() {
    let stage = Stage::set().await;
    let server = stage.server("web").await;
    // The same cluster, seen by another region's provider.
    stage.run("INSERT INTO regions SELECT (jsonb_populate_record(r, '{\"slug\": \"twin\"}')).* FROM regions r").await;
    stage.run(&format!("UPDATE servers SET region = 'twin' WHERE id = {server}")).await;
    stage.look().await;
    assert_eq!(stage.alerts().await, [told("region_overlap", "error")]);
}
