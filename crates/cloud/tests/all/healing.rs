//! What the observer puts right, what it leaves alone, and when it stops. Time is the test's.

use crate::stage::{REGION, Stage};
use jiff::{SignedDuration, Timestamp};
use model::ids::{RegionSlug, ServerId};
use provider::{GuestPower, Resources};

/// Minutes after the beginning.
fn at(minutes: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minutes)
}

struct Patient {
    stage: Stage,
    server: ServerId,
    number: String,
}

impl Patient {
    async fn under(rule: &str) -> Self {
        let stage = Stage::set().await;
        stage.run(&format!("UPDATE regions SET settings = settings || '{{\"heal\": {rule}}}'")).await;
        let server = stage.server("web").await;
        let number = stage.number(server).await;
        Self { stage, server, number }
    }

    /// Looks at that minute, and carries out what was begun; how much that was.
    async fn look(&self, minutes: i64) -> usize {
        let region = RegionSlug::from(REGION);
        let scan = cloud::server::observe::region_at(&self.stage.site, &region, at(minutes)).await.unwrap();
        self.stage.settle().await;
        scan.healed
    }

    fn stop(&self) {
        self.stage.crowd.state().guests.get_mut(&self.number).unwrap().power = GuestPower::Stopped;
    }

    fn edit(&self, memory_mib: u32) {
        self.stage.crowd.state().guests.get_mut(&self.number).unwrap().resources.memory_mib = memory_mib;
    }

    fn has(&self) -> (GuestPower, Resources) {
        let guest = &self.stage.crowd.state().guests[&self.number];
        (guest.power, guest.resources)
    }

    async fn alerts(&self) -> Vec<String> {
        self.stage.alerts().await.into_iter().map(|(kind, _)| kind).collect()
    }

    async fn actions(&self) -> Vec<(String, bool)> {
        let server = self.server;
        self.stage
            .all(&format!(
                "SELECT kind, completed_at IS NOT NULL FROM actions WHERE resource_id = {server} ORDER BY id"
            ))
            .await
    }
}

#[tokio::test]
async fn nothing_is_put_right_unless_the_region_says_so() {
    let patient = Patient::under("{}").await;
    patient.stop();
    assert_eq!(patient.look(0).await, 0);
    assert_eq!(patient.has().0, GuestPower::Stopped);
    assert_eq!(patient.actions().await.len(), 1, "the create, and nothing else");
}

#[tokio::test]
async fn a_server_that_should_run_is_started_and_one_that_should_not_is_left() {
    let patient = Patient::under(r#"{"what": "power"}"#).await;
    patient.stop();
    assert_eq!(patient.look(0).await, 1);
    assert_eq!(patient.has().0, GuestPower::Running);
    assert_eq!(patient.look(1).await, 0, "what is well is left alone");
    assert_eq!(patient.alerts().await, ["guest_healed"]);
    assert_eq!(patient.actions().await[1..], [("power_on".to_owned(), true)]);
    let audited: i64 = patient.stage.one("SELECT count(*) FROM operator_audit WHERE operation = 'server.heal'").await;
    assert_eq!(audited, 1);

    let off = cloud::server::wishes::Wish::PowerOff;
    cloud::server::wishes::ask(patient.stage.store(), &patient.stage.caller, patient.server, &off).await.unwrap();
    patient.stage.settle().await;
    assert_eq!(patient.look(2).await, 0, "its tenant switched it off");
    assert_eq!(patient.has().0, GuestPower::Stopped);
}

#[tokio::test]
async fn what_keeps_stopping_is_given_up_for_an_hour() {
    let patient = Patient::under(r#"{"what": "power", "per_hour": 2}"#).await;
    for minute in [0, 10] {
        patient.stop();
        assert_eq!(patient.look(minute).await, 1);
    }
    patient.stop();
    assert_eq!(patient.look(20).await, 0);
    assert_eq!(patient.look(59).await, 0);
    assert_eq!(patient.has().0, GuestPower::Stopped);
    assert!(patient.alerts().await.contains(&"heal_given_up".to_owned()));
    assert_eq!(patient.look(61).await, 1, "the first of the two is more than an hour ago");
    assert_eq!(patient.look(62).await, 0);
    assert_eq!(patient.alerts().await, ["guest_healed"]);
}

#[tokio::test]
async fn a_changed_guest_is_put_right_when_it_stands_still() {
    let patient = Patient::under(r#"{"what": "all"}"#).await;
    let whole = patient.has().1;
    patient.edit(1);
    assert_eq!(patient.look(0).await, 0, "a running guest is not stopped for it");
    assert_eq!(patient.alerts().await, ["guest_edited"]);
    let told: String = patient.stage.one("SELECT message FROM alerts WHERE kind = 'guest_edited'").await;
    assert!(told.ends_with("it is put right when it is next stopped"), "{told}");
    patient.stop();
    assert_eq!(patient.look(1).await, 1);
    assert_eq!(patient.has(), (GuestPower::Stopped, whole));
    assert_eq!(patient.look(2).await, 1, "and then started");
    assert_eq!(patient.has(), (GuestPower::Running, whole));
    let kinds: Vec<String> = patient.actions().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["create", "mend", "power_on"]);
    assert_eq!(patient.look(3).await, 0);
    assert_eq!(patient.alerts().await, ["guest_healed"]);
}

#[tokio::test]
async fn power_alone_leaves_a_changed_guest_changed() {
    let patient = Patient::under(r#"{"what": "power"}"#).await;
    patient.edit(1);
    patient.stop();
    assert_eq!(patient.look(0).await, 1);
    assert_eq!((patient.has().0, patient.has().1.memory_mib), (GuestPower::Running, 1));
}

#[tokio::test]
async fn what_was_deleted_is_told_and_never_made_again() {
    let patient = Patient::under(r#"{"what": "all"}"#).await;
    patient.stage.crowd.state().guests.clear();
    for minute in 0..3 {
        assert_eq!(patient.look(minute).await, 0);
    }
    assert!(patient.stage.crowd.state().guests.is_empty());
    assert_eq!(patient.alerts().await, ["guest_lost"]);
}

#[tokio::test]
async fn nothing_is_put_right_on_a_host_that_does_not_answer_or_while_something_else_goes_on() {
    let patient = Patient::under(r#"{"what": "power"}"#).await;
    let host = patient.stage.host(patient.server).await;
    patient.stop();
    patient.stage.crowd.state().offline = vec![host];
    assert_eq!(patient.look(0).await, 0);
    patient.stage.crowd.state().offline.clear();
    let pending = "INSERT INTO actions (team_id, workflow_id, kind, resource_type, resource_id)
                   SELECT team_id, gen_random_uuid(), 'snapshot', 'droplet', id FROM servers";
    patient.stage.run(pending).await;
    assert_eq!(patient.look(1).await, 0);
    patient.stage.run("UPDATE actions SET completed_at = now() WHERE completed_at IS NULL").await;
    assert_eq!(patient.look(2).await, 1);
}
