//! Creating a guest: the id is taken before the task begins, everything else happens in it.

use super::disks::{self, Wish};
use super::{Call, Endpoint, Reply, configure, forking, power};
use crate::cluster::{Cluster, Config, Drive, Guest, Hold, Kind, TaskId, Work, is_drive_key};
use crate::refusal::{Refusal, Served};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("POST", "/nodes/{node}/qemu", "qmcreate", create),
    forking("POST", "/nodes/{node}/lxc", "vzcreate", create),
];

/// Parameters of the call itself, which no config has.
const NOT_CONFIG: &[&str] = &[
    "node",
    "vmid",
    "pool",
    "start",
    "storage",
    "archive",
    "force",
    "unique",
    "bwlimit",
    "live-restore",
    "ostemplate",
    "restore",
    "password",
    "ssh-public-keys",
    "ha-managed",
    "import-working-storage",
    "ignore-unpack-errors",
];

/// What the parameters say, split into drives and the rest.
struct Asked {
    entries: BTreeMap<String, String>,
    wishes: Vec<(String, Drive, Wish)>,
}

fn create(call: &mut Call<'_>) -> Served<Reply> {
    let (vmid, kind) = (call.vmid(), call.kind());
    permitted(call, vmid)?;
    call.cluster.need_quorum()?;
    if call.parameters.has("archive") || call.parameters.is("restore") {
        return Err(Refusal::not_simulated("POST", "restore"));
    }
    let asked = asked(call, kind)?;
    if let Some(other) = call.cluster.guests.get(&vmid) {
        let node = call.cluster.node_name(other.node);
        let exists = format!("{} {vmid} already exists on node '{node}'", other.kind.word());
        let text = if kind == Kind::Qemu { format!("unable to create VM {vmid} - {exists}") } else { exists };
        return Err(Refusal::die(text));
    }
    let file = kind.lock_file(vmid);
    let key = format!("{}:{file}", call.cluster.node_name(call.node));
    if !call.cluster.flocks.is_free(&key, Hold::Exclusive, None) {
        let text = format!("can't lock file '{file}' - got timeout");
        return Err(Refusal::die(text).waiting(Duration::from_secs(5)));
    }
    let mut guest = Guest::new(vmid, kind, call.node, call.cluster.now);
    guest.config.set("lock", "create");
    guest.pool = call.parameters.get("pool").map(str::to_owned);
    call.cluster.put_guest(guest);
    let work = worker(call, vmid, asked).hold_first(key, &file);
    call.fork(work)
}

fn permitted(call: &Call<'_>, vmid: u32) -> Served<()> {
    let pool = call.parameters.get("pool");
    if let Some(pool) = pool.filter(|pool| !call.cluster.pools.contains_key(*pool)) {
        return Err(Refusal::forbidden(&format!("pool '{pool}' does not exist")));
    }
    let in_pool = pool.is_some_and(|pool| call.may(&format!("/pool/{pool}"), "VM.Allocate"));
    if !in_pool && !call.may(&format!("/vms/{vmid}"), "VM.Allocate") {
        return Err(Refusal::status(403, "Permission check failed\n"));
    }
    if call.parameters.is("ha-managed") {
        call.need("/", "Sys.Console")?;
    }
    if call.kind() == Kind::Lxc && !call.parameters.is("unprivileged") && !call.caller.is_root() {
        call.need("/", "Sys.Modify")?;
    }
    configure::permitted(
        call,
        call.parameters.0.keys().map(String::as_str).filter(|key| !NOT_CONFIG.contains(key)),
        pool,
    )
}

fn asked(call: &mut Call<'_>, kind: Kind) -> Served<Asked> {
    let mut entries = BTreeMap::new();
    let mut drives = BTreeMap::new();
    let keys: Vec<String> =
        call.parameters.0.keys().filter(|key| !NOT_CONFIG.contains(&key.as_str())).cloned().collect();
    for key in keys {
        let value = call.text(&key).to_owned();
        if is_drive_key(&key) {
            drives.insert(key, value);
        } else {
            configure::sound(&key, &value)?;
            let value = configure::normal(call.cluster, &key, &value, kind);
            entries.insert(key, value);
        }
    }
    if kind == Kind::Lxc {
        let storage = call.parameters.get("storage").unwrap_or("local");
        drives.entry("rootfs".to_owned()).or_insert_with(|| format!("{storage}:4"));
    }
    let wishes = disks::wishes(call, &drives)?;
    complete(call.cluster, kind, &mut entries, &wishes);
    Ok(Asked { entries, wishes })
}

/// What PVE adds by itself.
fn complete(
    cluster: &mut Cluster,
    kind: Kind,
    entries: &mut BTreeMap<String, String>,
    wishes: &[(String, Drive, Wish)],
) {
    let mut add = |key: &str, value: String| {
        entries.entry(key.to_owned()).or_insert(value);
    };
    if kind == Kind::Lxc {
        add("arch", "amd64".to_owned());
        add("ostype", "debian".to_owned());
        add("memory", "512".to_owned());
        return add("swap", "512".to_owned());
    }
    add("smbios1", format!("uuid={}", cluster.uuid()));
    add("vmgenid", cluster.uuid());
    add("meta", format!("creation-qemu=10.1.2,ctime={}", cluster.now.seconds()));
    add("memory", "512".to_owned());
    let order = boot_order(entries, wishes);
    entries.entry("boot".to_owned()).or_insert(order);
}

/// The first disk, the first CD drive, the first network card.
fn boot_order(entries: &BTreeMap<String, String>, wishes: &[(String, Drive, Wish)]) -> String {
    let bootable = |key: &str| ["ide", "scsi", "virtio", "sata"].iter().any(|stem| key.starts_with(stem));
    let disk = wishes
        .iter()
        .find(|(key, drive, wish)| bootable(key) && !drive.is_cdrom() && !matches!(wish, Wish::CloudInit { .. }));
    let cdrom = wishes.iter().find(|(key, drive, _)| bootable(key) && drive.is_cdrom());
    let net = entries.keys().find(|key| key.starts_with("net"));
    let devices: Vec<&str> =
        disk.iter().chain(cdrom.iter()).map(|(key, _, _)| key.as_str()).chain(net.map(String::as_str)).collect();
    if devices.is_empty() { " ".to_owned() } else { format!("order={}", devices.join(";")) }
}

fn worker(call: &Call<'_>, vmid: u32, asked: Asked) -> Work {
    let kind = call.kind();
    let node = call.node;
    let copying = disks::copying(call.cluster, node, &asked.wishes);
    let create = Duration::from_millis(call.cluster.pace.create);
    let start = Duration::from_millis(call.cluster.pace.start);
    let template = call.parameters.get("ostemplate").map(str::to_owned);
    let starts = call.parameters.is("start");
    let mut work = Work::new(if kind == Kind::Qemu { "qmcreate" } else { "vzcreate" }, vmid, node);
    // Shared storage is allocated from by one node at a time.
    let shared = asked
        .wishes
        .iter()
        .filter_map(|(_, drive, _)| drive.storage())
        .find(|id| call.cluster.storages.get(*id).is_some_and(|storage| storage.shared));
    let lock = shared.map(|id| format!("storage-{id}"));
    if let Some(lock) = &lock {
        let text = format!("cfs-lock '{lock}' error: got lock request timeout");
        work = work.hold(lock.clone(), Hold::Exclusive, Duration::from_secs(10), text);
    }
    work = work.then(create, move |cluster, task| {
        fill(cluster, vmid, &asked, template.as_deref(), task).map_err(|error| {
            if kind == Kind::Lxc {
                format!("unable to create CT {vmid} - {error}")
            } else {
                format!("unable to create VM {vmid} - {error}")
            }
        })
    });
    if let Some(lock) = lock {
        work = work.release(lock);
    }
    work = work.then(copying, move |cluster, _| {
        cluster.change_or_fail(vmid)?.config.entries.remove("lock");
        Ok(())
    });
    if starts {
        work = work.then(start, move |cluster, task| {
            cluster.log(task, "Execute autostart");
            // A start that fails is only a line in the log: the guest was created.
            if let Err(message) = power::run(cluster, vmid, task) {
                cluster.log(task, message);
            }
            Ok(())
        });
    }
    work.undo(move |cluster| cluster.remove_guest(vmid))
}

fn fill(cluster: &mut Cluster, vmid: u32, asked: &Asked, template: Option<&str>, task: TaskId) -> Result<(), String> {
    let node = cluster.change_or_fail(vmid)?.node;
    let mut config = Config { entries: asked.entries.clone(), ..Config::default() };
    for wish in &asked.wishes {
        let value = disks::make(cluster, vmid, wish, Some(task))?;
        config.set(&wish.0, value);
        // Known from now on, so that a failure frees it.
        let guest = cluster.change_or_fail(vmid)?;
        let value = config.get(&wish.0).unwrap_or_default().to_owned();
        guest.config.set(&wish.0, value);
    }
    if let Some(template) = template {
        if cluster.volume(template, node).is_none() {
            return Err(format!("volume '{template}' does not exist"));
        }
        cluster.log(task, format!("extracting archive '{template}'"));
        let nests = config.get("features").is_some_and(|features| features.contains("nesting=1"));
        if template.contains("debian-13") && !nests {
            cluster.change_or_fail(vmid)?.asks_for_nesting = true;
            cluster.warn(task, "Systemd 257 detected. You may need to enable nesting.");
        }
    }
    let guest = cluster.change_or_fail(vmid)?;
    guest.seeded = super::seed_of(&config);
    config.set("lock", "create");
    guest.config = config;
    Ok(())
}
