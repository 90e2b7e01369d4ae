//! Pools: what is granted on one holds for its members.

use super::{Call, Endpoint, Reply, at};
use crate::cluster::Pool;
use crate::refusal::{Refusal, Served};
use serde_json::{Value, json};

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/pools", list),
    at("POST", "/pools", add),
    at("PUT", "/pools", update),
    at("DELETE", "/pools", remove),
    at("GET", "/pools/{poolid}", read),
    at("PUT", "/pools/{poolid}", update),
    at("DELETE", "/pools/{poolid}", remove),
];

fn absent(name: &str) -> Refusal {
    Refusal::die(format!("pool '{name}' does not exist"))
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    if call.parameters.has("poolid") {
        let name = call.text("poolid").to_owned();
        call.need(&format!("/pool/{name}"), "Pool.Audit")?;
        let mut shown = shown(call, &name)?;
        shown["poolid"] = json!(name);
        return Ok(Reply::from(json!([shown])));
    }
    let seen = call.cluster.pools.iter().filter(|(name, _)| call.may(&format!("/pool/{name}"), "Pool.Audit"));
    let list = seen.map(|(name, pool)| {
        let mut entry = json!({ "poolid": name });
        if !pool.comment.is_empty() {
            entry["comment"] = json!(pool.comment);
        }
        entry
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn read(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("poolid").to_owned();
    Ok(Reply::from(shown(call, &name)?))
}

fn shown(call: &Call<'_>, name: &str) -> Served<Value> {
    let cluster = &call.cluster;
    let pool = cluster.pools.get(name).ok_or_else(|| absent(name))?;
    let last = cluster.last_broadcast();
    let mut members = Vec::new();
    for guest in pool.guests.iter().filter_map(|vmid| cluster.guests.get(vmid)) {
        let heard = guest.heard(last).filter(|_| cluster.lives(guest.node));
        let mut entry = json!({
            "id": format!("{}/{}", guest.kind.name(), guest.vmid), "type": guest.kind.name(), "vmid": guest.vmid,
            "node": cluster.node_name(guest.node), "status": heard.as_ref().map_or("unknown", |heard| heard.status),
        });
        if let Some(heard) = heard {
            entry["name"] = json!(heard.name);
            entry["maxmem"] = json!(heard.maxmem);
            entry["maxcpu"] = json!(heard.cpus);
            entry["maxdisk"] = json!(heard.maxdisk);
        }
        members.push(entry);
    }
    for storage in pool.storages.iter().filter_map(|id| cluster.storages.get(id)) {
        for (number, node) in cluster.nodes.iter().enumerate().filter(|(number, _)| storage.is_on(*number)) {
            members.push(json!({
                "id": format!("storage/{}/{}", node.name, storage.id), "type": "storage", "storage": storage.id,
                "node": node.name, "status": if cluster.lives(number) { "available" } else { "unknown" },
            }));
        }
    }
    let mut entry = json!({ "members": members });
    if !pool.comment.is_empty() {
        entry["comment"] = json!(pool.comment);
    }
    Ok(entry)
}

fn add(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("poolid").to_owned();
    if call.cluster.pools.contains_key(&name) {
        return Err(Refusal::die(format!("create pool failed: pool '{name}' already exists")));
    }
    let pool = Pool { comment: call.text("comment").to_owned(), ..Pool::default() };
    call.cluster.pools.insert(name, pool);
    Ok(Reply::null())
}

fn update(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("poolid").to_owned();
    let failed = |what: String| Refusal::die(format!("update pool failed: {what}"));
    let (remove, move_here) = (call.parameters.is("delete"), call.parameters.is("allow-move"));
    let vmids: Vec<u32> = call.parameters.list("vms").iter().filter_map(|vmid| vmid.parse().ok()).collect();
    let cluster = &mut *call.cluster;
    if !cluster.pools.contains_key(&name) {
        return Err(failed(format!("pool '{name}' does not exist")));
    }
    for vmid in vmids {
        let Some(guest) = cluster.guests.get_mut(&vmid) else {
            return Err(failed(format!("VM {vmid} does not exist")));
        };
        match guest.pool.clone() {
            Some(pool) if remove && pool == name => guest.pool = None,
            _ if remove => return Err(failed(format!("VM {vmid} is not a pool member"))),
            Some(pool) if pool == name => return Err(failed(format!("VM {vmid} is already a pool member"))),
            Some(pool) if !move_here => return Err(failed(format!("VM {vmid} is already in pool '{pool}'"))),
            before => {
                guest.pool = Some(name.clone());
                if let Some(before) = before.and_then(|before| cluster.pools.get_mut(&before)) {
                    before.guests.remove(&vmid);
                }
            }
        }
        if let Some(pool) = cluster.pools.get_mut(&name) {
            if remove {
                pool.guests.remove(&vmid)
            } else {
                pool.guests.insert(vmid)
            };
        }
    }
    let storages = call.parameters.list("storage");
    let comment = call.parameters.get("comment").map(str::to_owned);
    let pool = call.cluster.pools.get_mut(&name).ok_or_else(|| absent(&name))?;
    for storage in storages {
        if remove {
            pool.storages.remove(&storage)
        } else {
            pool.storages.insert(storage)
        };
    }
    pool.comment = comment.unwrap_or_else(|| pool.comment.clone());
    Ok(Reply::null())
}

fn remove(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("poolid").to_owned();
    let Some(pool) = call.cluster.pools.get(&name) else {
        return Err(Refusal::die(format!("delete pool failed: pool '{name}' does not exist")));
    };
    if let Some(vmid) = pool.guests.iter().next() {
        return Err(Refusal::die(format!("delete pool failed: pool '{name}' is not empty (contains VM {vmid})")));
    }
    call.cluster.pools.remove(&name);
    Ok(Reply::null())
}
