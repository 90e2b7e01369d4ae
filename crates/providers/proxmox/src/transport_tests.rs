//! Requests to a server that answers with bytes from a script.

use super::*;
use crate::call::Kind;
use crate::calls::{DeleteGuest, GetPools, PostStart, PostVnet};
use crate::config::{Config, Fingerprint, Secret};
use crate::errors::Said;
use crate::region::Region;
use model::ids::{InstallationId, ServerId};
use provider::{ConsoleKind, GuestRef, Mark};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const VERSION: &str = r#"{"data":{"version":"9.2.3","release":"9.2"}}"#;
/// Instead of an answer the connection is closed.
const SILENCE_NOW: &str = "";

/// A server that gives one answer per connection, from a list; `/version` is always answered.
struct Scripted {
    url: String,
    fingerprint: Fingerprint,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(answers: &[&str]) -> Self {
        Self::start_with(answers.iter().map(|answer| answer.as_bytes().to_vec()).collect()).await
    }

    async fn start_with(mut answers: Vec<Vec<u8>>) -> Self {
        answers.reverse();
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let fingerprint = Fingerprint(sha2::Sha256::digest(&certificate).into());
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(crypto).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, acceptor, answers, Arc::clone(&heard)));
        Self { url, fingerprint, heard }
    }

    /// The requests but those for the version.
    fn heard(&self) -> Vec<String> {
        held(&self.heard).iter().filter(|request| !request.contains("/version")).cloned().collect()
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    mut script: Vec<Vec<u8>>,
    log: Arc<Mutex<Vec<String>>>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = acceptor.accept(stream).await else { continue };
        let request = hear(&mut stream).await;
        let is_version = request.contains(" /api2/json/version ");
        let answer = if is_version { ok(VERSION).into_bytes() } else { script.pop().unwrap_or_default() };
        held(&log).push(request);
        let _ = stream.write_all(&answer).await;
        if answer.starts_with(b"HTTP/1.1 101") {
            // A conversation: it goes on until the other side ends it.
            tokio::spawn(async move { while stream.read(&mut [0; 512]).await.is_ok_and(|count| count > 0) {} });
        } else {
            let _ = stream.shutdown().await;
        }
    }
}

/// One request: head, and as much body as it announces.
async fn hear(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let count = stream.read(&mut chunk).await.unwrap_or(0);
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            assert!(count > 0, "a broken request: {text}");
            continue;
        };
        let length = head.to_lowercase();
        let length = length.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        if count == 0 || body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
            return text;
        }
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn refusing(reason: &str, body: &str) -> String {
    format!("HTTP/1.1 {reason}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn transport(servers: &[&Scripted]) -> Transport {
    Transport::new(&config(servers)).unwrap()
}

fn config(servers: &[&Scripted]) -> Config {
    let first = servers[0];
    let secret = Secret::new("00000000-0000-4000-8000-000000000000");
    let mut config = Config::new(InstallationId(uuid::Uuid::nil()), &first.url, "cairn@pve!main", secret);
    config.entries = servers.iter().map(|server| server.url.clone()).collect();
    config.fingerprints = servers.iter().map(|server| server.fingerprint).collect();
    config
}

fn start() -> PostStart {
    PostStart { node: "pve1".to_owned(), kind: Kind::Machine, vmid: 100 }
}

#[tokio::test]
async fn a_request_is_written_as_proxmox_takes_it() {
    let server = Scripted::start(&[&ok(r#"{"data":null}"#), &ok(r#"{"data":"UPID"}"#), &ok(r#"{"data":null}"#)]).await;
    let transport = transport(&[&server]);
    let vnet = PostVnet { vnet: "v1".into(), zone: "z".into(), alias: Some("a;b c".into()), ..Default::default() };
    transport.ask(&vnet).await.unwrap();
    let guest = DeleteGuest { node: "n".into(), vmid: 100, purge: Some(true), ..Default::default() };
    assert_eq!(transport.begin(&guest).await.unwrap().as_deref(), Some("UPID"));
    transport.ask(&start()).await.unwrap();
    let heard = server.heard();
    assert!(heard[0].starts_with("POST /api2/json/cluster/sdn/vnets HTTP/1.1\r\n"), "{}", heard[0]);
    assert!(heard[0].ends_with("\r\n\r\nvnet=v1&zone=z&alias=a%3Bb+c"), "{}", heard[0]);
    let authorization = "authorization: PVEAPIToken=cairn@pve!main=00000000-0000-4000-8000-000000000000\r\n";
    assert!(heard[0].to_lowercase().contains(&authorization.to_lowercase()));
    assert!(heard[1].starts_with("DELETE /api2/json/nodes/n/qemu/100?purge=1 HTTP/1.1\r\n"), "{}", heard[1]);
    assert!(!heard[1].to_lowercase().contains("transfer-encoding"));
    assert!(heard[2].to_lowercase().contains("content-length: 0\r\n"), "{}", heard[2]);
}

#[tokio::test]
async fn what_is_said_stands_in_the_body_or_in_the_reason() {
    let body = r#"{"data":null,"message":"VM is locked (backup)\n"}"#;
    let errors = r#"{"errors":{"vmid":"invalid format"},"data":null,"message":"Parameter verification failed.\n"}"#;
    let server = Scripted::start(&[
        &refusing("500 VM is locked (backup)", body),
        &refusing("500 can't lock file '/x' - got timeout", ""),
        &refusing("400 Parameter verification failed.", errors),
        &refusing("401 No ticket", ""),
    ])
    .await;
    let transport = transport(&[&server]);
    for said in [Said::Locked, Said::Busy, Said::Input, Said::Stranger] {
        assert_eq!(transport.try_ask(&start()).await.unwrap_err().said(), Some(said));
    }
}

#[tokio::test]
async fn what_was_not_sent_goes_to_another_entry_and_what_may_have_been_does_not() {
    let first = Scripted::start(&[&refusing("595 No route to host", ""), SILENCE_NOW]).await;
    let second = Scripted::start(&[&ok(r#"{"data":"UPID"}"#)]).await;
    let transport = transport(&[&first, &second]);
    assert_eq!(transport.begin(&start()).await.unwrap().as_deref(), Some("UPID"));
    assert_eq!((first.heard().len(), second.heard().len()), (1, 1));
    transport.favourite.store(0, Ordering::Relaxed);
    assert!(matches!(transport.try_ask(&start()).await, Err(Failed::Unknown(_))));
    assert_eq!((first.heard().len(), second.heard().len()), (2, 1));
}

#[tokio::test]
async fn a_lost_outcome_is_unknown_and_a_lost_look_is_repeated() {
    let server = Scripted::start(&[
        &refusing("596 Connection timed out", ""),
        &ok("{not json"),
        SILENCE_NOW,
        &ok(r#"{"data":[{"poolid":"cairn"}]}"#),
    ])
    .await;
    let transport = transport(&[&server]);
    for _ in 0..2 {
        assert!(matches!(transport.try_ask(&start()).await, Err(Failed::Unknown(_))));
    }
    let pools = transport.ask(&GetPools { poolid: None }).await.unwrap();
    assert_eq!(pools.rows()[0].text("poolid").as_deref(), Some("cairn"));
}

#[tokio::test]
async fn an_entry_with_an_unknown_certificate_is_not_told_the_token() {
    let (server, other) = (Scripted::start(&[]).await, Scripted::start(&[]).await);
    let forged = Scripted { fingerprint: other.fingerprint, url: server.url.clone(), heard: Arc::clone(&server.heard) };
    let failed = transport(&[&forged]).try_ask(&start()).await.unwrap_err();
    assert!(matches!(&failed, Failed::NeverSent(why) if why.contains("certificate")), "{failed:?}");
    assert_eq!(held(&server.heard).len(), 0);
}

#[tokio::test]
async fn a_dead_entry_is_passed_over_for_a_while() {
    let living = Scripted::start(&[&ok(r#"{"data":1}"#), &ok(r#"{"data":1}"#)]).await;
    let mut dead = Scripted::start(&[]).await;
    dead.url = "https://127.0.0.1:1".to_owned();
    let transport = transport(&[&dead, &living]);
    transport.ask(&start()).await.unwrap();
    assert!(transport.entries[0].is_shunned() && !transport.entries[1].is_shunned());
    transport.favourite.store(0, Ordering::Relaxed);
    assert_eq!(transport.order(None), [1, 0]);
    assert_eq!(transport.order(Some("127.0.0.1")), [1, 0]);
}

#[tokio::test]
async fn no_more_requests_are_under_way_than_there_are_connections() {
    let server = Scripted::start(&[&ok(r#"{"data":"first"}"#), &ok(r#"{"data":"second"}"#)]).await;
    let (full, free) = (Arc::new(transport(&[&server])), transport(&[&server]));
    full.version().await.unwrap();
    let held = full.slots.acquire_many(u32::try_from(full.slots.available_permits()).unwrap()).await.unwrap();
    let waiting = Arc::clone(&full);
    let waits = tokio::spawn(async move { waiting.ask(&start()).await });
    // Begun later, and answered first: the other one was not sent. The server answers one after the other.
    assert_eq!(free.ask(&start()).await.unwrap(), "first");
    assert_eq!(server.heard().len(), 1);
    drop(held);
    assert_eq!(waits.await.unwrap().unwrap(), "second");
}

/// What a server says in a WebSocket: a short binary frame.
fn frame(bytes: &[u8]) -> Vec<u8> {
    [&[0x82, u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A cluster in which server 1 runs, whose console says these frames.
async fn console(proxy: &str, frames: &[&[u8]]) -> (Scripted, Region, GuestRef) {
    let mark = Mark { installation: InstallationId(uuid::Uuid::nil()), server: ServerId(1) };
    let description = format!("cairn installation={} server=1 state=made", mark.installation);
    let guest = serde_json::json!({ "data": { "description": description, "digest": "d" } }).to_string();
    let mut talk = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n".to_vec();
    talk.extend(frames.iter().flat_map(|bytes| frame(bytes)));
    let answers = [ok(&guest), ok(r#"{"data":{"status":"running","pid":7}}"#), ok(proxy)];
    let answers = answers.into_iter().map(String::into_bytes).chain([talk]).collect();
    let server = Scripted::start_with(answers).await;
    let region = Region::new(config(&[&server])).unwrap();
    (server, region, GuestRef { host: "pve1".to_owned(), name: "100".to_owned(), mark })
}

#[tokio::test]
async fn a_screen_comes_through_with_its_password() {
    let proxy = r#"{"data":{"ticket":"PVEVNC:1::a+b=","port":"5900","user":"cairn@pve!main","password":"sesame"}}"#;
    let (server, region, guest) = console(proxy, &[b"RFB 003", b".008\n"]).await;
    let mut stream = region.console(&guest, ConsoleKind::Screen).await.unwrap();
    assert_eq!(stream.password.as_deref(), Some("sesame"));
    let mut said = [0; 12];
    stream.bytes.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"RFB 003.008\n");
    let asked = server.heard().pop().unwrap();
    let path =
        "GET /api2/json/nodes/pve1/qemu/100/vncwebsocket?port=5900&vncticket=PVEVNC%3A1%3A%3Aa%2Bb%3D HTTP/1.1\r\n";
    assert!(asked.starts_with(path), "{asked}");
    assert!(asked.to_lowercase().contains("upgrade: websocket\r\n"), "{asked}");
}

#[tokio::test]
async fn a_terminal_is_logged_in_to_first() {
    let proxy = r#"{"data":{"ticket":"PVEVNC:1::x","port":5901,"user":"cairn@pve!main"}}"#;
    let (_server, region, guest) = console(proxy, &[b"OK", b"web-1 login: "]).await;
    let mut stream = region.console(&guest, ConsoleKind::Serial).await.unwrap();
    let mut said = [0; 13];
    stream.bytes.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"web-1 login: ");
    let (_server, region, guest) = console(proxy, &[b"permission denied"]).await;
    assert!(region.console(&guest, ConsoleKind::Serial).await.is_err());
}
