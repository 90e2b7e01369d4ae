//! The listeners: HTTP/1.1 and HTTP/2, plain and over TLS, with the time limits that keep a slow or silent client
//! from holding a connection.

use crate::certificates::Certificates;
use crate::settings::{Key, Problem, Settings};
use anyhow::{Context, Result};
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use axum_server::{Handle, Server};
use hyper_util::rt::TokioTimer;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A request's head arrives within this time or the connection is closed; an idle connection lives as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A quiet HTTP/2 connection is asked for a sign of life this often.
const PING_EVERY: Duration = Duration::from_secs(30);
/// What is under way at a shutdown may take this long.
const DRAIN: Duration = Duration::from_secs(10);

/// Open sockets. Made before anything slow, so that an address in use is reported at once and an early client waits
/// in the kernel's queue instead of being refused.
pub(crate) struct Sockets {
    http: Option<TcpListener>,
    https: Option<Secure>,
}

/// A socket with what TLS needs. Loaded as early, so that a certificate that cannot be used stops the start, and so
/// that whoever finds the service ready finds `ca.pem` too.
struct Secure {
    listener: TcpListener,
    certificates: Certificates,
    config: RustlsConfig,
}

impl Sockets {
    /// Opens what the settings ask for.
    pub(crate) fn open(settings: &Settings) -> Result<Self> {
        if settings.listen_http.is_none() && settings.listen_https.is_none() {
            let fix = "set one of them to an address, or run another role than serve";
            return Err(Problem::new("listen.http and listen.https are both off", fix).into());
        }
        let http = open(Key::ListenHttp, settings.listen_http)?;
        let https = match open(Key::ListenHttps, settings.listen_https)? {
            None => None,
            Some(listener) => {
                let certificates = Certificates::from_settings(settings);
                let config = RustlsConfig::from_config(certificates.load()?);
                Some(Secure { listener, certificates, config })
            }
        };
        Ok(Self { http, https })
    }

    /// Opens what a process wants that does not serve the API; nothing unless the settings ask for it.
    pub(crate) fn open_for_figures(settings: &Settings) -> Result<Option<Self>> {
        let http = open(Key::ListenMetrics, settings.listen_metrics)?;
        Ok(http.map(|http| Self { http: Some(http), https: None }))
    }

    /// Answers requests until `stopping`, then finishes what is under way.
    pub(crate) async fn serve(self, router: Router, stopping: CancellationToken) -> Result<()> {
        let handle = Handle::new();
        let mut servers = JoinSet::new();
        if let Some(listener) = self.http {
            let address = listener.local_addr()?;
            let server = with_limits(axum_server::from_tcp(listener)?).handle(handle.clone());
            servers.spawn(server.serve(router.clone().into_make_service_with_connect_info::<SocketAddr>()));
            tracing::info!("answering on http://{address}");
        }
        let mut fresh = tokio::spawn(std::future::pending());
        if let Some(Secure { listener, certificates, config }) = self.https {
            let address = listener.local_addr()?;
            let server = with_limits(axum_server::from_tcp_rustls(listener, config.clone())?).handle(handle.clone());
            servers.spawn(server.serve(router.into_make_service_with_connect_info::<SocketAddr>()));
            tracing::info!("answering on https://{address}");
            fresh = tokio::spawn(async move { certificates.keep_fresh(&config).await });
        }
        let ended = tokio::select! {
            () = stopping.cancelled() => None,
            ended = servers.join_next() => ended,
        };
        handle.graceful_shutdown(Some(DRAIN));
        fresh.abort();
        if let Some(ended) = ended {
            ended.context("BUG: a listener panicked")?.context("a listener failed")?;
        }
        while let Some(ended) = servers.join_next().await {
            ended.context("BUG: a listener panicked")?.context("a listener failed")?;
        }
        Ok(())
    }
}

fn with_limits<A>(mut server: Server<SocketAddr, A>) -> Server<SocketAddr, A> {
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(PING_EVERY).keep_alive_timeout(HEAD_TIMEOUT);
    server
}

fn open(key: Key, address: Option<SocketAddr>) -> Result<Option<TcpListener>, Problem> {
    address.map(|address| bind(address).map_err(|error| cannot_listen(key, address, &error))).transpose()
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn cannot_listen(key: Key, address: SocketAddr, error: &std::io::Error) -> Problem {
    let fix = match error.kind() {
        std::io::ErrorKind::AddrInUse => "another process listens there: stop it, or choose another port with",
        std::io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: choose a higher one with",
        _ => "choose an address of this machine with",
    };
    Problem::new(
        format!("{} {address} cannot be listened on: {error}", key.name()),
        format!("{fix} {} or {}", key.flag(), key.variable()),
    )
}
