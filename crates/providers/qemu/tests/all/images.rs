//! Images: what is refused, and downloads that break off.

use crate::stage::{Stage, USER, names, run};
use provider::{Begun, Checksum, FaultKind, ImageSource, Provider};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[tokio::test]
async fn an_image_that_points_elsewhere_is_refused() {
    let stage = Stage::new(USER).await;
    let secret = stage.file("secret.raw");
    std::fs::write(&secret, vec![7_u8; 1 << 20]).unwrap();
    let secret = secret.to_str().unwrap();
    let backed = stage.file("backed.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "raw", "-b", secret, backed.to_str().unwrap()]).await;
    let external = stage.file("external.qcow2");
    let data = format!("data_file={},data_file_raw=on", stage.file("data.raw").display());
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-o", &data, external.to_str().unwrap(), "1M"]).await;
    let vmdk = stage.file("disk.vmdk");
    run("qemu-img", &["create", "-q", "-f", "vmdk", vmdk.to_str().unwrap(), "1M"]).await;
    let cut = stage.file("cut.qcow2");
    std::fs::write(&cut, b"QFI\xfb\0\0\0\x03").unwrap();
    let huge = stage.file("huge.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", huge.to_str().unwrap(), "10T"]).await;
    for path in [backed, external, vmdk, cut, huge, stage.file("absent")] {
        let fault = stage.ensure_file(1, &path).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Refused, "{}: {fault}", path.display());
        assert_eq!(stage.qemu.find_image(&stage.image(1)).await.unwrap(), None);
    }
    stage.close().await;
}

#[tokio::test]
async fn a_raw_disk_becomes_an_image() {
    let stage = Stage::new(USER).await;
    let raw = stage.file("disk.raw");
    std::fs::write(&raw, vec![7_u8; 1 << 20]).unwrap();
    stage.ensure_file(3, &raw).await.unwrap();
    let seen = stage.qemu.find_image(&stage.image(3)).await.unwrap().unwrap();
    assert_eq!(seen.virtual_bytes, 1 << 20);
    let source =
        ImageSource::File { path: raw.to_str().unwrap().into(), checksum: Some(Checksum::Sha512("00".repeat(64))) };
    let wrong = stage.qemu.ensure_image(&stage.image(4), &source).await.unwrap();
    assert_eq!(stage.done(wrong).await.unwrap_err().kind, FaultKind::Refused);
    let mut spec = stage.spec(1);
    spec.image = stage.image(99);
    assert_eq!(stage.qemu.create_guest(&stage.guest(1), &spec).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(names(&stage.state().join("guests")), Vec::<String>::new());
    stage.close().await;
}

/// An HTTP server that breaks off the first answers and can continue.
struct Server {
    address: String,
    requests: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
}

async fn serve(content: Vec<u8>, broken: usize) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/disk.qcow2", listener.local_addr().unwrap());
    let (requests, resumed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let server = Server { address, requests: Arc::clone(&requests), resumed: Arc::clone(&resumed) };
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0_u8; 1];
                if stream.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            let number = requests.fetch_add(1, Ordering::SeqCst);
            let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
            let start = range.and_then(|range| range.trim_end_matches('-').parse::<usize>().ok());
            let rest = &content[start.unwrap_or(0)..];
            let status = if let Some(start) = start {
                resumed.fetch_add(1, Ordering::SeqCst);
                assert!(head.contains("if-range: \"v1\""), "{head}");
                let (last, total) = (content.len() - 1, content.len());
                format!("206 Partial Content\r\nContent-Range: bytes {start}-{last}/{total}")
            } else {
                "200 OK".to_owned()
            };
            let length = rest.len();
            let answer =
                format!("HTTP/1.1 {status}\r\nETag: \"v1\"\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            let sent = if number < broken { length / 2 } else { length };
            if stream.write_all(&rest[..sent]).await.is_ok() {
                let _ = stream.shutdown().await;
            }
        }
    });
    server
}

async fn disk(stage: &Stage) -> (Vec<u8>, String) {
    let path = stage.file("served.qcow2");
    run("qemu-img", &["create", "-q", "-f", "qcow2", path.to_str().unwrap(), "64M"]).await;
    run("qemu-io", &["-f", "qcow2", "-c", "write -P 3 0 4M", path.to_str().unwrap()]).await;
    let content = std::fs::read(&path).unwrap();
    let hash = hex::encode(Sha256::digest(&content));
    (content, hash)
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let stage = Stage::new(USER).await;
    let (content, hash) = disk(&stage).await;
    let server = serve(content, 2).await;
    let source = ImageSource::Url { url: server.address.clone(), checksum: Some(Checksum::Sha256(hash)) };
    let first = stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap();
    let joined = stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap();
    assert_eq!(first, joined, "one download, however often it is asked for");
    stage.done(first).await.unwrap();
    assert_eq!(server.requests.load(Ordering::SeqCst), 3);
    assert_eq!(server.resumed.load(Ordering::SeqCst), 2);
    assert_eq!(stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap(), Begun::Done);
    assert_eq!(stage.qemu.find_image(&stage.image(1)).await.unwrap().unwrap().virtual_bytes, 64 << 20);
    stage.close().await;
}

#[tokio::test]
async fn wrong_bytes_are_thrown_away() {
    let stage = Stage::new(USER).await;
    let (content, _) = disk(&stage).await;
    let server = serve(content, 0).await;
    let wrong = Some(Checksum::Sha256("00".repeat(32)));
    let source = ImageSource::Url { url: server.address.clone(), checksum: wrong };
    let begun = stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap();
    assert_eq!(stage.done(begun).await.unwrap_err().kind, FaultKind::Refused);
    assert_eq!(stage.qemu.find_image(&stage.image(1)).await.unwrap(), None);
    let unchecked = ImageSource::Url { url: server.address, checksum: None };
    assert_eq!(stage.qemu.ensure_image(&stage.image(1), &unchecked).await.unwrap_err().kind, FaultKind::Refused);
    stage.close().await;
}

#[tokio::test]
async fn a_download_ends_when_its_image_is_deleted() {
    let stage = Stage::new(USER).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/never", listener.local_addr().unwrap());
    let source = ImageSource::Url { url, checksum: Some(Checksum::Sha256("00".repeat(32))) };
    let begun = stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap();
    let _connection = listener.accept().await.unwrap();
    stage.qemu.delete_image(&stage.image(1)).await.unwrap();
    assert_eq!(stage.done(begun).await.unwrap_err().kind, FaultKind::Refused);
    stage.close().await;
}

#[tokio::test]
async fn a_larger_image_than_allowed_is_not_downloaded() {
    let mut stage = Stage::new(USER).await;
    let (content, hash) = disk(&stage).await;
    stage.config.largest_image_bytes = 1 << 20;
    stage.restart().await;
    let server = serve(content, 0).await;
    let source = ImageSource::Url { url: server.address, checksum: Some(Checksum::Sha256(hash)) };
    let begun = stage.qemu.ensure_image(&stage.image(1), &source).await.unwrap();
    assert_eq!(stage.done(begun).await.unwrap_err().kind, FaultKind::Refused);
    stage.close().await;
}
