//! What no client should send, and what it gets for it: never a 5xx, never a text that is not ours.

use crate::service::Service;
use axum::body::Body;
use axum::http::{Request, header};
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn paths_that_are_not() {
    let service = Service::start().await;
    let long = format!("/v2/account/keys/{}", "1".repeat(60_000));
    for path in [
        "/",
        "/v2",
        "/v2/",
        "/v2/nothing",
        "/v2/account/",
        "/v2/account/keys/",
        "/v2/tags/",
        "/v2/account/keys/2147483648",
        "/v2/account/keys/9223372036854775808",
        "/v2/account/keys/-1",
        "/v2/account/keys/+1",
        "/v2/account/keys/0",
        "/v2/account/keys/%00",
        "/v2/account/keys/%ff",
        "/v2/tags/%00",
        "/v2/tags/%F0%9F%A6%80",
        "/v2/account/keys/1%2F2",
        "/V2/account",
        long.as_str(),
    ] {
        let answer = service.get(path).await;
        assert_eq!(answer.status, 404, "{path} {:?}", answer.body);
        assert_eq!(answer.body["id"], "not_found", "{path}");
        assert_eq!(answer.headers[header::CONTENT_TYPE], "application/json", "{path}");
    }
}

#[tokio::test]
async fn methods_that_are_not() {
    let service = Service::start().await;
    for (method, path) in [
        ("POST", "/v2/account"),
        ("PATCH", "/v2/tags"),
        ("BREW", "/v2/tags"),
        ("TRACE", "/v2/account"),
        ("GET", "/v2/tags//resources"),
    ] {
        let answer = service.call(method, path, &service.ours.token, Body::empty()).await;
        assert_eq!(answer.status, 405, "{method} {path} {:?}", answer.body);
        assert_eq!(answer.body["id"], "method_not_allowed");
        assert!(answer.headers.contains_key(header::ALLOW));
    }
    let head = service.call("HEAD", "/v2/account", &service.ours.token, Body::empty()).await;
    assert_eq!(head.status, 200);
    let head = service.call("HEAD", "/v2/account", &service.token(&["tag:read"]).await, Body::empty()).await;
    assert_eq!(head.status, 403, "a HEAD needs what the GET needs");
}

#[tokio::test]
async fn pages_that_are_not() {
    let service = Service::start().await;
    for (query, field) in [
        ("page=0", "page"),
        ("page=-1", "page"),
        ("page=x", "page"),
        ("page=1.5", "page"),
        ("page=", "page"),
        ("per_page=0", "per_page"),
        ("per_page=201", "per_page"),
        ("per_page=1e2", "per_page"),
        ("page=1&page=2", "page"),
        ("page=%00", "U+0000"),
        ("per_page=%ff", "per_page"),
    ] {
        for list in ["/v2/account/keys", "/v2/tags", "/v2/regions", "/v2/sizes"] {
            service.get(&format!("{list}?{query}")).await.refused(422, field);
        }
    }
    for page in ["2", "4294967295", "99999999999999999999999"] {
        let answer = service.get(&format!("/v2/tags?page={page}&per_page=200&unknown=%ff")).await.expect(200);
        assert_eq!((answer.body["tags"].clone(), answer.body["meta"]["total"].clone()), (json!([]), json!(0)));
        assert_eq!(answer.body["links"]["pages"].get("next"), None);
    }
}

#[tokio::test]
async fn bodies_that_are_not() {
    let service = Service::start().await;
    let deep = format!("{{\"name\":{}", "[".repeat(500_000));
    for body in [&b"{"[..], b"{\"name\":\"\xff\"}", b"\xef\xbb\xbf{}", b"{}x", b"{\"name\":1e999}", deep.as_bytes()] {
        // The specification gives this one operation another shape for 400, of which our envelope is none.
        let answer = service.call("POST", "/v2/account/keys", &service.ours.token, body.to_vec()).await.expect(400);
        assert_eq!(answer.body["id"], "bad_request");
    }
    for (body, words) in [
        ("", "name"),
        ("{}", "name"),
        ("[]", "object"),
        ("null", "object"),
        ("\"x\"", "object"),
        ("{\"name\":5,\"public_key\":\"\"}", "name: invalid type"),
        ("{\"name\":null,\"public_key\":\"\"}", "name"),
        ("{\"name\":\"a\\u0000b\",\"public_key\":\"x\"}", "U+0000"),
        ("{\"name\":\"\",\"public_key\":\"x\"}", "name"),
        ("{\"name\":\"a\",\"public_key\":{}}", "public_key: invalid type"),
    ] {
        service.call("POST", "/v2/account/keys", &service.ours.token, body).await.refused(422, words);
    }
}

#[tokio::test]
async fn unknown_and_repeated_fields_are_ignored_whatever_the_content_type() {
    let service = Service::start().await;
    let mut fields: serde_json::Map<_, _> = (0..10_000).map(|n| (format!("unknown{n}"), json!([n]))).collect();
    fields.insert("name".to_owned(), json!("many"));
    service.post("/v2/tags", &serde_json::Value::Object(fields)).await.expect(201);
    let answer =
        service.call("POST", "/v2/tags", &service.ours.token, "{\"name\":\"one\",\"name\":\"two\"}").await.expect(201);
    assert_eq!(answer.body["tag"]["name"], "two");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "x", "application/json; charset=latin-1"] {
        let request = Request::post("/v2/tags")
            .header(header::AUTHORIZATION, format!("Bearer {}", service.ours.token))
            .header(header::CONTENT_TYPE, kind)
            .body("{\"name\":\"two\"}".into())
            .unwrap();
        service.send(request).await.expect(201);
    }
}

#[tokio::test]
async fn a_body_of_ten_megabytes_is_refused() {
    let service = Service::start().await;
    let large = format!("{{\"name\":\"{}\"}}", "a".repeat(10_000_000));
    let answer = service.call("POST", "/v2/tags", &service.ours.token, large.clone()).await.expect(413);
    assert_eq!(answer.body["id"], "payload_too_large");
    // Without a length, in chunks.
    let chunks = futures_util::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100_000])));
    service.call("POST", "/v2/tags", &service.ours.token, Body::from_stream(chunks)).await.expect(413);
    // Just at the bound.
    let most = format!("{{\"name\":\"{}\"}}", "a".repeat(1024 * 1024 - 11));
    service.call("POST", "/v2/tags", &service.ours.token, most).await.refused(422, "name");
}

/// Over a real connection: the answer comes while the body is still on its way.
#[tokio::test]
async fn an_announced_large_body_is_refused_before_it_comes() {
    let service = Service::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = service.router.clone();
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v2/tags HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 10000000\r\n\r\n",
        service.ours.token
    );
    let began = Instant::now();
    client.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), client.read_to_end(&mut answer)).await;
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 413"), "{text}");
    assert!(text.contains("payload_too_large"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(5), "it waited for the body");
    server.abort();
}

#[tokio::test]
async fn health_is_for_everybody() {
    let service = Service::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = service.call("GET", path, "", Body::empty()).await.expect(200);
        assert_eq!(answer.body["status"], "ok");
    }
    service.call("GET", "/metrics", "", Body::empty()).await.expect(401);
    let narrow = service.operator_token(&["region:read"]).await;
    service.call("GET", "/metrics", &narrow, Body::empty()).await.refused(403, "metrics:read");
    let scrapes = service.operator_token(&["metrics:read"]).await;
    service.call("GET", "/metrics", &scrapes, Body::empty()).await.expect(404);
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (9999, 'from the future', true, '', 0)",
    )
    .execute(service.database.store().pool())
    .await
    .unwrap();
    let response =
        tower::ServiceExt::oneshot(service.router.clone(), Request::get("/readyz").body(Body::empty()).unwrap());
    assert_eq!(response.await.unwrap().status(), 503);
}
