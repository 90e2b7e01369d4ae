//! The guest agent, and cloud-init's documents.

use super::{Call, Endpoint, Reply, at};
use crate::cluster::{Config, Guest, Kind};
use crate::refusal::{Refusal, Served};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("POST", "/nodes/{node}/qemu/{vmid}/agent/ping", |call| {
        answering(call)?;
        Ok(Reply::from(json!({ "result": {} })))
    }),
    at("GET", "/nodes/{node}/qemu/{vmid}/agent/network-get-interfaces", interfaces),
    at("GET", "/nodes/{node}/qemu/{vmid}/agent/get-osinfo", osinfo),
    at("GET", "/nodes/{node}/qemu/{vmid}/agent/get-host-name", |call| {
        let name = answering(call)?.name();
        Ok(Reply::from(json!({ "result": { "host-name": name } })))
    }),
    at("GET", "/nodes/{node}/qemu/{vmid}/cloudinit", cloudinit),
    at("PUT", "/nodes/{node}/qemu/{vmid}/cloudinit", regenerate),
    at("GET", "/nodes/{node}/qemu/{vmid}/cloudinit/dump", dump),
];

/// How long the daemon waits for an agent.
const PING: Duration = Duration::from_secs(3);
/// What cloud-init's drive is made of.
const SEED: &[&str] =
    &["cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys", "name"];

/// The guest, if its agent answers. One that does not keeps a worker of the daemon busy for three seconds.
fn answering<'a>(call: &'a Call<'_>) -> Served<&'a Guest> {
    let guest = call.guest()?;
    if !guest.agent_enabled() {
        return Err(Refusal::die("No QEMU guest agent configured"));
    }
    if !guest.runs() {
        return Err(Refusal::die(format!("VM {} is not running", guest.vmid)));
    }
    if call.cluster.agent_answers(guest) {
        return Ok(guest);
    }
    Err(Refusal::die("QEMU guest agent is not running").waiting(PING))
}

fn interfaces(call: &mut Call<'_>) -> Served<Reply> {
    let guest = answering(call)?;
    let statistics = json!({
        "rx-bytes": 0, "rx-packets": 0, "rx-errs": 0, "rx-dropped": 0, "tx-bytes": 0, "tx-packets": 0, "tx-errs": 0, "tx-dropped": 0,
    });
    let mut list = vec![json!({
        "name": "lo", "hardware-address": "00:00:00:00:00:00", "statistics": statistics,
        "ip-addresses": [
            { "ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8 },
            { "ip-address": "::1", "ip-address-type": "ipv6", "prefix": 128 },
        ],
    })];
    for number in 0..32 {
        let Some(net) = guest.config.get(&format!("net{number}")) else { continue };
        let mac = net.split([',', '=']).find(|part| part.split(':').count() == 6).unwrap_or_default().to_lowercase();
        list.push(json!({
            "name": format!("eth{number}"), "hardware-address": mac, "statistics": statistics,
            "ip-addresses": addresses(guest, number, &mac),
        }));
    }
    // What every guest with containers shows, and nobody wants.
    list.push(json!({ "name": "docker0", "hardware-address": "02:42:0a:00:00:01", "statistics": statistics }));
    Ok(Reply::from(json!({ "result": list })))
}

/// What `ipconfigN` says, or what a DHCP server would.
fn addresses(guest: &Guest, number: u32, mac: &str) -> Vec<Value> {
    let config = guest.config.get(&format!("ipconfig{number}")).unwrap_or("ip=dhcp");
    let option = |name: &str| config.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let mut list = Vec::new();
    let leased = format!("10.99.{}.{}/16", guest.vmid / 200 % 250, guest.vmid % 200 + 20);
    for (name, kind) in [("ip", "ipv4"), ("ip6", "ipv6")] {
        let address = match option(name) {
            Some("dhcp") if name == "ip" => leased.as_str(),
            Some(address) if address.contains('/') => address,
            _ => continue,
        };
        if let Some((ip, prefix)) = address.split_once('/') {
            list.push(
                json!({ "ip-address": ip, "ip-address-type": kind, "prefix": prefix.parse::<u8>().unwrap_or(24) }),
            );
        }
    }
    let tail: Vec<&str> = mac.split(':').collect();
    if let [a, b, c, d, e, f] = tail.as_slice() {
        let first = u8::from_str_radix(a, 16).unwrap_or(0) ^ 2;
        let link = format!("fe80::{first:x}{b}:{c}ff:fe{d}:{e}{f}");
        list.push(json!({ "ip-address": link, "ip-address-type": "ipv6", "prefix": 64 }));
    }
    list
}

fn osinfo(call: &mut Call<'_>) -> Served<Reply> {
    answering(call)?;
    Ok(Reply::from(json!({ "result": {
        "id": "debian", "name": "Debian GNU/Linux", "pretty-name": "Debian GNU/Linux 13 (trixie)", "version": "13 (trixie)",
        "version-id": "13", "machine": "x86_64", "kernel-release": "6.12.48+deb13-amd64",
        "kernel-version": "#1 SMP PREEMPT_DYNAMIC Debian 6.12.48-1",
    } })))
}

/// What cloud-init's drive says of a config.
pub(crate) fn seed_of(config: &Config) -> BTreeMap<String, String> {
    let is_seed = |key: &str| SEED.contains(&key) || key.starts_with("ipconfig");
    config.entries.iter().filter(|(key, _)| is_seed(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// What the drive says, and what it would say if it were made now.
fn cloudinit(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    let now = seed_of(&guest.config);
    let written = if guest.seeded.is_empty() { &now } else { &guest.seeded };
    let keys = written.keys().chain(now.keys()).filter(|key| *key != "name").collect::<std::collections::BTreeSet<_>>();
    let masked = |key: &str, value: &str| if key == "cipassword" { json!("**********") } else { json!(value) };
    let list = keys.into_iter().map(|key| {
        let mut entry = json!({ "key": key });
        if let Some(value) = written.get(key) {
            entry["value"] = masked(key, value);
        }
        match now.get(key) {
            Some(value) if written.get(key) != Some(value) => entry["pending"] = masked(key, value),
            None => entry["delete"] = json!(1),
            _ => {}
        }
        entry
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn regenerate(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    call.guest()?;
    if let Some(guest) = call.cluster.change(call.vmid()) {
        guest.seeded = seed_of(&guest.config);
    }
    Ok(Reply::null())
}

fn user_data(guest: &Guest) -> String {
    let name = guest.name();
    let mut text = format!("#cloud-config\nhostname: {name}\nmanage_etc_hosts: true\nfqdn: {name}\n");
    if let Some(user) = guest.config.get("ciuser") {
        text += &format!("user: {user}\n");
    }
    if let Some(keys) = guest.config.get("sshkeys") {
        text += "ssh_authorized_keys:\n";
        for key in percent_encoding::percent_decode_str(keys).decode_utf8_lossy().lines() {
            text += &format!("  - {key}\n");
        }
    }
    text + "chpasswd:\n  expire: False\nusers:\n  - default\npackage_upgrade: true\n"
}

fn network_data(guest: &Guest) -> String {
    let mut text = "version: 1\nconfig:\n".to_owned();
    for (key, value) in guest.config.entries.iter().filter(|(key, _)| key.starts_with("ipconfig")) {
        let number = key.trim_start_matches("ipconfig");
        text += &format!("    - type: physical\n      name: eth{number}\n      subnets:\n      - {value}\n");
    }
    text
}

fn dump(call: &mut Call<'_>) -> Served<Reply> {
    let guest = call.guest()?;
    debug_assert_eq!(guest.kind, Kind::Qemu);
    let (user, network) = (user_data(guest), network_data(guest));
    let text = match call.text("type") {
        "user" => user,
        "network" => network,
        // Any change in either makes the guest a new instance for cloud-init.
        _ => format!("instance-id: {}\n", hex::encode(Sha1::digest(user + &network))),
    };
    Ok(Reply::from(json!(text)))
}
