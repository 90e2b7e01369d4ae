//! HTTP: what is sent, what is sent again, and what the answers mean.

mod answer;
mod call;
mod patience;

pub(crate) use call::{Call, fresh_key};

use crate::document::{Document, Envelope};
use crate::failure::{Ending, Failure, Result};
use crate::progress::Progress;
use patience::{Heard, Patience};
use reqwest::{Certificate, Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(60);

/// How many items are asked for at once: the most that the API gives.
const PAGE: usize = 200;

/// A secret. Not printable by accident.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// Reads what a person or a file gives: one line of visible ASCII, with blanks around it allowed.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Failure::usage("the token is empty"));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::usage("this is not a token: it has to be one line of visible ASCII characters"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The secret itself, to be stored or sent.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Where the installation is and how to speak to it.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Token,
    progress: Rc<Progress>,
}

impl Client {
    /// A client for the installation at `base`, trusting the certificate authorities in `authority` instead of
    /// those of this machine.
    pub(crate) fn new(base: Url, token: Token, authority: Option<&Path>, progress: Rc<Progress>) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("cairn/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .read_timeout(ANSWER)
            // A token is never carried to where the person did not send it.
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = authority {
            builder = builder.tls_certs_only(certificates(path)?);
        } else if base.scheme() == "http" {
            // Without this, a machine that has no certificates at all could not even speak plain HTTP.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            Failure::new(Ending::Unreachable, format!("TLS cannot be set up: {}", answer::causes(&error))).suggest(
                "install this machine's certificate authorities (Debian: ca-certificates), or give one with --ca FILE",
            )
        })?;
        Ok(Self { http, base, token, progress })
    }

    /// The same with another token.
    pub(crate) fn with_token(self, token: Token) -> Self {
        Self { token, ..self }
    }

    /// Asks for one object, which the answer has under `field`.
    pub(crate) async fn one<T: DeserializeOwned>(&self, call: &Call, field: &str) -> Result<Document<T>> {
        self.envelope(call).await?.take(field)
    }

    /// Asks for an object that is the whole answer.
    pub(crate) async fn whole<T: DeserializeOwned>(&self, call: &Call) -> Result<Document<T>> {
        let raw = serde_json::value::RawValue::from_string(text(self.send(call).await?));
        Document::read(raw.map_err(|error| {
            Failure::new(Ending::Broken, format!("the server's answer could not be understood: {error}"))
        })?)
    }

    /// Asks for everything in a list, page by page.
    pub(crate) async fn list<T: DeserializeOwned>(&self, call: &Call, field: &str) -> Result<Vec<Document<T>>> {
        let mut all = Vec::new();
        for page in 1_u32.. {
            let call = call.clone().query("page", page).query("per_page", PAGE);
            let mut envelope = self.envelope(&call).await?;
            let items = envelope.take_list(field)?;
            // Only whether there is a next page is taken from the links: they name the public host, which need not
            // be the one that this client was told to speak to.
            let links: Option<Document<wire::envelope::PageLinks>> = envelope.take_if_there("links")?;
            let more = links.and_then(|links| links.value.pages).is_some_and(|pages| pages.next.is_some());
            let empty = items.is_empty();
            all.extend(items);
            if !more || empty {
                break;
            }
        }
        Ok(all)
    }

    /// Asks for something whose answer has several fields.
    pub(crate) async fn envelope(&self, call: &Call) -> Result<Envelope> {
        Envelope::read(&text(self.send(call).await?))
    }

    /// Asks for something whose answer says nothing.
    pub(crate) async fn command(&self, call: &Call) -> Result<()> {
        self.send(call).await.map(|_| ())
    }

    /// Asks for bytes.
    pub(crate) async fn bytes(&self, call: &Call) -> Result<Vec<u8>> {
        self.send(call).await
    }

    /// Opens an answer that has no end.
    pub(crate) async fn stream(&self, call: &Call) -> Result<Response> {
        let response = self.request(call)?.send().await.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap_or_default();
        Err(answer::refusal(&self.base, status, &headers, &body))
    }

    /// Sends a call, again where that is safe and promises something.
    async fn send(&self, call: &Call) -> Result<Vec<u8>> {
        let mut patience = Patience::new(call.repetition());
        let began = tokio::time::Instant::now();
        loop {
            let (heard, outcome) = self.once(call, patience.attempts()).await;
            let Some(heard) = heard else { return outcome };
            let Some(pause) = patience.pause(heard, began.elapsed()) else {
                return outcome.map_err(|failure| Failure { in_doubt: patience.doubts(), ..failure });
            };
            if let Err(failure) = &outcome {
                let when = if pause.as_secs() == 0 { String::new() } else { format!(" in {} s", pause.as_secs()) };
                self.progress.say(&format!("{}; trying again{when}", failure.sentence));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends a call once. Says what was heard if it may be worth another try.
    async fn once(&self, call: &Call, attempts: u32) -> (Option<Heard>, Result<Vec<u8>>) {
        let request = match self.request(call) {
            Ok(request) => request.timeout(ANSWER),
            Err(failure) => return (None, Err(failure)),
        };
        self.progress.trace(|| format!("> {} {}", call.method(), call.display()));
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (answer::heard(&error), Err(self.unreachable(&error))),
        };
        let (status, headers) = (response.status(), response.headers().clone());
        self.progress.trace(|| {
            format!("< {status}{}", answer::request_id(&headers).map_or_else(String::new, |id| format!(" ({id})")))
        });
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes.to_vec(),
            Err(error) => return (Some(Heard::NothingBack), Err(self.unreachable(&error))),
        };
        // The first attempt deleted it, but its answer was lost.
        let gone = attempts > 1 && call.method() == Method::DELETE && status == StatusCode::NOT_FOUND;
        if status.is_success() || gone {
            return (None, Ok(bytes));
        }
        (Heard::status(status, &headers), Err(answer::refusal(&self.base, status, &headers, &bytes)))
    }

    fn request(&self, call: &Call) -> Result<reqwest::RequestBuilder> {
        let request = self.http.request(call.method(), call.url(&self.base)?).bearer_auth(self.token.reveal());
        Ok(call.fill(request))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        answer::unreachable(&self.base, error)
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The certificates of a PEM file.
fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let pem = std::fs::read(path).map_err(|error| Failure::file("read the certificate authority", path, &error))?;
    let found = Certificate::from_pem_bundle(&pem)
        .map_err(|error| Failure::file("use the certificate authority", path, &answer::causes(&error)))?;
    if found.is_empty() {
        return Err(Failure::usage(format!("there is no certificate in {}", path.display()))
            .suggest("a PEM file, which begins with -----BEGIN CERTIFICATE-----"));
    }
    Ok(found)
}

/// Reads the address of an installation.
pub(crate) fn base(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Failure::usage(format!("`{text}` is not the URL of an installation: {why}"))
            .suggest("something like https://cloud.example.org")
    };
    // Not even an error may repeat a secret.
    if text.contains('@') {
        return Err(Failure::usage(
            "the URL of an installation holds no user or password; cairn login asks for the token",
        ));
    }
    let mut url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong("it has to begin with https:// or http://"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends before any ? or #"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(url)
}

/// Whether what is sent to this address can be read by others.
pub(crate) fn exposed(base: &Url) -> bool {
    let host = base.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    base.scheme() == "http" && !loopback
}
