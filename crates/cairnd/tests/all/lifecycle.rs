//! Starting, stopping, and everything that has to be the same afterwards.

use crate::daemon::Place;
use nix::sys::signal::Signal;
use reqwest::Version;

#[tokio::test]
async fn it_answers_over_http_and_https_and_keeps_its_secrets() {
    let place = Place::new();
    let _daemon = place.start().await;
    let client = place.client();

    let answer = client.get(place.url("/healthz")).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_11));
    for host in ["localhost", "127.0.0.1"] {
        let answer = client.get(place.secure_url(host, "/healthz")).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2), "{host}");
    }
    let stranger = reqwest::Client::builder().no_proxy().build().unwrap();
    assert!(
        stranger.get(place.secure_url("localhost", "/healthz")).send().await.is_err(),
        "nobody else vouches for it"
    );

    let token = place.read("token").trim().to_owned();
    let account = client.get(place.secure_url("localhost", "/v2/account")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(account.status(), 200);
    let operator = place.read("operator-token").trim().to_owned();
    let figures = client.get(place.url("/metrics")).bearer_auth(&operator).send().await.unwrap().text().await.unwrap();
    assert!(figures.contains("process_resident_memory_bytes"), "{figures}");

    assert_eq!((place.mode("token"), place.mode("ca.key"), place.mode("ca.pem")), (0o600, 0o600, 0o644));
    assert!(place.out().contains("export CAIRN_TOKEN=$(cat "), "{}", place.out());
    for text in [place.out(), place.log()] {
        assert!(!text.contains(&token), "the token was printed: {text}");
    }
}

#[tokio::test]
async fn a_worker_tells_its_figures_where_it_is_asked_to() {
    let place = Place::new();
    let _daemon = place.start().await;
    let (worker, at) = place.start_role("work").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let operator = place.read("operator-token").trim().to_owned();
    let get = async |path: &str, token: &str| {
        client.get(format!("http://{at}{path}")).bearer_auth(token).send().await.unwrap()
    };
    let figures = get("/metrics", &operator).await.text().await.unwrap();
    assert!(figures.contains("process_resident_memory_bytes"), "{figures}");
    assert_eq!(get("/metrics", place.read("token").trim()).await.status(), 401, "a team's token opens nothing here");
    for (path, token) in [("/v2/account", place.read("token").trim()), ("/admin/v1/whoami", &operator)] {
        assert_eq!(get(path, token).await.status(), 404, "{path}: it serves nothing else");
    }
    assert!(worker.end(Signal::SIGTERM).await.success());
}

#[tokio::test]
async fn a_restart_keeps_the_token_and_the_authority() {
    let place = Place::new();
    let daemon = place.start().await;
    let kept = ["token", "ca.pem", "ca.key"].map(|name| place.read(name));
    let status = daemon.end(Signal::SIGTERM).await;
    assert!(status.success(), "{status}; the log:\n{}", place.log());
    assert_eq!(place.processes(), Vec::<String>::new(), "processes were left behind");

    let daemon = place.start().await;
    assert_eq!(["token", "ca.pem", "ca.key"].map(|name| place.read(name)), kept);
    let account = place.client().get(place.secure_url("localhost", "/v2/account")).bearer_auth(kept[0].trim());
    assert_eq!(account.send().await.unwrap().status(), 200, "the token is still good");
    assert!(daemon.end(Signal::SIGINT).await.success());
}

#[tokio::test]
async fn after_a_kill_it_adopts_its_database() {
    let place = Place::new();
    let daemon = place.start().await;
    let postgres = place.postgres();
    daemon.end(Signal::SIGKILL).await;

    let daemon = place.start().await;
    assert_eq!(place.postgres(), postgres, "PostgreSQL was adopted");
    let token = place.read("token");
    let account = place.client().get(place.url("/v2/account")).bearer_auth(token.trim()).send().await.unwrap();
    assert_eq!(account.status(), 200);
    assert!(daemon.end(Signal::SIGTERM).await.success(), "{}", place.log());
    assert_eq!(place.processes(), Vec::<String>::new(), "processes were left behind");
}

#[tokio::test]
async fn a_held_connection_does_not_hold_up_the_end() {
    let place = Place::new();
    let daemon = place.start().await;
    let address = place.url("").replace("http://", "");
    let silent = tokio::net::TcpStream::connect(&address).await.unwrap();
    let started = std::time::Instant::now();
    assert!(daemon.end(Signal::SIGTERM).await.success());
    assert!(started.elapsed().as_secs() < 20, "took {:?}", started.elapsed());
    drop(silent);
}
