//! Storages: their config, their state, their content, downloads and uploads.

use super::{Call, Endpoint, Reply, at, forking};
use crate::cluster::{Cluster, Storage, Volume, Work};
use crate::refusal::{Refusal, Served};
use serde_json::{Map, Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/storage", configs),
    at("POST", "/storage", add),
    at("GET", "/storage/{storage}", config),
    at("PUT", "/storage/{storage}", update),
    at("DELETE", "/storage/{storage}", remove),
    at("GET", "/nodes/{node}/storage", list),
    at("GET", "/nodes/{node}/storage/{storage}/status", status),
    at("GET", "/nodes/{node}/storage/{storage}/content", content),
    at("GET", "/nodes/{node}/storage/{storage}/content/{volume}", volume),
    forking("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}", "imgdel", delete),
    forking("POST", "/nodes/{node}/storage/{storage}/download-url", "download", download),
    forking("POST", "/nodes/{node}/storage/{storage}/upload", "imgcopy", upload),
];

/// What a URL answers that the scenario does not name.
const ANY_IMAGE: u64 = 2 << 30;

fn absent(id: &str) -> Refusal {
    Refusal::die(format!("storage '{id}' does not exist"))
}

fn meant<'a>(call: &'a Call<'_>) -> Served<&'a Storage> {
    let id = call.text("storage");
    let storage = call.cluster.storages.get(id).ok_or_else(|| absent(id))?;
    if storage.is_on(call.node) {
        return Ok(storage);
    }
    Err(Refusal::die(format!("storage '{id}' is not available on node '{}'", call.cluster.node_name(call.node))))
}

fn shown_config(call: &Call<'_>, storage: &Storage) -> Value {
    let mut shown = Map::new();
    // Where it is, as the installer names it; what was configured stands above it.
    let place: &[(&str, &str)] = match storage.kind.as_str() {
        "lvmthin" => &[("vgname", "pve"), ("thinpool", "data")],
        "lvm" => &[("vgname", "pve")],
        "zfspool" => &[("pool", "rpool/data")],
        _ => &[],
    };
    for (key, value) in place {
        shown.insert((*key).to_owned(), json!(value));
    }
    for (key, value) in &storage.options {
        shown.insert(key.clone(), json!(value));
    }
    shown.insert("storage".to_owned(), json!(storage.id));
    shown.insert("type".to_owned(), json!(storage.kind));
    shown.insert("content".to_owned(), json!(storage.content));
    shown.insert(
        "digest".to_owned(),
        json!(super::firewall::digest_of(&call.cluster.storages.keys().collect::<Vec<_>>())),
    );
    if storage.is_files() {
        shown.insert("path".to_owned(), json!(storage.path()));
    }
    if storage.shared && !matches!(storage.kind.as_str(), "rbd" | "nfs" | "cephfs") {
        shown.insert("shared".to_owned(), json!(1));
    }
    if !storage.nodes.is_empty() {
        let names: Vec<&str> = storage.nodes.iter().map(|node| call.cluster.node_name(*node)).collect();
        shown.insert("nodes".to_owned(), json!(names.join(",")));
    }
    Value::Object(shown)
}

fn visible(call: &Call<'_>, storage: &Storage) -> bool {
    call.cluster.may_any(
        &call.caller,
        &format!("/storage/{}", storage.id),
        &["Datastore.Audit", "Datastore.AllocateSpace"],
    )
}

fn configs(call: &mut Call<'_>) -> Served<Reply> {
    let kind = call.parameters.get("type");
    let seen = call
        .cluster
        .storages
        .values()
        .filter(|storage| visible(call, storage) && kind.is_none_or(|kind| kind == storage.kind));
    Ok(Reply::from(Value::Array(seen.map(|storage| shown_config(call, storage)).collect())))
}

fn config(call: &mut Call<'_>) -> Served<Reply> {
    let id = call.text("storage");
    let storage = call.cluster.storages.get(id).ok_or_else(|| absent(id))?;
    Ok(Reply::from(shown_config(call, storage)))
}

fn add(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let (id, kind) = (call.text("storage").to_owned(), call.text("type").to_owned());
    if call.cluster.storages.contains_key(&id) {
        return Err(Refusal::die(format!("create storage failed: storage ID '{id}' already defined")));
    }
    let content = call.parameters.get("content").unwrap_or("images,rootdir");
    let storage = Storage::new(&id, &kind, content, 1 << 40);
    call.cluster.storages.insert(id.clone(), storage);
    change(call, &id)?;
    call.cluster.open_spaces(&id);
    Ok(Reply::from(json!({ "storage": id, "type": kind })))
}

fn change(call: &mut Call<'_>, id: &str) -> Served<()> {
    let names = call.parameters.list("nodes");
    let unknown = |name: &String| Refusal::die(format!("no such cluster node '{name}'"));
    let nodes: Served<Vec<usize>> =
        names.iter().map(|name| call.cluster.node_index(name).ok_or_else(|| unknown(name))).collect();
    let nodes = nodes?;
    let storage = call.cluster.storages.get_mut(id).ok_or_else(|| absent(id))?;
    for (key, values) in &call.parameters.0 {
        let value = values.last().cloned().unwrap_or_default();
        match key.as_str() {
            "storage" | "type" | "digest" | "delete" => {}
            "content" => storage.content = value,
            "shared" => storage.shared = value == "1",
            "disable" => storage.disabled = value == "1",
            "nodes" => storage.nodes.clone_from(&nodes),
            _ => {
                storage.options.insert(key.clone(), value);
            }
        }
    }
    Ok(())
}

fn update(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("storage").to_owned();
    change(call, &id)?;
    let kind = call.cluster.storages.get(&id).map(|storage| storage.kind.clone());
    Ok(Reply::from(json!({ "storage": id, "type": kind })))
}

fn remove(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("storage").to_owned();
    call.cluster.storages.remove(&id).ok_or_else(|| absent(&id))?;
    Ok(Reply::null())
}

fn state(call: &Call<'_>, storage: &Storage) -> Value {
    let mut shown = json!({
        "type": storage.kind, "content": storage.content, "shared": u8::from(storage.shared),
        "enabled": u8::from(!storage.disabled), "active": u8::from(!storage.disabled),
    });
    if let Some(space) = storage.space(call.node).filter(|_| !storage.disabled) {
        let used = space.used();
        shown["total"] = json!(space.total);
        shown["used"] = json!(used);
        shown["avail"] = json!(space.total - used);
    }
    shown
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let content = call.parameters.list("content");
    let only = call.parameters.get("storage");
    let here = call.cluster.storages.values().filter(|storage| storage.is_on(call.node) && visible(call, storage));
    let wanted = here
        .filter(|storage| content.is_empty() || content.iter().any(|content| storage.has(content)))
        .filter(|storage| only.is_none_or(|only| only == storage.id))
        .filter(|storage| !call.parameters.is("enabled") || !storage.disabled);
    let list = wanted.map(|storage| {
        let mut shown = state(call, storage);
        shown["storage"] = json!(storage.id);
        if let (Some(used), Some(total)) = (shown["used"].as_f64(), shown["total"].as_f64()) {
            shown["used_fraction"] = json!(used / total.max(1.0));
        }
        shown
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn status(call: &mut Call<'_>) -> Served<Reply> {
    Ok(Reply::from(state(call, meant(call)?)))
}

fn shown_volume(volid: &str, volume: &Volume) -> Value {
    let mut shown = json!({
        "volid": volid, "format": volume.format, "size": volume.size, "content": volume.content, "ctime": volume.ctime,
    });
    if let Some(vmid) = volume.vmid {
        shown["vmid"] = json!(vmid);
    }
    if let Some(parent) = &volume.parent {
        shown["parent"] = json!(parent.rsplit([':', '/']).next());
    }
    shown
}

fn content(call: &mut Call<'_>) -> Served<Reply> {
    let storage = meant(call)?;
    let (wanted, vmid) = (call.parameters.get("content"), call.parameters.vmid("vmid"));
    let volumes = storage.space(call.node).map(|space| space.volumes.iter()).into_iter().flatten();
    let kept = volumes.filter(|(_, volume)| {
        wanted.is_none_or(|wanted| wanted == volume.content) && vmid.is_none_or(|vmid| volume.vmid == Some(vmid))
    });
    Ok(Reply::from(Value::Array(kept.map(|(volid, volume)| shown_volume(volid, volume)).collect())))
}

/// The volume of the path, with its storage or without.
fn volid(call: &Call<'_>) -> String {
    let volume = call.text("volume");
    if volume.contains(':') { volume.to_owned() } else { format!("{}:{volume}", call.text("storage")) }
}

fn volume(call: &mut Call<'_>) -> Served<Reply> {
    meant(call)?;
    let volid = volid(call);
    let there = call.cluster.volume(&volid, call.node);
    let there = there.ok_or_else(|| Refusal::die(format!("volume '{volid}' does not exist")))?;
    let mut shown =
        json!({ "size": there.size, "used": there.size, "format": there.format, "path": format!("/{volid}") });
    if let Some(parent) = &there.parent {
        shown["parent"] = json!(parent);
    }
    Ok(Reply::from(shown))
}

fn delete(call: &mut Call<'_>) -> Served<Reply> {
    let storage = meant(call)?.id.clone();
    let (volid, node) = (volid(call), call.node);
    let is_image = call.cluster.volume(&volid, node).is_some_and(|volume| volume.vmid.is_some());
    let privilege = if is_image { "Datastore.Allocate" } else { "Datastore.AllocateTemplate" };
    call.need_any(&format!("/storage/{storage}"), &["Datastore.Allocate", privilege])?;
    let after = Duration::from_millis(call.cluster.pace.small);
    let work = Work::new("imgdel", storage, node).then(after, move |cluster, task| {
        if cluster.has_clones(&volid, node) {
            return Err(format!("base volume '{volid}' is still in use by linked cloned"));
        }
        if cluster.free(&volid, node).is_none() {
            cluster.log(task, format!("disk image '{volid}' does not exist"));
        }
        cluster.log(task, format!("Removed volume '{volid}'"));
        Ok(())
    });
    call.fork(work)
}

/// Whether a file of this name can be that content.
fn extension(content: &str, name: &str) -> bool {
    let ends: &[&str] = match content {
        "iso" => &[".iso", ".img"],
        "vztmpl" => &[".tar", ".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"],
        _ => &[".ova", ".qcow2", ".raw", ".vmdk"],
    };
    ends.iter().any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// A storage of files that takes this content under this name; returns the volume's id.
fn place(call: &Call<'_>, name: &str) -> Served<String> {
    let storage = meant(call)?;
    let content = call.text("content");
    call.need(&format!("/storage/{}", storage.id), "Datastore.AllocateTemplate")?;
    if !storage.is_files() {
        return Err(Refusal::die(format!(
            "can't upload to storage type '{}', not a file based storage!",
            storage.kind
        )));
    }
    if !storage.has(content) {
        return Err(Refusal::die(format!("storage '{}' does not support '{content}' content", storage.id)));
    }
    let name: String = name
        .rsplit(['/', '\\'])
        .next()
        .unwrap_or(name)
        .chars()
        .map(|letter| if letter.is_whitespace() { '_' } else { letter })
        .collect();
    if !extension(content, &name) {
        return Err(Refusal::parameter("filename", "wrong file extension"));
    }
    Ok(format!("{}:{content}/{name}", storage.id))
}

fn download(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let node_path = format!("/nodes/{}", call.cluster.node_name(call.node));
    if !call.may(&node_path, "Sys.AccessNetwork") {
        call.need("/", "Sys.Audit")?;
        call.need("/", "Sys.Modify")?;
    }
    let name = call.text("filename").to_owned();
    let (volid, node) = (place(call, &name)?, call.node);
    let (url, content) = (call.text("url").to_owned(), call.text("content").to_owned());
    let checksum = call.parameters.get("checksum").map(str::to_lowercase);
    let algorithm = call.text("checksum-algorithm").to_owned();
    let known = call.cluster.downloads.iter().find(|download| download.url == url).cloned();
    let size = known.as_ref().map_or(ANY_IMAGE, |download| download.size);
    let there = call.cluster.volume(&volid, node).is_some();
    let after = if there { Duration::ZERO } else { call.cluster.copying(size, call.cluster.network_speed(node)) };
    let work =
        Work::new("download", &name, node).then(after, move |cluster, task| {
            cluster.log(task, format!("downloading {url} to {volid}"));
            if let Some(volume) = cluster.volume(&volid, node) {
                return match &checksum {
                    None => Err("refusing to override existing file".to_owned()),
                    Some(checksum) if volume.checksums.get(&algorithm).is_none_or(|known| known == checksum) => {
                        cluster.log(task, "file already exists with correct checksum, no need to download");
                        Ok(())
                    }
                    Some(_) => Err("mismatch - existing file's checksum mismatch, aborting"
                        .replace("mismatch - existing file's ", "")),
                };
            }
            if let Some(error) = known.as_ref().and_then(|known| known.error.clone()) {
                return Err(format!("download failed: {error}"));
            }
            let right = known.as_ref().and_then(|known| known.checksums.get(&algorithm)).or(checksum.as_ref());
            if let (Some(right), Some(wanted)) = (right, &checksum)
                && right != wanted
            {
                return Err(format!("checksum mismatch: got '{right}' != expect '{wanted}'"));
            }
            let mut volume = Volume::file(size, &content, &volid);
            if let Some(right) = right {
                volume.checksums.insert(algorithm, right.clone());
            }
            cluster.put_volume(&volid, node, volume)
        });
    call.fork(work)
}

/// In hexadecimal; `None` for an algorithm that the simulator does not compute.
fn checksum(algorithm: &str, bytes: &[u8]) -> Option<String> {
    match algorithm {
        "sha1" => Some(hex::encode(Sha1::digest(bytes))),
        "sha256" => Some(hex::encode(Sha256::digest(bytes))),
        "sha512" => Some(hex::encode(Sha512::digest(bytes))),
        _ => None,
    }
}

fn upload(call: &mut Call<'_>) -> Served<Reply> {
    let Some(upload) = call.upload else {
        return Err(Refusal::parameter("filename", "property is missing and it is not optional"));
    };
    let (volid, node, size) = (place(call, &upload.name)?, call.node, upload.bytes.len());
    let algorithm = call.text("checksum-algorithm").to_owned();
    let got = checksum(&algorithm, &upload.bytes);
    let wanted = call.parameters.get("checksum").map(str::to_lowercase);
    let content = call.text("content").to_owned();
    let target = call.cluster.node_name(node).to_owned();
    let after = Duration::from_millis(call.cluster.pace.small);
    let work = Work::new("imgcopy", "", node).then(after, move |cluster: &mut Cluster, task| {
        cluster.log(task, "starting file import from: /var/tmp/pveupload");
        cluster.log(task, format!("target node: {target}"));
        cluster.log(task, format!("target file: {volid}"));
        cluster.log(task, format!("file size is: {size}"));
        if let (Some(got), Some(wanted)) = (&got, &wanted)
            && got != wanted
        {
            return Err(format!("checksum mismatch: got '{got}' != expect '{wanted}'"));
        }
        let mut volume = Volume::file(u64::try_from(size).unwrap_or(u64::MAX), &content, &volid);
        volume.checksums = got.map(|got| BTreeMap::from([(algorithm, got)])).unwrap_or_default();
        cluster.put_volume(&volid, node, volume)?;
        cluster.log(task, "finished file import successfully");
        Ok(())
    });
    call.fork(work)
}
