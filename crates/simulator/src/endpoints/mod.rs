//! What a method does, by families. The crate's documentation says how to add one.

mod access;
mod agent;
mod clone;
mod configure;
mod console;
mod create;
mod destroy;
mod disks;
mod firewall;
mod guests;
mod ha;
mod mappings;
mod migrate;
mod pools;
mod power;
mod resources;
mod sdn;
mod snapshots;
mod storages;
mod system;
mod tasks;

pub(crate) use crate::transport::Reply;
pub(crate) use agent::seed_of;
pub(crate) use firewall::Firewalls;
pub(crate) use ha::Ha;
pub(crate) use sdn::Sdn;

use crate::access::Caller;
use crate::cluster::{Cluster, Guest, Kind, Work};
use crate::refusal::{Refusal, Served};
use crate::schema::{self, Route};
use crate::transport::{Parameters, Upload};
use serde_json::Value;
use std::sync::LazyLock;

/// A request whose parameters are valid, and whose caller may ask.
pub(crate) struct Call<'a> {
    pub(crate) cluster: &'a mut Cluster,
    pub(crate) caller: Caller,
    pub(crate) parameters: Parameters,
    pub(crate) route: &'static Route,
    /// The node that was asked.
    pub(crate) entry: usize,
    /// The node that answers.
    pub(crate) node: usize,
    pub(crate) upload: Option<&'a Upload>,
}

/// What a method does.
type Handler = fn(&mut Call<'_>) -> Served<Reply>;

/// A method that is served.
pub(crate) struct Endpoint {
    method: &'static str,
    /// As the schema writes it.
    path: &'static str,
    /// The type of the task that it forks; empty: none.
    forks: &'static str,
    serve: Handler,
}

const fn at(method: &'static str, path: &'static str, serve: Handler) -> Endpoint {
    Endpoint { method, path, forks: "", serve }
}

const fn forking(method: &'static str, path: &'static str, forks: &'static str, serve: Handler) -> Endpoint {
    Endpoint { method, path, forks, serve }
}

const FAMILIES: &[&[Endpoint]] = &[
    access::ENDPOINTS,
    agent::ENDPOINTS,
    clone::ENDPOINTS,
    configure::ENDPOINTS,
    console::ENDPOINTS,
    create::ENDPOINTS,
    destroy::ENDPOINTS,
    disks::ENDPOINTS,
    firewall::ENDPOINTS,
    guests::ENDPOINTS,
    ha::ENDPOINTS,
    mappings::ENDPOINTS,
    migrate::ENDPOINTS,
    pools::ENDPOINTS,
    power::ENDPOINTS,
    power::NODE_ENDPOINTS,
    resources::ENDPOINTS,
    sdn::ENDPOINTS,
    snapshots::ENDPOINTS,
    storages::ENDPOINTS,
    system::ENDPOINTS,
    tasks::ENDPOINTS,
];

/// The endpoint of every route, by the route's number.
static SERVED: LazyLock<Vec<Option<&'static Endpoint>>> = LazyLock::new(|| {
    let mut served: Vec<Option<&Endpoint>> = schema::routes().iter().map(|_| None).collect();
    for endpoint in FAMILIES.iter().copied().flatten() {
        let slot = schema::route(endpoint.method, endpoint.path).and_then(|route| served.get_mut(route.number));
        if let Some(slot) = slot {
            *slot = Some(endpoint);
        }
    }
    served
});

fn endpoint(route: &Route) -> Option<&'static Endpoint> {
    SERVED.get(route.number).copied().flatten()
}

/// The type of the task that a route forks.
pub(crate) fn forks(route: &Route) -> Option<&'static str> {
    endpoint(route).map(|endpoint| endpoint.forks).filter(|forks| !forks.is_empty())
}

/// Serves a call. What the schema has and the simulator has not says so by its name.
pub(crate) fn dispatch(call: &mut Call<'_>, path: &str) -> Served<Reply> {
    match endpoint(call.route) {
        Some(endpoint) => (endpoint.serve)(call),
        None => Err(Refusal::not_simulated(&call.route.method, path)),
    }
}

/// Method and path of every route, and whether it is served.
pub(crate) fn listed() -> Vec<(String, String, bool)> {
    let seen = |route: &Route| (route.method.clone(), route.path.clone(), endpoint(route).is_some());
    schema::routes().iter().map(seen).collect()
}

impl Call<'_> {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.parameters.text(name)
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.route.path.contains("/lxc") { Kind::Lxc } else { Kind::Qemu }
    }

    pub(crate) fn vmid(&self) -> u32 {
        self.parameters.vmid("vmid").unwrap_or(0)
    }

    /// The guest that the path names.
    pub(crate) fn guest(&self) -> Served<&Guest> {
        self.cluster.guest(self.kind(), self.node, self.vmid())
    }

    /// Its lock property, for whoever may not go on with one.
    pub(crate) fn unlocked(&self) -> Served<()> {
        let guest = self.guest()?;
        match guest.lock() {
            Some(lock) => Err(Refusal::die(format!("{} is locked ({lock})", guest.kind.word()))),
            None => Ok(()),
        }
    }

    pub(crate) fn may(&self, path: &str, privilege: &str) -> bool {
        self.cluster.may(&self.caller, path, privilege)
    }

    pub(crate) fn need(&self, path: &str, privilege: &str) -> Served<()> {
        if self.may(path, privilege) { Ok(()) } else { Err(Refusal::forbidden(&format!("{path}, {privilege}"))) }
    }

    pub(crate) fn need_any(&self, path: &str, privileges: &[&str]) -> Served<()> {
        if self.cluster.may_any(&self.caller, path, privileges) {
            return Ok(());
        }
        Err(Refusal::forbidden(&format!("{path}, {}", privileges.join("|"))))
    }

    /// Forks a task and answers with its UPID.
    pub(crate) fn fork(&mut self, work: Work) -> Served<Reply> {
        let upid = self.cluster.fork(&self.caller, work)?;
        Ok(Reply::from(Value::String(upid)))
    }

    /// The permissions that the schema asks for.
    pub(crate) fn permitted(&self) -> Served<()> {
        if self.route.ticket_only && self.caller.token.is_some() {
            return Err(Refusal::forbidden("API tokens are not allowed here"));
        }
        if self.route.is_root_only() && !self.caller.is_root() {
            return Err(Refusal::forbidden("user != root@pam"));
        }
        match &self.route.check {
            Some(check) if !self.cluster.access.is_almighty(&self.caller) => self.granted(check),
            _ => Ok(()),
        }
    }

    /// One check of the schema, as in `["perm", "/vms/{vmid}", ["VM.Audit"]]`.
    fn granted(&self, check: &Value) -> Served<()> {
        let part = |at: usize| check.get(at).and_then(Value::as_str).unwrap_or_default();
        let inner = || check.as_array().into_iter().flatten().skip(1);
        match part(0) {
            "and" => inner().try_for_each(|check| self.granted(check)),
            "or" if inner().any(|check| self.granted(check).is_ok()) => Ok(()),
            "perm" => self.granted_on(check),
            "userid-param" if part(1) == "self" && self.text("userid") == self.caller.user => Ok(()),
            "userid-param" if part(1) != "self" => {
                let realm = self.text("userid").rsplit('@').next().unwrap_or_default().to_owned();
                self.need(&format!("/access/realm/{realm}"), part(1))
            }
            "userid-group" => {
                let privileges: Vec<&str> =
                    check.get(1).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
                self.need_any("/access/groups", &privileges)
            }
            "perm-modify" => self.need_any(&self.fill(part(1)), &["Permissions.Modify"]),
            _ => Err(Refusal::status(403, "Permission check failed\n")),
        }
    }

    fn granted_on(&self, check: &Value) -> Served<()> {
        let list: Vec<&Value> = check.as_array().into_iter().flatten().collect();
        let path = self.fill(list.get(1).and_then(|path| path.as_str()).unwrap_or("/"));
        let privileges: Vec<&str> =
            list.get(2).and_then(|list| list.as_array()).into_iter().flatten().filter_map(Value::as_str).collect();
        let option =
            |name: &str| list.iter().position(|one| one.as_str() == Some(name)).and_then(|at| list.get(at + 1));
        let required = option("require_param").and_then(|name| name.as_str());
        if required.is_some_and(|name| !self.parameters.has(name)) {
            return Ok(());
        }
        if option("any").is_some() {
            return self.need_any(&path, &privileges);
        }
        privileges.iter().try_for_each(|privilege| self.need(&path, privilege))
    }

    fn fill(&self, template: &str) -> String {
        let mut path = template.to_owned();
        for (name, values) in &self.parameters.0 {
            if let (true, Some(value)) = (path.contains('{'), values.last()) {
                path = path.replace(&format!("{{{name}}}"), value);
            }
        }
        path
    }
}

/// Checks a digest that a client sent along.
pub(crate) fn same_digest(sent: Option<&str>, is: &str, text: &str) -> Served<()> {
    match sent {
        Some(sent) if sent != is => Err(Refusal::die(text)),
        _ => Ok(()),
    }
}
