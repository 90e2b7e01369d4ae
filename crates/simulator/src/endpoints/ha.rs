//! High availability: resources, rules, the manager's rounds, and whether it is armed.
//!
//! Cluster-wide: the manager wakes at the first round after a resource came, and sleeps at the round after the last one
//! went. Disarmed, it does nothing; whatever was asked for meanwhile is done when it is armed again.

use super::{Call, Endpoint, Reply, at};
use crate::access::Caller;
use crate::cluster::{Cluster, Kind, Work};
use crate::refusal::{Refusal, Served};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/cluster/ha/resources", list),
    at("POST", "/cluster/ha/resources", add),
    at("GET", "/cluster/ha/resources/{sid}", read),
    at("PUT", "/cluster/ha/resources/{sid}", update),
    at("DELETE", "/cluster/ha/resources/{sid}", remove),
    at("POST", "/cluster/ha/resources/{sid}/migrate", migrate),
    at("POST", "/cluster/ha/resources/{sid}/relocate", migrate),
    at("GET", "/cluster/ha/groups", groups),
    at("POST", "/cluster/ha/groups", groups),
    at("GET", "/cluster/ha/rules", rules),
    at("POST", "/cluster/ha/rules", add_rule),
    at("GET", "/cluster/ha/rules/{rule}", read_rule),
    at("PUT", "/cluster/ha/rules/{rule}", update_rule),
    at("DELETE", "/cluster/ha/rules/{rule}", remove_rule),
    at("GET", "/cluster/ha/status/current", status),
    at("GET", "/cluster/ha/status/manager_status", manager_status),
    at("POST", "/cluster/ha/status/arm-ha", arm),
    at("POST", "/cluster/ha/status/disarm-ha", disarm),
];

/// What HA is to keep.
#[derive(Default)]
pub(crate) struct Ha {
    resources: BTreeMap<u32, Resource>,
    rules: BTreeMap<String, Rule>,
    manager: Manager,
    /// What the manager still says of guests that it kept until its last round.
    lingering: BTreeMap<u32, String>,
}

type Rule = BTreeMap<String, String>;

/// What the manager is at. Whoever disarms it says what becomes of the guests: `freeze` or `ignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Manager {
    #[default]
    Asleep,
    Armed,
    Disarming(String),
    Disarmed(String),
}

struct Resource {
    kind: Kind,
    /// `started`, `stopped`, `disabled`, `ignored`.
    wanted: String,
    /// What the manager last said of it.
    state: String,
    more: BTreeMap<String, String>,
}

impl Ha {
    /// The state that HA keeps a guest in, if it manages it.
    pub(crate) fn wants(&self, vmid: u32) -> Option<&str> {
        self.resources.get(&vmid).map(|resource| resource.wanted.as_str())
    }

    /// The state that the manager last said it is in.
    pub(crate) fn state(&self, vmid: u32) -> Option<&str> {
        let kept = self.resources.get(&vmid).map(|resource| &resource.state);
        kept.or_else(|| self.lingering.get(&vmid)).map(String::as_str)
    }

    /// Whether the manager says anything of nodes.
    pub(crate) fn is_awake(&self) -> bool {
        self.manager != Manager::Asleep
    }

    pub(crate) fn forget(&mut self, vmid: u32) {
        self.resources.remove(&vmid);
        let sids = [format!("vm:{vmid}"), format!("ct:{vmid}")];
        for rule in self.rules.values_mut() {
            if let Some(resources) = rule.get_mut("resources") {
                let kept: Vec<&str> = resources.split(',').filter(|sid| !sids.iter().any(|mine| mine == sid)).collect();
                *resources = kept.join(",");
            }
        }
        self.rules.retain(|_, rule| rule.get("resources").is_none_or(|resources| !resources.is_empty()));
    }
}

fn sid(vmid: u32, kind: Kind) -> String {
    format!("{}:{vmid}", if kind == Kind::Qemu { "vm" } else { "ct" })
}

/// The guest of `vm:100`, `ct:100` or `100`.
fn meant(call: &Call<'_>) -> Served<u32> {
    let sid = call.text("sid");
    let number = sid.split_once(':').map_or(sid, |(_, number)| number);
    number.parse().map_err(|_| Refusal::parameter("sid", format!("invalid resource ID '{sid}'")))
}

fn shown(vmid: u32, resource: &Resource) -> Value {
    let mut entry = Map::new();
    for (key, value) in &resource.more {
        entry.insert(key.clone(), value.parse::<i64>().map_or_else(|_| json!(value), Value::from));
    }
    entry.insert("sid".to_owned(), json!(sid(vmid, resource.kind)));
    entry.insert("type".to_owned(), json!(if resource.kind == Kind::Qemu { "vm" } else { "ct" }));
    entry.insert("state".to_owned(), json!(resource.wanted));
    Value::Object(entry)
}

fn list(call: &mut Call<'_>) -> Served<Reply> {
    let resources = &call.cluster.ha.resources;
    Ok(Reply::from(Value::Array(resources.iter().map(|(vmid, resource)| shown(*vmid, resource)).collect())))
}

fn read(call: &mut Call<'_>) -> Served<Reply> {
    let vmid = meant(call)?;
    let absent = || Refusal::die(format!("no such resource '{}'", call.text("sid")));
    call.cluster.ha.resources.get(&vmid).map(|resource| Reply::from(shown(vmid, resource))).ok_or_else(absent)
}

fn add(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    if call.parameters.has("group") {
        return Err(Refusal::die("invalid parameter 'group': ha groups have been migrated to rules"));
    }
    let vmid = meant(call)?;
    let Some(guest) = call.cluster.guests.get(&vmid) else {
        return Err(Refusal::die(format!(
            "cannot create ha resource '{}', unable to find it in the cluster",
            call.text("sid")
        )));
    };
    let kind = guest.kind;
    if call.cluster.ha.resources.contains_key(&vmid) {
        return Err(Refusal::die(format!("resource ID '{}' already defined", sid(vmid, kind))));
    }
    let wanted = call.parameters.get("state").unwrap_or("started").to_owned();
    let more = options(call);
    call.cluster.ha.resources.insert(vmid, Resource { kind, wanted, state: "queued".to_owned(), more });
    call.cluster.later(Duration::from_millis(call.cluster.pace.ha_round), |cluster| {
        if cluster.ha.manager == Manager::Asleep && !cluster.ha.resources.is_empty() {
            cluster.ha.manager = Manager::Armed;
        }
    });
    rounds(call.cluster, vmid);
    Ok(Reply::null())
}

fn options(call: &Call<'_>) -> BTreeMap<String, String> {
    let kept = ["comment", "max_restart", "max_relocate", "failback", "auto-rebalance"];
    kept.iter().filter_map(|key| Some(((*key).to_owned(), call.parameters.get(key)?.to_owned()))).collect()
}

fn update(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let vmid = meant(call)?;
    let (state, more) = (call.parameters.get("state").map(str::to_owned), options(call));
    let sid = call.text("sid").to_owned();
    let Some(resource) = call.cluster.ha.resources.get_mut(&vmid) else {
        return Err(Refusal::die(format!("no such resource '{sid}'")));
    };
    resource.wanted = state.unwrap_or_else(|| resource.wanted.clone());
    resource.more.extend(more);
    rounds(call.cluster, vmid);
    Ok(Reply::null())
}

fn remove(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let vmid = meant(call)?;
    let Some(resource) = call.cluster.ha.resources.remove(&vmid) else {
        return Err(Refusal::die(format!("cannot delete service '{}', not HA managed!", call.text("sid"))));
    };
    if call.parameters.get("purge") != Some("0") {
        call.cluster.ha.forget(vmid);
    }
    call.cluster.ha.lingering.insert(vmid, resource.state);
    call.cluster.later(Duration::from_millis(call.cluster.pace.ha_round), move |cluster| {
        cluster.ha.lingering.remove(&vmid);
        if cluster.ha.resources.is_empty() && cluster.ha.manager == Manager::Armed {
            cluster.ha.manager = Manager::Asleep;
        }
    });
    Ok(Reply::null())
}

fn migrate(call: &mut Call<'_>) -> Served<Reply> {
    let (vmid, node) = (meant(call)?, call.text("node").to_owned());
    let Some(to) = call.cluster.node_index(&node) else {
        return Err(Refusal::die(format!("no such cluster node '{node}'")));
    };
    let sid = call.text("sid").to_owned();
    if call.cluster.ha.wants(vmid).is_none() {
        return Err(Refusal::die(format!("cannot migrate '{sid}', not HA managed")));
    }
    migrate_later(call.cluster, vmid, to);
    Ok(Reply::from(json!({ "sid": sid, "requested-node": node })))
}

/// The manager moves a guest at its next round.
pub(super) fn migrate_later(cluster: &mut Cluster, vmid: u32, to: usize) {
    let round = Duration::from_millis(cluster.pace.ha_round);
    if let Some(resource) = cluster.ha.resources.get_mut(&vmid) {
        resource.state = "migrate".to_owned();
    }
    cluster.later(round, move |cluster| {
        cluster.move_guest(vmid, to);
        rounds(cluster, vmid);
    });
}

/// A power wish for a guest that HA manages: recorded at once, carried out by the manager.
pub(super) fn request(cluster: &mut Cluster, vmid: u32, wanted: &str) {
    if let Some(resource) = cluster.ha.resources.get_mut(&vmid) {
        wanted.clone_into(&mut resource.wanted);
        resource.state = if wanted == "started" { "starting" } else { "request_stop" }.to_owned();
    }
    rounds(cluster, vmid);
}

/// The manager looks at a guest at its next round, and makes it be what it is to be.
fn rounds(cluster: &mut Cluster, vmid: u32) {
    let round = Duration::from_millis(cluster.pace.ha_round);
    cluster.later(round, move |cluster| {
        if matches!(cluster.ha.manager, Manager::Disarming(_) | Manager::Disarmed(_)) {
            return;
        }
        let Some(resource) = cluster.ha.resources.get_mut(&vmid) else { return };
        resource.state.clone_from(&resource.wanted);
        let (wanted, kind) = (resource.wanted.clone(), resource.kind);
        let Some(guest) = cluster.guests.get(&vmid) else { return };
        let (node, runs) = (guest.node, guest.runs());
        let pace = cluster.pace;
        let qemu = kind == Kind::Qemu;
        let work = match (wanted.as_str(), runs) {
            ("started", false) => Work::new(if qemu { "qmstart" } else { "vzstart" }, vmid, node).then(
                Duration::from_millis(pace.start),
                move |cluster, _| {
                    cluster.choose_devices(vmid)?;
                    cluster.start_guest(vmid);
                    Ok(())
                },
            ),
            ("stopped" | "disabled", true) => Work::new(if qemu { "qmshutdown" } else { "vzshutdown" }, vmid, node)
                .then(Duration::from_millis(pace.shutdown), move |cluster, _| {
                    cluster.stop_guest(vmid);
                    Ok(())
                }),
            _ => return,
        };
        if let Err(refusal) = cluster.fork(&Caller::root(), work) {
            tracing::warn!(message = refusal.message, "the manager of HA could not fork");
        }
    });
}

fn groups(_: &mut Call<'_>) -> Served<Reply> {
    Err(Refusal::die("cannot index groups: ha groups have been migrated to rules"))
}

fn rule_shown(name: &str, rule: &Rule, order: usize) -> Value {
    let mut entry: Map<String, Value> = rule.iter().map(|(key, value)| (key.clone(), json!(value))).collect();
    entry.insert("rule".to_owned(), json!(name));
    entry.insert("order".to_owned(), json!(order));
    entry.insert("digest".to_owned(), json!(super::firewall::digest_of(rule)));
    Value::Object(entry)
}

fn rules(call: &mut Call<'_>) -> Served<Reply> {
    let rules = call.cluster.ha.rules.iter().enumerate();
    Ok(Reply::from(Value::Array(rules.map(|(order, (name, rule))| rule_shown(name, rule, order + 1)).collect())))
}

fn read_rule(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("rule");
    let rule = call.cluster.ha.rules.get(name).ok_or_else(|| Refusal::die(format!("no such ha rule '{name}'")))?;
    Ok(Reply::from(rule_shown(name, rule, 1)))
}

fn add_rule(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("rule").to_owned();
    if call.cluster.ha.rules.contains_key(&name) {
        return Err(Refusal::die(format!("create ha rule failed: rule ID '{name}' already defined")));
    }
    store_rule(call, &name, "create")
}

fn update_rule(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("rule").to_owned();
    if !call.cluster.ha.rules.contains_key(&name) {
        return Err(Refusal::die(format!("update ha rule failed: no such ha rule '{name}'")));
    }
    store_rule(call, &name, "update")
}

fn store_rule(call: &mut Call<'_>, name: &str, verb: &str) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let keys = call.parameters.0.iter().filter(|(key, _)| !matches!(key.as_str(), "rule" | "digest" | "delete"));
    let rule: Rule = keys.map(|(key, _)| (key.clone(), call.text(key).to_owned())).collect();
    let resources = call.parameters.list("resources");
    let unmanaged = resources.iter().find(|sid| {
        let vmid = sid.split_once(':').and_then(|(_, vmid)| vmid.parse().ok());
        vmid.is_none_or(|vmid| call.cluster.ha.wants(vmid).is_none())
    });
    if let Some(sid) = unmanaged {
        return Err(Refusal::die(format!("cannot use unmanaged resource(s) {sid}.")));
    }
    // Before the manager's first round, no node counts as active.
    let awake = call.cluster.ha.is_awake();
    let active = call.cluster.nodes.iter().filter(|node| awake && node.online).count();
    if rule.get("affinity").is_some_and(|affinity| affinity == "negative") && resources.len() > active {
        let text = format!(
            "{verb} ha rule failed: 400 Rule '{name}' is invalid.\nresources: rule defines more resources than available nodes"
        );
        return Err(Refusal::die(text));
    }
    for (vmid, to) in misplaced(call.cluster, &rule) {
        migrate_later(call.cluster, vmid, to);
    }
    call.cluster.ha.rules.insert(name.to_owned(), rule);
    Ok(Reply::null())
}

/// Which guests a rule on affinity wants elsewhere, and where: together with the first of them, or on nodes of their own.
fn misplaced(cluster: &Cluster, rule: &Rule) -> Vec<(u32, usize)> {
    let Some(affinity) = rule.get("affinity").filter(|_| rule.get("disable").is_none_or(|off| off != "1")) else {
        return Vec::new();
    };
    let sids = rule.get("resources").map_or("", String::as_str).split(',');
    let vmids = sids.filter_map(|sid| sid.split_once(':')?.1.parse::<u32>().ok());
    let members: Vec<(u32, usize)> = vmids.filter_map(|vmid| Some((vmid, cluster.guests.get(&vmid)?.node))).collect();
    let Some((_, first)) = members.first().copied() else { return Vec::new() };
    if affinity == "positive" {
        return members.into_iter().filter(|(_, node)| *node != first).map(|(vmid, _)| (vmid, first)).collect();
    }
    let mut taken: Vec<usize> = members.iter().map(|(_, node)| *node).collect();
    let mut moves = Vec::new();
    for (at, (vmid, node)) in members.iter().enumerate() {
        let shared = members.iter().take(at).any(|(_, other)| other == node);
        let free = || (0..cluster.nodes.len()).find(|node| cluster.lives(*node) && !taken.contains(node));
        if let Some(to) = shared.then(free).flatten() {
            taken.push(to);
            moves.push((*vmid, to));
        }
    }
    moves
}

fn remove_rule(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("rule").to_owned();
    call.cluster.ha.rules.remove(&name);
    Ok(Reply::null())
}

fn status(call: &mut Call<'_>) -> Served<Reply> {
    let cluster = &call.cluster;
    let entry = cluster.node_name(call.entry);
    let mut list = vec![json!({
        "id": "quorum", "type": "quorum", "node": entry, "quorate": u8::from(cluster.quorate),
        "status": if cluster.quorate { "OK" } else { "No quorum" },
    })];
    let fencing = |node: &str, state: &str, said: String| json!({ "id": "fencing", "type": "fencing", "node": node, "armed-state": state, "status": said });
    if !cluster.ha.is_awake() {
        list.push(fencing(entry, "standby", "standby (CRM watchdog standby)".to_owned()));
        return Ok(Reply::from(Value::Array(list)));
    }
    let master = cluster.node_name(cluster.first_living());
    let (now, date) = (cluster.now.seconds(), cluster.now.spoken());
    let (state, said, mode) = match &cluster.ha.manager {
        Manager::Disarming(mode) => ("disarming", "CRM watchdog active", Some(mode)),
        Manager::Disarmed(mode) => ("disarmed", "CRM watchdog released", Some(mode)),
        Manager::Armed | Manager::Asleep => ("armed", "CRM watchdog active", None),
    };
    let how = mode.map(|mode| format!("{state}, resource mode: {mode}"));
    let more = how.as_ref().map_or_else(String::new, |how| format!(" - {how}"));
    list.push(json!({
        "id": "master", "type": "master", "node": master, "timestamp": now,
        "status": format!("{master} (active, {date}){more}"),
    }));
    let mut fence = fencing(master, state, format!("{} ({said})", how.as_deref().unwrap_or(state)));
    if let Some(mode) = mode {
        fence["resource_mode"] = json!(mode);
    }
    list.push(fence);
    for node in &cluster.nodes {
        let state = match (node.online, mode) {
            (false, _) => "old timestamp - dead?",
            (true, Some(_)) => "disarm mode, watchdog released",
            (true, None) if cluster.ha.resources.is_empty() => "idle, watchdog standby",
            (true, None) => "active, watchdog active",
        };
        list.push(json!({
            "id": format!("lrm:{}", node.name), "type": "lrm", "node": node.name, "timestamp": now,
            "status": format!("{} ({state}, {date})", node.name),
        }));
    }
    list.extend(services(cluster));
    Ok(Reply::from(Value::Array(list)))
}

fn services(cluster: &Cluster) -> impl Iterator<Item = Value> {
    cluster.ha.resources.iter().map(|(vmid, resource)| {
        let node = cluster.guests.get(vmid).map_or("", |guest| cluster.node_name(guest.node));
        let sid = sid(*vmid, resource.kind);
        json!({
            "id": format!("service:{sid}"), "type": "service", "sid": sid, "node": node, "state": resource.state,
            "crm_state": resource.state, "request_state": resource.wanted,
            "status": format!("{sid} ({node}, {})", resource.state),
        })
    })
}

fn manager_status(call: &mut Call<'_>) -> Served<Reply> {
    let cluster = &call.cluster;
    let nodes: Map<String, Value> = cluster
        .nodes
        .iter()
        .map(|node| (node.name.clone(), json!(if node.online { "online" } else { "unknown" })))
        .collect();
    let nodes = if cluster.ha.is_awake() { nodes } else { Map::new() };
    Ok(Reply::from(json!({
        "manager_status": { "node_status": nodes },
        "quorum": { "node": cluster.node_name(call.entry), "quorate": u8::from(cluster.quorate).to_string() },
    })))
}

fn arm(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let round = Duration::from_millis(call.cluster.pace.ha_round);
    call.cluster.later(round, |cluster| {
        cluster.ha.manager = Manager::Armed;
        let kept: Vec<u32> = cluster.ha.resources.keys().copied().collect();
        for vmid in kept {
            rounds(cluster, vmid);
        }
    });
    Ok(Reply::null())
}

fn disarm(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let round = Duration::from_millis(call.cluster.pace.ha_round);
    let mode = call.text("resource-mode").to_owned();
    let disarmed = mode.clone();
    call.cluster.later(round, move |cluster| cluster.ha.manager = Manager::Disarming(mode));
    call.cluster.later(round * 2, move |cluster| cluster.ha.manager = Manager::Disarmed(disarmed));
    Ok(Reply::null())
}
