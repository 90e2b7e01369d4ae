//! What is fixed when the process starts.

use ipnet::IpNet;
use model::image_url::Reach;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Rate limits of one token. 0: no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests an hour. 0 also leaves the `ratelimit-*` headers out.
    pub per_hour: u32,
    /// Requests a minute.
    pub per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_hour: 5000, per_minute: 250 }
    }
}

/// Writes the process's figures in Prometheus' format.
pub type RenderMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Writes the script for a provider, by its name, and for what of it is to be used. `None`: it is not known.
pub type SetupScript = Arc<dyn Fn(&str, &SetupWish) -> Option<String> + Send + Sync>;

/// What of a provider is to be used; what is not said is as usual there. Everything is a plain word, fit for a script.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SetupWish {
    /// What the token is to be called.
    pub token_id: Option<String>,
    /// Where servers' disks go.
    pub storage: Option<String>,
    /// Where images are downloaded to.
    pub file_storage: Option<String>,
    /// The bridge of the public network.
    pub bridge: Option<String>,
    /// The version of the software there.
    pub version: Option<String>,
    /// The mappings whose devices servers may be given.
    pub gpu_mappings: Vec<String>,
}

/// What is fixed when the process starts.
#[derive(Clone)]
pub struct Options {
    /// Scheme and host under which clients reach us, such as `https://cloud.example.com`: they follow our links as
    /// they stand.
    pub public_url: String,
    /// Rate limits of one token.
    pub limits: Limits,
    /// Reverse proxies in front of us, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long one request may take until its answer begins.
    pub request_timeout: Duration,
    /// How long a token that was looked up is good for without asking again. 0: always ask.
    pub token_cache: Duration,
    /// The most event streams that one team may hold open at this process.
    pub streams_per_team: usize,
    /// How far the addresses of images that teams bring may reach. The region's provider has a word in it, too.
    pub image_reach: Reach,
    /// What regions' secrets are sealed with before they are stored; without it no region can be connected here.
    pub secrets: Option<Arc<cloud::secrets::Key>>,
    /// What the administrator of a provider runs there to let us in; `None`: nothing is known of any provider.
    pub setup_script: Option<SetupScript>,
    /// What `/metrics` answers; `None`: it is not served.
    pub render_metrics: Option<RenderMetrics>,
    /// Cancelled when the process is to end: streams end then, so that a graceful shutdown does not wait for them.
    pub stop: CancellationToken,
}

impl Options {
    /// The defaults, for a service that is reached under `public_url`.
    pub fn new(public_url: impl Into<String>) -> Self {
        Self {
            public_url: public_url.into(),
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            request_timeout: Duration::from_secs(30),
            token_cache: Duration::from_secs(5),
            streams_per_team: 100,
            image_reach: Reach::Public,
            secrets: None,
            setup_script: None,
            render_metrics: None,
            stop: CancellationToken::new(),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("public_url", &self.public_url)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
