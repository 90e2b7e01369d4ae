//! Ports, TLS and connections.

mod answer;
mod parameters;
mod serve;
mod upload;

pub(crate) use answer::Reply;
pub(crate) use parameters::{Parameters, items};
pub(crate) use upload::Upload;

use crate::StartError;
use crate::scenario::{Entries, Scenario};
use crate::shared::Shared;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A connection that says nothing for so long is closed (pve-http-server, AnyEvent.pm).
const IDLE: Duration = Duration::from_secs(5);
/// Requests on one connection (pve-http-server, AnyEvent.pm).
pub(crate) const MOST_REQUESTS: u32 = 100;

/// A port that plays a node.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The node; empty when it plays whichever lives.
    pub node: String,
    /// As in `https://127.0.0.1:40123`.
    pub url: String,
    /// As PVE writes it: `AB:CD:…`.
    pub fingerprint_sha256: String,
}

/// A node's certificate.
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pub(crate) pem: String,
    pub(crate) fingerprint: String,
}

/// One for every node: self-signed, as a fresh node's are for whoever does not know its cluster's authority.
pub(crate) fn certificates(scenario: &Scenario) -> Result<Vec<Certificate>, StartError> {
    scenario
        .nodes
        .iter()
        .map(|node| certificate(&node.name).map_err(|error| StartError::Certificate(error.to_string())))
        .collect()
}

fn certificate(node: &str) -> Result<Certificate, rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let names = vec![node.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
    let signed = rcgen::CertificateParams::new(names)?.self_signed(&key)?;
    let der = signed.der().clone();
    let fingerprint: Vec<String> = Sha256::digest(&der).iter().map(|byte| format!("{byte:02X}")).collect();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    Ok(Certificate { pem: signed.pem(), der, key: private, fingerprint: fingerprint.join(":") })
}

/// Opens the ports.
pub(crate) async fn listen(
    shared: &Arc<Shared>,
    scenario: &Scenario,
    certificates: Vec<Certificate>,
    address: SocketAddr,
    tasks: &mut JoinSet<()>,
) -> Result<Vec<Entry>, StartError> {
    let count = if scenario.entries == Entries::One { 1 } else { scenario.nodes.len() };
    shared.listening.send_replace(vec![true; count]);
    let mut entries = Vec::new();
    for (index, certificate) in certificates.into_iter().take(count).enumerate() {
        let mut address = address;
        if address.port() != 0 {
            address.set_port(address.port().saturating_add(u16::try_from(index).unwrap_or(u16::MAX)));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let node = (count > 1 || scenario.nodes.len() == 1).then(|| scenario.nodes.get(index)).flatten();
        entries.push(Entry {
            node: node.map(|node| node.name.clone()).unwrap_or_default(),
            url: format!("https://{address}"),
            fingerprint_sha256: certificate.fingerprint.clone(),
        });
        let tls = acceptor(certificate).map_err(|error| StartError::Certificate(error.to_string()))?;
        let port =
            Port { shared: Arc::clone(shared), index, whichever: scenario.entries == Entries::One, address, tls };
        tasks.spawn(port.run(listener));
    }
    Ok(entries)
}

fn acceptor(certificate: Certificate) -> Result<TlsAcceptor, rustls::Error> {
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der], certificate.key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

struct Port {
    shared: Arc<Shared>,
    index: usize,
    whichever: bool,
    address: SocketAddr,
    tls: TlsAcceptor,
}

impl Port {
    /// Listens while the node lives. A dead node's port refuses, and its connections break.
    async fn run(self, listener: TcpListener) {
        let mut listener = Some(listener);
        let mut alive = self.shared.alive.subscribe();
        // The node may have died before this ran for the first time.
        alive.mark_changed();
        loop {
            let open = match listener.take() {
                Some(open) => open,
                None => self.bind().await,
            };
            self.follow(true);
            self.accept(open, &mut alive).await;
            self.follow(false);
            let lives = |alive: &Vec<bool>| alive.get(self.index).copied().unwrap_or_default();
            if alive.wait_for(lives).await.is_err() {
                return;
            }
        }
    }

    fn follow(&self, open: bool) {
        self.shared.listening.send_modify(|listening| {
            if let Some(mine) = listening.get_mut(self.index) {
                *mine = open;
            }
        });
    }

    async fn bind(&self) -> TcpListener {
        loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => return listener,
                Err(error) => tracing::warn!(%error, "the port of a node that came back is not free"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Accepts until the node dies; with it end its connections.
    async fn accept(&self, listener: TcpListener, alive: &mut watch::Receiver<Vec<bool>>) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(Arc::clone(&self.shared), self.entry(), self.tls.clone(), stream));
                    }
                }
                changed = alive.changed() => {
                    let dead = !self.whichever && !alive.borrow().get(self.index).copied().unwrap_or_default();
                    if changed.is_err() || dead {
                        return;
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }

    fn entry(&self) -> Option<usize> {
        (!self.whichever).then_some(self.index)
    }
}

async fn connection(shared: Arc<Shared>, entry: Option<usize>, tls: TlsAcceptor, stream: TcpStream) {
    // Small answers to small requests: waiting for more bytes would cost 40 ms each.
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let served = AtomicU32::new(0);
    let service = service_fn(|request| {
        let last = served.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_REQUESTS;
        let shared = Arc::clone(&shared);
        async move {
            let keep = if last { serve::Keep::Close } else { serve::Keep::Alive };
            serve::serve(shared, entry, keep, request).await
        }
    });
    let ended = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}
