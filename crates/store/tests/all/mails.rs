//! Mails that are over say nothing any more.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use store::Store;
use store::mails::{self, Fate, Mail};
use store::testing;

const LEASE: Duration = Duration::from_secs(60);

async fn bodies(store: &Store) -> Vec<String> {
    sqlx::query_scalar("SELECT body FROM mails ORDER BY id").fetch_all(store.pool()).await.unwrap()
}

#[tokio::test]
async fn the_text_is_erased_once_a_mail_is_over() {
    let database = testing::database().await;
    let store = database.store();
    let mut tx = store.begin().await.unwrap();
    for to in ["sent@example.org", "given-up@example.org", "again@example.org", "old@example.org"] {
        let mail = Mail { to: to.to_owned(), subject: "An invitation".to_owned(), text: "s3cret".to_owned() };
        mails::enqueue(&mut tx, &mail).await.unwrap();
    }
    tx.commit().await.unwrap();
    let now = Timestamp::now();
    let taken = mails::take(store, now, LEASE, 3).await.unwrap();
    assert_eq!(taken.len(), 3);
    mails::end(store, &taken[0], &Fate::Sent).await.unwrap();
    mails::end(store, &taken[1], &Fate::GivenUp { error: "nobody" }).await.unwrap();
    let later = now + SignedDuration::from_secs(30);
    mails::end(store, &taken[2], &Fate::Again { at: later, error: "busy" }).await.unwrap();
    assert_eq!(bodies(store).await, ["", "", "s3cret", "s3cret"]);
    assert_eq!(mails::give_up(store, now + SignedDuration::from_hours(1)).await.unwrap(), 2);
    assert_eq!(bodies(store).await, ["", "", "", ""]);
    assert_eq!(mails::forget(store, now + SignedDuration::from_hours(1), 10).await.unwrap(), 4);
}

#[tokio::test]
async fn who_was_too_slow_has_no_say() {
    let database = testing::database().await;
    let store = database.store();
    let mut tx = store.begin().await.unwrap();
    let mail = Mail { to: "a@example.org".to_owned(), subject: "x".to_owned(), text: "x".to_owned() };
    mails::enqueue(&mut tx, &mail).await.unwrap();
    tx.commit().await.unwrap();
    let now = Timestamp::now();
    let slow = mails::take(store, now, LEASE, 1).await.unwrap().remove(0);
    assert!(mails::take(store, now, LEASE, 1).await.unwrap().is_empty(), "somebody has it");
    let other = mails::take(store, now + SignedDuration::from_secs(61), LEASE, 1).await.unwrap().remove(0);
    mails::end(store, &slow, &Fate::GivenUp { error: "too late" }).await.unwrap();
    assert_eq!(mails::waiting(store).await.unwrap().count, 1);
    mails::end(store, &other, &Fate::Sent).await.unwrap();
    assert_eq!(mails::waiting(store).await.unwrap().count, 0);
}
