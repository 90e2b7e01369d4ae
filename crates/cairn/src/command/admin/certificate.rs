//! The certificate that a cluster shows, so that a person can compare it with what the cluster says of itself. Nothing
//! is asked or told over this connection.

use crate::failure::{Ending, Failure, Result};
use reqwest::Url;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use sha2::{Digest, Sha256};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// How long a cluster may take for each part of the handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// SHA-256 of the certificate that is shown at this address, as Proxmox writes it: capitals with colons.
pub(super) async fn fingerprint(entry: &Url) -> Result<String> {
    let host = entry.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = entry.port_or_known_default().unwrap_or(8006);
    let seen = tokio::task::spawn_blocking(move || shown(&host, port)).await;
    let seen = seen.unwrap_or_else(|error| Err(error.to_string()));
    let certificate = seen.map_err(|why| {
        Failure::new(Ending::Unreachable, format!("cannot see the certificate of {entry}: {why}")).suggest(
            "the address and the port of a node that runs (8006 as a rule); or, if only your installation reaches it, \
                 --fingerprint SHA256, as `pvenode cert info` shows it",
        )
    })?;
    Ok(written(&Sha256::digest(&certificate)))
}

fn written(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// Reads a fingerprint as people and programs write it, into capitals with colons.
pub(super) fn parse(text: &str) -> Result<String> {
    let digits: String = text.chars().filter(|c| *c != ':' && !c.is_whitespace()).collect();
    let hexadecimal = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !hexadecimal {
        let sentence = format!("`{text}` is not the SHA-256 of a certificate: 32 bytes in hexadecimal");
        return Err(Failure::usage(sentence).suggest("what `pvenode cert info` shows"));
    }
    let pairs: Vec<String> =
        digits.as_bytes().chunks(2).map(|pair| String::from_utf8_lossy(pair).to_uppercase()).collect();
    Ok(pairs.join(":"))
}

fn shown(host: &str, port: u16) -> std::result::Result<Vec<u8>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let provider = CryptoProvider::get_default().cloned().ok_or("BUG: no TLS provider")?;
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| text(&error))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| text(&error))?;
    let address = (host, port).to_socket_addrs().map_err(|error| text(&error))?.next().ok_or("it has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| text(&error))?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| text(&error))?;
    stream.set_write_timeout(Some(PATIENCE)).map_err(|error| text(&error))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| text(&error))?;
    }
    let certificates = connection.peer_certificates().unwrap_or_default();
    certificates.first().map(|certificate| certificate.to_vec()).ok_or_else(|| "it shows none".to_owned())
}

/// Lets everybody in who holds the key of the certificate that they show: it is shown to a person, who decides.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_are_read_as_they_are_written() {
        let capitals = ["AB"; 32].join(":");
        for text in [capitals.clone(), "ab".repeat(32), ["aB"; 32].join(" ")] {
            assert_eq!(parse(&text).unwrap(), capitals);
        }
        assert_eq!(written(&[0xab; 32]), capitals);
        for wrong in ["", "AB:CD", &"zz".repeat(32), &"ab".repeat(33)] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
