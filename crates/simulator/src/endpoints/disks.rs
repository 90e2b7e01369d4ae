//! Disks: what a disk string asks for, resizing, moving.

use super::{Call, Endpoint, Reply, forking, same_digest};
use crate::cluster::{Cluster, Drive, Kind, TaskId, Volume, Work, parse_size, pretty_size};
use crate::refusal::{Refusal, Served};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("PUT", "/nodes/{node}/qemu/{vmid}/resize", "resize", resize),
    forking("PUT", "/nodes/{node}/lxc/{vmid}/resize", "resize", resize),
    forking("POST", "/nodes/{node}/qemu/{vmid}/move_disk", "qmmove", move_disk),
    forking("POST", "/nodes/{node}/lxc/{vmid}/move_volume", "move_volume", move_disk),
];

const GIB: u64 = 1 << 30;

/// What a disk string asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// `none`, `cdrom`.
    Nothing,
    /// `STORE:32`, in bytes.
    Fresh { storage: String, size: u64 },
    /// `STORE:0,import-from=VOLUME`.
    Import { storage: String, source: String },
    /// `STORE:cloudinit`.
    CloudInit { storage: String },
    /// A volume that is there.
    There(String),
}

/// Reads a disk string and refuses what is refused before any task begins.
pub(super) fn wish(call: &Call<'_>, key: &str, drive: &Drive) -> Served<Wish> {
    let Some((storage, rest)) = drive.volume.split_once(':') else {
        return Ok(Wish::Nothing);
    };
    let known = call.cluster.storages.get(storage);
    let Some(known) = known else {
        return Err(Refusal::die(format!("storage '{storage}' does not exist")));
    };
    if !known.is_on(call.node) {
        let node = call.cluster.node_name(call.node);
        return Err(Refusal::die(format!("storage '{storage}' is not available on node '{node}'")));
    }
    let storage = storage.to_owned();
    if let Some(source) = drive.option("import-from") {
        if rest != "0" {
            let message = "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>";
            return Err(Refusal::parameter(key, message));
        }
        importable(call, source)?;
        allocatable(call, &storage, "images")?;
        return Ok(Wish::Import { storage, source: source.to_owned() });
    }
    if rest == "cloudinit" {
        allocatable(call, &storage, "images")?;
        return Ok(Wish::CloudInit { storage });
    }
    if let Some(size) = rest.parse::<f64>().ok().filter(|size| *size >= 0.0 && size.is_finite()) {
        allocatable(call, &storage, if call.kind() == Kind::Lxc { "rootdir" } else { "images" })?;
        let size = parse_size(&format!("{size}G")).unwrap_or(GIB);
        let size = if key.starts_with("efidisk") {
            540_672
        } else if key.starts_with("tpmstate") {
            4 << 20
        } else {
            size
        };
        return Ok(Wish::Fresh { storage, size });
    }
    Ok(Wish::There(drive.volume.clone()))
}

fn allocatable(call: &Call<'_>, storage: &str, content: &str) -> Served<()> {
    call.need(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
    let has = call.cluster.storages.get(storage).is_some_and(|storage| storage.has(content));
    let message = || format!("storage '{storage}' does not support content-type '{content}'");
    if has { Ok(()) } else { Err(Refusal::die(message())) }
}

fn importable(call: &Call<'_>, source: &str) -> Served<()> {
    if source.starts_with('/') {
        if call.caller.is_root() {
            return Ok(());
        }
        return Err(Refusal::die("Only root can pass arbitrary filesystem paths."));
    }
    let Some(volume) = call.cluster.volume(source, call.node) else {
        return Err(Refusal::die(format!("volume '{source}' does not exist")));
    };
    if !matches!(volume.content.as_str(), "images" | "import") {
        let text =
            format!("import-from: '{source}' has wrong type '{}' - needs to be 'images' or 'import'", volume.content);
        return Err(Refusal::die(text));
    }
    match volume.vmid {
        Some(owner) => call.need(&format!("/vms/{owner}"), "VM.Clone"),
        None => call.need_any(
            &format!("/storage/{}", source.split(':').next().unwrap_or_default()),
            &["Datastore.Audit", "Datastore.AllocateSpace"],
        ),
    }
}

/// How long the copies of these wishes last.
pub(super) fn copying(cluster: &Cluster, node: usize, wishes: &[(String, Drive, Wish)]) -> Duration {
    let each = wishes.iter().map(|(_, _, wish)| match wish {
        Wish::Import { storage, source } => {
            let size = cluster.volume(source, node).map_or(0, |volume| volume.size);
            cluster.copying(size, cluster.storages.get(storage).map_or(1, |storage| storage.speed))
        }
        _ => Duration::ZERO,
    });
    each.sum()
}

/// Carries out a wish; returns the value that the config gets.
pub(super) fn make(
    cluster: &mut Cluster,
    vmid: u32,
    (key, drive, wish): &(String, Drive, Wish),
    task: Option<TaskId>,
) -> Result<String, String> {
    let node = cluster.guests.get(&vmid).map_or(0, |guest| guest.node);
    let mut drive = drive.clone();
    let (volume, size) = match wish {
        Wish::Nothing => return Ok(drive.render()),
        Wish::There(volid) => {
            let Some(volume) = cluster.volume(volid, node) else {
                return Err(format!("volume '{volid}' does not exist"));
            };
            let size = volume.size;
            drive.set("size", pretty_size(size));
            return Ok(drive.render());
        }
        Wish::CloudInit { storage } => (cloudinit(cluster, storage, node, vmid)?, None),
        Wish::Fresh { storage, size } => {
            let format = format_on(cluster, storage, drive.remove("format").as_deref(), "raw");
            (cluster.allocate(storage, node, vmid, "vm", Volume::disk(*size, &format, vmid))?, Some(*size))
        }
        Wish::Import { storage, source } => {
            drive.remove("import-from");
            let (size, own) = cluster
                .volume(source, node)
                .map(|volume| (volume.size, volume.format.clone()))
                .ok_or_else(|| format!("volume '{source}' does not exist"))?;
            let format = format_on(cluster, storage, drive.remove("format").as_deref(), &own);
            say(cluster, task, format!("create full clone of drive ({source})"));
            (cluster.allocate(storage, node, vmid, "vm", Volume::disk(size, &format, vmid))?, Some(size))
        }
    };
    drive.volume = volume;
    match size {
        Some(size) => drive.set("size", pretty_size(size)),
        None => drive.set("media", "cdrom"),
    }
    let value = drive.render();
    say(cluster, task, format!("{key}: successfully created disk '{value}'"));
    Ok(value)
}

fn say(cluster: &mut Cluster, task: Option<TaskId>, line: String) {
    if let Some(task) = task {
        cluster.log(task, line);
    }
}

/// Block storages have raw disks only.
pub(super) fn format_on(cluster: &Cluster, storage: &str, wanted: Option<&str>, default: &str) -> String {
    let files = cluster.storages.get(storage).is_some_and(crate::cluster::Storage::is_files);
    let default = if matches!(default, "raw" | "qcow2" | "vmdk") { default } else { "raw" };
    if files { wanted.unwrap_or(default).to_owned() } else { "raw".to_owned() }
}

/// The drive of the cloud-init documents has a name of its own.
pub(super) fn cloudinit(cluster: &mut Cluster, storage: &str, node: usize, vmid: u32) -> Result<String, String> {
    let files = cluster.storages.get(storage).is_some_and(crate::cluster::Storage::is_files);
    let volid = if files {
        format!("{storage}:{vmid}/vm-{vmid}-cloudinit.qcow2")
    } else {
        format!("{storage}:vm-{vmid}-cloudinit")
    };
    if cluster.volume(&volid, node).is_none() {
        cluster.put_volume(&volid, node, Volume::disk(4 << 20, if files { "qcow2" } else { "raw" }, vmid))?;
    }
    Ok(volid)
}

fn resize(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let guest = call.guest()?;
    same_digest(
        call.parameters.get("digest"),
        &guest.config.digest(),
        "checksum mismatch (file change by other user?)",
    )?;
    let (vmid, node) = (guest.vmid, guest.node);
    let (disk, size) = (call.text("disk").to_owned(), call.text("size").to_owned());
    let file = guest.kind.lock_file(vmid);
    let after = Duration::from_millis(call.cluster.pace.small);
    let work = Work::new("resize", vmid, node).hold_guest(&file, call.cluster.node_name(node)).then(
        after,
        move |cluster, task| {
            let line = grow(cluster, vmid, &disk, &size)?;
            cluster.log(task, line);
            Ok(())
        },
    );
    call.fork(work)
}

fn grow(cluster: &mut Cluster, vmid: u32, key: &str, size: &str) -> Result<String, String> {
    let guest = cluster.change_or_fail(vmid)?;
    if let Some(lock) = guest.lock() {
        return Err(format!("{} is locked ({lock})", guest.kind.word()));
    }
    let node = guest.node;
    let value = guest.config.get(key).ok_or_else(|| format!("disk '{key}' does not exist"))?;
    let mut drive = Drive::parse(value);
    if drive.is_cdrom() {
        return Err("you can't resize a cdrom".to_owned());
    }
    let now = cluster.volume(&drive.volume, node).map_or(drive.size(), |volume| volume.size);
    let wanted = match size.strip_prefix('+') {
        Some(more) => now + parse_size(more).unwrap_or(0),
        None => parse_size(size).unwrap_or(0),
    };
    if wanted < now {
        return Err("shrinking disks is not supported".to_owned());
    }
    cluster.grow(&drive.volume, node, wanted)?;
    drive.set("size", pretty_size(wanted));
    cluster.change_or_fail(vmid)?.config.set(key, drive.render());
    Ok("Image resized.".to_owned())
}

fn move_disk(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    call.unlocked()?;
    let guest = call.guest()?;
    let text = "detected modified configuration - file changed by other user? Try again.";
    same_digest(call.parameters.get("digest"), &guest.config.digest(), text)?;
    if call.parameters.has("target-vmid") {
        return Err(Refusal::not_simulated("POST", "move_disk with target-vmid"));
    }
    let (vmid, node) = (guest.vmid, guest.node);
    let key = call.parameters.get("disk").or(call.parameters.get("volume")).unwrap_or_default().to_owned();
    let storage = call.text("storage").to_owned();
    let drive = guest.config.get(&key).map(Drive::parse);
    let drive = drive.ok_or_else(|| Refusal::die(format!("disk '{key}' does not exist")))?;
    call.need(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
    let speed = call.cluster.storages.get(&storage).map(|storage| storage.speed);
    let speed = speed.ok_or_else(|| Refusal::die(format!("storage '{storage}' does not exist")))?;
    let after = call.cluster.copying(drive.size(), speed);
    let (kind, file) = (super::forks(call.route).unwrap_or("qmmove"), guest.kind.lock_file(vmid));
    let (format, delete) = (call.parameters.get("format").map(str::to_owned), call.parameters.is("delete"));
    let work =
        Work::new(kind, vmid, node).hold_guest(&file, call.cluster.node_name(node)).then(after, move |cluster, _| {
            let old = drive.volume.clone();
            let own = cluster.volume(&old, node).map_or_else(|| "raw".to_owned(), |volume| volume.format.clone());
            let format = format_on(cluster, &storage, format.as_deref(), &own);
            let volume = cluster.allocate(&storage, node, vmid, "vm", Volume::disk(drive.size(), &format, vmid))?;
            let guest = cluster.change_or_fail(vmid)?;
            let mut moved = drive.clone();
            moved.volume = volume;
            guest.config.set(&key, moved.render());
            if delete {
                cluster.free(&old, node);
            } else {
                let unused = guest.config.free_unused();
                guest.config.set(&unused, old);
            }
            Ok(())
        });
    call.fork(work)
}

/// Every drive that these parameters ask for.
pub(super) fn wishes(call: &Call<'_>, drives: &BTreeMap<String, String>) -> Served<Vec<(String, Drive, Wish)>> {
    let each = drives.iter().map(|(key, value)| {
        let drive = Drive::parse(value);
        let wish = wish(call, key, &drive)?;
        Ok((key.clone(), drive, wish))
    });
    each.collect()
}
