//! HTTPS from the first start: a certificate authority of our own, kept in the data directory for people to trust
//! (`ca.pem`), and a certificate from it that exists only in memory: it is made at every start and again long
//! before it expires, so there is no renewal to forget and no stale name to notice. An operator's own certificate
//! takes its place when one is configured, and is read again when its file changes.

use crate::files;
use crate::settings::{CertificateFiles, Settings, host_name};
use anyhow::{Context, Result};
use axum_server::tls_rustls::RustlsConfig;
use jiff::{Span, Zoned};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// A certificate is valid for this long …
const VALID_DAYS: i64 = 90;
/// … and replaced after this long.
const RENEWED_AFTER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often the operator's own certificate is looked at.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(60);

/// Where certificates come from.
#[derive(Debug)]
pub(crate) enum Certificates {
    /// The operator's files.
    Given(CertificateFiles),
    /// Our own authority, for these names.
    Own {
        /// Where the authority is kept.
        directory: PathBuf,
        /// DNS names and addresses.
        names: Vec<String>,
    },
}

impl Certificates {
    /// As configured.
    pub(crate) fn from_settings(settings: &Settings) -> Self {
        match &settings.certificate {
            Some(files) => Self::Given(files.clone()),
            None => Self::Own { directory: settings.data_dir.clone(), names: names(&settings.public_url) },
        }
    }

    /// The certificate of the authority that clients have to be told to trust; `None` with the operator's own files.
    pub(crate) fn authority_file(&self) -> Option<PathBuf> {
        match self {
            Self::Given(_) => None,
            Self::Own { directory, .. } => Some(directory.join("ca.pem")),
        }
    }

    /// What a TLS listener needs now.
    pub(crate) fn load(&self) -> Result<Arc<ServerConfig>> {
        match self {
            Self::Given(files) => load_given(files),
            Self::Own { directory, names } => issue(directory, names),
        }
    }

    /// Keeps a listener's certificate fresh for as long as it is polled.
    pub(crate) async fn keep_fresh(&self, listener: &RustlsConfig) {
        let mut stamp = self.stamp();
        loop {
            tokio::time::sleep(match self {
                Self::Given(_) => LOOKED_AT_EVERY,
                Self::Own { .. } => RENEWED_AFTER,
            })
            .await;
            let current = self.stamp();
            if matches!(self, Self::Given(_)) && current == stamp {
                continue;
            }
            match self.load() {
                Ok(config) => {
                    listener.reload_from_config(config);
                    stamp = current;
                    tracing::info!("the HTTPS certificate was replaced");
                }
                // The old one still serves; a half-written file is whole a minute later.
                Err(error) => tracing::error!("the new HTTPS certificate cannot be used: {error:#}"),
            }
        }
    }

    fn stamp(&self) -> Vec<Option<SystemTime>> {
        let modified = |path: &Path| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        match self {
            Self::Given(files) => vec![modified(&files.certificate), modified(&files.key)],
            Self::Own { .. } => Vec::new(),
        }
    }
}

/// Everything that this machine may be called by somebody who connects to it.
fn names(public_url: &str) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    names.push(host_name());
    names.extend(host_of(public_url));
    names.retain(|name| !name.is_empty() && name.is_ascii());
    names.sort();
    names.dedup();
    names
}

/// The host of a URL, without port and brackets.
fn host_of(url: &str) -> Option<String> {
    let (_, authority) = url.split_once("://")?;
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host.to_owned()),
        None => authority.split(':').next().map(str::to_owned),
    }
}

fn load_given(files: &CertificateFiles) -> Result<Arc<ServerConfig>> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.certificate {} is not a PEM chain", files.certificate.display()))?;
    anyhow::ensure!(!chain.is_empty(), "tls.certificate {} holds no certificate", files.certificate.display());
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .with_context(|| format!("tls.key {} is not a PEM private key", files.key.display()))?;
    server_config(chain, key).with_context(|| {
        format!("tls.key {} does not fit tls.certificate {}", files.key.display(), files.certificate.display())
    })
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Arc<ServerConfig>> {
    let mut config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn issue(directory: &Path, names: &[String]) -> Result<Arc<ServerConfig>> {
    let authority = authority(directory)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name.push(DnType::CommonName, "Cairn");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, VALID_DAYS)?;
    let certificate = params.signed_by(&key, &authority)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    server_config(vec![certificate.der().clone()], key.into())
}

/// The authority in this directory: its key is made once and kept, and `ca.pem` beside it is what clients trust.
fn authority(directory: &Path) -> Result<Issuer<'static, KeyPair>> {
    let (key_file, certificate_file) = (directory.join("ca.key"), directory.join("ca.pem"));
    let key = match std::fs::read_to_string(&key_file) {
        Ok(pem) => KeyPair::from_pem(&pem).with_context(|| {
            format!("{} is damaged; remove it and ca.pem to make a new authority", key_file.display())
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = KeyPair::generate()?;
            let params = authority_params(&key)?;
            files::write(&certificate_file, params.self_signed(&key)?.pem().as_bytes(), files::PUBLIC)?;
            files::write(&key_file, key.serialize_pem().as_bytes(), files::PRIVATE)?;
            tracing::info!(certificate = %certificate_file.display(), "made a certificate authority");
            key
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", key_file.display())),
    };
    let params = authority_params(&key)?;
    if !certificate_file.exists() {
        files::write(&certificate_file, params.self_signed(&key)?.pem().as_bytes(), files::PUBLIC)?;
    }
    Ok(Issuer::new(params, key))
}

/// Follows from the key alone, so that the authority can sign without reading its own certificate. The name holds a
/// piece of the key: a client that trusts two Cairn installations must be able to tell their authorities apart.
fn authority_params(key: &KeyPair) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    let piece: String = key.der_bytes().iter().rev().take(4).map(|byte| format!("{byte:02x}")).collect();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Cairn local authority {piece}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, 3650)?;
    Ok(params)
}

/// From yesterday (clocks differ) for so many days.
fn set_validity(params: &mut CertificateParams, days: i64) -> Result<()> {
    let day = |offset: i64| -> Result<_> {
        let date = Zoned::now().checked_add(Span::new().days(offset))?.date();
        Ok(rcgen::date_time_ymd(date.year().into(), u8::try_from(date.month())?, u8::try_from(date.day())?))
    };
    params.not_before = day(-1)?;
    params.not_after = day(days)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found() {
        assert_eq!(host_of("https://cloud.example:8443").as_deref(), Some("cloud.example"));
        assert_eq!(host_of("https://[2001:db8::1]:8443").as_deref(), Some("2001:db8::1"));
        assert_eq!(host_of("nonsense"), None);
    }

    #[test]
    fn names_are_listed_once() {
        let names = names("https://127.0.0.1:8443");
        assert_eq!(names.iter().filter(|name| *name == "127.0.0.1").count(), 1);
    }
}
