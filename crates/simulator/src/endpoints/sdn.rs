//! Software-defined networks: everything is pending until it is applied, for everybody at once.

use super::{Call, Endpoint, Reply, at, forking};
use crate::cluster::Work;
use crate::refusal::{Refusal, Served};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

macro_rules! family {
    ($list:literal, $one:literal, $list_fn:ident, $add:ident) => {
        [
            at("GET", $list, $list_fn),
            at("POST", $list, $add),
            at("GET", $one, read),
            at("PUT", $one, update),
            at("DELETE", $one, remove),
        ]
    };
}

const ZONES: [Endpoint; 5] = family!("/cluster/sdn/zones", "/cluster/sdn/zones/{zone}", list, add);
const VNETS: [Endpoint; 5] = family!("/cluster/sdn/vnets", "/cluster/sdn/vnets/{vnet}", list, add);
const SUBNETS: [Endpoint; 5] =
    family!("/cluster/sdn/vnets/{vnet}/subnets", "/cluster/sdn/vnets/{vnet}/subnets/{subnet}", list, add);
const REST: [Endpoint; 8] = [
    forking("PUT", "/cluster/sdn", "reloadnetworkall", apply),
    at("POST", "/cluster/sdn/lock", lock),
    at("DELETE", "/cluster/sdn/lock", unlock),
    at("POST", "/cluster/sdn/rollback", rollback),
    at("GET", "/nodes/{node}/sdn/zones", zones_of_node),
    at("GET", "/nodes/{node}/sdn/zones/{zone}/content", content_of_zone),
    at("GET", "/cluster/sdn/fabrics/fabric", |_| Ok(Reply::from(json!([])))),
    at("GET", "/cluster/sdn/controllers", |_| Ok(Reply::from(json!([])))),
];

const fn join() -> [Endpoint; 23] {
    let [a, b, c, d, e] = ZONES;
    let [f, g, h, i, j] = VNETS;
    let [k, l, m, n, o] = SUBNETS;
    let [p, q, r, s, t, u, v, w] = REST;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w]
}

pub(super) const ENDPOINTS: &[Endpoint] = &join();

type Entry = BTreeMap<String, String>;

/// Zones, vnets and subnets by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Config {
    zones: BTreeMap<String, Entry>,
    vnets: BTreeMap<String, Entry>,
    subnets: BTreeMap<String, Entry>,
}

/// What is wished for, what is applied, and who holds the lock.
#[derive(Default)]
pub(crate) struct Sdn {
    wished: Config,
    running: Config,
    lock: Option<String>,
}

impl Sdn {
    /// Vnets that guests can be attached to.
    pub(crate) fn running_vnets(&self) -> impl Iterator<Item = &str> {
        self.running.vnets.keys().map(String::as_str)
    }

    pub(crate) fn running_zones(&self) -> impl Iterator<Item = &str> {
        self.running.zones.keys().map(String::as_str)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Zone,
    Vnet,
    Subnet,
}

impl Family {
    fn of(call: &Call<'_>) -> Self {
        let path = &call.route.path;
        if path.contains("/subnets") {
            Self::Subnet
        } else if path.contains("/vnets") {
            Self::Vnet
        } else {
            Self::Zone
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Zone => "zone",
            Self::Vnet => "vnet",
            Self::Subnet => "subnet",
        }
    }

    fn of_config(self, config: &Config) -> &BTreeMap<String, Entry> {
        match self {
            Self::Zone => &config.zones,
            Self::Vnet => &config.vnets,
            Self::Subnet => &config.subnets,
        }
    }

    fn of_config_mut(self, config: &mut Config) -> &mut BTreeMap<String, Entry> {
        match self {
            Self::Zone => &mut config.zones,
            Self::Vnet => &mut config.vnets,
            Self::Subnet => &mut config.subnets,
        }
    }
}

fn typed(entry: &Entry) -> Map<String, Value> {
    let number = |key: &str| matches!(key, "tag" | "snat" | "mtu" | "vlanaware" | "isolate-ports" | "vrf-vxlan");
    let value = |key: &str, value: &String| match value.parse::<i64>() {
        Ok(parsed) if number(key) => json!(parsed),
        _ => json!(value),
    };
    entry.iter().map(|(key, text)| (key.clone(), value(key, text))).collect()
}

fn shown(family: Family, id: &str, entry: &Entry) -> Map<String, Value> {
    let mut shown = typed(entry);
    shown.insert(family.name().to_owned(), json!(id));
    if family == Family::Subnet {
        let (network, mask) = entry.get("cidr").and_then(|cidr| cidr.split_once('/')).unwrap_or_default();
        for (key, value) in [("id", id), ("network", network), ("mask", mask)] {
            shown.insert(key.to_owned(), json!(value));
        }
        shown.entry("dhcp-range".to_owned()).or_insert_with(|| json!([]));
    }
    shown
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let family = Family::of(call);
    let sdn = &call.cluster.sdn;
    let vnet = (family == Family::Subnet).then(|| call.text("vnet"));
    let mine = |entry: &Entry| vnet.is_none_or(|vnet| entry.get("vnet").is_some_and(|of| of == vnet));
    let kind = (family == Family::Zone).then(|| call.parameters.get("type")).flatten();
    let config = if call.parameters.is("running") { &sdn.running } else { &sdn.wished };
    if call.parameters.is("pending") {
        return Ok(Reply::from(Value::Array(pending(family, sdn, mine))));
    }
    let entries = family.of_config(config).iter().filter(|(_, entry)| mine(entry));
    let wanted = entries.filter(|(_, entry)| kind.is_none_or(|kind| entry.get("type").is_some_and(|of| of == kind)));
    let digest = if call.parameters.is("running") {
        Value::Null
    } else {
        json!(super::firewall::digest_of(family.of_config(config)))
    };
    let list = wanted.map(|(id, entry)| {
        let mut shown = shown(family, id, entry);
        shown.insert("digest".to_owned(), digest.clone());
        Value::Object(shown)
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

/// What differs between the wish and what runs.
fn pending(family: Family, sdn: &Sdn, mine: impl Fn(&Entry) -> bool) -> Vec<Value> {
    let (wished, running) = (family.of_config(&sdn.wished), family.of_config(&sdn.running));
    let ids: std::collections::BTreeSet<&String> = wished.keys().chain(running.keys()).collect();
    let each = ids.into_iter().filter_map(|id| {
        let (wish, is) = (wished.get(id), running.get(id));
        let entry = is.or(wish).filter(|entry| mine(entry))?;
        let mut shown = match is {
            Some(is) => shown(family, id, is),
            None => {
                Map::from_iter([(family.name().to_owned(), json!(id)), ("type".to_owned(), json!(entry.get("type")))])
            }
        };
        shown.insert("digest".to_owned(), Value::Null);
        let state = match (wish, is) {
            (Some(_), None) => Some("new"),
            (None, Some(_)) => Some("deleted"),
            (wish, is) if wish != is => Some("changed"),
            _ => None,
        };
        if let Some(state) = state {
            shown.insert("state".to_owned(), json!(state));
            if let Some(wish) = wish {
                let changed =
                    wish.iter().filter(|(key, value)| *key != "type" && is.and_then(|is| is.get(*key)) != Some(*value));
                let changed: Entry = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
                shown.insert("pending".to_owned(), Value::Object(typed(&changed)));
            }
        }
        Some(Value::Object(shown))
    });
    each.collect()
}

/// Whoever holds the lock sends its token along; nobody else edits.
fn holds(call: &Call<'_>) -> Served<()> {
    call.cluster.need_quorum()?;
    match &call.cluster.sdn.lock {
        Some(lock) if call.parameters.get("lock-token") != Some(lock) => {
            Err(Refusal::die("invalid lock token provided! at /usr/share/perl5/PVE/Network/SDN.pm line 300."))
        }
        None if call.parameters.has("lock-token") => {
            Err(Refusal::die("invalid lock token provided! at /usr/share/perl5/PVE/Network/SDN.pm line 300."))
        }
        _ => Ok(()),
    }
}

fn id_of(call: &Call<'_>, family: Family) -> String {
    let id = call.text(family.name());
    if family == Family::Subnet && id.contains('/') {
        let zone = call.cluster.sdn.wished.vnets.get(call.text("vnet")).and_then(|vnet| vnet.get("zone"));
        return format!("{}-{}", zone.map_or("", String::as_str), id.replace('/', "-"));
    }
    id.to_owned()
}

fn said(call: &Call<'_>, family: Family) -> Entry {
    let own = [family.name(), "lock-token", "digest", "delete"];
    let kept = call.parameters.0.keys().filter(|key| !own.contains(&key.as_str()));
    kept.map(|key| (key.clone(), call.text(key).to_owned())).collect()
}

fn add(call: &mut Call<'_>) -> Served<Reply> {
    let family = Family::of(call);
    let (id, name) = (id_of(call, family), family.name());
    let failed = |what: String| Refusal::die(format!("create sdn {name} object failed: {what}"));
    holds(call).map_err(|refusal| failed(refusal.message.trim_end().to_owned()))?;
    let mut entry = said(call, family);
    let sdn = &mut call.cluster.sdn;
    if family.of_config(&sdn.wished).contains_key(&id) {
        return Err(failed(format!("sdn {name} object ID '{id}' already defined")));
    }
    match family {
        Family::Zone => {}
        Family::Vnet => {
            entry.insert("type".to_owned(), "vnet".to_owned());
            let zone = entry.get("zone").and_then(|zone| sdn.wished.zones.get(zone));
            let Some(zone) = zone else {
                return Err(failed(
                    "cannot lookup undefined type! at /usr/share/perl5/PVE/API2/Network/SDN/Vnets.pm line 326."
                        .to_owned(),
                ));
            };
            let tagged =
                zone.get("type").is_some_and(|kind| matches!(kind.as_str(), "vlan" | "vxlan" | "evpn" | "qinq"));
            if tagged && !entry.contains_key("tag") {
                return Err(failed("missing vlan tag".to_owned()));
            }
        }
        Family::Subnet => {
            entry.insert("type".to_owned(), "subnet".to_owned());
            let zone = entry
                .get("vnet")
                .and_then(|vnet| sdn.wished.vnets.get(vnet))
                .and_then(|vnet| vnet.get("zone").cloned());
            let Some(zone) = zone else {
                return Err(failed(format!("vnet '{}' does not exist", entry.get("vnet").map_or("", String::as_str))));
            };
            let cidr = id.strip_prefix(&format!("{zone}-")).unwrap_or(&id).replacen('-', "/", 1);
            entry.insert("zone".to_owned(), zone);
            entry.insert("cidr".to_owned(), cidr);
        }
    }
    family.of_config_mut(&mut sdn.wished).insert(id, entry);
    Ok(Reply::null())
}

fn absent(family: Family, id: &str) -> Refusal {
    Refusal::die(format!("sdn {} object ID '{id}' does not exist", family.name()))
}

fn read(call: &mut Call<'_>) -> Served<Reply> {
    let family = Family::of(call);
    let id = id_of(call, family);
    let config = if call.parameters.is("running") { &call.cluster.sdn.running } else { &call.cluster.sdn.wished };
    let entries = family.of_config(config);
    let entry = entries.get(&id).ok_or_else(|| absent(family, &id))?;
    let mut shown = shown(family, &id, entry);
    shown.insert("digest".to_owned(), json!(super::firewall::digest_of(entries)));
    Ok(Reply::from(Value::Object(shown)))
}

fn update(call: &mut Call<'_>) -> Served<Reply> {
    holds(call)?;
    let family = Family::of(call);
    let id = id_of(call, family);
    let said = said(call, family);
    let delete = call.parameters.list("delete");
    let digest = super::firewall::digest_of(family.of_config(&call.cluster.sdn.wished));
    let text = "detected modified configuration - file changed by other user? Try again.";
    super::same_digest(call.parameters.get("digest"), &digest, text)?;
    let entries = family.of_config_mut(&mut call.cluster.sdn.wished);
    let entry = entries.get_mut(&id).ok_or_else(|| absent(family, &id))?;
    for key in delete {
        entry.remove(&key);
    }
    entry.extend(said);
    Ok(Reply::null())
}

fn remove(call: &mut Call<'_>) -> Served<Reply> {
    holds(call)?;
    let family = Family::of(call);
    let id = id_of(call, family);
    let wished = &mut call.cluster.sdn.wished;
    let failed = |what: String| Refusal::die(format!("delete sdn {} object failed: {what}", family.name()));
    let user = match family {
        Family::Zone => wished.vnets.iter().find(|(_, vnet)| vnet.get("zone") == Some(&id)),
        Family::Vnet => wished.subnets.iter().find(|(_, subnet)| subnet.get("vnet") == Some(&id)),
        Family::Subnet => None,
    };
    if let Some((user, _)) = user {
        let text = match family {
            Family::Zone => format!(
                "zone {id} is used by vnet {user} at /usr/share/perl5/PVE/Network/SDN/Zones/Plugin.pm line 149."
            ),
            _ => "Can't delete vnet if subnets exists".to_owned(),
        };
        return Err(failed(text));
    }
    family.of_config_mut(wished).remove(&id).ok_or_else(|| absent(family, &id))?;
    Ok(Reply::null())
}

/// Commits everything that is pending, whoever wished it. A node that fails is only a warning in a log.
fn apply(call: &mut Call<'_>) -> Served<Reply> {
    holds(call)?;
    let release = call.parameters.get("release-lock") != Some("0");
    let after = Duration::from_millis(call.cluster.pace.small);
    let sdn = &mut call.cluster.sdn;
    sdn.running = sdn.wished.clone();
    if release {
        sdn.lock = None;
    }
    let names: Vec<String> = call.cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let work = Work::new("reloadnetworkall", "", call.entry).then(after, move |cluster, task| {
        for name in names {
            let up = cluster.node_index(&name).is_some_and(|node| cluster.lives(node));
            let line = if up {
                format!("{name}: reloading network config")
            } else {
                format!("{name}: reload failed: No route to host")
            };
            cluster.log(task, line);
        }
        Ok(())
    });
    call.fork(work)
}

fn lock(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    if call.cluster.sdn.lock.is_some() {
        return Err(Refusal::die("configuration is already locked"));
    }
    let sdn = &call.cluster.sdn;
    if sdn.wished != sdn.running && !call.parameters.is("allow-pending") {
        return Err(Refusal::die("configuration has pending changes, can not obtain lock"));
    }
    let token = call.cluster.uuid();
    call.cluster.sdn.lock = Some(token.clone());
    Ok(Reply::from(json!(token)))
}

fn unlock(call: &mut Call<'_>) -> Served<Reply> {
    if !call.parameters.is("force") {
        holds(call)?;
    }
    call.cluster.sdn.lock = None;
    Ok(Reply::null())
}

fn rollback(call: &mut Call<'_>) -> Served<Reply> {
    holds(call)?;
    let release = call.parameters.get("release-lock") != Some("0");
    let sdn = &mut call.cluster.sdn;
    sdn.wished = sdn.running.clone();
    if release {
        sdn.lock = None;
    }
    Ok(Reply::null())
}

fn zones_of_node(call: &mut Call<'_>) -> Served<Reply> {
    let list = call.cluster.sdn.running_zones().map(|zone| json!({ "zone": zone, "status": "available" }));
    Ok(Reply::from(Value::Array(list.collect())))
}

fn content_of_zone(call: &mut Call<'_>) -> Served<Reply> {
    let zone = call.text("zone");
    let vnets = call.cluster.sdn.running.vnets.iter().filter(|(_, vnet)| vnet.get("zone").is_some_and(|of| of == zone));
    Ok(Reply::from(Value::Array(vnets.map(|(id, _)| json!({ "vnet": id, "status": "available" })).collect())))
}
