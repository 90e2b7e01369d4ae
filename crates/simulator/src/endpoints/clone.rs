//! Clones, linked and full, and templates.

use super::{Call, Endpoint, Reply, at, disks, forking};
use crate::cluster::{Cluster, Drive, Guest, Hold, Kind, TaskId, Volume, Work};
use crate::refusal::{Refusal, Served};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("POST", "/nodes/{node}/qemu/{vmid}/clone", "qmclone", clone),
    forking("POST", "/nodes/{node}/lxc/{vmid}/clone", "vzclone", clone),
    forking("POST", "/nodes/{node}/qemu/{vmid}/template", "qmtemplate", template),
    at("POST", "/nodes/{node}/lxc/{vmid}/template", template),
];

/// What a clone is to be.
struct Plan {
    source: u32,
    newid: u32,
    node: usize,
    target: usize,
    linked: bool,
    storage: Option<String>,
    format: Option<String>,
    entries: BTreeMap<String, String>,
}

fn clone(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let plan = plan(call)?;
    let kind = call.kind();
    let runs = call.guest()?.runs();
    let node = call.cluster.node_name(call.node).to_owned();
    let source = kind.lock_file(plan.source);
    let target = kind.lock_file(plan.newid);
    // Of a template or a guest that stands still, clones go side by side.
    let hold = if runs { Hold::Exclusive } else { Hold::Shared };
    let wait = Duration::from_secs(1);
    for (file, hold) in [(&source, hold), (&target, Hold::Exclusive)] {
        if !call.cluster.flocks.is_free(&format!("{node}:{file}"), hold, None) {
            return Err(Refusal::die(format!("can't lock file '{file}' - got timeout")).waiting(wait));
        }
    }
    let type_name = super::forks(call.route).unwrap_or("qmclone");
    let held = |file: &str| (format!("{node}:{file}"), format!("can't lock file '{file}' - got timeout"));
    let ((source_key, source_error), (target_key, target_error)) = (held(&source), held(&target));
    let mut work = Work::new(type_name, plan.source, call.node).hold(source_key, hold, wait, source_error).hold(
        target_key,
        Hold::Exclusive,
        wait,
        target_error,
    );
    let newid = plan.newid;
    if call.cluster.guests.contains_key(&newid) {
        // On another node: only the file system of the cluster notices, in the task.
        let text = format!(
            "unable to create VM {newid} - unable to open file '/etc/pve/nodes/{node}/qemu-server/{newid}.conf': File exists"
        );
        return call.fork(work.then(Duration::ZERO, move |_, _| Err(text)));
    }
    let mut guest = Guest::new(newid, kind, call.node, call.cluster.now);
    guest.config.set("description", " qmclone temporary file\n");
    guest.config.set("lock", "clone");
    guest.pool = call.parameters.get("pool").map(str::to_owned);
    call.cluster.put_guest(guest);
    let copying = copying(call.cluster, &plan);
    work = work
        .then(Duration::ZERO, move |cluster, task| {
            cluster.log(
                task,
                format!(
                    "creating a clone of {} {} with ID {newid}",
                    if kind == Kind::Qemu { "VM" } else { "container" },
                    plan.source
                ),
            );
            copy(cluster, &plan, task)?;
            let target = plan.target;
            // The config reads `lock: clone` until the copies are done.
            let Some(guest) = cluster.change(newid) else { return Ok(()) };
            guest.node = target;
            Ok(())
        })
        .then(copying, move |cluster, _| {
            cluster.change_or_fail(newid)?.config.entries.remove("lock");
            Ok(())
        })
        .undo(move |cluster| cluster.remove_guest(newid));
    call.fork(work)
}

fn plan(call: &Call<'_>) -> Served<Plan> {
    let newid = call.parameters.vmid("newid").unwrap_or(0);
    let pool = call.parameters.get("pool");
    if let Some(pool) = pool.filter(|pool| !call.cluster.pools.contains_key(*pool)) {
        return Err(Refusal::forbidden(&format!("pool '{pool}' does not exist")));
    }
    call.need(&format!("/vms/{}", call.vmid()), "VM.Clone")?;
    let by_pool = pool.is_some_and(|pool| call.may(&format!("/pool/{pool}"), "VM.Allocate"));
    if !by_pool {
        call.need(&format!("/vms/{newid}"), "VM.Allocate")?;
    }
    let source = call.guest()?;
    for name in source.wanted_devices().into_iter().filter_map(|(_, name, _)| name) {
        call.need(&format!("/mapping/pci/{name}"), "Mapping.Use")?;
    }
    call.unlocked()?;
    if call.cluster.guests.get(&newid).is_some_and(|other| other.node == call.node) {
        return Err(Refusal::die(format!(
            "unable to create {} {newid}: config file already exists",
            source.kind.word()
        )));
    }
    let full = call.parameters.get("full").map_or(!source.is_template(), |full| full == "1");
    let storage = call.parameters.get("storage").map(str::to_owned);
    if !full {
        for name in ["storage", "format"] {
            if call.parameters.has(name) {
                return Err(Refusal::die(format!("parameter '{name}' not allowed for linked clones")));
            }
        }
        if !source.is_template() {
            return Err(Refusal::die("Linked clone feature is not supported for drive 'scsi0'"));
        }
    }
    if let Some(storage) = &storage {
        call.need(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
        if !call.cluster.storages.contains_key(storage) {
            return Err(Refusal::die(format!("storage '{storage}' does not exist")));
        }
    }
    let target = target(call, source, storage.as_deref())?;
    let entries = match call.parameters.get("snapname") {
        Some(name) => {
            let absent = || Refusal::die(format!("snapshot '{name}' does not exist"));
            source.config.snapshots.get(name).ok_or_else(absent)?.entries.clone()
        }
        None => source.config.entries.clone(),
    };
    let entries = named(call, source, entries);
    let format = call.parameters.get("format").map(str::to_owned);
    Ok(Plan { source: source.vmid, newid, node: call.node, target, linked: !full, storage, format, entries })
}

fn target(call: &Call<'_>, source: &Guest, storage: Option<&str>) -> Served<usize> {
    let Some(name) = call.parameters.get("target").filter(|name| *name != call.cluster.node_name(call.node)) else {
        return Ok(call.node);
    };
    let node = call.cluster.node_index(name).ok_or_else(|| Refusal::die(format!("no such cluster node '{name}'")))?;
    let ids = source.config.drives().filter_map(|(_, drive)| drive.storage().map(str::to_owned));
    let local = ids
        .chain(storage.map(str::to_owned))
        .find(|id| call.cluster.storages.get(id).is_some_and(|storage| !storage.shared));
    match local {
        Some(id) => Err(Refusal::die(format!("can't clone to non-shared storage '{id}'"))),
        None => Ok(node),
    }
}

fn named(call: &Call<'_>, source: &Guest, mut entries: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for key in ["lock", "parent", "template", "snaptime", "snapstate", "vmstate"] {
        entries.remove(key);
    }
    entries.retain(|key, _| !key.starts_with("unused"));
    let key = if source.kind == Kind::Qemu { "name" } else { "hostname" };
    let given = call.parameters.get(key).map(str::to_owned);
    let default = format!("Copy-of-{}-{}", source.kind.word(), source.name().replace(' ', "-"));
    entries.insert(key.to_owned(), given.unwrap_or(default));
    if let Some(description) = call.parameters.get("description") {
        entries.insert("description".to_owned(), description.to_owned());
    }
    entries
}

fn copying(cluster: &Cluster, plan: &Plan) -> Duration {
    if plan.linked {
        return Duration::from_millis(cluster.pace.create);
    }
    let drives =
        plan.entries.iter().filter(|(key, _)| crate::cluster::is_drive_key(key)).map(|(_, value)| Drive::parse(value));
    let each = drives.filter(|drive| !drive.is_cdrom()).map(|drive| {
        let storage = plan.storage.as_deref().or(drive.storage()).and_then(|id| cluster.storages.get(id));
        cluster.copying(drive.size(), storage.map_or(1, |storage| storage.speed))
    });
    each.sum()
}

/// Makes the copies' volumes and the new config; it is locked until they are filled.
fn copy(cluster: &mut Cluster, plan: &Plan, task: TaskId) -> Result<(), String> {
    let mut entries = plan.entries.clone();
    let keys: Vec<String> = entries.keys().filter(|key| crate::cluster::is_drive_key(key)).cloned().collect();
    for key in keys {
        let drive = Drive::parse(entries.get(&key).map(String::as_str).unwrap_or_default());
        if let Some(copied) = copy_drive(cluster, plan, &key, drive, task)? {
            let guest = cluster.change_or_fail(plan.newid)?;
            guest.config.set(&key, copied.clone());
            entries.insert(key, copied);
        }
    }
    for (key, value) in &mut entries {
        if key.starts_with("net") {
            *value = with_new_mac(value, &cluster.mac());
        }
    }
    if entries.contains_key("smbios1") {
        entries.insert("smbios1".to_owned(), format!("uuid={}", cluster.uuid()));
        entries.insert("vmgenid".to_owned(), cluster.uuid());
    }
    entries.insert("lock".to_owned(), "clone".to_owned());
    cluster.change_or_fail(plan.newid)?.config.entries = entries;
    Ok(())
}

fn copy_drive(
    cluster: &mut Cluster,
    plan: &Plan,
    key: &str,
    mut drive: Drive,
    task: TaskId,
) -> Result<Option<String>, String> {
    let Some(own) = drive.storage().map(str::to_owned) else { return Ok(None) };
    if drive.volume.contains("cloudinit") {
        let storage = plan.storage.clone().unwrap_or(own);
        drive.volume = disks::cloudinit(cluster, &storage, plan.node, plan.newid)?;
        return Ok(Some(drive.render()));
    }
    if drive.is_cdrom() {
        return Ok(None);
    }
    let Some(volume) = cluster.volume(&drive.volume, plan.node).cloned() else {
        return Err(format!("volume '{}' does not exist", drive.volume));
    };
    let kind = if plan.linked { "linked" } else { "full" };
    cluster.log(task, format!("create {kind} clone of drive {key} ({})", drive.volume));
    let storage = if plan.linked { own } else { plan.storage.clone().unwrap_or(own) };
    let format = disks::format_on(cluster, &storage, plan.format.as_deref(), &volume.format);
    let mut copy = Volume::disk(volume.size, &format, plan.newid);
    copy.parent = plan.linked.then(|| drive.volume.clone());
    drive.volume = cluster.allocate(&storage, plan.node, plan.newid, "vm", copy)?;
    Ok(Some(drive.render()))
}

fn with_new_mac(net: &str, mac: &str) -> String {
    let is_mac = |text: &str| text.len() == 17 && text.split(':').count() == 6;
    let part = |part: &str| match part.split_once('=') {
        Some((key, value)) if is_mac(value) => format!("{key}={mac}"),
        _ => part.to_owned(),
    };
    net.split(',').map(part).collect::<Vec<_>>().join(",")
}

fn template(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    call.unlocked()?;
    let guest = call.guest()?;
    let (vmid, kind, word) = (guest.vmid, guest.kind, guest.kind.word());
    if !guest.config.snapshots.is_empty() {
        return Err(Refusal::die(format!("unable to create template, because {word} contains snapshots")));
    }
    if guest.is_template() {
        return Err(Refusal::die("you can't convert a template to a template"));
    }
    if guest.runs() {
        return Err(Refusal::die(format!("you can't convert a {word} to template if {word} is running")));
    }
    if kind == Kind::Lxc {
        become_template(call.cluster, vmid).map_err(Refusal::die)?;
        return Ok(Reply::null());
    }
    let after = Duration::from_millis(call.cluster.pace.small);
    let file = kind.lock_file(vmid);
    let work = Work::new("qmtemplate", vmid, call.node)
        .hold_guest(&file, call.cluster.node_name(call.node))
        .then(after, move |cluster, _| become_template(cluster, vmid));
    call.fork(work)
}

/// Its disks become bases, which linked clones stand on.
fn become_template(cluster: &mut Cluster, vmid: u32) -> Result<(), String> {
    let guest = cluster.change_or_fail(vmid)?;
    let node = guest.node;
    let drives: Vec<(String, Drive)> = guest.config.drives().map(|(key, drive)| (key.to_owned(), drive)).collect();
    for (key, mut drive) in drives {
        if drive.is_cdrom() || key.starts_with("unused") || cluster.owner_of(&drive.volume, node) != Some(vmid) {
            continue;
        }
        let Some(volume) = cluster.free(&drive.volume, node) else { continue };
        drive.volume =
            cluster.allocate(drive.storage().unwrap_or_default().to_owned().as_str(), node, vmid, "base", volume)?;
        cluster.change_or_fail(vmid)?.config.set(&key, drive.render());
    }
    cluster.change_or_fail(vmid)?.config.set("template", "1");
    Ok(())
}
