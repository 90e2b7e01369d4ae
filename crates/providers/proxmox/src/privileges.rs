//! What a token has to be allowed, and the script that allows it.

use crate::config::Config;
use crate::version::Version;
use std::collections::{BTreeMap, BTreeSet};

/// What making and keeping guests takes, on the pool that they are in.
const POOL: &[&str] = &[
    "VM.Allocate",
    "VM.Clone",
    "VM.Audit",
    "VM.PowerMgmt",
    "VM.Config.Disk",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.HWType",
    "VM.Config.Options",
    "VM.Config.Cloudinit",
    "VM.Snapshot",
    "VM.Console",
    "VM.Migrate",
    "Pool.Audit",
];
const DISKS: &[&str] = &["Datastore.AllocateSpace", "Datastore.Audit"];
const FILES: &[&str] = &["Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit"];
const HOSTS: &[&str] = &["Sys.Audit", "Sys.AccessNetwork"];

/// Where what is needed: paths of Proxmox's access control, and privileges.
pub(crate) fn needed(version: Version, config: &Config) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut needed: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add = |path: String, privileges: &[&'static str]| needed.entry(path).or_default().extend(privileges);
    add(format!("/pool/{}", config.pool), POOL);
    // 9.0 split what was one privilege; the other version refuses a role that names it.
    add(
        format!("/pool/{}", config.pool),
        if version.at_least(900) { &["VM.GuestAgent.Audit"] } else { &["VM.Monitor"] },
    );
    add(format!("/storage/{}", config.storage), DISKS);
    add(format!("/storage/{}", config.file_storage), FILES);
    // Whose a number is must be seen before it is taken; and strangers are shown to the operator.
    add("/vms".to_owned(), &["VM.Audit"]);
    add("/nodes".to_owned(), HOSTS);
    add("/".to_owned(), &["Sys.Audit"]);
    if config.high_availability {
        add("/".to_owned(), &["Sys.Console"]);
    }
    for bridge in config.bridges.values() {
        add(format!("/sdn/zones/localnetwork/{}", bridge.name), &["SDN.Use"]);
    }
    if let Some(zone) = &config.private_zone {
        add(format!("/sdn/zones/{zone}"), &["SDN.Use", "SDN.Audit", "SDN.Allocate"]);
        add("/sdn".to_owned(), &["SDN.Allocate", "SDN.Audit"]);
    }
    needed
}

/// The commands that an administrator of the cluster runs once, as root on any node: pool, roles, user, token and
/// rights, no more of them than needed. `version` is what `pveversion` or `GET /version` says.
pub fn pveum_script(version: &str, config: &Config) -> String {
    let known = Version::parse(version).unwrap_or(crate::version::OLDEST);
    let (user, token) = config.token_id.split_once('!').unwrap_or((&config.token_id, "cairn"));
    let mut lines = vec![
        format!("# Cairn's rights on this cluster (Proxmox VE {known}). Run as root on one node."),
        format!("pveum pool add {} --comment 'Guests of Cairn'", config.pool),
        format!("pveum user add {user} --comment 'Cairn'"),
        format!("pveum user token add {user} {token} --privsep 0"),
    ];
    for (path, privileges) in needed(known, config) {
        let role = role(&path);
        let privileges = privileges.into_iter().collect::<Vec<_>>().join(" ");
        lines.push(format!("pveum role add {role} --privs '{privileges}'"));
        let propagate = u8::from(path != "/");
        lines.push(format!("pveum acl modify {path} --users {user} --roles {role} --propagate {propagate}"));
    }
    lines.push("# So that all storages can be shown to choose from; what is chosen has its own role above.".to_owned());
    lines.push("pveum role add Cairn-look --privs 'Datastore.Audit'".to_owned());
    lines.push(format!("pveum acl modify /storage --users {user} --roles Cairn-look --propagate 1"));
    lines.push("# Put the secret that `token add` printed into the region's configuration.".to_owned());
    lines.join("\n") + "\n"
}

/// A role's name, from the path that it is for.
fn role(path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let name = words.collect::<Vec<_>>().join("-");
    if name.is_empty() { "Cairn-root".to_owned() } else { format!("Cairn-{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use model::ids::InstallationId;

    fn config() -> Config {
        let installation = InstallationId(uuid::Uuid::nil());
        let config = Config::new(installation, "https://pve1:8006", "cairn@pve!main", Secret::new("swordfish"));
        Config { private_zone: Some("cairn".into()), ..config }
    }

    #[test]
    fn each_version_gets_the_privilege_that_it_knows() {
        let (old, new) = (pveum_script("8.4.1", &config()), pveum_script("9.2.3", &config()));
        assert!(old.contains("VM.Monitor") && !old.contains("GuestAgent"), "{old}");
        assert!(new.contains("VM.GuestAgent.Audit") && !new.contains("VM.Monitor"), "{new}");
    }

    #[test]
    fn the_script_is_complete_and_holds_no_secret() {
        let script = pveum_script("9.2", &config());
        for part in [
            "pveum pool add cairn ",
            "pveum user token add cairn@pve main --privsep 0",
            "pveum acl modify /sdn/zones/localnetwork/vmbr0 --users cairn@pve",
            "pveum acl modify / --users cairn@pve --roles Cairn-root --propagate 0",
            "Sys.AccessNetwork",
            "pveum acl modify /storage --users cairn@pve --roles Cairn-look --propagate 1",
        ] {
            assert!(script.contains(part), "{part} is not in\n{script}");
        }
        assert!(!script.contains("swordfish") && !script.contains("Sys.Modify") && !script.contains("Sys.Console"));
    }
}
