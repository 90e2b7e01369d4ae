//! Snapshots: taken, gone back to, deleted.

use super::{Call, Endpoint, Reply, forking, power};
use crate::cluster::{Cluster, Guest, Kind, Snapshot, Volume, Work};
use crate::refusal::Served;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("POST", "/nodes/{node}/qemu/{vmid}/snapshot", "qmsnapshot", take),
    forking("POST", "/nodes/{node}/lxc/{vmid}/snapshot", "vzsnapshot", take),
    forking("POST", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}/rollback", "qmrollback", rollback),
    forking("POST", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/rollback", "vzrollback", rollback),
    forking("DELETE", "/nodes/{node}/qemu/{vmid}/snapshot/{snapname}", "qmdelsnapshot", delete),
    forking("DELETE", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}", "vzdelsnapshot", delete),
];

/// The work of a verb, which holds the config's lock property from its first step to its last.
fn work(call: &Call<'_>, lock: &'static str) -> Served<(Work, u32, String)> {
    call.cluster.need_quorum()?;
    let guest = call.guest()?;
    let vmid = guest.vmid;
    let kind = super::forks(call.route).unwrap_or("qmsnapshot");
    let name = call.text("snapname").to_owned();
    let file = guest.kind.lock_file(vmid);
    let work = Work::new(kind, vmid, guest.node)
        .hold_guest(&file, call.cluster.node_name(guest.node))
        .then(Duration::ZERO, move |cluster, _| {
            let guest = cluster.change_or_fail(vmid)?;
            unlocked(guest)
        })
        .undo(move |cluster| {
            if let Some(guest) = cluster.change(vmid).filter(|guest| guest.lock() == Some(lock)) {
                guest.config.entries.remove("lock");
            }
        });
    Ok((work, vmid, name))
}

fn unlocked(guest: &Guest) -> Result<(), String> {
    match guest.lock() {
        Some(lock) => Err(format!("{} is locked ({lock})", guest.kind.word())),
        None => Ok(()),
    }
}

fn set_lock(cluster: &mut Cluster, vmid: u32, lock: &str) -> Result<(), String> {
    cluster.change_or_fail(vmid)?.config.set("lock", lock);
    Ok(())
}

fn take(call: &mut Call<'_>) -> Served<Reply> {
    let (work, vmid, name) = work(call, "snapshot")?;
    let (description, vmstate) = (call.text("description").to_owned(), call.parameters.is("vmstate"));
    let after = Duration::from_millis(call.cluster.pace.small);
    let checked = name.clone();
    let work = work
        .then(Duration::ZERO, move |cluster, _| {
            possible(cluster, vmid, &checked)?;
            set_lock(cluster, vmid, "snapshot")
        })
        .then(after, move |cluster, _| write(cluster, vmid, &name, description, vmstate));
    call.fork(work)
}

fn possible(cluster: &Cluster, vmid: u32, name: &str) -> Result<(), String> {
    let guest = cluster.guests.get(&vmid).ok_or_else(|| format!("Configuration file for {vmid} does not exist"))?;
    if guest.is_template() {
        return Err("you can't take a snapshot if it's a template".to_owned());
    }
    if guest.config.snapshots.contains_key(name) {
        return Err(format!("snapshot name '{name}' already used"));
    }
    let able = guest.config.drives().filter(|(key, drive)| !drive.is_cdrom() && !key.starts_with("unused")).all(
        |(_, drive)| {
            let format = cluster.volume(&drive.volume, guest.node).map_or("raw", |volume| volume.format.as_str());
            drive.storage().and_then(|id| cluster.storages.get(id)).is_none_or(|storage| storage.snapshots(format))
        },
    );
    if able { Ok(()) } else { Err("snapshot feature is not available".to_owned()) }
}

fn write(cluster: &mut Cluster, vmid: u32, name: &str, description: String, vmstate: bool) -> Result<(), String> {
    let time = cluster.now.seconds();
    let guest = cluster.change_or_fail(vmid)?;
    guest.config.entries.remove("lock");
    let saved = vmstate && guest.runs() && guest.kind == Kind::Qemu;
    let (node, size) = (guest.node, guest.memory() * 2);
    let mut entries = guest.config.entries.clone();
    let parent = entries.remove("parent");
    entries.retain(|key, _| !key.starts_with("unused"));
    let snapshot = Snapshot { entries, parent, time, description, vmstate: saved };
    guest.config.snapshots.insert(name.to_owned(), snapshot);
    guest.config.set("parent", name);
    let storage = guest.config.drives().find_map(|(_, drive)| drive.storage().map(str::to_owned));
    if let Some(storage) = storage.filter(|_| saved) {
        let volid = format!("{storage}:vm-{vmid}-state-{name}");
        cluster.put_volume(&volid, node, Volume::disk(size, "raw", vmid))?;
    }
    Ok(())
}

fn rollback(call: &mut Call<'_>) -> Served<Reply> {
    let (work, vmid, name) = work(call, "rollback")?;
    let starts = call.parameters.is("start");
    let after = Duration::from_millis(call.cluster.pace.small);
    let start = Duration::from_millis(call.cluster.pace.start);
    let checked = name.clone();
    let mut work = work
        .then(Duration::ZERO, move |cluster, _| {
            known(cluster, vmid, &checked)?;
            set_lock(cluster, vmid, "rollback")
        })
        .then(after, move |cluster, _| {
            cluster.stop_guest(vmid);
            let guest = cluster.change_or_fail(vmid)?;
            let snapshot =
                guest.config.snapshots.get(&name).ok_or_else(|| format!("snapshot '{name}' does not exist"))?;
            let saved = snapshot.vmstate;
            guest.config.entries = snapshot.entries.clone();
            guest.config.set("parent", &name);
            if saved {
                cluster.choose_devices(vmid)?;
                cluster.start_guest(vmid);
            }
            Ok(())
        });
    if starts {
        // A start of its own, whose warnings stand in no log of this task.
        work = work.then(start, move |cluster, _| {
            if !cluster.guests.get(&vmid).is_some_and(Guest::runs) {
                power::startable(cluster, vmid)?;
                cluster.choose_devices(vmid)?;
                cluster.start_guest(vmid);
            }
            Ok(())
        });
    }
    call.fork(work)
}

fn known(cluster: &Cluster, vmid: u32, name: &str) -> Result<(), String> {
    let there = cluster.guests.get(&vmid).is_some_and(|guest| guest.config.snapshots.contains_key(name));
    if there { Ok(()) } else { Err(format!("snapshot '{name}' does not exist")) }
}

fn delete(call: &mut Call<'_>) -> Served<Reply> {
    let (work, vmid, name) = work(call, "snapshot-delete")?;
    let after = Duration::from_millis(call.cluster.pace.small);
    let checked = name.clone();
    let work = work
        .then(Duration::ZERO, move |cluster, _| {
            known(cluster, vmid, &checked)?;
            set_lock(cluster, vmid, "snapshot-delete")
        })
        .then(after, move |cluster, _| {
            let guest = cluster.change_or_fail(vmid)?;
            guest.config.entries.remove("lock");
            let node = guest.node;
            let gone = guest.config.snapshots.remove(&name).unwrap_or_default();
            let mut parents = vec![];
            for snapshot in
                guest.config.snapshots.values_mut().filter(|snapshot| snapshot.parent.as_deref() == Some(name.as_str()))
            {
                snapshot.parent.clone_from(&gone.parent);
            }
            if guest.config.get("parent") == Some(name.as_str()) {
                guest.config.entries.remove("parent");
                parents.extend(gone.parent.clone());
            }
            for parent in parents {
                guest.config.set("parent", parent);
            }
            let storage = guest.config.drives().find_map(|(_, drive)| drive.storage().map(str::to_owned));
            if let Some(storage) = storage.filter(|_| gone.vmstate) {
                cluster.free(&format!("{storage}:vm-{vmid}-state-{name}"), node);
            }
            Ok(())
        });
    call.fork(work)
}
