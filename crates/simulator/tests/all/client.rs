//! A client that believes nothing: it keeps status, reason phrase and body apart.

use serde_json::Value;
use simulator::{ClockKind, Scenario, Simulator};

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn data(&self) -> &Value {
        &self.body["data"]
    }

    pub(crate) fn text(&self) -> String {
        self.data().as_str().unwrap_or_default().to_owned()
    }
}

pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) url: String,
    token: String,
}

impl Client {
    pub(crate) fn new(simulator: &Simulator) -> Self {
        Self::at(&simulator.url, simulator.token.clone().unwrap_or_default())
    }

    pub(crate) fn at(url: &str, token: String) -> Self {
        // Several tests of one process install the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().danger_accept_invalid_certs(true).no_proxy().build().unwrap();
        Self { http, url: url.to_owned(), token }
    }

    pub(crate) fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path).header("Authorization", &self.token)
    }

    /// Without credentials.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let path = if path.starts_with("/api2/") { path.to_owned() } else { format!("/api2/json{path}") };
        self.http.request(method, format!("{}{path}", self.url))
    }

    /// `None`: the connection was closed without an answer.
    pub(crate) async fn send(&self, request: reqwest::RequestBuilder) -> Option<Got> {
        let response = request.send().await.ok()?;
        let status = response.status().as_u16();
        let reason = response.extensions().get::<hyper::ext::ReasonPhrase>();
        let canonical = response.status().canonical_reason().unwrap_or_default().to_owned();
        let reason = reason.map_or(canonical, |reason| String::from_utf8_lossy(reason.as_bytes()).into_owned());
        let text = response.text().await.unwrap();
        Some(Got { status, reason, body: serde_json::from_str(&text).unwrap_or(Value::String(text)) })
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.send(self.request("GET", path)).await.unwrap()
    }

    /// With a form; on GET and DELETE, with a query.
    pub(crate) async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Option<Got> {
        let body = encoded(form);
        let request = match method {
            "GET" | "DELETE" if !body.is_empty() => self.request(method, &format!("{path}?{body}")),
            "GET" | "DELETE" => self.request(method, path),
            _ => self.request(method, path).header("Content-Type", "application/x-www-form-urlencoded").body(body),
        };
        self.send(request).await
    }

    /// What must be answered with 200.
    pub(crate) async fn done(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Got {
        let got = self.call(method, path, form).await.unwrap();
        assert_eq!(got.status, 200, "{method} {path}: {got:?}");
        got
    }

    /// The exit status of a task; `running` while it runs.
    pub(crate) async fn exit(&self, upid: &str) -> String {
        let node = upid.split(':').nth(1).unwrap();
        let got = self.get(&format!("/nodes/{node}/tasks/{upid}/status")).await;
        let exit = &got.data()["exitstatus"];
        exit.as_str()
            .map_or_else(|| got.data()["status"].as_str().unwrap_or(&got.body.to_string()).to_owned(), str::to_owned)
    }
}

pub(crate) fn percent(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

pub(crate) fn encoded(form: &[(&str, &str)]) -> String {
    form.iter().map(|(key, value)| format!("{}={}", percent(key), percent(value))).collect::<Vec<_>>().join("&")
}

/// A cluster in which nothing lasts.
pub(crate) async fn instant(nodes: usize) -> (Simulator, Client) {
    started(Scenario::cluster_of(nodes).with_clock(ClockKind::Instant)).await
}

/// A cluster whose time only the test makes pass.
pub(crate) async fn stepped(nodes: usize) -> (Simulator, Client) {
    started(Scenario::cluster_of(nodes).with_clock(ClockKind::Stepped)).await
}

pub(crate) async fn started(scenario: Scenario) -> (Simulator, Client) {
    let simulator = Simulator::start(scenario).await.unwrap();
    let client = Client::new(&simulator);
    (simulator, client)
}
