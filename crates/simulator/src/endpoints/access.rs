//! Sessions, users, tokens, groups, roles, grants.

use super::{Call, Endpoint, Reply, at};
use crate::access::{Caller, Grant, Group, PRIVILEGES, Role, Token, User};
use crate::refusal::{Refusal, Served};
use serde_json::{Map, Value, json};
use std::time::Duration;

pub(super) const ENDPOINTS: &[Endpoint] = &[
    at("GET", "/access/ticket", |_| Ok(Reply::null())),
    at("POST", "/access/ticket", ticket),
    at("GET", "/access/permissions", permissions),
    at("GET", "/access/domains", domains),
    at("GET", "/access/users", users),
    at("POST", "/access/users", add_user),
    at("GET", "/access/users/{userid}", user),
    at("PUT", "/access/users/{userid}", set_user),
    at("DELETE", "/access/users/{userid}", remove_user),
    at("GET", "/access/users/{userid}/token", tokens),
    at("GET", "/access/users/{userid}/token/{tokenid}", token),
    at("POST", "/access/users/{userid}/token/{tokenid}", add_token),
    at("PUT", "/access/users/{userid}/token/{tokenid}", set_token),
    at("DELETE", "/access/users/{userid}/token/{tokenid}", remove_token),
    at("PUT", "/access/password", password),
    at("GET", "/access/groups", groups),
    at("POST", "/access/groups", add_group),
    at("DELETE", "/access/groups/{groupid}", remove_group),
    at("GET", "/access/roles", roles),
    at("POST", "/access/roles", add_role),
    at("GET", "/access/roles/{roleid}", role),
    at("PUT", "/access/roles/{roleid}", set_role),
    at("DELETE", "/access/roles/{roleid}", remove_role),
    at("GET", "/access/acl", acl),
    at("PUT", "/access/acl", set_acl),
];

/// What a failed login waits.
const SLOW: Duration = Duration::from_secs(3);

fn ticket(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("username");
    let user = match call.parameters.get("realm") {
        Some(realm) if !name.contains('@') => format!("{name}@{realm}"),
        _ => name.to_owned(),
    };
    let now = call.cluster.now;
    if !call.cluster.access.opens(&user, call.text("password"), now) {
        let refusal = Refusal::status(401, "authentication failure\n");
        return Err(if call.cluster.pace.unauthenticated == 0 { refusal } else { refusal.waiting(SLOW) });
    }
    let access = &call.cluster.access;
    let caller = Caller { user: user.clone(), token: None };
    let mut shown = json!({
        "username": user, "ticket": access.ticket(&user, now), "CSRFPreventionToken": access.csrf(&user, now),
        "cap": capabilities(call, &caller),
    });
    if !call.cluster.name.is_empty() {
        shown["clustername"] = json!(call.cluster.name);
    }
    Ok(Reply::from(shown))
}

/// Which privileges a session shows its parts for.
fn capabilities(call: &Call<'_>, caller: &Caller) -> Value {
    let parts: [(&str, &str, &[&str]); 7] = [
        ("vms", "/vms", &["VM."]),
        ("storage", "/storage", &["Datastore."]),
        ("nodes", "/nodes", &["Sys."]),
        ("access", "/access", &["User.Modify", "Group.Allocate"]),
        ("dc", "/", &["Sys.Audit", "Sys.Modify", "SDN."]),
        ("sdn", "/sdn", &["SDN."]),
        ("mapping", "/mapping", &["Mapping."]),
    ];
    let mut shown = Map::new();
    for (part, path, begins) in parts {
        let granted = call.cluster.access.granted(caller, path, &|path| call.cluster.pool_of(path));
        let fits = |privilege: &str| {
            begins.iter().any(|begin| privilege.starts_with(begin)) || part != "dc" && privilege == "Permissions.Modify"
        };
        let kept = granted.keys().filter(|privilege| fits(privilege)).map(|privilege| (privilege.clone(), json!(1)));
        shown.insert(part.to_owned(), Value::Object(kept.collect()));
    }
    Value::Object(shown)
}

/// What the caller may, by path. Without a path: everywhere that says anything.
fn permissions(call: &mut Call<'_>) -> Served<Reply> {
    let caller = match call.parameters.get("userid") {
        Some(id) if id != call.caller.name() => {
            call.need("/access", "Sys.Audit")?;
            let (user, token) = id.split_once('!').map_or((id, None), |(user, token)| (user, Some(token.to_owned())));
            Caller { user: user.to_owned(), token }
        }
        _ => call.caller.clone(),
    };
    let paths: Vec<String> = match call.parameters.get("path") {
        Some(path) => vec![path.to_owned()],
        None => {
            let roots = ["/", "/access", "/access/groups", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms"];
            let pools = call.cluster.pools.keys().map(|pool| format!("/pool/{pool}"));
            roots
                .iter()
                .map(|path| (*path).to_owned())
                .chain(call.cluster.access.acl.keys().cloned())
                .chain(pools)
                .collect()
        }
    };
    let mut shown = Map::new();
    for path in paths {
        let granted = call.cluster.access.granted(&caller, &path, &|path| call.cluster.pool_of(path));
        if !granted.is_empty() {
            let granted = granted.into_iter().map(|(privilege, propagate)| (privilege, json!(u8::from(propagate))));
            shown.insert(path, Value::Object(granted.collect()));
        }
    }
    Ok(Reply::from(Value::Object(shown)))
}

fn domains(_: &mut Call<'_>) -> Served<Reply> {
    Ok(Reply::from(json!([
        { "realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server" },
        { "realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication" },
    ])))
}

fn shown_user(id: &str, user: &User) -> Value {
    let mut shown = json!({ "enable": u8::from(user.enabled), "expire": user.expire });
    shown["realm-type"] = json!(id.rsplit('@').next().unwrap_or_default());
    for (key, value) in &user.more {
        shown[key] = json!(value);
    }
    shown
}

fn users(call: &mut Call<'_>) -> Served<Reply> {
    let full = call.parameters.is("full");
    let all = call.cluster.may_any(&call.caller, "/access/groups", &["User.Modify", "Sys.Audit"]);
    let access = &call.cluster.access;
    let seen = access.users.iter().filter(|(id, _)| all || **id == call.caller.user);
    let list = seen.map(|(id, user)| {
        let mut shown = shown_user(id, user);
        shown["userid"] = json!(id);
        if full {
            let groups =
                access.groups.iter().filter(|(_, group)| group.members.contains(id)).map(|(name, _)| name.as_str());
            shown["groups"] = json!(groups.collect::<Vec<_>>().join(","));
            shown["tokens"] =
                Value::Array(user.tokens.iter().map(|(name, token)| shown_token(Some(name), token)).collect());
        }
        shown
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn no_user(id: &str) -> Refusal {
    Refusal::die(format!("no such user ('{id}')"))
}

fn add_user(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("userid").to_owned();
    if call.cluster.access.users.contains_key(&id) {
        return Err(Refusal::die(format!("create user failed: user '{id}' already exists")));
    }
    let user = User::new(call.parameters.get("password").map(str::to_owned));
    call.cluster.access.users.insert(id.clone(), user);
    change_user(call, &id)
}

fn change_user(call: &mut Call<'_>, id: &str) -> Served<Reply> {
    let groups = call.parameters.list("groups");
    if let Some(unknown) = groups.iter().find(|group| !call.cluster.access.groups.contains_key(*group)) {
        return Err(Refusal::die(format!("group '{unknown}' does not exist")));
    }
    if call.parameters.has("groups") {
        for (name, group) in &mut call.cluster.access.groups {
            if groups.contains(name) {
                group.members.insert(id.to_owned());
            } else if !call.parameters.is("append") {
                group.members.remove(id);
            }
        }
    }
    let user = call.cluster.access.users.get_mut(id).ok_or_else(|| no_user(id))?;
    if let Some(enable) = call.parameters.get("enable") {
        user.enabled = enable == "1";
    }
    if let Some(expire) = call.parameters.get("expire").and_then(|expire| expire.parse().ok()) {
        user.expire = expire;
    }
    for key in ["comment", "email", "firstname", "lastname"] {
        if let Some(value) = call.parameters.get(key) {
            user.more.insert(key.to_owned(), value.to_owned());
        }
    }
    Ok(Reply::null())
}

fn user(call: &mut Call<'_>) -> Served<Reply> {
    let id = call.text("userid");
    let access = &call.cluster.access;
    let user = access.users.get(id).ok_or_else(|| no_user(id))?;
    let mut shown = shown_user(id, user);
    let groups: Vec<&String> =
        access.groups.iter().filter(|(_, group)| group.members.contains(id)).map(|(name, _)| name).collect();
    shown["groups"] = json!(groups);
    let tokens: Map<String, Value> =
        user.tokens.iter().map(|(name, token)| (name.clone(), shown_token(None, token))).collect();
    shown["tokens"] = Value::Object(tokens);
    Ok(Reply::from(shown))
}

fn set_user(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("userid").to_owned();
    change_user(call, &id)
}

fn remove_user(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let id = call.text("userid").to_owned();
    let access = &mut call.cluster.access;
    access.users.remove(&id).ok_or_else(|| no_user(&id))?;
    for group in access.groups.values_mut() {
        group.members.remove(&id);
    }
    let tokens = format!("{id}!");
    for grants in access.acl.values_mut() {
        grants.retain(|grant| grant.who != id && !grant.who.starts_with(&tokens));
    }
    Ok(Reply::null())
}

fn shown_token(id: Option<&str>, token: &Token) -> Value {
    let mut shown = json!({ "privsep": u8::from(token.privsep), "expire": token.expire });
    if let Some(id) = id {
        shown["tokenid"] = json!(id);
    }
    if let Some(comment) = &token.comment {
        shown["comment"] = json!(comment);
    }
    shown
}

fn tokens(call: &mut Call<'_>) -> Served<Reply> {
    let id = call.text("userid");
    let user = call.cluster.access.users.get(id).ok_or_else(|| no_user(id))?;
    Ok(Reply::from(Value::Array(user.tokens.iter().map(|(id, token)| shown_token(Some(id), token)).collect())))
}

fn no_token(user: &str, token: &str) -> Refusal {
    Refusal::die(format!("no such token '{token}' for user '{user}'"))
}

fn token(call: &mut Call<'_>) -> Served<Reply> {
    let (user, id) = (call.text("userid"), call.text("tokenid"));
    let there = call.cluster.access.users.get(user).ok_or_else(|| no_user(user))?.tokens.get(id);
    there.map(|token| Reply::from(shown_token(None, token))).ok_or_else(|| no_token(user, id))
}

fn add_token(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let (user, id) = (call.text("userid").to_owned(), call.text("tokenid").to_owned());
    let secret = call.cluster.uuid();
    let token = Token {
        secret: secret.clone(),
        privsep: call.parameters.get("privsep") != Some("0"),
        expire: call.parameters.get("expire").and_then(|expire| expire.parse().ok()).unwrap_or(0),
        comment: call.parameters.get("comment").map(str::to_owned),
    };
    let owner = call.cluster.access.users.get_mut(&user).ok_or_else(|| no_user(&user))?;
    if owner.tokens.contains_key(&id) {
        return Err(Refusal::parameter("tokenid", "Token already exists."));
    }
    let mut info = json!({ "privsep": u8::from(token.privsep).to_string() });
    if token.expire != 0 {
        info["expire"] = json!(token.expire);
    }
    if let Some(comment) = &token.comment {
        info["comment"] = json!(comment);
    }
    owner.tokens.insert(id.clone(), token);
    Ok(Reply::from(json!({ "full-tokenid": format!("{user}!{id}"), "value": secret, "info": info })))
}

fn set_token(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let (user, id) = (call.text("userid").to_owned(), call.text("tokenid").to_owned());
    let fresh = call.cluster.uuid();
    let owner = call.cluster.access.users.get_mut(&user).ok_or_else(|| no_user(&user))?;
    let token = owner.tokens.get_mut(&id).ok_or_else(|| no_token(&user, &id))?;
    let parameters = &call.parameters;
    if let Some(privsep) = parameters.get("privsep") {
        token.privsep = privsep == "1";
    }
    if let Some(expire) = parameters.get("expire").and_then(|expire| expire.parse().ok()) {
        token.expire = expire;
    }
    if let Some(comment) = parameters.get("comment") {
        token.comment = Some(comment.to_owned());
    }
    let mut shown = shown_token(None, token);
    if let Some(expire) = parameters.get("expire") {
        shown["expire"] = json!(expire);
    }
    if parameters.is("regenerate") {
        token.secret.clone_from(&fresh);
        shown["value"] = json!(fresh);
    }
    Ok(Reply::from(shown))
}

fn remove_token(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let (user, id) = (call.text("userid").to_owned(), call.text("tokenid").to_owned());
    let access = &mut call.cluster.access;
    let owner = access.users.get_mut(&user).ok_or_else(|| no_user(&user))?;
    owner.tokens.remove(&id).ok_or_else(|| no_token(&user, &id))?;
    let name = format!("{user}!{id}");
    for grants in access.acl.values_mut() {
        grants.retain(|grant| grant.who != name);
    }
    Ok(Reply::null())
}

fn password(call: &mut Call<'_>) -> Served<Reply> {
    let (id, password) = (call.text("userid").to_owned(), call.text("password").to_owned());
    call.cluster.access.users.get_mut(&id).ok_or_else(|| no_user(&id))?.password = Some(password);
    Ok(Reply::null())
}

fn groups(call: &mut Call<'_>) -> Served<Reply> {
    let groups = call.cluster.access.groups.iter();
    let shown = groups.map(|(name, group)| {
        let members: Vec<&str> = group.members.iter().map(String::as_str).collect();
        json!({ "groupid": name, "comment": group.comment, "users": members.join(",") })
    });
    Ok(Reply::from(Value::Array(shown.collect())))
}

fn add_group(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("groupid").to_owned();
    if call.cluster.access.groups.contains_key(&name) {
        return Err(Refusal::die(format!("create group failed: group '{name}' already exists")));
    }
    let group = Group { comment: call.text("comment").to_owned(), ..Group::default() };
    call.cluster.access.groups.insert(name, group);
    Ok(Reply::null())
}

fn remove_group(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("groupid").to_owned();
    let absent = || Refusal::die(format!("delete group failed: group '{name}' does not exist"));
    call.cluster.access.groups.remove(&name).ok_or_else(absent)?;
    Ok(Reply::null())
}

fn roles(call: &mut Call<'_>) -> Served<Reply> {
    let roles = call.cluster.access.roles.iter();
    let shown = roles.map(|(name, role)| {
        let privileges: Vec<&str> = role.privileges.iter().map(String::as_str).collect();
        json!({ "roleid": name, "privs": privileges.join(","), "special": u8::from(role.special) })
    });
    Ok(Reply::from(Value::Array(shown.collect())))
}

fn no_role(name: &str) -> Refusal {
    Refusal::die(format!("role '{name}' does not exist"))
}

fn role(call: &mut Call<'_>) -> Served<Reply> {
    let name = call.text("roleid");
    let role = call.cluster.access.roles.get(name).ok_or_else(|| no_role(name))?;
    let shown: Map<String, Value> = PRIVILEGES
        .iter()
        .filter(|privilege| role.privileges.contains(**privilege))
        .map(|privilege| ((*privilege).to_owned(), json!(1)))
        .collect();
    Ok(Reply::from(Value::Object(shown)))
}

fn add_role(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("roleid").to_owned();
    if call.cluster.access.roles.contains_key(&name) {
        return Err(Refusal::die(format!("create role failed: role '{name}' already exists")));
    }
    let privileges = call.parameters.list("privs").into_iter().collect();
    call.cluster.access.roles.insert(name, Role { privileges, special: false });
    Ok(Reply::null())
}

fn set_role(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("roleid").to_owned();
    let privileges = call.parameters.list("privs");
    let append = call.parameters.is("append");
    let role = call.cluster.access.roles.get_mut(&name).ok_or_else(|| no_role(&name))?;
    if role.special {
        return Err(Refusal::die(format!("auto-generated role '{name}' cannot be modified")));
    }
    if !append {
        role.privileges.clear();
    }
    role.privileges.extend(privileges);
    Ok(Reply::null())
}

fn remove_role(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let name = call.text("roleid").to_owned();
    let special = call.cluster.access.roles.get(&name).ok_or_else(|| no_role(&name))?.special;
    if special {
        return Err(Refusal::die(format!("auto-generated role '{name}' cannot be deleted")));
    }
    call.cluster.access.roles.remove(&name);
    Ok(Reply::null())
}

fn acl(call: &mut Call<'_>) -> Served<Reply> {
    let access = &call.cluster.access;
    let lines = access.acl.iter().flat_map(|(path, grants)| grants.iter().map(move |grant| (path, grant)));
    let seen = lines.filter(|(path, _)| call.cluster.may_any(&call.caller, path, &["Permissions.Modify", "Sys.Audit"]));
    let list = seen.map(|(path, grant)| {
        json!({
            "path": path, "type": grant.kind, "ugid": grant.who, "roleid": grant.role,
            "propagate": u8::from(grant.propagate),
        })
    });
    Ok(Reply::from(Value::Array(list.collect())))
}

fn set_acl(call: &mut Call<'_>) -> Served<Reply> {
    call.cluster.need_quorum()?;
    let path = call.text("path").trim_end_matches('/').to_owned();
    let path = if path.is_empty() { "/".to_owned() } else { path };
    call.need(&path, "Permissions.Modify")?;
    let propagate = call.parameters.get("propagate") != Some("0");
    let failed = |what: String| Refusal::die(format!("ACL update failed: {what} does not exist"));
    let mut grants = Vec::new();
    for role in call.parameters.list("roles") {
        if !call.cluster.access.roles.contains_key(&role) {
            return Err(failed(format!("role '{role}'")));
        }
        for (key, kind) in [("users", "user"), ("groups", "group"), ("tokens", "token")] {
            for who in call.parameters.list(key) {
                let access = &call.cluster.access;
                let known = match (kind, who.split_once('!')) {
                    ("token", Some((user, token))) => {
                        access.users.get(user).is_some_and(|user| user.tokens.contains_key(token))
                    }
                    ("group", _) => access.groups.contains_key(&who),
                    _ => access.users.contains_key(&who),
                };
                if !known {
                    return Err(failed(format!("{kind} '{who}'")));
                }
                grants.push(Grant { kind, who, role: role.clone(), propagate });
            }
        }
    }
    let lines = call.cluster.access.acl.entry(path.clone()).or_default();
    lines.retain(|line| !grants.iter().any(|grant| (&grant.who, &grant.role) == (&line.who, &line.role)));
    if !call.parameters.is("delete") {
        lines.extend(grants);
    }
    if lines.is_empty() {
        call.cluster.access.acl.remove(&path);
    }
    Ok(Reply::null())
}
