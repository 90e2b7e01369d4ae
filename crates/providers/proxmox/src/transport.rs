//! Requests to a cluster: which entry, how long, and what it means when no answer comes.

use crate::call::Call;
use crate::calls::GetVersion;
use crate::config::Config;
use crate::errors::{Failed, Refusal};
use crate::scalar::{Lenient, plain};
use crate::version::Version;
use provider::{Fault, Result};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::Value;
use sha2::Digest;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// pveproxy closes idle connections after 5 s.
const IDLE: Duration = Duration::from_secs(4);
/// pveproxy gives up on the node behind it after 30 s; an answer that says so should still be read.
const SILENCE: Duration = Duration::from_secs(35);
const CONNECT: Duration = Duration::from_secs(10);
/// How long an entry that could not be reached is passed over, at first and at most.
const PASSED_OVER: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(180));
/// How long a version is believed.
const VERSION_HOLDS: Duration = Duration::from_secs(600);
/// No answer that we ask for comes near this.
const LONGEST_ANSWER: usize = 64 << 20;

/// The connection to a cluster.
pub(crate) struct Transport {
    http: reqwest::Client,
    authorization: String,
    entries: Vec<Entry>,
    /// The entry that answered last.
    favourite: AtomicUsize,
    slots: Semaphore,
    version: Mutex<Option<(Version, Instant)>>,
}

struct Entry {
    url: String,
    /// Since when and until when it is passed over.
    shunned: Mutex<Option<(Instant, Duration)>>,
}

impl std::fmt::Debug for Transport {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.url)).finish()
    }
}

impl Transport {
    /// Prepares; connects to nothing yet.
    pub(crate) fn new(config: &Config) -> Result<Self> {
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(crate::tls::client(config.fingerprints.clone())?)
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(IDLE)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| Fault::bug(format!("preparing the HTTP client: {error}")))?;
        let entry = |url: &String| Entry { url: url.trim_end_matches('/').to_owned(), shunned: Mutex::new(None) };
        Ok(Self {
            http,
            authorization: format!("PVEAPIToken={}={}", config.token_id, config.token_secret.reveal()),
            entries: config.entries.iter().map(entry).collect(),
            favourite: AtomicUsize::new(0),
            slots: Semaphore::new(config.connections.max(1)),
            version: Mutex::new(None),
        })
    }

    /// Asks, and turns a failure into a fault.
    pub(crate) async fn ask<C: Call>(&self, call: &C) -> Result<Value> {
        self.try_ask(call).await.map_err(|failed| failed.fault(&named(call)))
    }

    /// Asks for work that outlasts the call. `None`: it was done at once.
    pub(crate) async fn begin<C: Call>(&self, call: &C) -> Result<Option<String>> {
        Ok(self.ask(call).await?.as_str().map(str::to_owned))
    }

    /// Asks.
    pub(crate) async fn try_ask<C: Call>(&self, call: &C) -> std::result::Result<Value, Failed> {
        let version = self.version().await?;
        let parameters = call.parameters(version);
        let answer = self.send(&C::METHOD, &call.path(), &Content::Form(&parameters), None).await;
        match answer {
            // Asking what is changes nothing: once more, somewhere else.
            Err(Failed::Unknown(why)) if C::METHOD == Method::GET => {
                self.favourite.fetch_add(1, Ordering::Relaxed);
                let again = self.send(&C::METHOD, &call.path(), &Content::Form(&parameters), None).await;
                again.map_err(|failed| match failed {
                    Failed::Unknown(again) => Failed::NeverSent(format!("{why}; then: {again}")),
                    other => other,
                })
            }
            answer => answer,
        }
    }

    /// Uploads a small file in the form that Proxmox takes: content first, file last, one length for all.
    pub(crate) async fn upload<C: Call>(
        &self,
        call: &C,
        name: &str,
        bytes: &[u8],
        entry: Option<&str>,
    ) -> Result<Option<String>> {
        let version = self.version().await.map_err(|failed| failed.fault("asking for the version"))?;
        let boundary = format!("cairn-{}", hex::encode(sha2::Sha256::digest(bytes)));
        let mut body = Vec::with_capacity(bytes.len() + 1024);
        for (field, value) in call.parameters(version).into_iter().filter(|(field, _)| field != "filename") {
            let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n");
            body.extend_from_slice(head.as_bytes());
        }
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        let content = Content::Multipart { boundary: &boundary, body };
        let answer = self.send(&C::METHOD, &call.path(), &content, entry).await;
        let answer = answer.map_err(|failed| failed.fault(&named(call)))?;
        Ok(answer.as_str().map(str::to_owned))
    }

    /// Opens a connection that leaves HTTP behind.
    pub(crate) async fn upgrade<C: Call>(&self, call: &C, headers: &[(&str, &str)]) -> Result<reqwest::Upgraded> {
        let doing = named(call);
        let version = self.version().await.map_err(|failed| failed.fault(&doing))?;
        let query = encoded(&call.parameters(version));
        let entry = &self.entries[self.favourite.load(Ordering::Relaxed) % self.entries.len()];
        let url = format!("{}/api2/json{}?{query}", entry.url, call.path());
        let mut request = self.http.get(url).header("Authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.map_err(|error| broken(error).fault(&doing))?;
        if answer.status().as_u16() != 101 {
            return Err(refusal(answer).await.fault(&doing));
        }
        answer.upgrade().await.map_err(|error| broken(error).fault(&doing))
    }

    /// The cluster's version; asked for once in a while.
    pub(crate) async fn version(&self) -> std::result::Result<Version, Failed> {
        if let Some((version, at)) = *held(&self.version)
            && at.elapsed() < VERSION_HOLDS
        {
            return Ok(version);
        }
        let answer = self.send(&GetVersion::METHOD, &GetVersion {}.path(), &Content::Form(&[]), None).await?;
        let text = answer.text("version").or_else(|| answer.text("release")).unwrap_or_default();
        let Some(version) = Version::parse(&text) else {
            return Err(Failed::Answered(Refusal {
                status: 200,
                message: format!("version {text:?}"),
                ..Refusal::default()
            }));
        };
        *held(&self.version) = Some((version, Instant::now()));
        Ok(version)
    }

    /// Sends to `preferred` first where one is named, then to the entries in turn until one takes it.
    async fn send(
        &self,
        method: &Method,
        path: &str,
        content: &Content<'_>,
        preferred: Option<&str>,
    ) -> std::result::Result<Value, Failed> {
        let Ok(_slot) = self.slots.acquire().await else {
            return Err(Failed::NeverSent("BUG: the semaphore was closed".to_owned()));
        };
        let mut tried = Vec::new();
        for index in self.order(preferred) {
            let entry = &self.entries[index];
            match self.send_to(entry, method, path, content).await {
                Err(Sent { failed: Failed::NeverSent(why), reached }) => {
                    if !reached {
                        entry.shun();
                    }
                    tried.push(format!("{}: {why}", entry.url));
                }
                answer => {
                    *held(&entry.shunned) = None;
                    self.favourite.store(index, Ordering::Relaxed);
                    return answer.map_err(|sent| sent.failed);
                }
            }
        }
        Err(Failed::NeverSent(if tried.is_empty() { "there is no entry".to_owned() } else { tried.join("; ") }))
    }

    /// The entries that cannot be used, and why. All are asked at once, the usable ones as well.
    pub(crate) async fn unusable(&self) -> Vec<(String, Failed)> {
        let ask = async |entry: &Entry| {
            let asked = self.send_to(entry, &GetVersion::METHOD, &GetVersion {}.path(), &Content::Form(&[])).await;
            Some((entry.url.clone(), asked.err()?.failed))
        };
        futures_util::future::join_all(self.entries.iter().map(ask)).await.into_iter().flatten().collect()
    }

    /// The favourite first, then the others; those passed over come last.
    fn order(&self, preferred: Option<&str>) -> Vec<usize> {
        let count = self.entries.len();
        let first = self.favourite.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..count).map(|index| (first + index) % count).collect();
        let wanted = |index: &usize| preferred.is_some_and(|host| self.entries[*index].host() == host);
        order.sort_by_key(|index| (self.entries[*index].is_shunned(), !wanted(index)));
        order
    }

    async fn send_to(
        &self,
        entry: &Entry,
        method: &Method,
        path: &str,
        content: &Content<'_>,
    ) -> std::result::Result<Value, Sent> {
        let url = format!("{}/api2/json{path}", entry.url);
        let request = content.attach(self.http.request(method.clone(), &url), method, &url, &self.http);
        let answer = request.header("Authorization", &self.authorization).send().await;
        let answer = answer.map_err(|error| Sent { failed: broken(error), reached: false })?;
        read(answer).await.map_err(|failed| Sent { failed, reached: true })
    }
}

/// A failure, and whether the entry itself was there.
struct Sent {
    failed: Failed,
    reached: bool,
}

impl Entry {
    /// Passes it over for a while, twice as long as the last time.
    fn shun(&self) {
        let mut shunned = held(&self.shunned);
        let next = shunned.map_or(PASSED_OVER.0, |(_, last)| (last * 2).min(PASSED_OVER.1));
        *shunned = Some((Instant::now(), next));
    }

    fn is_shunned(&self) -> bool {
        held(&self.shunned).is_some_and(|(since, long)| since.elapsed() < long)
    }

    /// Its host, without scheme and port.
    fn host(&self) -> &str {
        let rest = self.url.trim_start_matches("https://");
        rest.rsplit_once(':').map_or(rest, |(host, _)| host)
    }
}

/// What is sent along.
enum Content<'a> {
    Form(&'a [(String, String)]),
    Multipart { boundary: &'a str, body: Vec<u8> },
}

impl Content<'_> {
    /// Parameters of GET and DELETE go into the query: a body there is answered with 501.
    fn attach(&self, request: RequestBuilder, method: &Method, url: &str, http: &reqwest::Client) -> RequestBuilder {
        match self {
            Self::Form(parameters) if matches!(*method, Method::GET | Method::DELETE) => {
                if parameters.is_empty() {
                    return request;
                }
                http.request(method.clone(), format!("{url}?{}", encoded(parameters)))
            }
            // An empty body is announced, too; it would be left out otherwise.
            Self::Form([]) => request.header("Content-Length", "0"),
            Self::Form(parameters) => {
                request.header("Content-Type", "application/x-www-form-urlencoded").body(encoded(parameters))
            }
            Self::Multipart { boundary, body } => {
                request.header("Content-Type", format!("multipart/form-data; boundary={boundary}")).body(body.clone())
            }
        }
    }
}

fn encoded(parameters: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn named<C: Call>(call: &C) -> String {
    format!("{} {}", C::METHOD, call.path())
}

/// Without the URL: a console's holds its ticket.
fn broken(error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let why = cause(&error);
    if error.is_connect() || error.is_builder() { Failed::NeverSent(why) } else { Failed::Unknown(why) }
}

/// The deepest cause: it says what happened, and what is above it only through how many hands it went.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // What an I/O error wraps is not among its sources.
    while let Some(wrapped) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        cause = wrapped;
    }
    match cause.downcast_ref() {
        // What our own verifier said would be shown for programmers.
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(ours))) => ours.0.to_string(),
        _ => cause.to_string(),
    }
}

async fn read(answer: Response) -> std::result::Result<Value, Failed> {
    if !answer.status().is_success() {
        return Err(refusal(answer).await);
    }
    let bytes = bounded(answer).await?;
    let mut answer: Value =
        serde_json::from_slice(&bytes).map_err(|error| Failed::Unknown(format!("a broken answer: {error}")))?;
    Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
}

/// What an answer that is no success says: in its body since 8.3, and in its reason phrase always.
async fn refusal(answer: Response) -> Failed {
    let status = answer.status().as_u16();
    let reason = answer.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = reason.map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned()).unwrap_or_default();
    match status {
        595 => return Failed::NeverSent(format!("595 {reason}")),
        596..=599 => return Failed::Unknown(format!("{status} {reason}")),
        _ => {}
    }
    let body = match bounded(answer).await {
        Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        Err(_) => Value::Null,
    };
    let message = body.text("message").filter(|message| !message.trim().is_empty()).unwrap_or(reason);
    let errors = body.get("errors").and_then(Value::as_object).into_iter().flatten();
    let errors = errors.filter_map(|(name, error)| Some((name.clone(), plain(error)?))).collect();
    Failed::Answered(Refusal { status, message, errors })
}

async fn bounded(mut answer: Response) -> std::result::Result<Vec<u8>, Failed> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| Failed::Unknown(error.without_url().to_string()))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_ANSWER {
            return Err(Failed::Unknown(format!("an answer of more than {LONGEST_ANSWER} bytes")));
        }
    }
    Ok(bytes)
}

/// A poisoned lock guards nothing here that a panic could have left half-done.
pub(crate) fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[path = "transport_tests.rs"]
mod tests;
