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
/// What asking the guest's agent takes. 9.0 split what was one privilege; each version refuses a role with the other's word.
const AGENT_OF_8: &str = "VM.Monitor";
const AGENT_OF_9: &str = "VM.GuestAgent.Audit";

/// Where what is needed: paths of Proxmox's access control, and privileges.
pub(crate) fn needed(version: Version, config: &Config) -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut needed: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    let mut add = |path: String, privileges: &[&'static str]| needed.entry(path).or_default().extend(privileges);
    add(format!("/pool/{}", config.pool), POOL);
    add(format!("/pool/{}", config.pool), if version.at_least(900) { &[AGENT_OF_9] } else { &[AGENT_OF_8] });
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
    for mapping in &config.gpu_mappings {
        add(format!("/mapping/pci/{mapping}"), &["Mapping.Use"]);
    }
    needed
}

/// What taking over a guest that is not in our pool takes beside [`needed`]: to mark it, and to put it there. Seldom
/// granted, because whoever may allocate a guest may delete it.
pub(crate) fn for_adoption(config: &Config) -> [(String, &'static [&'static str]); 2] {
    [("/vms".to_owned(), &["VM.Allocate", MARKING]), (format!("/pool/{}", config.pool), &["Pool.Allocate"])]
}

/// What writing our mark into a guest's configuration takes.
const MARKING: &str = "VM.Config.Options";

/// What the token lacks to take guest `number` over, as `PRIVILEGE on PATH`. A guest over which it may do everything (one
/// that is in the pool already, as a rule) needs not be put into the pool.
pub(crate) fn lacking_for_adoption(config: &Config, number: u32, may: impl Fn(&str, &str) -> bool) -> BTreeSet<String> {
    let guest = format!("/vms/{number}");
    let mut wanted = vec![(guest.clone(), MARKING)];
    if POOL.iter().any(|privilege| privilege.starts_with("VM.") && !may(&guest, privilege)) {
        wanted.extend([(guest, "VM.Allocate"), (format!("/pool/{}", config.pool), "Pool.Allocate")]);
    }
    let lacking = wanted.into_iter().filter(|(path, privilege)| !may(path, privilege));
    lacking.map(|(path, privilege)| format!("{privilege} on {path}")).collect()
}

/// The commands that an administrator of the cluster runs once, as root on any node: pool, roles, user, token and
/// rights, no more of them than needed. `version` is what `pveversion` or `GET /version` says; without one, the script
/// asks the node that it runs on. What adoption takes stands at its end, commented out.
pub fn pveum_script(version: Option<&str>, config: &Config) -> String {
    let known = version.map(|text| Version::parse(text).unwrap_or(crate::version::OLDEST));
    let (user, token) = config.token_id.split_once('!').unwrap_or((&config.token_id, "cairn"));
    let of = known.map_or_else(|| format!("{} or newer", crate::version::OLDEST), |known| known.to_string());
    let mut lines = vec![format!("# Cairn's rights on this cluster (Proxmox VE {of}). Run as root on one node.")];
    if known.is_none() {
        lines.push("# 9.0 split VM.Monitor; each version refuses a role with the other's word.".to_owned());
        lines.push(format!(
            "case \"$(pveversion)\" in pve-manager/8.*) agent={AGENT_OF_8} ;; *) agent={AGENT_OF_9} ;; esac"
        ));
    }
    lines.extend([
        format!("pveum pool add {} --comment 'Guests of Cairn'", config.pool),
        format!("pveum user add {user} --comment 'Cairn'"),
        format!("pveum user token add {user} {token} --privsep 0"),
    ]);
    for (path, mut privileges) in needed(known.unwrap_or(crate::version::OLDEST), config) {
        let asked = known.is_none() && privileges.remove(AGENT_OF_8);
        let role = role(&path);
        let privileges = privileges.into_iter().collect::<Vec<_>>().join(" ");
        let agent = if asked { "\" $agent\"" } else { "" };
        lines.push(format!("pveum role add {role} --privs '{privileges}'{agent}"));
        let propagate = u8::from(path != "/");
        lines.push(format!("pveum acl modify {path} --users {user} --roles {role} --propagate {propagate}"));
    }
    lines.push("# So that all storages can be shown to choose from; what is chosen has its own role above.".to_owned());
    lines.push("pveum role add Cairn-look --privs 'Datastore.Audit'".to_owned());
    lines.push(format!("pveum acl modify /storage --users {user} --roles Cairn-look --propagate 1"));
    lines.extend(adoption_lines(config, user));
    lines.push("# Put the secret that `token add` printed into the region's configuration.".to_owned());
    lines.join("\n") + "\n"
}

/// What an administrator may run to let guests be adopted: commented out, because it is more than servers need.
fn adoption_lines(config: &Config, user: &str) -> Vec<String> {
    let pool = &config.pool;
    let mut lines = vec![
        "# Guests that were there before Cairn are adopted out of its pool. Put each there before it is adopted:"
            .to_owned(),
        format!("#   pveum pool modify {pool} --vms NUMBER"),
        "# or let Cairn do that. With these rights it could change and delete every guest of the cluster:".to_owned(),
    ];
    for (path, privileges) in for_adoption(config) {
        let role = format!("{}-adopt", role(&path));
        lines.push(format!("#   pveum role add {role} --privs '{}'", privileges.join(" ")));
        lines.push(format!("#   pveum acl modify {path} --users {user} --roles {role} --propagate 1"));
    }
    lines
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
        let (old, new) = (pveum_script(Some("8.4.1"), &config()), pveum_script(Some("9.2.3"), &config()));
        assert!(old.contains("VM.Monitor") && !old.contains("GuestAgent"), "{old}");
        assert!(new.contains("VM.GuestAgent.Audit") && !new.contains("VM.Monitor"), "{new}");
    }

    #[test]
    fn without_a_version_the_script_asks_the_node() {
        let script = pveum_script(None, &config());
        let role = script.lines().find(|line| line.starts_with("pveum role add Cairn-pool-cairn ")).unwrap();
        assert!(!role.contains("Monitor") && role.ends_with("'\" $agent\""), "{role}");
        let case =
            "case \"$(pveversion)\" in pve-manager/8.*) agent=VM.Monitor ;; *) agent=VM.GuestAgent.Audit ;; esac";
        let asks = script.lines().position(|line| line == case).unwrap();
        assert!(asks < script.lines().position(|line| line == role).unwrap(), "{script}");
    }

    #[test]
    fn what_adoption_takes_is_there_to_be_uncommented() {
        let script = pveum_script(Some("9.2"), &config());
        for line in [
            "#   pveum pool modify cairn --vms NUMBER",
            "#   pveum role add Cairn-vms-adopt --privs 'VM.Allocate VM.Config.Options'",
            "#   pveum acl modify /vms --users cairn@pve --roles Cairn-vms-adopt --propagate 1",
            "#   pveum acl modify /pool/cairn --users cairn@pve --roles Cairn-pool-cairn-adopt --propagate 1",
        ] {
            assert!(script.lines().any(|one| one == line), "{line} is not in\n{script}");
        }
        assert_eq!(
            lacking_for_adoption(&config(), 500, |_, privilege| privilege == "VM.Audit")
                .into_iter()
                .collect::<Vec<_>>(),
            ["Pool.Allocate on /pool/cairn", "VM.Allocate on /vms/500", "VM.Config.Options on /vms/500"]
        );
        let in_pool = lacking_for_adoption(&config(), 500, |path, _| path == "/vms/500");
        assert!(in_pool.is_empty(), "{in_pool:?}");
    }

    #[test]
    fn the_script_is_complete_and_holds_no_secret() {
        let script = pveum_script(Some("9.2"), &config());
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
