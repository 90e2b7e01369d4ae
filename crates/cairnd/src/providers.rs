//! The providers that this build has, and how each is opened with what a region's settings say.

use crate::settings::{Networking, Settings, host_name};
use model::ids::{ImageId, InstallationId};
use provider::{Fault, Provider};
use provider_proxmox::{Bridge, Cloning, Fingerprint, Proxmox, Secret};
use provider_qemu::{Config, Qemu};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use store::regions::Connection;

/// Opens a region's provider. The detail of a fault is for the operator.
pub(crate) async fn open(
    settings: &Settings,
    installation: InstallationId,
    connection: &Connection,
    secret: Option<String>,
) -> provider::Result<Arc<dyn Provider>> {
    match connection.provider.as_str() {
        "qemu" => {
            let config = qemu(settings, installation, connection)?;
            let opened = Qemu::open(config).await;
            Ok(Arc::new(opened?))
        }
        "proxmox" => Ok(Arc::new(Proxmox::new(proxmox(installation, connection, secret)?)?)),
        other => Err(Fault::refused(format!("this build has no provider {other:?}; it has: qemu, proxmox"))),
    }
}

fn read<T: DeserializeOwned>(settings: &Value) -> provider::Result<T> {
    serde_json::from_value(settings.clone())
        .map_err(|error| Fault::refused(format!("the region's settings are wrong: {error}")))
}

/// Settings of a region with `provider = "qemu"`.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct QemuSettings {
    /// The operator's own bridge, for pools of the kind `public_bridged`.
    public_bridge: Option<String>,
    /// Another emulator than the one in `PATH`.
    qemu_binary: Option<PathBuf>,
    /// Another disk image tool than the one in `PATH`.
    qemu_img_binary: Option<PathBuf>,
}

fn qemu(settings: &Settings, installation: InstallationId, connection: &Connection) -> provider::Result<Config> {
    let wanted: QemuSettings = read(&connection.settings)?;
    let usual = Config::new(installation, settings.qemu_state_dir.join(connection.region.as_str()), host_name());
    Ok(Config {
        networking: match settings.qemu_networking {
            Networking::Auto => provider_qemu::Networking::Auto,
            Networking::Bridged => provider_qemu::Networking::Bridged,
            Networking::User => provider_qemu::Networking::User,
        },
        public_bridge: wanted.public_bridge,
        qemu_binary: wanted.qemu_binary.unwrap_or_else(|| usual.qemu_binary.clone()),
        qemu_img_binary: wanted.qemu_img_binary.unwrap_or_else(|| usual.qemu_img_binary.clone()),
        ..usual
    })
}

/// Settings of a region with `provider = "proxmox"`; what is left out is as usual (`provider_proxmox::Config::new`).
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProxmoxSettings {
    /// `https://host:8006`, one or several nodes.
    entries: Vec<String>,
    /// `user@realm!name`.
    token_id: String,
    /// For a region of the catalogue: the file with the token's secret. An operator's region has it sealed.
    token_secret_file: Option<PathBuf>,
    /// For a region of the catalogue: the certificates that are trusted.
    #[serde(default)]
    fingerprints: Vec<String>,
    storage: Option<String>,
    file_storage: Option<String>,
    pool: Option<String>,
    bridges: Option<BTreeMap<String, BridgeSettings>>,
    private_zone: Option<String>,
    guest_numbers: Option<(u32, u32)>,
    template_numbers: Option<(u32, u32)>,
    connections: Option<usize>,
    clones_at_once: Option<usize>,
    cloning: Option<CloningWord>,
    /// Templates that are there already: image id and number.
    #[serde(default)]
    templates: BTreeMap<String, u32>,
    cpu_model: Option<String>,
    high_availability: Option<bool>,
    /// Ids of the PCI mappings whose devices are GPUs.
    #[serde(default)]
    gpu_mappings: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BridgeSettings {
    name: String,
    vlan: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum CloningWord {
    Automatic,
    Linked,
    Full,
}

fn proxmox(
    installation: InstallationId,
    connection: &Connection,
    sealed: Option<String>,
) -> provider::Result<provider_proxmox::Config> {
    let wanted: ProxmoxSettings = read(&connection.settings)?;
    let secret = match (sealed, &wanted.token_secret_file) {
        (Some(secret), _) => secret,
        (None, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Fault::refused(format!("token_secret_file {} cannot be read: {error}", file.display())))?,
        (None, None) => return Err(Fault::refused("the region has no secret: give the API token's")),
    };
    let first = wanted.entries.first().cloned().unwrap_or_default();
    let secret = Secret::new(secret.trim());
    let usual = provider_proxmox::Config::new(installation, first, wanted.token_id, secret);
    let fingerprints = connection.fingerprints.iter().chain(&wanted.fingerprints);
    let bridge = |(pool, bridge): (String, BridgeSettings)| (pool, Bridge { name: bridge.name, vlan: bridge.vlan });
    Ok(provider_proxmox::Config {
        entries: wanted.entries,
        fingerprints: fingerprints.map(|text| Fingerprint::parse(text)).collect::<provider::Result<_>>()?,
        storage: wanted.storage.unwrap_or(usual.storage),
        file_storage: wanted.file_storage.unwrap_or(usual.file_storage),
        pool: wanted.pool.unwrap_or(usual.pool),
        bridges: wanted.bridges.map_or(usual.bridges, |bridges| bridges.into_iter().map(bridge).collect()),
        private_zone: wanted.private_zone.or(usual.private_zone),
        guest_numbers: wanted.guest_numbers.unwrap_or(usual.guest_numbers),
        template_numbers: wanted.template_numbers.unwrap_or(usual.template_numbers),
        connections: wanted.connections.unwrap_or(usual.connections),
        clones_at_once: wanted.clones_at_once.unwrap_or(usual.clones_at_once),
        cloning: wanted.cloning.map_or(usual.cloning, |word| match word {
            CloningWord::Automatic => Cloning::Automatic,
            CloningWord::Linked => Cloning::Linked,
            CloningWord::Full => Cloning::Full,
        }),
        templates: wanted.templates.iter().map(template).collect::<provider::Result<_>>()?,
        cpu_model: wanted.cpu_model.or(usual.cpu_model),
        high_availability: wanted.high_availability.unwrap_or(usual.high_availability),
        gpu_mappings: wanted.gpu_mappings,
        task_grace: usual.task_grace,
        installation: usual.installation,
        token_id: usual.token_id,
        token_secret: usual.token_secret,
    })
}

fn template((image, number): (&String, &u32)) -> provider::Result<(ImageId, u32)> {
    let id = image.parse().map_err(|_| Fault::refused(format!("templates: {image:?} is no image's id")))?;
    Ok((id, *number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::RegionSlug;
    use serde_json::json;

    fn connection(settings: Value) -> Connection {
        Connection {
            region: RegionSlug::from("demo"),
            provider: "proxmox".to_owned(),
            settings,
            secret: None,
            sealed_for: "region:demo".to_owned(),
            fingerprints: vec![["AB"; 32].join(":")],
            revision: 1,
        }
    }

    fn opened(settings: Value) -> provider::Result<provider_proxmox::Config> {
        proxmox(InstallationId(uuid_of_nobody()), &connection(settings), Some("swordfish\n".to_owned()))
    }

    fn uuid_of_nobody() -> uuid::Uuid {
        uuid::Uuid::nil()
    }

    #[test]
    fn a_clusters_settings_are_read() {
        let config = opened(json!({
            "entries": ["https://pve1:8006", "https://pve2:8006"], "token_id": "cairn@pve!main", "storage": "fast",
            "bridges": { "public": { "name": "vmbr7", "vlan": 12 } }, "guest_numbers": [5000, 5999], "cloning": "full",
            "templates": { "7": 9000 }, "gpu_mappings": ["a100"],
        }))
        .unwrap();
        assert_eq!(config.entries.len(), 2);
        assert_eq!(config.storage, "fast");
        assert_eq!(config.bridges["public"], Bridge { name: "vmbr7".to_owned(), vlan: Some(12) });
        assert_eq!(config.guest_numbers, (5000, 5999));
        assert_eq!(config.cloning, Cloning::Full);
        assert_eq!(config.templates, BTreeMap::from([(ImageId(7), 9000)]));
        assert_eq!(config.gpu_mappings, BTreeSet::from(["a100".to_owned()]));
        assert_eq!(config.fingerprints.len(), 1);
        assert_eq!(config.token_secret, Secret::new("swordfish"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let misspelt = opened(json!({ "entries": [], "token_id": "a@b!c", "storge": "x" })).unwrap_err();
        assert!(misspelt.detail.contains("storge"), "{misspelt}");
        let settings = json!({ "entries": ["https://pve1:8006"], "token_id": "a@b!c" });
        let missing = proxmox(InstallationId(uuid_of_nobody()), &connection(settings), None).unwrap_err();
        assert!(missing.detail.contains("secret"), "{missing}");
    }
}
