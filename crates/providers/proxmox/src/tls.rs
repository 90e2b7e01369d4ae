//! Whom we believe to be the cluster: whoever the public authorities vouch for, or whose certificate was pinned.

use crate::config::Fingerprint;
use provider::{Fault, Result};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// TLS as we speak it to a cluster.
pub(crate) fn client(pinned: Vec<Fingerprint>) -> Result<ClientConfig> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    let public = if roots.is_empty() {
        None
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto)).build();
        Some(verifier.map_err(|error| Fault::bug(format!("TLS: {error}")))?)
    };
    let verifier = Arc::new(Verifier { public, pinned, crypto: Arc::clone(&crypto) });
    let config = ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|error| Fault::bug(format!("TLS: {error}")))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// A certificate that nobody vouches for; its fingerprint, so that an operator can compare.
#[derive(Debug)]
struct Unpinned(Fingerprint);

impl std::fmt::Display for Unpinned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(Fingerprint(bytes)) = self;
        let shown: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        write!(
            f,
            "the certificate shown there is neither signed by a known authority nor pinned; its SHA-256 fingerprint is {}. \
             If `pvenode cert info` on that node shows the same, pin it; otherwise somebody stands in between",
            shown.join(":")
        )
    }
}

impl std::error::Error for Unpinned {}

/// Believes the public authorities, and certificates that were pinned.
#[derive(Debug)]
struct Verifier {
    /// `None`: this host knows no authorities.
    public: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<Fingerprint>,
    crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, Error> {
        let public = match &self.public {
            Some(public) => public.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        let seen: [u8; 32] = Sha256::digest(end_entity).into();
        public.or_else(|error| {
            if self.pinned.contains(&Fingerprint(seen)) {
                return Ok(ServerCertVerified::assertion());
            }
            // Of what an authority signed for somebody else, or long ago, the authority's reason is the one to tell.
            let unknown = matches!(
                error,
                Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::Other(_))
            );
            if self.pinned.is_empty() && !unknown {
                return Err(error);
            }
            let unpinned = OtherError(Arc::new(Unpinned(Fingerprint(seen))));
            Err(Error::InvalidCertificate(CertificateError::Other(unpinned)))
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
