//! What the replay of the exchanges needs beside the captured files: the calls they leave out, and where we differ.

/// Before which file, a method (or `LOCK`, `AGENT`: a deed), a path (or its argument), a form.
pub(crate) type Prelude = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

const CARD: (&str, &str) = ("net0", "virtio,bridge=vmbr0");

/// Calls that the captured files leave out and that later ones stand on.
pub(crate) const PRELUDES: &[Prelude] = &[
    ("030-status-running", "POST", "/nodes/pve1/qemu/100/status/start", &[]),
    (
        "036-config-pending",
        "PUT",
        "/nodes/pve1/qemu/100/config",
        &[("name", "web-2"), ("cores", "2"), ("memory", "512")],
    ),
    ("104-token-dup", "POST", "/access/users/alice@pve/token/tok", &[("comment", "c")]),
    ("126-json-body", "POST", "/nodes/pve1/qemu/100/status/start", &[]),
    (
        "142-tasks-vmid",
        "POST",
        "/nodes/pve1/qemu",
        &[("vmid", "101"), ("name", "db-1"), ("memory", "128"), ("scsi0", "local:1")],
    ),
    ("142-tasks-vmid", "POST", "/nodes/pve1/qemu/101/template", &[]),
    ("202-fw-group-rule", "POST", "/cluster/firewall/groups", &[("group", "web")]),
    ("221-sdn-zone-dup", "POST", "/cluster/sdn/zones", &[("zone", "z1"), ("type", "simple")]),
    ("230-sdn-zones-running", "PUT", "/cluster/sdn", &[]),
    (
        "232-sdn-subnets",
        "POST",
        "/cluster/sdn/vnets/v1/subnets",
        &[("subnet", "10.77.0.0/24"), ("type", "subnet"), ("gateway", "10.77.0.1"), ("snat", "1")],
    ),
    ("320-tags-get", "PUT", "/nodes/pve1/qemu/110/config", &[("tags", "foo;Bar;baz;foo")]),
    ("330-disk-add-post", "PUT", "/nodes/pve1/qemu/110/config", &[("scsi0", "local:1")]),
    ("332-get", "PUT", "/nodes/pve1/qemu/110/config", &[("delete", "scsi1")]),
    ("502-ha-del", "POST", "/cluster/ha/resources", &[("sid", "vm:100")]),
    ("522-suspend-stopped", "POST", "/nodes/pve1/qemu/100/status/stop", &[]),
    ("526-locked-put", "LOCK", "backup", &[]),
    ("531-args-token", "LOCK", "", &[]),
    ("536-locked-status", "LOCK", "backup", &[]),
    ("602-snap", "LOCK", "", &[]),
    (
        "602-snap",
        "POST",
        "/nodes/pve1/qemu",
        &[
            ("vmid", "130"),
            ("name", "snapvm"),
            ("memory", "128"),
            ("agent", "1"),
            ("scsi0", "local:1,format=qcow2"),
            CARD,
        ],
    ),
    ("602-snap", "POST", "/nodes/pve1/qemu/130/snapshot", &[("snapname", "s1"), ("description", "first")]),
    ("602-snap", "POST", "/nodes/pve1/qemu/130/status/start", &[]),
    ("602-snap", "POST", "/nodes/pve1/qemu/130/snapshot", &[("snapname", "s2"), ("vmstate", "1")]),
    ("605-snaplist", "POST", "/nodes/pve1/qemu/130/snapshot", &[("snapname", "s4"), ("vmstate", "1")]),
    ("614-agent", "AGENT", "130", &[]),
    ("622-start", "POST", "/nodes/pve1/qemu/130/status/stop", &[]),
    (
        "642-linked",
        "POST",
        "/nodes/pve1/qemu",
        &[("vmid", "131"), ("memory", "128"), ("agent", "1"), ("scsi0", "local:2,format=qcow2"), CARD],
    ),
    ("642-linked", "POST", "/nodes/pve1/qemu/131/template", &[]),
    ("646-del-template", "DELETE", "/nodes/pve1/qemu/133", &[]),
    (
        "803-agent-net",
        "POST",
        "/nodes/pve1/qemu",
        &[
            ("vmid", "160"),
            ("name", "tiny"),
            ("memory", "256"),
            ("agent", "1"),
            ("serial0", "socket"),
            ("scsi0", "local:1,format=qcow2"),
            CARD,
        ],
    ),
    ("803-agent-net", "POST", "/nodes/pve1/qemu/160/status/start", &[]),
];

const BACKUPS: &str = "backups and restores are not simulated yet";
const NOTHING_LASTS: &str = "captured while a task ran; in this replay nothing lasts";
const STATISTICS: &str = "QEMU's own statistics are not simulated";

/// Where we differ, and why. One that differs no more is a fault of this list.
pub(crate) const DIFFERENCES: &[(&str, &str)] = &[
    ("150-storage-conf", "the captured storage.cfg has a priority and a retention of its own"),
    ("335-move-disk-task", "the captured host could not copy the disk"),
    ("503-backup-job", BACKUPS),
    ("504-backup-jobs", BACKUPS),
    ("517-syslog", "the system's log is not simulated"),
    ("612-snap-delete2-task", "captured while a replication held the guest's migration lock"),
    ("616-status", STATISTICS),
    ("631-vzdump-stop", BACKUPS),
    ("633-backups", BACKUPS),
    ("634-restore", BACKUPS),
    ("637-tasks-active", NOTHING_LASTS),
    ("638-task-stop", NOTHING_LASTS),
    ("726-desc-9000", "the file that was sent was not captured"),
    ("805-agent-exec", "commands in the guest are not simulated"),
    ("806-agent-exec-status", "commands in the guest are not simulated"),
    ("807-status", STATISTICS),
];

const MANAGER: &str = "captured while the manager of HA moved the guest, which is at once here";

/// Where we differ from the recordings: the file, the number of the interaction, and why.
pub(crate) const RECORDED: &[(&str, &str, &str)] = &[("TestResourceAffinityPlacement", "18", MANAGER)];
