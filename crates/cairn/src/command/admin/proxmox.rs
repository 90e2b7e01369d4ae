//! What a region with the provider `proxmox` needs to know, from flags. The keys are those of the provider's settings.

use super::certificate;
use crate::failure::{Failure, Result};
use clap::Args;
use reqwest::Url;
use serde_json::{Map, Value, json};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use wire::admin::{Pool, PoolKind};

/// The name of the address pool that the flags speak of.
const POOL: &str = "public";

/// How a cluster is reached, and what of it is used.
#[derive(Debug, Args)]
#[command(next_help_heading = "The cluster")]
pub(super) struct Cluster {
    /// The API token's name, such as cairn@pve!cairn
    #[arg(long, value_name = "USER@REALM!NAME")]
    pub(super) token_id: Option<String>,
    /// Read the token's secret from this file; `-` is stdin [env: CAIRN_REGION_SECRET]
    #[arg(long, value_name = "FILE")]
    pub(super) secret_file: Option<PathBuf>,
    /// Trust the certificate with this SHA-256 without asking; may be repeated, one for each node
    #[arg(long = "fingerprint", value_name = "SHA256")]
    pub(super) fingerprints: Vec<String>,
    /// Where servers' disks go
    #[arg(long, value_name = "STORAGE")]
    pub(super) storage: Option<String>,
    /// Where images are downloaded to: a storage of files
    #[arg(long, value_name = "STORAGE")]
    pub(super) file_storage: Option<String>,
    /// The bridge of the public network
    #[arg(long, value_name = "BRIDGE")]
    pub(super) bridge: Option<String>,
    /// The VLAN of the public network on that bridge
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..=4094))]
    pub(super) vlan: Option<u16>,
    /// The SDN zone in which teams have networks of their own; without one there are none
    #[arg(long, value_name = "ZONE")]
    pub(super) private_zone: Option<String>,
    /// A PCI mapping whose devices are GPUs that servers may be given; may be repeated
    #[arg(long = "gpu-mapping", value_name = "ID")]
    pub(super) gpu_mappings: Vec<String>,
    /// Another setting of the provider, as JSON or as a word; `null` takes it back; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(super) more: Vec<String>,
}

/// What servers there get.
#[derive(Debug, Args)]
#[command(next_help_heading = "The network")]
pub(super) struct Network {
    /// The public network, such as 192.0.2.0/24
    #[arg(long, value_name = "RANGE")]
    pub(super) pool_range: Option<String>,
    /// Its gateway; the first host address if not given
    #[arg(long, value_name = "ADDRESS")]
    pool_gateway: Option<Ipv4Addr>,
    /// The first address that servers get; the second host address if not given
    #[arg(long, value_name = "ADDRESS")]
    pool_first: Option<Ipv4Addr>,
    /// The last address that servers get; the last host address if not given
    #[arg(long, value_name = "ADDRESS")]
    pool_last: Option<Ipv4Addr>,
    /// A name server of its servers; may be repeated
    #[arg(long = "resolver", value_name = "ADDRESS")]
    pub(super) resolvers: Vec<IpAddr>,
}

impl Network {
    /// The public network, where one is named.
    pub(super) fn pools(&self) -> Option<Vec<Pool>> {
        let range = self.pool_range.clone()?;
        let (gateway, first, last) = (self.pool_gateway, self.pool_first, self.pool_last);
        Some(vec![Pool { name: POOL.to_owned(), kind: PoolKind::PublicBridged, range, gateway, first, last }])
    }
}

/// Reads the address of an entry: `https://` and the port 8006 go without saying.
pub(super) fn entry(text: &str) -> Result<Url> {
    let wrong = |why: &str| {
        Failure::usage(format!("`{text}` is not the address of a cluster: {why}"))
            .suggest("something like https://pve1.example.org:8006")
    };
    if text.contains('@') {
        return Err(Failure::usage("the address of a cluster holds no user or password; the token is asked for"));
    }
    let with_scheme = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let mut url = Url::parse(&with_scheme).map_err(|error| wrong(&error.to_string()))?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err(wrong("a cluster is only reached over https://"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it ends after the port"));
    }
    // A port that is written out is meant, 443 as well; Url forgets that one.
    let written =
        with_scheme.trim_end_matches('/').rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if !written {
        url.set_port(Some(8006)).map_err(|()| wrong("it has no place for a port"))?;
    }
    Ok(url)
}

/// The address as the provider wants it.
pub(super) fn address(entry: &Url) -> String {
    let host = entry.host_str().unwrap_or_default();
    format!("https://{host}:{}", entry.port_or_known_default().unwrap_or(8006))
}

impl Cluster {
    /// Puts what the flags say into settings that there are already.
    pub(super) fn write(&self, settings: &mut Map<String, Value>) -> Result<()> {
        let mut put = |key: &str, value: Option<Value>| value.map(|value| settings.insert(key.to_owned(), value));
        put("token_id", self.token_id.clone().map(Value::from));
        put("storage", self.storage.clone().map(Value::from));
        put("file_storage", self.file_storage.clone().map(Value::from));
        put("private_zone", self.private_zone.clone().map(Value::from));
        put("bridges", self.bridge.as_deref().map(|bridge| bridges(bridge, self.vlan)));
        put("gpu_mappings", (!self.gpu_mappings.is_empty()).then(|| self.gpu_mappings.clone().into()));
        for text in &self.more {
            let (key, value) = setting(text)?;
            put(key, Some(value));
        }
        // Nothing is a way to take a setting back.
        settings.retain(|_, value| !value.is_null());
        Ok(())
    }

    /// The fingerprints of the flags, all written alike.
    pub(super) fn pinned(&self) -> Result<Vec<String>> {
        self.fingerprints.iter().map(|text| certificate::parse(text)).collect()
    }
}

/// The bridge of the public network.
pub(super) fn bridges(bridge: &str, vlan: Option<u16>) -> Value {
    let mut one = json!({ "name": bridge });
    if let Some(vlan) = vlan {
        one["vlan"] = vlan.into();
    }
    json!({ POOL: one })
}

/// `KEY=VALUE`: JSON where it is JSON, otherwise a word.
fn setting(text: &str) -> Result<(&str, Value)> {
    match text.split_once('=') {
        // A secret in the arguments would be anybody's to read.
        Some((key, _)) if key.contains("secret") => {
            Err(Failure::usage(format!("`{key}` is not set like this, because others can read the arguments"))
                .suggest("--secret-file FILE"))
        }
        Some((key, value)) if !key.is_empty() => {
            Ok((key, serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
        }
        _ => Err(Failure::usage(format!("`{text}` is not KEY=VALUE"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_more_than_a_host() {
        for (text, read) in [
            ("pve1", "https://pve1:8006"),
            ("https://pve1.example.org", "https://pve1.example.org:8006"),
            ("https://pve1.example.org:443/", "https://pve1.example.org:443"),
            ("192.0.2.1:9000", "https://192.0.2.1:9000"),
            ("https://[2001:db8::1]:8006", "https://[2001:db8::1]:8006"),
        ] {
            assert_eq!(address(&entry(text).unwrap()), read, "{text}");
        }
        for wrong in
            ["http://pve1:8006", "https://root@pve1:8006", "https://pve1:8006/api2/json", "", "https://pve1?x=1"]
        {
            assert!(entry(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_are_json_or_words_and_never_secrets() {
        assert_eq!(setting("connections=7").unwrap(), ("connections", json!(7)));
        assert_eq!(setting("cpu_model=host").unwrap(), ("cpu_model", json!("host")));
        assert_eq!(setting("guest_numbers=[100000,199999]").unwrap().1, json!([100_000, 199_999]));
        for wrong in ["", "=1", "token_secret=swordfish", "x"] {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
    }
}
