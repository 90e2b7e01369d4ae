//! Mappings of PCI devices: what makes them usable for whoever is not root.

use super::{Call, Endpoint, Reply, at, same_digest};
use crate::cluster::Mapping;
use crate::refusal::{Refusal, Served};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/cluster/mapping", index),
    at("GET", "/cluster/mapping/pci", list),
    at("POST", "/cluster/mapping/pci", add),
    at("GET", "/cluster/mapping/pci/{id}", read),
    at("PUT", "/cluster/mapping/pci/{id}", update),
    at("DELETE", "/cluster/mapping/pci/{id}", remove),
];

/// Of these one is enough to see a mapping.
const SEEING: &[&str] = &["Mapping.Modify", "Mapping.Use", "Mapping.Audit"];

fn index(_call: &mut Call<'_>) -> Served<Reply> {
    Ok(Reply::from(json!([{ "name": "pci" }, { "name": "usb" }, { "name": "dir" }])))
}

/// Of the whole file that they stand in.
fn digest(call: &Call<'_>) -> String {
    hex::encode(Sha1::digest(format!("{:?}", call.cluster.mappings)))
}

fn shown(call: &Call<'_>, mapping: &Mapping) -> Value {
    let mut entry = json!({ "map": mapping.map, "digest": digest(call) });
    if !mapping.description.is_empty() {
        entry["description"] = json!(mapping.description);
    }
    for (key, on) in [("mdev", mapping.mdev), ("live-migration-capable", mapping.live_migration)] {
        if on {
            entry[key] = json!(1);
        }
    }
    entry
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let cluster = &call.cluster;
    let seen = |id: &str| cluster.may_any(&call.caller, &format!("/mapping/pci/{id}"), SEEING);
    let list = cluster.mappings.iter().filter(|(id, _)| seen(id)).map(|(id, mapping)| {
        let mut entry = shown(call, mapping);
        entry["id"] = json!(id);
        if call.parameters.has("check-node") {
            entry["checks"] = json!([]);
        }
        entry
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn read(call: &mut Call<'_>) -> Served<Reply> {
    let id = call.text("id");
    let mapping = call.cluster.mappings.get(id);
    let mapping = mapping.ok_or_else(|| Refusal::die(format!("mapping '{id}' not found")))?;
    Ok(Reply::from(shown(call, mapping)))
}

/// Writes what is given into a mapping.
fn fill(call: &Call<'_>, mapping: &mut Mapping) {
    if call.parameters.has("map") {
        mapping.map = call.parameters.all("map").to_vec();
    }
    if let Some(text) = call.parameters.get("description") {
        text.clone_into(&mut mapping.description);
    }
    for (key, on) in [("mdev", &mut mapping.mdev), ("live-migration-capable", &mut mapping.live_migration)] {
        *on = if call.parameters.has(key) { call.parameters.is(key) } else { *on };
    }
}

fn add(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("id").to_owned();
    if call.cluster.mappings.contains_key(&id) {
        return Err(Refusal::die(format!("create hardware mapping failed: pci ID '{id}' already defined")));
    }
    let mut mapping = Mapping::default();
    fill(call, &mut mapping);
    call.cluster.mappings.insert(id, mapping);
    Ok(Reply::null())
}

fn update(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("id").to_owned();
    let stale = "detected modified configuration - file changed by other user? Try again.";
    same_digest(call.parameters.get("digest"), &digest(call), stale)?;
    let Some(mut mapping) = call.cluster.mappings.get(&id).cloned() else {
        return Err(Refusal::die(format!("update hardware mapping failed: pci ID '{id}' does not exist")));
    };
    fill(call, &mut mapping);
    for key in call.parameters.list("delete") {
        match key.as_str() {
            "description" => mapping.description.clear(),
            "mdev" => mapping.mdev = false,
            "live-migration-capable" => mapping.live_migration = false,
            _ => return Err(Refusal::die(format!("update hardware mapping failed: unknown option '{key}'"))),
        }
    }
    call.cluster.mappings.insert(id, mapping);
    Ok(Reply::null())
}

fn remove(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("id").to_owned();
    call.cluster.mappings.remove(&id);
    Ok(Reply::null())
}
