//! Changing a config: at once for a guest that stands still, partly pending for one that runs.

use super::{Call, Endpoint, Reply, at, disks, forking, same_digest};
use crate::cluster::{Cluster, Drive, Hold, Kind, Work, is_drive_key};
use crate::refusal::{Refusal, Served};
use crate::transport::items;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("PUT", "/nodes/{node}/qemu/{vmid}/config", put),
    forking("POST", "/nodes/{node}/qemu/{vmid}/config", "qmconfig", post),
    at("PUT", "/nodes/{node}/lxc/{vmid}/config", put),
];

/// Parameters of the call itself, which no config has.
const NOT_CONFIG: &[&str] =
    &["node", "vmid", "digest", "delete", "revert", "force", "skiplock", "background_delay", "skip_cloud_init"];
/// What only `root@pam` sets.
const ROOT_ONLY: &[&str] = &["args", "lock", "hookscript"];
/// What a guest that runs takes over without being touched, or by hotplug of `network,disk,usb`.
const AT_ONCE: &[&str] = &[
    "name",
    "description",
    "tags",
    "onboot",
    "startup",
    "protection",
    "agent",
    "boot",
    "hostname",
    "lock",
    "ciuser",
    "cipassword",
    "sshkeys",
    "nameserver",
    "searchdomain",
    "ciupgrade",
    "cicustom",
    "citype",
    "balloon",
    "shares",
    "cpuunits",
    "cpulimit",
    "hotplug",
];

/// What one call changes.
struct Change {
    set: BTreeMap<String, String>,
    wishes: Vec<(String, Drive, disks::Wish)>,
    delete: Vec<String>,
    revert: Vec<String>,
    /// Deleted disks are freed, not kept as unused ones.
    force: bool,
}

fn put(call: &mut Call<'_>) -> Served<Reply> {
    let change = asked(call)?;
    free_lock(call)?;
    apply(call.cluster, call.vmid(), &change).map_err(Refusal::die)?;
    Ok(Reply::null())
}

fn post(call: &mut Call<'_>) -> Served<Reply> {
    let change = asked(call)?;
    let vmid = call.vmid();
    if call.parameters.has("background_delay") && call.cluster.pace.small == 0 {
        free_lock(call)?;
        apply(call.cluster, vmid, &change).map_err(Refusal::die)?;
        return Ok(Reply::null());
    }
    let said: Vec<String> = change
        .set
        .iter()
        .map(|(key, value)| format!("-{key} {value}"))
        .chain(change.wishes.iter().map(|(key, drive, _)| format!("-{key} {}", drive.render())))
        .collect();
    let after = Duration::from_millis(call.cluster.pace.small);
    let file = call.kind().lock_file(vmid);
    let work = Work::new("qmconfig", vmid, call.node).hold_guest(&file, call.cluster.node_name(call.node)).then(
        after,
        move |cluster, task| {
            cluster.log(task, format!("update VM {vmid}: {}", said.join(" ")));
            apply(cluster, vmid, &change)
        },
    );
    call.fork(work)
}

/// The file lock of the config: the daemon itself waits for it, for ten seconds.
fn free_lock(call: &Call<'_>) -> Served<()> {
    let file = call.kind().lock_file(call.vmid());
    let key = format!("{}:{file}", call.cluster.node_name(call.node));
    if call.cluster.flocks.is_free(&key, Hold::Exclusive, None) {
        return Ok(());
    }
    Err(Refusal::die(format!("can't lock file '{file}' - got timeout")).waiting(Duration::from_secs(10)))
}

fn asked(call: &mut Call<'_>) -> Served<Change> {
    call.cluster.need_quorum()?;
    let kind = call.kind();
    if call.parameters.is("skiplock") && !call.caller.is_root() {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    let keys: Vec<String> =
        call.parameters.0.keys().filter(|key| !NOT_CONFIG.contains(&key.as_str())).cloned().collect();
    let delete = call.parameters.list("delete");
    for key in &delete {
        if keys.contains(key) {
            return Err(Refusal::parameter(
                "delete",
                format!("you can't use '-{key}' and -delete {key}' at the same time"),
            ));
        }
        if call.route.parameter(key).is_none() {
            return Err(Refusal::parameter("delete", format!("unknown option '{key}'")));
        }
    }
    permitted(call, keys.iter().chain(&delete).map(String::as_str), None)?;
    let skip = call.parameters.is("skiplock");
    if !skip {
        call.unlocked()?;
    }
    let digest = call.guest()?.config.digest();
    same_digest(call.parameters.get("digest"), &digest, "checksum mismatch (file change by other user?)")?;
    let mut drives = BTreeMap::new();
    let mut set = BTreeMap::new();
    for key in keys {
        let value = call.text(&key).to_owned();
        if is_drive_key(&key) {
            drives.insert(key, value);
            continue;
        }
        sound(&key, &value)?;
        let value = if key == "tags" { sorted_tags(&value) } else { normal(call.cluster, &key, &value, kind) };
        set.insert(key, value);
    }
    let wishes = disks::wishes(call, &drives)?;
    let force = call.parameters.is("force");
    let revert = call.parameters.list("revert");
    Ok(Change { set, wishes, delete, revert, force })
}

/// Checks that a format of the schema does not make.
pub(super) fn sound(key: &str, value: &str) -> Served<()> {
    if key != "sshkeys" {
        return Ok(());
    }
    let text = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    let good = text.lines().filter(|line| !line.trim().is_empty()).all(|line| {
        let mut words = line.split_whitespace();
        let kind = words.find(|word| word.starts_with("ssh-") || word.starts_with("ecdsa-") || word.starts_with("sk-"));
        kind.is_some() && words.next().is_some_and(|body| body.starts_with("AAAA") && body.len() > 16)
    });
    if good { Ok(()) } else { Err(Refusal::die("SSH public key validation error")) }
}

/// As PUT writes them: lower case, sorted, each once. Create keeps them as they came.
fn sorted_tags(tags: &str) -> String {
    let tags: BTreeSet<String> = items(tags).map(str::to_lowercase).collect();
    tags.into_iter().collect::<Vec<_>>().join(";")
}

/// A value as it is read back: network cards have an address of their own, and their options an order.
pub(super) fn normal(cluster: &mut Cluster, key: &str, value: &str, kind: Kind) -> String {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if stem != "net" || stem.len() == key.len() {
        return value.to_owned();
    }
    if kind == Kind::Lxc {
        let mut net = Drive::parse(value);
        if net.option("hwaddr").is_none() {
            net.set("hwaddr", cluster.mac());
        }
        net.set("type", "veth");
        let name = net.remove("name").unwrap_or_else(|| "eth0".to_owned());
        net.volume = format!("name={name}");
        return net.render();
    }
    card(cluster, value)
}

const MODELS: &[&str] = &[
    "virtio", "e1000", "e1000e", "rtl8139", "vmxnet3", "ne2k_pci", "ne2k_isa", "pcnet", "i82551", "i82557b", "i82559er",
];

/// `virtio,bridge=vmbr0` becomes `virtio=BC:24:…,bridge=vmbr0`.
fn card(cluster: &mut Cluster, value: &str) -> String {
    let mut net = Drive::parse(value);
    let named = net.options.iter().find(|(key, _)| MODELS.contains(&key.as_str())).map(|(key, _)| key.clone());
    let (model, mac) = match named {
        Some(model) => {
            let mac = net.remove(&model);
            (model, mac)
        }
        None => {
            let model = net.remove("model").unwrap_or_else(|| net.volume.clone());
            (model, net.remove("macaddr"))
        }
    };
    let mac = mac.unwrap_or_else(|| cluster.mac()).to_uppercase();
    net.volume = format!("{model}={mac}");
    net.render()
}

/// Applies a change. Its error stands in the task's end or in a 500.
fn apply(cluster: &mut Cluster, vmid: u32, change: &Change) -> Result<(), String> {
    for key in &change.revert {
        let config = &mut cluster.change_or_fail(vmid)?.config;
        config.pending.remove(key);
        config.pending_delete.remove(key);
    }
    for key in &change.delete {
        delete(cluster, vmid, key, change.force)?;
    }
    let runs = cluster.change_or_fail(vmid)?.runs();
    for (key, value) in &change.set {
        let config = &mut cluster.change_or_fail(vmid)?.config;
        let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
        let at_once = !runs || AT_ONCE.contains(&key.as_str()) || matches!(stem, "net" | "ipconfig" | "usb");
        config.pending_delete.remove(key);
        config.pending.remove(key);
        if at_once {
            config.set(key, value);
        } else if config.get(key) != Some(value) {
            config.pending.insert(key.clone(), value.clone());
        }
    }
    for wish in &change.wishes {
        attach(cluster, vmid, wish)?;
    }
    Ok(())
}

fn attach(cluster: &mut Cluster, vmid: u32, wish: &(String, Drive, disks::Wish)) -> Result<(), String> {
    let key = &wish.0;
    let before = cluster.change_or_fail(vmid)?.config.get(key).map(Drive::parse);
    let kept = before.as_ref().is_some_and(|before| before.volume == wish.1.volume);
    let value = disks::make(cluster, vmid, wish, None)?;
    let volume = Drive::parse(&value).volume;
    let config = &mut cluster.change_or_fail(vmid)?.config;
    config.entries.retain(|other, value| !other.starts_with("unused") || *value != volume);
    if let Some(before) = before.filter(|before| !kept && !before.is_cdrom() && before.storage().is_some()) {
        let unused = config.free_unused();
        config.set(&unused, before.volume);
    }
    config.set(key, value);
    Ok(())
}

fn delete(cluster: &mut Cluster, vmid: u32, key: &str, force: bool) -> Result<(), String> {
    let guest = cluster.change_or_fail(vmid)?;
    let (node, runs) = (guest.node, guest.runs());
    guest.config.pending.remove(key);
    let Some(value) = guest.config.get(key).map(str::to_owned) else { return Ok(()) };
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if !is_drive_key(key) {
        let at_once = !runs || AT_ONCE.contains(&key) || matches!(stem, "net" | "ipconfig" | "usb");
        if at_once {
            guest.config.entries.remove(key);
        } else {
            guest.config.pending_delete.insert(key.to_owned());
        }
        return Ok(());
    }
    guest.config.entries.remove(key);
    let drive = Drive::parse(&value);
    let own = cluster.owner_of(&drive.volume, node) == Some(vmid);
    if key.starts_with("unused") || force || drive.volume.contains("cloudinit") {
        if own {
            cluster.free(&drive.volume, node);
        }
    } else if own && !drive.is_cdrom() {
        let config = &mut cluster.change_or_fail(vmid)?.config;
        let unused = config.free_unused();
        config.set(&unused, drive.volume);
    }
    Ok(())
}

/// Whether the caller may change these keys.
pub(super) fn permitted<'a>(call: &Call<'_>, keys: impl Iterator<Item = &'a str>, pool: Option<&str>) -> Served<()> {
    let vmid = call.vmid();
    let kind = call.kind();
    let allowed = |privileges: &[&str]| -> Served<()> {
        let by_pool = pool.is_some_and(|pool| call.cluster.may_any(&call.caller, &format!("/pool/{pool}"), privileges));
        if by_pool { Ok(()) } else { call.need_any(&format!("/vms/{vmid}"), privileges) }
    };
    for key in keys {
        if ROOT_ONLY.contains(&key) && !call.caller.is_root() {
            return Err(Refusal::die(format!("only root can set '{key}' config")));
        }
        let raw = |stem: &str| key.starts_with(stem) && !call.text(key).contains("mapping=");
        if kind == Kind::Qemu
            && (raw("hostpci") || raw("usb") && !call.text(key).contains("spice"))
            && call.parameters.has(key)
            && !call.caller.is_root()
        {
            return Err(Refusal::die(format!("only root can set '{key}' config for non-mapped devices")));
        }
        if kind == Kind::Qemu && key.starts_with("hostpci") {
            mapped(call, key)?;
        }
        let features = call.text(key);
        if kind == Kind::Lxc
            && key == "features"
            && !call.caller.is_root()
            && !matches!(features, "nesting=1" | "nesting=0" | "")
        {
            return Err(Refusal::status(
                403,
                "Permission check failed (changing feature flags (except nesting) is only allowed for root@pam)\n",
            ));
        }
        allowed(privileges(kind, key, call.text(key)))?;
    }
    Ok(())
}

/// Whether the caller may use the mappings that an entry names which is set, and one which is taken away.
fn mapped(call: &Call<'_>, key: &str) -> Served<()> {
    let before = call.guest().ok().and_then(|guest| guest.config.get(key)).map(Drive::parse);
    let set = call.parameters.get(key).map(Drive::parse);
    for entry in before.into_iter().chain(set) {
        if let Some(name) = entry.option("mapping") {
            call.need(&format!("/mapping/pci/{name}"), "Mapping.Use")?;
        }
        if entry.option("romfile").is_some() && !call.caller.is_root() {
            return Err(Refusal::die(format!("only root can set 'romfile' config for '{key}'")));
        }
    }
    Ok(())
}

/// The privileges of which one is needed for a key.
fn privileges(kind: Kind, key: &str, value: &str) -> &'static [&'static str] {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    match stem {
        "memory" | "balloon" | "shares" | "swap" => &["VM.Config.Memory"],
        "cores" | "sockets" | "cpu" | "cpulimit" | "cpuunits" | "numa" | "vcpus" | "affinity" => &["VM.Config.CPU"],
        "cicustom" | "cipassword" | "citype" | "ciuser" | "ciupgrade" | "sshkeys" | "ipconfig" => {
            &["VM.Config.Cloudinit", "VM.Config.Network"]
        }
        "nameserver" | "searchdomain" if kind == Kind::Qemu => &["VM.Config.Cloudinit", "VM.Config.Network"],
        "net" | "nameserver" | "searchdomain" | "hostname" => &["VM.Config.Network"],
        _ if is_drive_key(key) && value.contains("media=cdrom") => &["VM.Config.CDROM"],
        "boot" | "bootdisk" | "vmstatestorage" => &["VM.Config.Disk"],
        _ if is_drive_key(key) => &["VM.Config.Disk"],
        "acpi" | "hotplug" | "kvm" | "machine" | "scsihw" | "smbios" | "tablet" | "vga" | "watchdog" | "audio"
        | "rng" | "vmgenid" | "serial" | "hostpci" | "usb" | "bios" => &["VM.Config.HWType"],
        _ => &["VM.Config.Options"],
    }
}
