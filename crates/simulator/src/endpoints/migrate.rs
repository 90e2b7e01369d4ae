//! Migration: what stands in its way, and the move itself. A failure leaves the guest where it was.

use super::{Call, Endpoint, Reply, at, forking, ha};
use crate::cluster::{Cluster, Drive, Guest, Kind, Work};
use crate::refusal::{Refusal, Served};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/nodes/{node}/qemu/{vmid}/migrate", preconditions),
    at("GET", "/nodes/{node}/lxc/{vmid}/migrate", preconditions),
    forking("POST", "/nodes/{node}/qemu/{vmid}/migrate", "qmigrate", migrate),
    forking("POST", "/nodes/{node}/lxc/{vmid}/migrate", "vzmigrate", migrate),
    forking("POST", "/nodes/{node}/migrateall", "migrateall", migrate_all),
];

/// Disks on storages that only this node sees: key and drive.
fn local_disks(cluster: &Cluster, guest: &Guest) -> Vec<(String, Drive)> {
    let local =
        |drive: &Drive| drive.storage().and_then(|id| cluster.storages.get(id)).is_some_and(|storage| !storage.shared);
    guest.config.drives().filter(|(_, drive)| local(drive)).map(|(key, drive)| (key.to_owned(), drive)).collect()
}

/// Storages of the guest that a node does not have.
fn unavailable(cluster: &Cluster, guest: &Guest, node: usize) -> Vec<String> {
    let used = guest.config.drives().filter_map(|(_, drive)| drive.storage().map(str::to_owned));
    let mut absent: Vec<String> =
        used.filter(|id| cluster.storages.get(id).is_none_or(|storage| !storage.is_on(node))).collect();
    absent.sort();
    absent.dedup();
    absent
}

fn preconditions(call: &mut Call<'_>) -> Served<Reply> {
    let cluster = &call.cluster;
    let guest = call.guest()?;
    let mut allowed = Vec::new();
    let mut refused = Map::new();
    for (number, node) in cluster.nodes.iter().enumerate().filter(|(number, node)| *number != guest.node && node.online)
    {
        let reasons = [
            ("unavailable_storages", unavailable(cluster, guest, number)),
            ("unavailable-resources", cluster.missing_devices(guest, number)),
        ];
        let reasons = reasons.into_iter().filter(|(_, absent)| !absent.is_empty());
        let reasons: Map<String, Value> = reasons.map(|(what, absent)| (what.to_owned(), json!(absent))).collect();
        if reasons.is_empty() {
            allowed.push(json!(node.name));
        } else {
            refused.insert(node.name.clone(), Value::Object(reasons));
        }
    }
    let disks: Vec<Value> = local_disks(cluster, guest)
        .into_iter()
        .map(|(key, drive)| {
            json!({
                "drivename": key, "volid": drive.volume, "size": drive.size(), "cdrom": u8::from(drive.is_cdrom()),
                "is_unused": u8::from(key.starts_with("unused")), "is_attached": 1, "shared": 0, "replicate": 1,
            })
        })
        .collect();
    let mut shown =
        json!({ "running": u8::from(guest.runs()), "allowed_nodes": allowed, "not_allowed_nodes": refused });
    if guest.kind == Kind::Qemu {
        shown["local_disks"] = json!(disks);
        let devices = guest.wanted_devices();
        let immovable = cluster.immovable_devices(guest);
        let mapped = devices.iter().filter_map(|(key, name, _)| name.as_ref().map(|name| (key, name)));
        let info = |(key, name): (&String, &String)| {
            let mut info = json!({ "name": name });
            if !immovable.contains(&format!("{key}:{name}")) {
                info["live-migration"] = json!(1);
            }
            (key.clone(), info)
        };
        shown["local_resources"] = json!(devices.iter().map(|(key, ..)| key).collect::<Vec<_>>());
        shown["mapped-resources"] = json!(mapped.clone().map(|(key, _)| key).collect::<Vec<_>>());
        shown["mapped-resource-info"] = Value::Object(mapped.map(info).collect());
        shown["has-dbus-vmstate"] = json!(0);
        shown["dependent-ha-resources"] = json!([]);
    }
    Ok(Reply::from(shown))
}

/// What a migration is told.
#[derive(Clone)]
struct Move {
    vmid: u32,
    from: usize,
    to: usize,
    online: bool,
    with_disks: bool,
    /// The storage that local disks go to, if it is to be another one.
    storage: Option<String>,
}

fn migrate(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("target").to_owned();
    let Some(to) = call.cluster.node_index(&name) else {
        return Err(Refusal::die(format!("no such cluster node '{name}'")));
    };
    let guest = call.guest()?;
    if to == guest.node {
        return Err(Refusal::parameter("target", "target is local node."));
    }
    for root in ["migration_network", "migration_type", "force"] {
        if call.parameters.has(root) && !call.caller.is_root() {
            return Err(Refusal::parameter(root, "Only root may use this option."));
        }
    }
    let restart = call.parameters.is("restart");
    let online = call.parameters.is("online") || restart;
    if guest.runs() && !online {
        let text = match guest.kind {
            Kind::Qemu => "can't migrate running VM without --online",
            Kind::Lxc => "can't migrate running container without --online or --restart",
        };
        return Err(Refusal::die(text));
    }
    let (vmid, from) = (guest.vmid, guest.node);
    if !call.cluster.lives(to) {
        return Err(Refusal::die(format!("target node '{name}' is offline")));
    }
    if call.cluster.ha.wants(vmid).is_some() {
        let work = Work::new("hamigrate", vmid, call.node).then(Duration::ZERO, move |cluster, task| {
            cluster.log(task, format!("requesting migrate of {vmid}"));
            ha::migrate_later(cluster, vmid, to);
            Ok(())
        });
        return call.fork(work);
    }
    let storage = call.parameters.get("targetstorage").or(call.parameters.get("target-storage"));
    let storage = storage.filter(|storage| *storage != "1").map(str::to_owned);
    let with_disks = call.parameters.is("with-local-disks") || guest.kind == Kind::Lxc || !guest.runs();
    let plan = Move { vmid, from, to, online, with_disks, storage };
    let kind = super::forks(call.route).unwrap_or("qmigrate");
    let work = moving(call, kind, plan);
    call.fork(work)
}

fn moving(call: &Call<'_>, kind: &'static str, plan: Move) -> Work {
    let cluster = &call.cluster;
    let guest = cluster.guests.get(&plan.vmid);
    let bytes = guest.map_or(0, |guest| {
        let disks: u64 = local_disks(cluster, guest)
            .iter()
            .filter(|(_, drive)| !drive.is_cdrom())
            .map(|(_, drive)| drive.size())
            .sum();
        disks + if guest.runs() { guest.memory() } else { 0 }
    });
    let speed = cluster.network_speed(plan.from).min(cluster.network_speed(plan.to));
    let (vmid, copying) = (plan.vmid, cluster.copying(bytes, speed));
    let file = guest.map_or(Kind::Qemu, |guest| guest.kind).lock_file(vmid);
    Work::new(kind, vmid, plan.from)
        .hold_guest(&file, cluster.node_name(plan.from))
        .then(Duration::ZERO, {
            let plan = plan.clone();
            move |cluster, _| prepare(cluster, &plan)
        })
        .then(copying, move |cluster, _| {
            if !cluster.lives(plan.to) {
                return Err("migration aborted: target node is gone".to_owned());
            }
            finish(cluster, &plan)
        })
        .undo(move |cluster| {
            if let Some(guest) = cluster.change(vmid).filter(|guest| guest.lock() == Some("migrate")) {
                guest.config.entries.remove("lock");
            }
        })
}

fn prepare(cluster: &mut Cluster, plan: &Move) -> Result<(), String> {
    let guest =
        cluster.guests.get(&plan.vmid).ok_or_else(|| format!("Configuration file for {} does not exist", plan.vmid))?;
    if let Some(lock) = guest.lock() {
        return Err(format!("{} is locked ({lock})", guest.kind.word()));
    }
    let disks = local_disks(cluster, guest);
    let attached = disks.iter().find(|(key, drive)| !key.starts_with("unused") && !drive.volume.contains("cloudinit"));
    if let Some((_, drive)) = attached {
        if drive.is_cdrom() {
            return Err(format!("can't migrate local cdrom drive: {}", drive.volume));
        }
        if guest.runs() && plan.online && !plan.with_disks {
            return Err("can't live migrate attached local disks without with-local-disks option".to_owned());
        }
    }
    let absent = unavailable(cluster, guest, plan.to);
    if let (None, Some(storage)) = (&plan.storage, absent.first()) {
        return Err(format!("storage '{storage}' is not available on node '{}'", cluster.node_name(plan.to)));
    }
    devices_move(cluster, guest, plan)?;
    cluster.change_or_fail(plan.vmid)?.config.set("lock", "migrate");
    Ok(())
}

/// Devices by mappings can be left behind for those of another node, as a rule only by a guest that does not run.
fn devices_move(cluster: &Cluster, guest: &Guest, plan: &Move) -> Result<(), String> {
    let devices = guest.wanted_devices();
    let raw: Vec<&str> = devices.iter().filter(|(_, name, _)| name.is_none()).map(|(key, ..)| key.as_str()).collect();
    if !raw.is_empty() {
        return Err(format!("can't migrate VM which uses local devices: {}", raw.join(", ")));
    }
    let missing = cluster.missing_devices(guest, plan.to);
    if !missing.is_empty() {
        let node = cluster.node_name(plan.to);
        return Err(format!("can't migrate to '{node}': missing mapped devices {}", missing.join(", ")));
    }
    let immovable = cluster.immovable_devices(guest);
    if guest.runs() && !immovable.is_empty() {
        let devices = immovable.join(", ");
        return Err(format!("can't live migrate running VM which uses following mapped devices: {devices}"));
    }
    Ok(())
}

/// The config's file is renamed: from now on the guest is there.
fn finish(cluster: &mut Cluster, plan: &Move) -> Result<(), String> {
    let runs = cluster.guests.get(&plan.vmid).is_some_and(Guest::runs);
    let devices = if runs { cluster.free_devices(plan.vmid, plan.to)? } else { Vec::new() };
    if let Some(storage) = &plan.storage {
        let guest = cluster.change_or_fail(plan.vmid)?.clone();
        for (key, mut drive) in local_disks(cluster, &guest) {
            if let Some(volume) = cluster.volume(&drive.volume, plan.from).cloned() {
                let old = drive.volume.clone();
                drive.volume = cluster.allocate(storage, plan.to, plan.vmid, "vm", volume)?;
                cluster.free(&old, plan.from);
                cluster.change_or_fail(plan.vmid)?.config.set(&key, drive.render());
            }
        }
    }
    cluster.move_guest(plan.vmid, plan.to);
    let now = cluster.now;
    let guest = cluster.change_or_fail(plan.vmid)?;
    guest.config.entries.remove("lock");
    guest.devices = devices;
    if guest.kind == Kind::Lxc && guest.runs() {
        guest.since = now;
    }
    Ok(())
}

fn migrate_all(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("target").to_owned();
    let Some(to) = call.cluster.node_index(&name) else {
        return Err(Refusal::die(format!("no such cluster node '{name}'")));
    };
    let from = call.node;
    let only: Vec<u32> = call.parameters.list("vms").iter().filter_map(|vmid| vmid.parse().ok()).collect();
    let here = call.cluster.guests.values().filter(|guest| guest.node == from);
    let wanted: Vec<(u32, bool)> = here
        .filter(|guest| only.is_empty() || only.contains(&guest.vmid))
        .map(|guest| (guest.vmid, guest.runs()))
        .collect();
    for (vmid, _) in &wanted {
        call.need_any(&format!("/vms/{vmid}"), &["VM.Migrate"])?;
    }
    let with_disks = call.parameters.is("with-local-disks");
    let mut work = Work::new("migrateall", "", from);
    for (vmid, online) in wanted {
        let plan = Move { vmid, from, to, online, with_disks: with_disks || !online, storage: None };
        let bytes = call.cluster.guests.get(&vmid).map_or(0, Guest::memory);
        let after = call.cluster.copying(bytes, call.cluster.network_speed(from));
        work = work.then(after, move |cluster, task| {
            let moved = prepare(cluster, &plan).and_then(|()| finish(cluster, &plan));
            if let Err(message) = moved {
                cluster.warn(task, &format!("Migrating {vmid} failed: {message}"));
            }
            Ok(())
        });
    }
    call.fork(work)
}
