//! Looking at guests.

use super::{Call, Endpoint, Reply, at};
use crate::cluster::{Config, Guest, Kind, Power};
use crate::refusal::{Refusal, Served};
use crate::schema;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

macro_rules! both {
    ($($method:literal $tail:literal $serve:expr;)*) => {
        &[$(
            at($method, concat!("/nodes/{node}/qemu", $tail), $serve),
            at($method, concat!("/nodes/{node}/lxc", $tail), $serve),
        )*]
    };
}

pub(super) const ENDPOINTS: &[Endpoint] = both! {
    "GET" "" list;
    "GET" "/{vmid}/status/current" current;
    "GET" "/{vmid}/config" config;
    "GET" "/{vmid}/pending" pending;
    "GET" "/{vmid}/snapshot" snapshots;
    "GET" "/{vmid}/snapshot/{snapname}/config" snapshot;
    "PUT" "/{vmid}/snapshot/{snapname}/config" describe;
    "GET" "/{vmid}/interfaces" interfaces;
    "GET" "/{vmid}/feature" feature;
};

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let kind = call.kind();
    let mine = call.cluster.guests.values().filter(|guest| guest.node == call.node && guest.kind == kind);
    let seen = mine.filter(|guest| call.may(&format!("/vms/{}", guest.vmid), "VM.Audit"));
    Ok(Reply::from(Value::Array(seen.map(|guest| Value::Object(brief(call, guest))).collect())))
}

/// What the list and the status have in common.
fn brief(call: &Call<'_>, guest: &Guest) -> Map<String, Value> {
    let used = if guest.runs() { guest.memory() / 4 } else { 0 };
    let mut shown = json!({
        "vmid": guest.vmid, "name": guest.name(), "status": guest.status(), "cpus": guest.cpus(), "cpu": 0,
        "mem": used, "maxmem": guest.memory(), "disk": 0, "maxdisk": guest.disk(), "netin": 0, "netout": 0,
        "uptime": guest.uptime(call.cluster.now),
    });
    match guest.kind {
        Kind::Qemu => shown["memhost"] = json!(used),
        Kind::Lxc => {
            let swap = guest.config.number("swap").unwrap_or(512) << 20;
            for (key, value) in [
                ("type", json!("lxc")),
                ("diskread", json!(0)),
                ("diskwrite", json!(0)),
                ("swap", json!(0)),
                ("maxswap", json!(swap)),
            ] {
                shown[key] = value;
            }
        }
    }
    if guest.runs() {
        shown["pid"] = json!(guest.pid);
        for pressure in ["cpufull", "cpusome", "iofull", "iosome", "memoryfull", "memorysome"] {
            shown[format!("pressure{pressure}")] = json!(0);
        }
    }
    for key in ["tags", "lock"] {
        if let Some(value) = guest.config.get(key) {
            shown[key] = json!(value);
        }
    }
    if guest.is_template() {
        shown["template"] = json!(1);
    }
    match shown {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

fn current(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let mut shown = brief(call, guest);
    let mut managed = json!({ "managed": u8::from(call.cluster.ha.wants(guest.vmid).is_some()) });
    if let Some(state) = call.cluster.ha.state(guest.vmid) {
        managed["state"] = json!(state);
    }
    shown.insert("ha".to_owned(), managed);
    if guest.kind == Kind::Qemu {
        let status = match guest.power {
            Power::Stopped => "stopped",
            Power::Running => "running",
            Power::Paused => "paused",
        };
        shown.insert("qmpstatus".to_owned(), json!(status));
        if guest.agent_enabled() {
            shown.insert("agent".to_owned(), json!(1));
        }
        if guest.config.get("serial0").is_some() {
            shown.insert("serial".to_owned(), json!(1));
        }
        if guest.runs() {
            shown.insert("running-machine".to_owned(), json!("pc-i440fx-10.1+pve0"));
            shown.insert("running-qemu".to_owned(), json!("10.1.2"));
            let nets = guest.config.entries.keys().filter_map(|key| key.strip_prefix("net")?.parse::<u32>().ok());
            let nics = nets.map(|net| (format!("tap{}i{net}", guest.vmid), json!({ "netin": 0, "netout": 0 })));
            shown.insert("nics".to_owned(), Value::Object(nics.collect()));
            shown.insert("diskread".to_owned(), json!(0));
            shown.insert("diskwrite".to_owned(), json!(0));
        }
    }
    Ok(Reply::from(Value::Object(shown)))
}

/// The route whose parameters type a config's values.
fn typing(kind: Kind) -> Option<&'static schema::Route> {
    let path = if kind == Kind::Qemu { "/nodes/{node}/qemu" } else { "/nodes/{node}/lxc" };
    schema::route("POST", path)
}

fn shown_config(kind: Kind, entries: &BTreeMap<String, String>) -> Map<String, Value> {
    let route = typing(kind);
    let value = |key: &str, value: &str| match route {
        _ if key == "cipassword" => json!("**********"),
        Some(route) => schema::typed(route, key, value),
        None => json!(value),
    };
    entries.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

/// With what is pending, unless what is running is asked for.
fn merged(config: &Config) -> BTreeMap<String, String> {
    let mut entries = config.entries.clone();
    entries.retain(|key, _| !config.pending_delete.contains(key));
    entries.extend(config.pending.clone());
    entries
}

fn config(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    if let Some(name) = call.parameters.get("snapshot") {
        let absent = || Refusal::die(format!("snapshot '{name}' does not exist"));
        let snapshot = guest.config.snapshots.get(name).ok_or_else(absent)?;
        return Ok(Reply::from(Value::Object(shown_config(guest.kind, &snapshot.entries))));
    }
    let entries = if call.parameters.is("current") { guest.config.entries.clone() } else { merged(&guest.config) };
    let mut shown = shown_config(guest.kind, &entries);
    shown.insert("digest".to_owned(), json!(guest.config.digest()));
    Ok(Reply::from(Value::Object(shown)))
}

fn pending(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let config = &guest.config;
    let mut list = vec![json!({ "key": "digest", "value": config.digest() })];
    let masked = |key: &str, value: &String| if key == "cipassword" { json!("**********") } else { json!(value) };
    for (key, value) in &config.entries {
        let mut entry = json!({ "key": key, "value": masked(key, value) });
        if let Some(pending) = config.pending.get(key) {
            entry["pending"] = masked(key, pending);
        }
        if config.pending_delete.contains(key) {
            entry["delete"] = json!(1);
        }
        list.push(entry);
    }
    for (key, value) in config.pending.iter().filter(|(key, _)| !config.entries.contains_key(*key)) {
        list.push(json!({ "key": key, "pending": masked(key, value) }));
    }
    Ok(Reply::from(Value::Array(list)))
}

fn snapshots(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let mut list = Vec::new();
    for (name, snapshot) in &guest.config.snapshots {
        let mut entry = json!({ "name": name, "description": snapshot.description, "snaptime": snapshot.time });
        if guest.kind == Kind::Qemu {
            entry["vmstate"] = json!(u8::from(snapshot.vmstate));
        }
        if let Some(parent) = &snapshot.parent {
            entry["parent"] = json!(parent);
        }
        list.push(entry);
    }
    let mut now = json!({ "name": "current", "description": "You are here!", "digest": guest.config.digest() });
    if guest.kind == Kind::Qemu || guest.runs() {
        now["running"] = json!(u8::from(guest.runs()));
    }
    if let Some(parent) = guest.config.get("parent") {
        now["parent"] = json!(parent);
    }
    list.push(now);
    Ok(Reply::from(Value::Array(list)))
}

fn snapshot(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let name = call.text("snapname");
    let absent = || Refusal::die(format!("snapshot '{name}' does not exist"));
    let snapshot = guest.config.snapshots.get(name).ok_or_else(absent)?;
    let mut shown = shown_config(guest.kind, &snapshot.entries);
    shown.insert("snaptime".to_owned(), json!(snapshot.time));
    if !snapshot.description.is_empty() {
        shown.insert("description".to_owned(), json!(snapshot.description));
    }
    if let Some(parent) = &snapshot.parent {
        shown.insert("parent".to_owned(), json!(parent));
    }
    Ok(Reply::from(Value::Object(shown)))
}

fn describe(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    call.guest()?;
    let (name, description) = (call.text("snapname").to_owned(), call.text("description").to_owned());
    let snapshot = call.cluster.change(call.vmid()).and_then(|guest| guest.config.snapshots.get_mut(&name));
    let snapshot = snapshot.ok_or_else(|| Refusal::die(format!("snapshot '{name}' does not exist")))?;
    snapshot.description = description;
    Ok(Reply::null())
}

/// The addresses of a container that runs.
fn interfaces(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    if !guest.runs() {
        return Ok(Reply::from(Value::Null));
    }
    let mut list = vec![json!({
        "name": "lo", "hwaddr": "00:00:00:00:00:00", "hardware-address": "00:00:00:00:00:00", "inet": "127.0.0.1/8", "inet6": "::1/128",
        "ip-addresses": [{ "ip-address": "127.0.0.1", "ip-address-type": "inet", "prefix": "8" }],
    })];
    let nets = guest.config.entries.iter().filter(|(key, _)| key.starts_with("net"));
    for (index, (_, net)) in nets.enumerate() {
        let option = |name: &str| net.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let mac = option("hwaddr").unwrap_or_default().to_lowercase();
        let address = match option("ip") {
            Some(address) if address.contains('/') => address.to_owned(),
            _ => format!("10.99.{}.{}/16", guest.vmid % 250, index + 10),
        };
        let (ip, prefix) = address.split_once('/').unwrap_or((address.as_str(), "24"));
        list.push(json!({
            "name": option("name").unwrap_or("eth0"), "hwaddr": mac, "hardware-address": mac, "inet": address,
            "ip-addresses": [{ "ip-address": ip, "ip-address-type": "inet", "prefix": prefix }],
        }));
    }
    Ok(Reply::from(Value::Array(list)))
}

fn feature(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let snapshots = guest.config.drives().filter(|(_, drive)| !drive.is_cdrom()).all(|(_, drive)| {
        let format = call.cluster.volume(&drive.volume, guest.node).map_or("raw", |volume| volume.format.as_str());
        drive.storage().and_then(|id| call.cluster.storages.get(id)).is_none_or(|storage| storage.snapshots(format))
    });
    let has = match call.text("feature") {
        "snapshot" => snapshots,
        _ => true,
    };
    let nodes = if has { json!([call.cluster.node_name(call.node)]) } else { json!([]) };
    Ok(Reply::from(json!({ "hasFeature": u8::from(has), "nodes": nodes })))
}
