//! The inventory: `GET /cluster/resources`. Where a guest is, is known at once; how it is, only by broadcast.

use super::{Call, Endpoint, Reply, at};
use crate::cluster::{Guest, Kind, Storage};
use crate::refusal::{Refusal, Served};
use serde::Serialize;
use serde_json::json;

pub(super) const ENDPOINTS: &[Endpoint] = &[at("GET", "/cluster/resources", resources)];

/// Written straight to text: with thousands of guests, a tree of values would cost more than everything else.
#[derive(Serialize)]
struct GuestEntry<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    vmid: u32,
    node: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pool: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hastate: Option<&'a str>,
    #[serde(flatten)]
    heard: Option<Heard>,
}

#[derive(Serialize)]
struct Heard {
    name: String,
    template: u8,
    cpu: f64,
    maxcpu: u64,
    mem: u64,
    maxmem: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    memhost: Option<u64>,
    disk: u64,
    maxdisk: u64,
    diskread: u64,
    diskwrite: u64,
    netin: u64,
    netout: u64,
    uptime: u64,
}

fn resources(call: &mut Call<'_>) -> Served<Reply> {
    let wanted = call.parameters.get("type").map(str::to_owned);
    let asked = |kind: &str| wanted.as_deref().is_none_or(|wanted| wanted == kind);
    let mut entries: Vec<String> = Vec::new();
    if wanted.is_none() {
        pools(call, &mut entries);
    }
    if asked("vm") {
        guests(call, &mut entries)?;
    }
    if asked("node") {
        nodes(call, &mut entries);
    }
    if asked("storage") {
        storages(call, &mut entries);
    }
    if asked("sdn") || wanted.is_none() {
        networks(call, &mut entries);
    }
    Ok(Reply::written(format!("[{}]", entries.join(","))))
}

fn pools(call: &Call<'_>, entries: &mut Vec<String>) {
    for name in call.cluster.pools.keys().filter(|name| call.may(&format!("/pool/{name}"), "Pool.Audit")) {
        entries.push(json!({ "id": format!("/pool/{name}"), "type": "pool", "pool": name }).to_string());
    }
}

fn guests(call: &Call<'_>, entries: &mut Vec<String>) -> Served<()> {
    let cluster = &call.cluster;
    let last = cluster.last_broadcast();
    let almighty = cluster.access.is_almighty(&call.caller);
    for guest in cluster.guests.values() {
        if !almighty && !call.may(&format!("/vms/{}", guest.vmid), "VM.Audit") {
            continue;
        }
        let entry = entry(call, guest, last);
        entries.push(serde_json::to_string(&entry).map_err(|error| Refusal::die(error.to_string()))?);
    }
    Ok(())
}

fn entry<'a>(call: &'a Call<'_>, guest: &'a Guest, last: crate::clock::Time) -> GuestEntry<'a> {
    let cluster = &call.cluster;
    let shown = guest.heard(last).filter(|_| cluster.lives(guest.node));
    GuestEntry {
        id: format!("{}/{}", guest.kind.name(), guest.vmid),
        kind: guest.kind.name(),
        vmid: guest.vmid,
        node: cluster.node_name(guest.node),
        status: shown.as_ref().map_or("unknown", |shown| shown.status),
        lock: guest.lock(),
        tags: guest.config.get("tags"),
        pool: guest.pool.as_deref(),
        hastate: cluster.ha.state(guest.vmid),
        heard: shown.map(|shown| {
            let running = shown.status == "running";
            let used = if running { shown.maxmem / 4 } else { 0 };
            Heard {
                name: shown.name,
                template: u8::from(shown.template),
                cpu: if running { 0.01 } else { 0.0 },
                maxcpu: shown.cpus,
                mem: used,
                maxmem: shown.maxmem,
                memhost: (guest.kind == Kind::Qemu).then_some(used),
                disk: 0,
                maxdisk: shown.maxdisk,
                diskread: 0,
                diskwrite: 0,
                netin: 0,
                netout: 0,
                uptime: if running { last.since(shown.since).as_secs() } else { 0 },
            }
        }),
    }
}

fn nodes(call: &Call<'_>, entries: &mut Vec<String>) {
    let cluster = &call.cluster;
    let mut used = vec![2_u64 << 30; cluster.nodes.len()];
    for guest in cluster.guests.values().filter(|guest| guest.runs()) {
        if let Some(used) = used.get_mut(guest.node) {
            *used += guest.memory();
        }
    }
    for (node, used) in cluster.nodes.iter().zip(used) {
        let mut entry = json!({
            "id": format!("node/{}", node.name), "type": "node", "node": node.name, "level": "", "cgroup-mode": 2,
            "status": if node.online { "online" } else { "offline" },
        });
        if node.online && cluster.ha.is_awake() {
            entry["hastate"] = json!("online");
        }
        if node.online && call.may(&format!("/nodes/{}", node.name), "Sys.Audit") {
            entry["cpu"] = json!(0.05);
            entry["maxcpu"] = json!(node.spec.cpus);
            entry["mem"] = json!(used.min(node.spec.memory));
            entry["maxmem"] = json!(node.spec.memory);
            entry["disk"] = json!(10_u64 << 30);
            entry["maxdisk"] = json!(100_u64 << 30);
            entry["uptime"] = json!(cluster.now.since(node.booted).as_secs());
        }
        entries.push(entry.to_string());
    }
}

fn storages(call: &Call<'_>, entries: &mut Vec<String>) {
    let cluster = &call.cluster;
    for storage in cluster.storages.values() {
        if !cluster.may_any(
            &call.caller,
            &format!("/storage/{}", storage.id),
            &["Datastore.Audit", "Datastore.AllocateSpace"],
        ) {
            continue;
        }
        for (number, node) in cluster.nodes.iter().enumerate().filter(|(number, _)| storage.is_on(*number)) {
            entries.push(storage_entry(storage, number, &node.name, node.online).to_string());
        }
    }
}

fn storage_entry(storage: &Storage, number: usize, node: &str, online: bool) -> serde_json::Value {
    let mut entry = json!({
        "id": format!("storage/{node}/{}", storage.id), "type": "storage", "storage": storage.id, "node": node,
        "status": if online { "available" } else { "unknown" }, "shared": u8::from(storage.shared),
        "content": storage.content, "plugintype": storage.kind,
    });
    if let Some(space) = storage.space(number).filter(|_| online) {
        entry["disk"] = json!(space.used());
        entry["maxdisk"] = json!(space.total);
    }
    entry
}

fn networks(call: &Call<'_>, entries: &mut Vec<String>) {
    let zones: Vec<&str> = std::iter::once("localnetwork").chain(call.cluster.sdn.running_zones()).collect();
    for zone in zones {
        if !call.cluster.may_any(&call.caller, &format!("/sdn/zones/{zone}"), &["SDN.Audit", "SDN.Use"]) {
            continue;
        }
        for node in &call.cluster.nodes {
            let entry = json!({
                "id": format!("network/{}/zone/{zone}", node.name), "type": "network", "network": zone,
                "network-type": "zone", "node": node.name, "status": if node.online { "ok" } else { "unknown" },
            });
            entries.push(entry.to_string());
        }
    }
}
