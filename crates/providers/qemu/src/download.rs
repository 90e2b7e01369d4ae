//! Downloading an image: bounded, resumable, and not a way into the operator's own network.

use crate::fault::{from_http, from_io, from_status};
use crate::tasks::Progress;
use model::image_url::is_public;
use provider::{Checksum, Fault, FaultKind, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{CONTENT_RANGE, ETAG, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;

const REDIRECTS: usize = 5;
/// A transfer that broke off is taken up again this often within one task.
const ATTEMPTS: u32 = 5;

/// Where the bytes go.
pub(crate) struct Target<'a> {
    /// The file that grows.
    pub(crate) part: &'a Path,
    /// Keeps what the server called this version, so that a resumed file is not half of two.
    pub(crate) validator: &'a Path,
    /// The most bytes that are taken.
    pub(crate) limit: u64,
}

/// Refuses addresses before any work begins.
pub(crate) fn check_address(url: &str, checksum: Option<&Checksum>) -> Result<()> {
    let url = Url::parse(url).map_err(|error| Fault::refused(format!("{url} is no address: {error}")))?;
    allowed(&url, checksum.is_some()).map_err(Fault::refused)
}

/// An image with an announced checksum is the operator's choice and may come from anywhere, also in the clear: the
/// checksum decides. One without is a tenant's: https only, and from a public address only, or else a tenant could
/// read what only this host can reach.
fn allowed(url: &Url, checked: bool) -> std::result::Result<(), String> {
    match (url.scheme(), checked) {
        ("https", _) | ("http", true) => {}
        ("http", false) => return Err("http is accepted only together with a checksum".to_owned()),
        (other, _) => return Err(format!("{other} addresses are not accepted")),
    }
    let literal = url.host_str().and_then(|host| host.trim_matches(['[', ']']).parse::<IpAddr>().ok());
    match literal {
        Some(address) if !checked && !is_public(address) => Err(format!("{address} is not a public address")),
        _ => Ok(()),
    }
}

/// Resolves names to public addresses only.
struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

fn client(checked: bool) -> Result<Client> {
    let redirects = redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.error("too many redirects");
        }
        match allowed(attempt.url(), checked) {
            Ok(()) => attempt.follow(),
            Err(why) => attempt.error(why),
        }
    });
    let mut builder = Client::builder()
        .redirect(redirects)
        .connect_timeout(Duration::from_secs(10))
        .read_timeout(Duration::from_secs(60))
        .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")));
    if !checked {
        builder = builder.dns_resolver(Arc::new(PublicOnly));
    }
    builder.build().map_err(|error| Fault::bug(format!("making an HTTP client: {error}")))
}

/// Downloads until the file is whole, going on from what is there.
pub(crate) async fn fetch(url: &str, checked: bool, target: &Target<'_>, progress: &Progress) -> Result<()> {
    let client = client(checked)?;
    let mut attempt = 1;
    loop {
        match once(&client, url, target, progress).await {
            Err(fault) if fault.kind == FaultKind::Transient && attempt < ATTEMPTS => {
                tracing::info!(url, attempt, fault = %fault.detail, "a download broke off and is taken up again");
                tokio::time::sleep(Duration::from_millis(200) * 2_u32.pow(attempt)).await;
                attempt += 1;
            }
            ended => return ended,
        }
    }
}

async fn once(client: &Client, url: &str, target: &Target<'_>, progress: &Progress) -> Result<()> {
    let have = tokio::fs::metadata(target.part).await.map_or(0, |found| found.len());
    let validator = tokio::fs::read_to_string(target.validator).await.unwrap_or_default();
    let mut request = client.get(url);
    let resuming = have > 0 && !validator.is_empty();
    if resuming {
        request = request.header(RANGE, format!("bytes={have}-")).header(IF_RANGE, &validator);
    }
    let response = request.send().await.map_err(|error| from_http(&error))?;
    let start = match response.status() {
        StatusCode::PARTIAL_CONTENT if resuming && begins_at(&response, have) => have,
        StatusCode::OK => 0,
        StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
            // The whole file is there already, or the server does not do what it says: begin again without a range.
            forget(target).await?;
            return Err(Fault::transient(format!("{url} does not continue at byte {have}")));
        }
        status => return Err(from_status(url, status)),
    };
    receive(response, start, url, target, progress).await
}

fn begins_at(response: &Response, position: u64) -> bool {
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    range.is_some_and(|range| range.starts_with(&format!("bytes {position}-")))
}

async fn forget(target: &Target<'_>) -> Result<()> {
    for path in [target.validator, target.part] {
        match tokio::fs::remove_file(path).await {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(from_io(format!("removing {}", path.display()), &error));
            }
            _ => {}
        }
    }
    Ok(())
}

async fn receive(
    mut response: Response,
    start: u64,
    url: &str,
    target: &Target<'_>,
    progress: &Progress,
) -> Result<()> {
    let io = |error: &std::io::Error| from_io(format!("writing {}", target.part.display()), error);
    let total = response.content_length().map(|rest| rest.saturating_add(start));
    let too_large = || Fault::refused(format!("{url} is larger than the {} bytes that are allowed", target.limit));
    if total.is_some_and(|total| total > target.limit) {
        return Err(too_large());
    }
    let headers = response.headers();
    let strong = headers.get(ETAG).filter(|tag| !tag.as_bytes().starts_with(b"W/"));
    let validator = strong.or_else(|| headers.get(LAST_MODIFIED)).and_then(|value| value.to_str().ok());
    let validator = validator.unwrap_or_default().to_owned();
    let mut options = OpenOptions::new();
    let options = if start > 0 { options.append(true) } else { options.write(true).create(true).truncate(true) };
    let mut file = options.mode(0o600).open(target.part).await.map_err(|error| io(&error))?;
    tokio::fs::write(target.validator, validator).await.map_err(|error| io(&error))?;
    let mut position = start;
    while let Some(chunk) = response.chunk().await.map_err(|error| from_http(&error))? {
        position += chunk.len() as u64;
        if position > target.limit {
            return Err(too_large());
        }
        file.write_all(&chunk).await.map_err(|error| io(&error))?;
        progress.set(position, total.unwrap_or(target.limit));
    }
    file.flush().await.map_err(|error| io(&error))?;
    match total {
        Some(total) if position < total => Err(Fault::transient(format!("{url} ended at byte {position} of {total}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_this_host_reaches_is_not_for_tenants() {
        let inside = [
            "https://127.0.0.1/x",
            "https://10.1.2.3/x",
            "https://169.254.169.254/latest",
            "https://[::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[fd00::1]/x",
            "https://[2002:a00:1::]/x",
            "https://100.64.0.1/x",
            "http://example.org/x",
            "file:///etc/shadow",
            "nonsense",
        ];
        for url in inside {
            assert!(check_address(url, None).is_err(), "{url}");
        }
        assert!(check_address("https://cloud.debian.org/images/x.qcow2", None).is_ok());
        let checksum = Checksum::Sha256("00".into());
        assert!(check_address("http://10.0.0.1/x", Some(&checksum)).is_ok());
        assert!(check_address("ftp://10.0.0.1/x", Some(&checksum)).is_err());
    }
}
