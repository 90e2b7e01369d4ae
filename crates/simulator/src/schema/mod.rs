//! The 675 endpoints: routing, parameters, permissions.
//!
//! `data/schema.json` is written by `examples/compact_schema.rs`: `{pve, specs: [parameter], routes: [{path, method,
//! parameters: {name: number of its spec}, check or user, node, protected, ticket_only, returns}]}`.

mod check;
mod formats;
mod since;

pub(crate) use check::check;

use crate::transport::Parameters;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

pub(crate) use since::Version;

/// One method of one path.
#[derive(Debug, Deserialize)]
pub(crate) struct Route {
    pub(crate) path: String,
    pub(crate) method: String,
    pub(crate) parameters: BTreeMap<String, usize>,
    #[serde(default)]
    pub(crate) check: Option<Value>,
    #[serde(default)]
    user: Option<String>,
    #[serde(default, rename = "node", deserialize_with = "truth")]
    pub(crate) on_node: bool,
    #[serde(default, deserialize_with = "truth")]
    pub(crate) ticket_only: bool,
    /// Its place in the table.
    #[serde(skip)]
    pub(crate) number: usize,
    /// Parameters by their name, after `net[n]` became `net`.
    #[serde(skip)]
    indexed: BTreeMap<String, usize>,
}

fn truth<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(u8::deserialize(deserializer)? == 1)
}

impl Route {
    /// Whether it needs no credentials.
    pub(crate) fn is_open(&self) -> bool {
        self.user.as_deref() == Some("world")
    }

    /// Whether only a ticket of `root@pam` opens it.
    pub(crate) fn is_root_only(&self) -> bool {
        self.check.is_none() && self.user.is_none()
    }

    /// The parameter of this name; `net0` is found as `net[n]`.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'static Spec> {
        let number = self.parameters.get(name).or_else(|| {
            let stem = name.trim_end_matches(|digit: char| digit.is_ascii_digit());
            if stem.len() == name.len() { None } else { self.indexed.get(stem) }
        });
        number.and_then(|number| TABLE.specs.get(*number))
    }

    /// The names of the parameters that must be there.
    pub(crate) fn required(&self) -> impl Iterator<Item = &str> {
        let required = |number: &usize| TABLE.specs.get(*number).is_some_and(|spec| !spec.optional);
        self.parameters.iter().filter(move |(_, number)| required(number)).map(|(name, _)| name.as_str())
    }
}

/// What a parameter may be.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Spec {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "truth")]
    pub(crate) optional: bool,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) min_length: Option<usize>,
    pub(crate) max_length: Option<usize>,
    #[serde(rename = "enum")]
    pub(crate) values: Option<Vec<Value>>,
    pub(crate) pattern: Option<String>,
    pub(crate) format: Option<String>,
    pub(crate) properties: Option<BTreeMap<String, Spec>>,
    pub(crate) items: Option<Box<Spec>>,
    #[serde(rename = "default_key", deserialize_with = "truth")]
    pub(crate) is_default_key: bool,
    pub(crate) alias: Option<String>,
    pub(crate) key_alias: Option<String>,
    /// Its pattern, compiled.
    #[serde(skip)]
    pub(crate) expression: Option<regex::Regex>,
}

#[derive(Deserialize)]
struct Table {
    specs: Vec<Spec>,
    routes: Vec<Route>,
    #[serde(skip)]
    root: Branch,
}

#[derive(Default)]
struct Branch {
    literal: HashMap<String, Branch>,
    variable: Option<(String, Box<Branch>)>,
    methods: HashMap<String, usize>,
}

/// Compiles the pattern of a parameter, of its properties and of its items.
fn compile(spec: &mut Spec) {
    spec.expression = spec.pattern.as_deref().and_then(formats::expression);
    spec.properties.iter_mut().flat_map(BTreeMap::values_mut).for_each(compile);
    spec.items.as_deref_mut().into_iter().for_each(compile);
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    // BUG: a committed file that does not parse yields a table without routes, which every test notices.
    let mut table: Table = serde_json::from_str(include_str!("../../data/schema.json")).unwrap_or_else(|_| Table {
        specs: Vec::new(),
        routes: Vec::new(),
        root: Branch::default(),
    });
    for spec in &mut table.specs {
        compile(spec);
    }
    for (number, route) in table.routes.iter_mut().enumerate() {
        route.number = number;
        route.indexed = route
            .parameters
            .iter()
            .filter_map(|(name, spec)| Some((name.strip_suffix("[n]")?.to_owned(), *spec)))
            .collect();
        let mut branch = &mut table.root;
        for segment in route.path.split('/').skip(1) {
            branch = match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
                Some(name) => &mut branch.variable.get_or_insert_with(|| (name.to_owned(), Box::default())).1,
                None => branch.literal.entry(segment.to_owned()).or_default(),
            };
        }
        branch.methods.insert(route.method.clone(), number);
    }
    table
});

/// A route, and what its path says.
pub(crate) struct Found {
    pub(crate) route: &'static Route,
    pub(crate) parameters: Parameters,
}

/// Every route.
pub(crate) fn routes() -> &'static [Route] {
    &TABLE.routes
}

/// The route of a decoded path, if the version has it.
pub(crate) fn find(method: &str, path: &str, version: &Version) -> Option<Found> {
    let mut branch = &TABLE.root;
    let mut values: Vec<&str> = Vec::new();
    let mut rest = path.trim_matches('/');
    while !rest.is_empty() {
        let (segment, tail) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(next) = branch.literal.get(segment) {
            (branch, rest) = (next, tail);
        } else {
            let (name, next) = branch.variable.as_ref()?;
            // These two have slashes of their own, and nothing below them.
            let swallows = matches!(name.as_str(), "volume" | "cidr");
            values.push(if swallows { rest } else { segment });
            rest = if swallows { "" } else { tail };
            branch = next;
        }
    }
    let route = TABLE.routes.get(*branch.methods.get(method)?)?;
    if !since::has_endpoint(version, &route.path) {
        return None;
    }
    let mut parameters = Parameters::default();
    let names = route.path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    for (name, value) in names.zip(values) {
        parameters.set(name, value);
    }
    Some(Found { route, parameters })
}

/// A config value as the API types it: numbers and switches are numbers, everything else is text.
pub(crate) fn typed(route: &Route, name: &str, value: &str) -> Value {
    match route.parameter(name).and_then(|spec| spec.kind.as_deref()) {
        Some("integer" | "boolean") => value.parse::<i64>().map_or_else(|_| Value::from(value), Value::from),
        Some("number") => value.parse::<f64>().map_or_else(|_| Value::from(value), Value::from),
        _ => Value::from(value),
    }
}

/// The route of a path template, as in `POST /nodes/{node}/qemu`.
pub(crate) fn route(method: &str, path: &str) -> Option<&'static Route> {
    static BY_NAME: LazyLock<HashMap<(&str, &str), &Route>> = LazyLock::new(|| {
        TABLE.routes.iter().map(|route| ((route.method.as_str(), route.path.as_str()), route)).collect()
    });
    BY_NAME.get(&(method, path)).copied()
}

/// The errors of several parameters.
pub(crate) type Errors = Map<String, Value>;

#[cfg(test)]
mod tests {
    use super::*;

    fn version() -> Version {
        Version::parse("9.2.3")
    }

    #[test]
    fn the_whole_schema_is_there() {
        assert_eq!(routes().len(), 675);
    }

    #[test]
    fn a_volume_and_a_network_have_slashes() {
        let found = find("DELETE", "/nodes/pve1/storage/local/content/local:iso/none.iso", &version()).unwrap();
        assert_eq!(found.parameters.get("volume"), Some("local:iso/none.iso"));
        assert!(find("GET", "/nope", &version()).is_none());
        assert!(find("PUT", "/version", &version()).is_none());
    }

    #[test]
    fn an_older_version_does_not_know_what_came_later() {
        assert!(find("POST", "/cluster/bulk-action/guest/start", &Version::parse("9.0.3")).is_none());
        assert!(find("POST", "/cluster/bulk-action/guest/start", &version()).is_some());
    }
}
