//! What the administrator of a provider runs there, so that this installation is let in.

use api::SetupWish;
use model::ids::InstallationId;
use provider_proxmox::{Bridge, Config, Secret, pveum_script};

/// The token's name where the operator has no other wish.
const TOKEN: &str = "cairn@pve!cairn";
/// No installation: the script is the same for all.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

/// The script for a provider that this build has one for.
pub(crate) fn script(provider: &str, wish: &SetupWish) -> Option<String> {
    let nobody = NOBODY.parse().ok()?;
    (provider == "proxmox").then(|| proxmox(nobody, wish))
}

fn proxmox(installation: InstallationId, wish: &SetupWish) -> String {
    let token = wish.token_id.as_deref().unwrap_or(TOKEN);
    // The script comes before there is a cluster to reach and a secret to reach it with.
    let usual = Config::new(installation, "", token, Secret::new(""));
    let mut config = Config {
        storage: wish.storage.clone().unwrap_or_else(|| usual.storage.clone()),
        file_storage: wish.file_storage.clone().unwrap_or_else(|| usual.file_storage.clone()),
        gpu_mappings: wish.gpu_mappings.iter().cloned().collect(),
        ..usual
    };
    if let Some(name) = &wish.bridge {
        config.bridges = [("public".to_owned(), Bridge { name: name.clone(), vlan: None })].into();
    }
    pveum_script(wish.version.as_deref(), &config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_for_what_is_to_be_used() {
        let usual = script("proxmox", &SetupWish::default()).unwrap();
        assert!(usual.contains("pveum user token add cairn@pve cairn"), "{usual}");
        let wish = SetupWish {
            token_id: Some("ops@pve!lab".into()),
            storage: Some("ceph".into()),
            file_storage: Some("nfs".into()),
            bridge: Some("vmbr7".into()),
            version: Some("8.4".into()),
            gpu_mappings: vec!["a100".into()],
        };
        let script = script("proxmox", &wish).unwrap();
        for part in [
            "token add ops@pve lab",
            "/storage/ceph ",
            "/storage/nfs ",
            "/localnetwork/vmbr7 ",
            "VM.Monitor",
            "/mapping/pci/a100 ",
        ] {
            assert!(script.contains(part), "{part} is not in\n{script}");
        }
        assert!(super::script("qemu", &wish).is_none());
    }
}
