//! One request, from its headers to its answer.

use super::answer::{self, Answer};
use super::{Parameters, Upload, upload};
use crate::access::{Caller, Credentials};
use crate::cluster::{Cluster, Kind};
use crate::control::CallSeen;
use crate::endpoints::{self, Call, Reply};
use crate::faults::{Fate, Seen};
use crate::refusal::{Refusal, Served};
use crate::schema::{self, Found};
use crate::shared::Shared;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HeaderMap, TRANSFER_ENCODING};
use hyper::{Method, Request};
use percent_encoding::percent_decode_str;
use std::sync::Arc;
use std::time::Duration;

/// The most bytes of a body that is no upload.
const LARGEST_BODY: usize = 512 * 1024;
/// The most bytes of an upload that the simulator keeps in memory.
const LARGEST_UPLOAD: usize = 1 << 30;

/// What becomes of the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keep {
    Alive,
    Close,
}

/// The connection ends without an answer.
#[derive(Debug, thiserror::Error)]
#[error("closed without an answer")]
pub(crate) struct Silence;

/// A request that has been read.
struct Asked {
    method: String,
    path: String,
    query: Parameters,
    body: Parameters,
    upload: Option<Upload>,
    credentials: Credentials,
}

/// Reads, serves and answers one request. An error closes the connection without an answer.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    entry: Option<usize>,
    keep: Keep,
    request: Request<Incoming>,
) -> Result<Answer, Silence> {
    let entry = entry.unwrap_or_else(|| shared.lock().first_living());
    let extjs = request.uri().path().starts_with("/api2/extjs");
    let asked = match read(request).await {
        Ok(asked) => asked,
        Err(refusal) => return Ok(answer::refused(&refusal, extjs)),
    };
    shared.gate.pass(asked.credentials.token_id(), &asked.method, &asked.path).await;
    let outcome = Visit { shared: &shared, entry, asked: &asked }.serve().await;
    let status = match &outcome {
        Ok(_) => 200,
        Err(End::Refused(refusal)) => refusal.status,
        Err(End::Silent) => 0,
    };
    let mut cluster = shared.lock();
    let entry = cluster.nodes.get(entry).map(|node| node.name.clone()).unwrap_or_default();
    cluster.record(CallSeen { method: asked.method.clone(), path: asked.path.clone(), status, entry });
    drop(cluster);
    match outcome {
        Ok(reply) => Ok(answer::ok(&reply, keep, extjs)),
        Err(End::Refused(refusal)) => Ok(answer::refused(&refusal, extjs)),
        Err(End::Silent) => Err(Silence),
    }
}

async fn read(request: Request<Incoming>) -> Served<Asked> {
    let (head, body) = request.into_parts();
    let method = head.method.as_str().to_owned();
    if ![Method::GET, Method::POST, Method::PUT, Method::DELETE].contains(&head.method) {
        return Err(Refusal::bare(501, &format!("method '{method}' not available")));
    }
    if head.headers.contains_key(TRANSFER_ENCODING) {
        return Err(Refusal::bare(501, "chunked transfer encoding not supported"));
    }
    let length: usize = header(&head.headers, CONTENT_LENGTH).parse().unwrap_or(0);
    let bodiless = head.method == Method::GET || head.method == Method::DELETE;
    if bodiless && length > 0 {
        return Err(Refusal::bare(501, &format!("Unexpected content for method '{method}'")));
    }
    let raw = head.uri.path();
    let Some((below, _)) = below(raw) else {
        return Err(Refusal::not_implemented(&method, raw));
    };
    let path = percent_decode_str(below).decode_utf8_lossy().into_owned();
    let content_type = header(&head.headers, CONTENT_TYPE).to_owned();
    let is_upload = content_type.starts_with("multipart/form-data");
    if length > if is_upload { LARGEST_UPLOAD } else { LARGEST_BODY } {
        return Err(Refusal::bare(501, "for data too large"));
    }
    let bytes = Limited::new(body, LARGEST_UPLOAD).collect().await;
    let bytes = bytes.map_err(|_| Refusal::bare(501, "for data too large"))?.to_bytes();
    let (body, upload) = content(&content_type, &bytes)?;
    let query = Parameters::form(head.uri.query().unwrap_or_default());
    let credentials = Credentials::read(
        header(&head.headers, AUTHORIZATION),
        header(&head.headers, COOKIE),
        header(&head.headers, hyper::header::HeaderName::from_static("csrfpreventiontoken")),
    );
    Ok(Asked { method, path, query, body, upload, credentials })
}

fn content(content_type: &str, bytes: &Bytes) -> Served<(Parameters, Option<Upload>)> {
    if bytes.is_empty() {
        return Ok((Parameters::default(), None));
    }
    if content_type.starts_with("application/x-www-form-urlencoded") {
        let text = String::from_utf8_lossy(bytes);
        return Ok((Parameters::form(&text), None));
    }
    if content_type.starts_with("application/json") {
        let malformed = || Refusal::die("malformed JSON string");
        return Ok((Parameters::json(bytes).ok_or_else(malformed)?, None));
    }
    if content_type.starts_with("multipart/form-data") {
        let malformed = || Refusal::bare(501, "unable to parse multipart body");
        let (parameters, upload) = upload::parse(content_type, bytes).ok_or_else(malformed)?;
        return Ok((parameters, Some(upload)));
    }
    Err(Refusal::bare(506, &format!("unsupported content type '{content_type}'")))
}

fn below(path: &str) -> Option<(&str, bool)> {
    let rest = path.strip_prefix("/api2/")?;
    let (format, _) = rest.split_once('/').unwrap_or((rest, ""));
    let below = rest.strip_prefix(format)?;
    matches!(format, "json" | "extjs").then_some((if below.is_empty() { "/" } else { below }, format == "extjs"))
}

fn header(headers: &HeaderMap, name: hyper::header::HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// How a request ends when it is not answered with 200.
enum End {
    Refused(Refusal),
    Silent,
}

impl From<Refusal> for End {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

struct Visit<'a> {
    shared: &'a Shared,
    entry: usize,
    asked: &'a Asked,
}

/// Where a request is to be served, and by whom it is asked.
struct Routed {
    found: Found,
    caller: Option<Caller>,
    owner: usize,
}

impl Visit<'_> {
    async fn serve(&self) -> Result<Reply, End> {
        let routed = self.route();
        let routed = match routed {
            Ok(routed) => routed,
            Err(refusal) => {
                if refusal.status == 401 && !self.shared.clock.is_stepped() {
                    let pace = self.shared.lock().pace;
                    self.shared.pass(Duration::from_millis(pace.unauthenticated)).await;
                }
                return Err(refusal.into());
            }
        };
        let fate = self.fate(&routed);
        self.before(&fate).await?;
        let outcome = self.attempt(&routed, &fate).await;
        self.shared.publish();
        self.after(&routed, fate).await?;
        outcome.map_err(End::Refused)
    }

    /// Who asks, for what, and which node is to answer.
    fn route(&self) -> Served<Routed> {
        let cluster = self.shared.lock();
        let found = schema::find(&self.asked.method, &self.asked.path, &cluster.version);
        let caller = if found.as_ref().is_some_and(|found| found.route.is_open()) {
            None
        } else {
            Some(cluster.authenticate(&self.asked.credentials, &self.asked.method)?)
        };
        let Some(found) = found else {
            return Err(Refusal::not_implemented(&self.asked.method, &self.asked.path));
        };
        let owner = self.owner(&cluster, &found)?;
        Ok(Routed { found, caller, owner })
    }

    /// The node that the path names. What is not proxied is served by the node that was asked, and is about the other.
    fn owner(&self, cluster: &Cluster, found: &Found) -> Served<usize> {
        let Some(name) = found.parameters.get("node").filter(|name| *name != "localhost") else {
            return Ok(self.entry);
        };
        let Some(owner) = cluster.node_index(name) else {
            let message = format!(
                "hostname lookup '{name}' failed - failed to get address info for: {name}: Name or service not known"
            );
            return Err(Refusal::die(message));
        };
        if found.route.on_node && owner != self.entry && !cluster.lives(owner) {
            let message = "Errors during connection establishment, proxy handshake and TLS errors: No route to host";
            return Err(Refusal::bare(595, message));
        }
        Ok(owner)
    }

    fn fate(&self, routed: &Routed) -> Fate {
        let mut cluster = self.shared.lock();
        let parameters = &routed.found.parameters;
        let vmid = parameters.get("vmid").or(self.asked.body.get("vmid"));
        let seen = Seen {
            method: &self.asked.method,
            path: &self.asked.path,
            node: parameters.get("node"),
            vmid: vmid.and_then(|vmid| vmid.parse().ok()),
            newid: self.asked.body.vmid("newid"),
            task: endpoints::forks(routed.found.route),
        };
        let faults = cluster.script.hits(&seen);
        let fate = Fate::of(faults);
        for deed in &fate.deeds {
            if let Err(message) = cluster.deed(deed, seen.vmid.or(seen.newid)) {
                tracing::warn!(message, "a deed of the script could not be done");
            }
        }
        fate
    }

    async fn before(&self, fate: &Fate) -> Result<(), End> {
        if !fate.deeds.is_empty() {
            self.shared.publish();
        }
        if let Some(hold) = fate.unanswered {
            self.shared.pass(hold).await;
            return Err(End::Silent);
        }
        if let Some((status, message)) = &fate.refuse {
            let refusal = Refusal::status(*status, message.clone());
            return Err(End::Refused(if *status >= 595 || *status == 401 {
                Refusal { bare: true, ..refusal }
            } else {
                refusal
            }));
        }
        if fate.lock_timeout {
            let kind = if self.asked.path.contains("/lxc") { Kind::Lxc } else { Kind::Qemu };
            let vmid = self.asked.path.split('/').find_map(|part| part.parse().ok());
            let file = kind.lock_file(vmid.or(self.asked.body.vmid("vmid")).unwrap_or(100));
            return Err(End::Refused(Refusal::die(format!("can't lock file '{file}' - got timeout"))));
        }
        Ok(())
    }

    /// Serves the request, and tries again while it waits for something. Holds one of the node's workers meanwhile.
    async fn attempt(&self, routed: &Routed, fate: &Fate) -> Served<Reply> {
        let _worker = match self.shared.workers.get(routed.owner) {
            Some(workers) => workers.acquire().await.ok(),
            None => None,
        };
        let begun = self.shared.clock.now();
        let mut bell = self.shared.bell.subscribe();
        loop {
            let refusal = match self.once(routed, fate) {
                Ok(reply) => return Ok(reply),
                Err(refusal) => refusal,
            };
            let Some(wait) = refusal.wait.filter(|_| !self.shared.clock.is_instant()) else { return Err(refusal) };
            let until = begun + wait;
            if self.shared.clock.now() >= until {
                return Err(refusal);
            }
            self.shared.wait(&mut bell, until).await;
        }
    }

    fn once(&self, routed: &Routed, fate: &Fate) -> Served<Reply> {
        let mut cluster = self.shared.lock();
        let cluster = &mut *cluster;
        cluster.task_fate.clone_from(&fate.task);
        cluster.in_request = true;
        let served = self.call(cluster, routed);
        cluster.in_request = false;
        cluster.task_fate = None;
        // With a pace of nothing, what was begun is over by the time it is answered.
        cluster.catch_up(cluster.now);
        served
    }

    fn call(&self, cluster: &mut Cluster, routed: &Routed) -> Served<Reply> {
        let route = routed.found.route;
        let mut parameters = routed.found.parameters.clone();
        for (name, values) in &self.asked.query.0 {
            Self::merge(&mut parameters, &routed.found.parameters, name, values)?;
        }
        for (name, values) in &self.asked.body.0 {
            if !self.asked.query.has(name) {
                Self::merge(&mut parameters, &routed.found.parameters, name, values)?;
            }
        }
        let caller = routed.caller.clone().unwrap_or_else(Caller::nobody);
        if let Some(upload) = &self.asked.upload {
            parameters.set("filename", upload.name.clone());
        }
        let mut call = Call {
            cluster,
            caller,
            parameters,
            route,
            entry: self.entry,
            node: routed.owner,
            upload: self.asked.upload.as_ref(),
        };
        call.permitted()?;
        schema::check(route, &mut call.parameters, &call.cluster.version)?;
        endpoints::dispatch(&mut call, &self.asked.path)
    }

    fn merge(into: &mut Parameters, path: &Parameters, name: &str, values: &[String]) -> Served<()> {
        if path.get(name).is_some_and(|there| values.iter().any(|value| value != there)) {
            let message = "duplicate parameter (already defined in URI) with conflicting values!";
            return Err(Refusal::parameter(name, message));
        }
        into.0.insert(name.to_owned(), values.to_vec());
        Ok(())
    }

    async fn after(&self, routed: &Routed, fate: Fate) -> Result<(), End> {
        if !fate.delay.is_zero() {
            let limit = Duration::from_millis(self.shared.lock().pace.proxy_timeout);
            if routed.owner != self.entry && fate.delay > limit {
                self.shared.pass(limit).await;
                return Err(Refusal::bare(596, "Connection timed out").into());
            }
            self.shared.pass(fate.delay).await;
        }
        if fate.lost {
            return Err(End::Silent);
        }
        if fate.timed_out {
            return Err(Refusal::bare(596, "Connection timed out").into());
        }
        Ok(())
    }
}
