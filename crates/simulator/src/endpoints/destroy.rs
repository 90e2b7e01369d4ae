//! Deleting a guest.

use super::{Call, Endpoint, Reply, forking};
use crate::cluster::{Cluster, Work};
use crate::refusal::{Refusal, Served};
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    forking("DELETE", "/nodes/{node}/qemu/{vmid}", "qmdestroy", destroy),
    forking("DELETE", "/nodes/{node}/lxc/{vmid}", "vzdestroy", destroy),
];

fn destroy(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    if call.parameters.is("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    let guest = call.guest()?;
    let (vmid, word, node) = (guest.vmid, guest.kind.word(), guest.node);
    if guest.config.is("protection") {
        return Err(Refusal::die(format!("can't remove {word} {vmid} - protection mode enabled")));
    }
    let purge = call.parameters.is("purge");
    if call.cluster.ha.wants(vmid).is_some() && !purge {
        return Err(Refusal::die(format!(
            "unable to remove {word} {vmid} - used in HA resources and purge parameter not set."
        )));
    }
    let force = call.parameters.is("force");
    if guest.runs() && !force {
        return Err(Refusal::die(format!("{word} {vmid} is running - destroy failed")));
    }
    let file = guest.kind.lock_file(vmid);
    let kind = super::forks(call.route).unwrap_or("qmdestroy");
    let after = Duration::from_millis(call.cluster.pace.small);
    let unreferenced = call.parameters.is("destroy-unreferenced-disks");
    let work = Work::new(kind, vmid, node)
        .hold_guest(&file, call.cluster.node_name(node))
        .then(Duration::ZERO, move |cluster, _| removable(cluster, vmid))
        .then(after, move |cluster, task| {
            removable(cluster, vmid)?;
            if purge {
                cluster.log(task, format!("purging {word} {vmid} from related configurations.."));
                cluster.ha.forget(vmid);
            }
            cluster.stop_guest(vmid);
            cluster.remove_guest(vmid);
            if unreferenced {
                free_all(cluster, vmid, node);
            }
            Ok(())
        });
    call.fork(work)
}

fn removable(cluster: &Cluster, vmid: u32) -> Result<(), String> {
    let guest = cluster.guests.get(&vmid).ok_or_else(|| format!("Configuration file for {vmid} does not exist"))?;
    if let Some(lock) = guest.lock() {
        return Err(format!("{} is locked ({lock})", guest.kind.word()));
    }
    let based =
        guest.config.drives().map(|(_, drive)| drive).find(|drive| cluster.has_clones(&drive.volume, guest.node));
    match based {
        Some(drive) => Err(format!("base volume '{}' is still in use by linked cloned", drive.volume)),
        None => Ok(()),
    }
}

/// Volumes of this guest that its config does not name.
fn free_all(cluster: &mut Cluster, vmid: u32, node: usize) {
    let spaces = cluster.storages.values().filter_map(|storage| storage.space(node));
    let volumes = spaces
        .flat_map(|space| &space.volumes)
        .filter(|(_, volume)| volume.vmid == Some(vmid) && volume.content != "backup");
    for volid in volumes.map(|(volid, _)| volid.clone()).collect::<Vec<_>>() {
        cluster.free(&volid, node);
    }
}
