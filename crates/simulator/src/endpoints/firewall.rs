//! Firewalls: options, rules by position, sets of addresses. All of it is synchronous.

use super::{Call, Endpoint, Reply, at, same_digest};
use crate::refusal::{Refusal, Served};
use crate::transport::Parameters;
use serde_json::{Map, Value, json};
use sha1::{Digest, Sha1};
use std::collections::BTreeMap;

macro_rules! everywhere {
    ($($base:literal),*) => {
        &[$(
            at("GET", concat!($base, "/options"), options),
            at("PUT", concat!($base, "/options"), set_options),
            at("GET", concat!($base, "/rules"), rules),
            at("POST", concat!($base, "/rules"), add_rule),
            at("GET", concat!($base, "/rules/{pos}"), rule),
            at("PUT", concat!($base, "/rules/{pos}"), set_rule),
            at("DELETE", concat!($base, "/rules/{pos}"), remove_rule),
            at("GET", concat!($base, "/ipset"), sets),
            at("POST", concat!($base, "/ipset"), add_set),
            at("GET", concat!($base, "/ipset/{name}"), members),
            at("POST", concat!($base, "/ipset/{name}"), add_member),
            at("DELETE", concat!($base, "/ipset/{name}"), remove_set),
            at("GET", concat!($base, "/ipset/{name}/{cidr}"), member),
            at("PUT", concat!($base, "/ipset/{name}/{cidr}"), set_member),
            at("DELETE", concat!($base, "/ipset/{name}/{cidr}"), remove_member),
        )*
            at("GET", "/nodes/{node}/firewall/options", options),
            at("PUT", "/nodes/{node}/firewall/options", set_options),
            at("GET", "/nodes/{node}/firewall/rules", rules),
            at("POST", "/nodes/{node}/firewall/rules", add_rule),
            at("GET", "/cluster/firewall/groups", groups),
            at("POST", "/cluster/firewall/groups", add_group),
            at("GET", "/cluster/firewall/groups/{group}", rules),
            at("POST", "/cluster/firewall/groups/{group}", add_rule),
            at("DELETE", "/cluster/firewall/groups/{group}", remove_group),
            at("GET", "/cluster/firewall/groups/{group}/{pos}", rule),
            at("PUT", "/cluster/firewall/groups/{group}/{pos}", set_rule),
            at("DELETE", "/cluster/firewall/groups/{group}/{pos}", remove_rule),
        ]
    };
}

pub(super) const ENDPOINTS: &[Endpoint] =
    everywhere!("/cluster/firewall", "/nodes/{node}/qemu/{vmid}/firewall", "/nodes/{node}/lxc/{vmid}/firewall");

type Entry = BTreeMap<String, String>;

/// One file of the firewall: the cluster's, a node's, a guest's, or a group of rules.
#[derive(Default)]
struct Firewall {
    options: Entry,
    rules: Vec<Entry>,
    sets: BTreeMap<String, Set>,
}

#[derive(Default)]
struct Set {
    comment: String,
    members: BTreeMap<String, Entry>,
}

/// Where a firewall stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Cluster,
    Node(usize),
    Guest(u32),
    Group(String),
}

/// All of them. One that nobody wrote is empty.
#[derive(Default)]
pub(crate) struct Firewalls(BTreeMap<Place, Firewall>);

impl Firewalls {
    pub(crate) fn forget(&mut self, vmid: u32) {
        self.0.remove(&Place::Guest(vmid));
    }

    pub(crate) fn rules_of(&self, vmid: u32) -> usize {
        self.0.get(&Place::Guest(vmid)).map_or(0, |firewall| firewall.rules.len())
    }
}

/// The digest over some values, as the digest over the file that has them.
pub(super) fn digest_of(value: &impl std::fmt::Debug) -> String {
    hex::encode(Sha1::digest(format!("{value:?}")))
}

fn place(call: &Call<'_>) -> Served<Place> {
    let path = &call.route.path;
    if call.parameters.has("group") && path.contains("/groups/") {
        let group = call.text("group").to_owned();
        let place = Place::Group(group.clone());
        let absent = || Refusal::die(format!("no such security group '{group}'"));
        return call.cluster.firewalls.0.contains_key(&place).then_some(place).ok_or_else(absent);
    }
    if path.starts_with("/cluster") {
        return Ok(Place::Cluster);
    }
    if path.contains("{vmid}") { Ok(Place::Guest(call.guest()?.vmid)) } else { Ok(Place::Node(call.node)) }
}

/// To look at a firewall.
fn look<T>(call: &Call<'_>, see: impl FnOnce(&Firewall) -> T) -> Served<T> {
    let empty = Firewall::default();
    Ok(see(call.cluster.firewalls.0.get(&place(call)?).unwrap_or(&empty)))
}

/// To change one; needs quorum, and that nobody else has changed it.
fn change<'a>(call: &'a mut Call<'_>) -> Served<(&'a mut Firewall, &'a Parameters)> {
    call.cluster.need_quorum()?;
    let place = place(call)?;
    Ok((call.cluster.firewalls.0.entry(place).or_default(), &call.parameters))
}

const CHANGED: &str = "detected modified configuration - file changed by other user? Try again.";

/// Numbers and switches are numbers.
fn typed(call: &Call<'_>, entry: &Entry) -> Map<String, Value> {
    entry
        .iter()
        .map(|(key, value)| {
            (
                key.clone(),
                crate::schema::typed(call.route, key, value).as_i64().map_or_else(
                    || {
                        value
                            .parse::<i64>()
                            .ok()
                            .filter(|_| {
                                matches!(
                                    key.as_str(),
                                    "enable"
                                        | "nomatch"
                                        | "dhcp"
                                        | "ndp"
                                        | "radv"
                                        | "macfilter"
                                        | "ipfilter"
                                        | "ebtables"
                                )
                            })
                            .map_or_else(|| json!(value), Value::from)
                    },
                    Value::from,
                ),
            )
        })
        .collect()
}

/// What a call says, apart from what addresses it.
fn said(parameters: &Parameters) -> Entry {
    let address = ["node", "vmid", "pos", "digest", "delete", "moveto", "group", "name"];
    let kept = parameters.0.keys().filter(|key| !address.contains(&key.as_str()));
    kept.map(|key| (key.clone(), parameters.text(key).to_owned())).collect()
}

fn options(call: &mut Call<'_>) -> Served<Reply> {
    let (mut shown, digest) = look(call, |firewall| (typed(call, &firewall.options), digest_of(&firewall.options)))?;
    shown.insert("digest".to_owned(), json!(digest));
    Ok(Reply::from(Value::Object(shown)))
}

fn set_options(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    same_digest(parameters.get("digest"), &digest_of(&firewall.options), CHANGED)?;
    for key in parameters.list("delete") {
        firewall.options.remove(&key);
    }
    firewall.options.extend(said(parameters));
    Ok(Reply::null())
}

fn shown_rule(call: &Call<'_>, pos: usize, rule: &Entry, digest: &str) -> Value {
    let mut shown = typed(call, rule);
    shown.insert("pos".to_owned(), json!(pos));
    shown.insert("digest".to_owned(), json!(digest));
    let addresses = [rule.get("source"), rule.get("dest")];
    let first = addresses.into_iter().flatten().next();
    if let Some(address) = first.filter(|address| !address.starts_with('+')) {
        shown.insert("ipversion".to_owned(), json!(if address.contains(':') { 6 } else { 4 }));
    }
    if !shown.contains_key("enable") {
        shown.insert("enable".to_owned(), json!(0));
    }
    Value::Object(shown)
}

fn rules(call: &mut Call<'_>) -> Served<Reply> {
    let list = look(call, |firewall| {
        let digest = digest_of(&firewall.rules);
        firewall.rules.iter().enumerate().map(|(pos, rule)| shown_rule(call, pos, rule, &digest)).collect()
    })?;
    Ok(Reply::from(Value::Array(list)))
}

fn position(call: &Call<'_>) -> usize {
    call.parameters.number("pos").and_then(|pos| usize::try_from(pos).ok()).unwrap_or(usize::MAX)
}

fn rule(call: &mut Call<'_>) -> Served<Reply> {
    let pos = position(call);
    let shown = look(call, |firewall| {
        firewall.rules.get(pos).map(|rule| shown_rule(call, pos, rule, &digest_of(&firewall.rules)))
    })?;
    shown.map(Reply::from).ok_or_else(|| Refusal::die(format!("no rule at position {pos}")))
}

/// A new rule stands first, unless it says where.
fn add_rule(call: &mut Call<'_>) -> Served<Reply> {
    if call.text("type") == "group" {
        let group = Place::Group(call.text("action").to_owned());
        if !call.cluster.firewalls.0.contains_key(&group) {
            return Err(Refusal::parameter("action", format!("no such security group '{}'", call.text("action"))));
        }
    }
    let pos = call.parameters.number("pos").and_then(|pos| usize::try_from(pos).ok()).unwrap_or(0);
    let (firewall, parameters) = change(call)?;
    same_digest(parameters.get("digest"), &digest_of(&firewall.rules), CHANGED)?;
    firewall.rules.insert(pos.min(firewall.rules.len()), said(parameters));
    Ok(Reply::null())
}

fn set_rule(call: &mut Call<'_>) -> Served<Reply> {
    let pos = position(call);
    let (firewall, parameters) = change(call)?;
    same_digest(parameters.get("digest"), &digest_of(&firewall.rules), CHANGED)?;
    let absent = || Refusal::die(format!("no rule at position {pos}"));
    let rule = firewall.rules.get_mut(pos).ok_or_else(absent)?;
    if let Some(to) = parameters.number("moveto").and_then(|to| usize::try_from(to).ok()) {
        let rule = firewall.rules.remove(pos);
        let to = if to > pos { to - 1 } else { to };
        firewall.rules.insert(to.min(firewall.rules.len()), rule);
        return Ok(Reply::null());
    }
    for key in parameters.list("delete") {
        rule.remove(&key);
    }
    rule.extend(said(parameters));
    Ok(Reply::null())
}

fn remove_rule(call: &mut Call<'_>) -> Served<Reply> {
    let pos = position(call);
    let (firewall, parameters) = change(call)?;
    same_digest(parameters.get("digest"), &digest_of(&firewall.rules), CHANGED)?;
    if pos >= firewall.rules.len() {
        return Err(Refusal::die(format!("no rule at position {pos}")));
    }
    firewall.rules.remove(pos);
    Ok(Reply::null())
}

fn sets(call: &mut Call<'_>) -> Served<Reply> {
    let list = look(call, |firewall| {
        let shown = |(name, set): (&String, &Set)| {
            let digest = digest_of(&set.members);
            let mut shown = json!({ "name": name, "digest": digest });
            if !set.comment.is_empty() {
                shown["comment"] = json!(set.comment);
            }
            shown
        };
        firewall.sets.iter().map(shown).collect()
    })?;
    Ok(Reply::from(Value::Array(list)))
}

fn add_set(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let name = parameters.text("name").to_owned();
    if firewall.sets.contains_key(&name) && !parameters.has("rename") {
        return Err(Refusal::parameter("name", format!("IPSet '{name}' already exists")));
    }
    let before = parameters.get("rename").and_then(|before| firewall.sets.remove(before));
    let set = Set { comment: parameters.text("comment").to_owned(), members: before.unwrap_or_default().members };
    firewall.sets.insert(name, set);
    Ok(Reply::null())
}

fn absent_set(name: &str) -> Refusal {
    Refusal::die(format!("no such IPSet '{name}'"))
}

fn remove_set(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let name = parameters.text("name");
    let set = firewall.sets.get(name).ok_or_else(|| absent_set(name))?;
    if !set.members.is_empty() && !parameters.is("force") {
        return Err(Refusal::die(format!("IPSet '{name}' is not empty")));
    }
    firewall.sets.remove(name);
    Ok(Reply::null())
}

fn shown_member(call: &Call<'_>, cidr: &str, entry: &Entry, digest: &str) -> Value {
    let mut shown = typed(call, entry);
    shown.insert("cidr".to_owned(), json!(cidr));
    shown.insert("digest".to_owned(), json!(digest));
    Value::Object(shown)
}

fn members(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("name");
    let list = look(call, |firewall| {
        let set = firewall.sets.get(name)?;
        let digest = digest_of(&set.members);
        Some(set.members.iter().map(|(cidr, entry)| shown_member(call, cidr, entry, &digest)).collect())
    })?;
    list.map(|list| Reply::from(Value::Array(list))).ok_or_else(|| absent_set(name))
}

fn member(call: &mut Call<'_>) -> Served<Reply> {
    let (name, cidr) = (call.text("name"), call.text("cidr"));
    let shown = look(call, |firewall| {
        let set = firewall.sets.get(name)?;
        set.members.get(cidr).map(|entry| shown_member(call, cidr, entry, &digest_of(&set.members)))
    })?;
    shown.map(Reply::from).ok_or_else(|| Refusal::die(format!("no such IP/Network '{cidr}'")))
}

fn add_member(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let (name, cidr) = (parameters.text("name"), parameters.text("cidr").to_owned());
    let set = firewall.sets.get_mut(name).ok_or_else(|| absent_set(name))?;
    if set.members.contains_key(&cidr) {
        return Err(Refusal::parameter("cidr", format!("address '{cidr}' already exists")));
    }
    let mut entry = said(parameters);
    entry.remove("cidr");
    set.members.insert(cidr, entry);
    Ok(Reply::null())
}

fn set_member(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let (name, cidr) = (parameters.text("name"), parameters.text("cidr"));
    let set = firewall.sets.get_mut(name).ok_or_else(|| absent_set(name))?;
    same_digest(parameters.get("digest"), &digest_of(&set.members), CHANGED)?;
    let entry = set.members.get_mut(cidr).ok_or_else(|| Refusal::parameter("cidr", "no such IP/Network"))?;
    entry.extend(said(parameters));
    entry.remove("cidr");
    Ok(Reply::null())
}

fn remove_member(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let name = parameters.text("name");
    let set = firewall.sets.get_mut(name).ok_or_else(|| absent_set(name))?;
    same_digest(parameters.get("digest"), &digest_of(&set.members), CHANGED)?;
    set.members.remove(parameters.text("cidr"));
    Ok(Reply::null())
}

fn groups(call: &mut Call<'_>) -> Served<Reply> {
    let places = call.cluster.firewalls.0.iter();
    let list = places.filter_map(|(place, firewall)| match place {
        Place::Group(name) => Some(json!({ "group": name, "digest": digest_of(&firewall.rules) })),
        _ => None,
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn add_group(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("group").to_owned();
    let place = Place::Group(name.clone());
    if call.cluster.firewalls.0.contains_key(&place) {
        return Err(Refusal::parameter("group", format!("Security group '{name}' already exists")));
    }
    call.cluster.firewalls.0.insert(place, Firewall::default());
    Ok(Reply::null())
}

fn remove_group(call: &mut Call<'_>) -> Served<Reply> {
    let (firewall, parameters) = change(call)?;
    let name = parameters.text("group").to_owned();
    if !firewall.rules.is_empty() {
        return Err(Refusal::die(format!("Security group '{name}' is not empty")));
    }
    call.cluster.firewalls.0.remove(&Place::Group(name));
    Ok(Reply::null())
}
