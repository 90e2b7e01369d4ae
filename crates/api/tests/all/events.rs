use crate::service::{Service, options};
use api::Options;
use axum::body::{Body, BodyDataStream};
use axum::http::{Request, header};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::Duration;
use tower::ServiceExt;

struct Stream {
    chunks: BodyDataStream,
    text: String,
}

impl Stream {
    async fn open(service: &Service, token: &str, query: &str, last: Option<&str>) -> Self {
        let mut request =
            Request::get(format!("/cloud/v1/events{query}")).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = service.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()[header::CONTENT_TYPE], "text/event-stream");
        Self { chunks: response.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event: its id line and its data. `None`: the stream ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = field("id: ").zip(field("data: "));
                self.text = rest.to_owned();
                if let Some((id, data)) = found {
                    return Some((id, serde_json::from_str(&data).unwrap()));
                }
                continue;
            }
            let chunk =
                tokio::time::timeout(Duration::from_secs(10), self.chunks.next()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&chunk?.unwrap()).unwrap());
        }
    }

    async fn name(&mut self) -> String {
        self.next().await.unwrap().1["urn"].as_str().unwrap().to_owned()
    }
}

async fn tag(service: &Service, name: &str) {
    service.post("/v2/tags", &json!({"name": name})).await.expect(201);
}

#[tokio::test]
async fn events_come_as_they_happen_to_their_own_team() {
    let service = Service::start().await;
    tag(&service, "before").await;
    let mut ours = Stream::open(&service, &service.ours.token, "", None).await;
    let mut theirs = Stream::open(&service, &service.theirs.token, "?after=0", None).await;
    tag(&service, "one").await;
    let (id, event) = ours.next().await.unwrap();
    assert_eq!((event["type"].as_str(), event["urn"].as_str()), (Some("tag.create"), Some("do:tag:one")));
    assert_eq!(event["id"].to_string(), id);
    service.call("POST", "/v2/tags", &service.theirs.token, "{\"name\":\"theirs\"}").await.expect(201);
    assert_eq!(theirs.name().await, "do:tag:theirs", "and nothing of ours before it");
}

#[tokio::test]
async fn a_broken_stream_goes_on_where_it_was() {
    let service = Service::start().await;
    tag(&service, "one").await;
    let mut stream = Stream::open(&service, &service.ours.token, "?after=0", None).await;
    let (id, _) = stream.next().await.unwrap();
    drop(stream);
    // More than one batch.
    for nth in 0..130 {
        tag(&service, &format!("t{nth}")).await;
    }
    let mut stream = Stream::open(&service, &service.ours.token, "?after=99", Some(&id)).await;
    for nth in 0..130 {
        assert_eq!(stream.name().await, format!("do:tag:t{nth}"));
    }
    let wrong = Request::get("/cloud/v1/events")
        .header(header::AUTHORIZATION, format!("Bearer {}", service.ours.token))
        .header("last-event-id", "x");
    service.send(wrong.body(Body::empty()).unwrap()).await.refused(422, "Last-Event-ID");
}

/// An event that was written earlier but committed later must not be passed over.
#[tokio::test]
async fn what_commits_late_is_not_missed() {
    let service = Service::start().await;
    let store = service.database.store();
    let mut stream = Stream::open(&service, &service.ours.token, "?after=0", None).await;
    let mut slow = store.tenant(service.ours.team).await.unwrap();
    store::events::append(&mut slow, service.ours.team, "test", "slow", &json!({})).await.unwrap();
    tag(&service, "quick").await;
    assert_eq!(stream.name().await, "do:tag:quick");
    slow.commit().await.unwrap();
    assert_eq!(stream.name().await, "slow");
    let none: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events WHERE id IS NULL").fetch_one(store.pool()).await.unwrap();
    assert_eq!(none, 0);
}

#[tokio::test]
async fn streams_are_bounded_and_end_with_the_process() {
    let service = Service::with(Options { streams_per_team: 2, ..options() }).await;
    let one = Stream::open(&service, &service.ours.token, "", None).await;
    let _two = Stream::open(&service, &service.ours.token, "", None).await;
    service.get("/cloud/v1/events").await.refused(429, "open already");
    drop(one);
    let _three = Stream::open(&service, &service.ours.token, "", None).await;
    let _theirs = Stream::open(&service, &service.theirs.token, "", None).await;

    let options = options();
    let stop = options.stop.clone();
    let service = Service::with(options).await;
    let mut stream = Stream::open(&service, &service.ours.token, "", None).await;
    stop.cancel();
    assert!(stream.next().await.is_none());
}
