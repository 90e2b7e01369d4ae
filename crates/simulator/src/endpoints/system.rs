//! The version, the nodes, the cluster.

use super::{Call, Endpoint, Reply, at};
use crate::refusal::{Refusal, Served};
use serde_json::{Value, json};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/version", version),
    at("GET", "/nodes/{node}/version", version),
    at("GET", "/nodes", nodes),
    at("GET", "/nodes/{node}/status", status),
    at("GET", "/nodes/{node}/network", network),
    at("GET", "/nodes/{node}/time", time),
    at("GET", "/nodes/{node}/certificates/info", certificates),
    at("GET", "/nodes/{node}/services", |_| Ok(Reply::from(json!([])))),
    at("GET", "/cluster/status", cluster_status),
    at("GET", "/cluster/nextid", nextid),
    at("GET", "/cluster/options", options),
];

/// Bytes of a node's root file system.
const ROOT: u64 = 100 << 30;

fn version(call: &mut Call<'_>) -> Served<Reply> {
    let version = &call.cluster.version;
    Ok(Reply::from(json!({ "version": version.text, "release": version.release(), "repoid": "c412f00d0c412f00" })))
}

fn time(call: &mut Call<'_>) -> Served<Reply> {
    let now = call.cluster.now.seconds();
    Ok(Reply::from(json!({ "time": now, "localtime": now, "timezone": "Etc/UTC" })))
}

fn nodes(call: &mut Call<'_>) -> Served<Reply> {
    let numbers = 0..call.cluster.nodes.len();
    Ok(Reply::from(Value::Array(numbers.map(|node| listed(call, node)).collect())))
}

fn listed(call: &Call<'_>, number: usize) -> Value {
    let cluster = &call.cluster;
    let Some(node) = cluster.nodes.get(number) else { return Value::Null };
    let mut entry = json!({
        "node": node.name, "id": format!("node/{}", node.name), "type": "node",
        "status": if node.online { "online" } else { "offline" },
        "ssl_fingerprint": node.fingerprint,
    });
    if node.online && call.may(&format!("/nodes/{}", node.name), "Sys.Audit") {
        entry["cpu"] = json!(0.05);
        entry["maxcpu"] = json!(node.spec.cpus);
        entry["mem"] = json!(memory_used(call, number));
        entry["maxmem"] = json!(node.spec.memory);
        entry["disk"] = json!(ROOT / 10);
        entry["maxdisk"] = json!(ROOT);
        entry["uptime"] = json!(cluster.now.since(node.booted).as_secs());
        entry["level"] = json!("");
    }
    entry
}

fn memory_used(call: &Call<'_>, node: usize) -> u64 {
    let running = call.cluster.guests.values().filter(|guest| guest.node == node && guest.runs());
    let total = call.cluster.nodes.get(node).map_or(0, |node| node.spec.memory);
    (running.map(crate::cluster::Guest::memory).sum::<u64>() + (2 << 30)).min(total)
}

fn status(call: &mut Call<'_>) -> Served<Reply> {
    let used = memory_used(call, call.node);
    let cluster = &call.cluster;
    let Some(node) = cluster.nodes.get(call.node) else { return Err(Refusal::die("no such node")) };
    let kernel = "6.17.2-1-pve";
    let built = "#1 SMP PREEMPT_DYNAMIC PMX 6.17.2-1";
    let memory = node.spec.memory;
    let available = memory.saturating_sub(used);
    let machine = node.spec.arch.clone();
    Ok(Reply::from(json!({
        "uptime": cluster.now.since(node.booted).as_secs(),
        "cpu": 0.05, "wait": 0, "idle": 0,
        "loadavg": ["0.12", "0.10", "0.09"],
        "ksm": { "shared": 0 },
        "kversion": format!("Linux {kernel} {built}"),
        "current-kernel": { "sysname": "Linux", "release": kernel, "version": built, "machine": machine },
        "pveversion": format!("pve-manager/{}/c412f00d0c412f00", cluster.version.text),
        "boot-info": { "mode": "efi", "secureboot": 0 },
        "cpuinfo": {
            "model": node.spec.cpu_model, "cpus": node.spec.cpus, "cores": node.spec.cpus.div_ceil(2), "sockets": 1,
            "mhz": "2850.000", "hvm": "1", "user_hz": 100, "flags": "fpu vme de pse tsc msr pae svm aes avx2",
            "family": "25", "vendor": "AuthenticAMD",
        },
        "memory": { "total": memory, "used": used, "free": available, "available": available },
        "rootfs": { "total": ROOT, "used": ROOT / 10, "free": ROOT - ROOT / 10, "avail": ROOT - ROOT / 8 },
        "swap": { "total": 8_u64 << 30, "used": 0, "free": 8_u64 << 30 },
    })))
}

fn network(call: &mut Call<'_>) -> Served<Reply> {
    let wanted = call.text("type").to_owned();
    let nics = call.cluster.nodes.get(call.node).map_or(&[][..], |node| &node.spec.nics);
    let mut list = Vec::new();
    for (priority, nic) in nics.iter().enumerate() {
        list.push(json!({
            "iface": nic.name, "type": "eth", "active": 1, "exists": 1, "method": "manual", "method6": "manual",
            "families": ["inet"], "priority": priority + 3,
        }));
        if let Some(bridge) = &nic.bridge {
            list.push(json!({
                "iface": bridge, "type": "bridge", "active": 1, "autostart": 1, "method": "static", "method6": "manual",
                "families": ["inet"], "priority": priority + 4, "bridge_ports": nic.name, "bridge_stp": "off",
                "bridge_fd": "0", "bridge_vlan_aware": 1, "cidr": "10.99.0.1/24", "address": "10.99.0.1",
                "netmask": "24", "gateway": "10.99.0.254",
            }));
        }
    }
    let any = call.cluster.sdn.running_vnets().map(|vnet| {
        json!({
            "iface": vnet, "type": "bridge", "active": 1, "method": "manual", "method6": "manual", "families": ["inet"],
            "priority": 20,
        })
    });
    if wanted == "any_bridge" || wanted.is_empty() {
        list.extend(any);
    }
    if !wanted.is_empty() {
        let kind = wanted.trim_start_matches("any_").trim_start_matches("any_local_").trim_start_matches("local_");
        list.retain(|entry| entry["type"] == kind);
    }
    Ok(Reply::from(Value::Array(list)))
}

fn certificates(call: &mut Call<'_>) -> Served<Reply> {
    let Some(node) = call.cluster.nodes.get(call.node) else { return Err(Refusal::die("no such node")) };
    Ok(Reply::from(json!([{
        "filename": "pve-ssl.pem", "fingerprint": node.fingerprint, "pem": node.pem, "subject": format!("/CN={}", node.name),
        "issuer": format!("/CN={}", node.name), "public-key-type": "id-ecPublicKey", "public-key-bits": 256,
        "san": [node.name, "localhost"],
    }])))
}

fn cluster_status(call: &mut Call<'_>) -> Served<Reply> {
    let cluster = &call.cluster;
    let mut list = Vec::new();
    if !cluster.name.is_empty() {
        list.push(json!({
            "type": "cluster", "id": "cluster", "name": cluster.name, "nodes": cluster.nodes.len(), "version": 3,
            "quorate": u8::from(cluster.quorate),
        }));
    }
    for (number, node) in cluster.nodes.iter().enumerate() {
        list.push(json!({
            "type": "node", "id": format!("node/{}", node.name), "name": node.name, "nodeid": number + 1,
            "ip": format!("10.99.0.{}", number + 11), "local": u8::from(number == call.entry),
            "online": u8::from(node.online), "level": "",
        }));
    }
    Ok(Reply::from(Value::Array(list)))
}

/// A scan that reserves nothing.
fn nextid(call: &mut Call<'_>) -> Served<Reply> {
    if let Some(vmid) = call.parameters.vmid("vmid") {
        if call.cluster.guests.contains_key(&vmid) {
            return Err(Refusal::parameter("vmid", format!("VM {vmid} already exists")));
        }
        return Ok(Reply::from(json!(vmid.to_string())));
    }
    let free = (100..=1_000_000).find(|vmid| !call.cluster.guests.contains_key(vmid));
    let free = free.ok_or_else(|| Refusal::die("unable to get any free VMID"))?;
    Ok(Reply::from(json!(free.to_string())))
}

fn options(_: &mut Call<'_>) -> Served<Reply> {
    Ok(Reply::from(json!({ "keyboard": "en-us", "mac_prefix": "BC:24:11" })))
}
