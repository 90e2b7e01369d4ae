//! The privileges and the built-in roles of 9.x (`GET /access/roles` of a genuine 9.1).

use super::Role;
use std::collections::BTreeMap;

/// Every privilege of 9.x.
pub(crate) const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Replicate",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];

/// Whether there is such a privilege in 9.x; `VM.Monitor` went with 9.0.
pub(crate) fn is_privilege(name: &str) -> bool {
    PRIVILEGES.contains(&name)
}

/// Roles by the beginnings of their privileges.
const ROLES: &[(&str, &[&str])] = &[
    ("NoAccess", &[]),
    (
        "PVEAuditor",
        &[
            "Datastore.Audit",
            "Mapping.Audit",
            "Pool.Audit",
            "SDN.Audit",
            "Sys.Audit",
            "VM.Audit",
            "VM.GuestAgent.Audit",
        ],
    ),
    ("PVEDatastoreAdmin", &["Datastore."]),
    ("PVEDatastoreUser", &["Datastore.AllocateSpace", "Datastore.Audit"]),
    ("PVEMappingAdmin", &["Mapping."]),
    ("PVEMappingUser", &["Mapping.Audit", "Mapping.Use"]),
    ("PVEPoolAdmin", &["Pool."]),
    ("PVEPoolUser", &["Pool.Audit"]),
    ("PVESDNAdmin", &["SDN."]),
    ("PVESDNUser", &["SDN.Audit", "SDN.Use"]),
    ("PVESysAdmin", &["Sys.Audit", "Sys.Console", "Sys.Syslog"]),
    ("PVETemplateUser", &["VM.Audit", "VM.Clone"]),
    ("PVEUserAdmin", &["Group.Allocate", "Realm.AllocateUser", "User.Modify"]),
    ("PVEVMAdmin", &["VM."]),
    (
        "PVEVMUser",
        &[
            "VM.Audit",
            "VM.Backup",
            "VM.Config.CDROM",
            "VM.Config.Cloudinit",
            "VM.Console",
            "VM.GuestAgent.Audit",
            "VM.GuestAgent.FileRead",
            "VM.GuestAgent.FileSystemMgmt",
            "VM.GuestAgent.FileWrite",
            "VM.PowerMgmt",
        ],
    ),
];

/// What an administrator of a PVE has and a `PVEAdmin` has not.
const NOT_FOR_PVE_ADMIN: &[&str] = &[
    "Mapping.Modify",
    "Permissions.Modify",
    "Realm.Allocate",
    "Sys.AccessNetwork",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
];

/// The built-in roles; those of 8.x have `VM.Monitor` and no agent privileges.
pub(super) fn built_in(eight: bool) -> BTreeMap<String, Role> {
    let named = |begin: &[&str]| -> Vec<&str> {
        let fits = |privilege: &&str| {
            begin.iter().any(|begin| privilege == begin || begin.ends_with('.') && privilege.starts_with(begin))
        };
        PRIVILEGES.iter().copied().filter(fits).collect()
    };
    let mut roles: Vec<(&str, Vec<&str>)> = ROLES.iter().map(|(name, begin)| (*name, named(begin))).collect();
    roles.push(("Administrator", PRIVILEGES.to_vec()));
    let admin = PRIVILEGES.iter().copied().filter(|privilege| !NOT_FOR_PVE_ADMIN.contains(privilege)).collect();
    roles.push(("PVEAdmin", admin));
    roles.into_iter().map(|(name, privileges)| (name.to_owned(), role(privileges, eight))).collect()
}

fn role(privileges: Vec<&str>, eight: bool) -> Role {
    let mut privileges: Vec<&str> = privileges;
    if eight && privileges.iter().any(|privilege| privilege.starts_with("VM.GuestAgent")) {
        privileges.retain(|privilege| !privilege.starts_with("VM.GuestAgent") && *privilege != "VM.Replicate");
        privileges.push("VM.Monitor");
    }
    Role { privileges: privileges.into_iter().map(str::to_owned).collect(), special: true }
}
