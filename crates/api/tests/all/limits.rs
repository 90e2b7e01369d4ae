use crate::service::{Service, options};
use api::{Limits, Options};
use axum::body::Body;
use axum::http::header;

fn number(answer: &crate::service::Answer, name: &str) -> u64 {
    answer.headers[name].to_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_token_has_so_many_requests_and_is_told_how_many_are_left() {
    let limits = Limits { per_hour: 10, per_minute: 0 };
    let service = Service::with(Options { limits, ..options() }).await;
    let mut left = Vec::new();
    for _ in 0..10 {
        let answer = service.get("/v2/account").await.expect(200);
        assert_eq!(number(&answer, "ratelimit-limit"), 10);
        assert!(number(&answer, "ratelimit-reset") > 1_700_000_000);
        left.push(number(&answer, "ratelimit-remaining"));
    }
    assert_eq!(left, (0..10).rev().collect::<Vec<_>>());
    let refused = service.get("/v2/account").await.refused(429, "try again in");
    assert_eq!(refused.body["id"], "too_many_requests");
    assert!((1..=7200).contains(&number(&refused, header::RETRY_AFTER.as_str())));
    // Each token has its own, and what needs none is not counted.
    service.call("GET", "/v2/account", &service.theirs.token, Body::empty()).await.expect(200);
    service.call("GET", "/healthz", &service.ours.token, Body::empty()).await.expect(200);
}

#[tokio::test]
async fn a_burst_is_bounded_by_the_minute() {
    let limits = Limits { per_hour: 5000, per_minute: 5 };
    let service = Service::with(Options { limits, ..options() }).await;
    // The border of two minutes may fall into the burst, and lets a few more through.
    let mut refused = None;
    for _ in 0..15 {
        let answer = service.get("/v2/account").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("fifteen requests within two minutes");
    assert!((1..=120).contains(&number(&refused, header::RETRY_AFTER.as_str())));
    assert!(number(&refused, "ratelimit-remaining") > 4900);
}
