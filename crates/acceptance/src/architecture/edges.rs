//! The edges between the crates, read from `cargo metadata`.

use super::Finding;
use crate::workspace;
use serde::Deserialize;
use std::collections::{BTreeSet, HashMap};
use tokio::process::Command;

/// Every edge that may be. A crate that is not named here may know nothing and be known by nobody.
/// `providers/*` stands for every crate below `crates/providers`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("store", &["model"]),
    ("workflow", &["store", "model"]),
    ("provider", &["model"]),
    ("providers/*", &["provider", "model"]),
    ("cloud", &["workflow", "store", "provider", "model"]),
    ("wire", &["model"]),
    ("api", &["cloud", "store", "wire", "model"]),
    ("cairnd", &["api", "cloud", "workflow", "store", "provider", "providers/*", "simulator", "wire", "model"]),
    ("cairn", &["wire", "model"]),
    // It plays the other side: were it to share our provider's types, it would share our mistakes.
    ("simulator", &["model"]),
    // Writes source files from published descriptions; knows nothing of the product.
    ("xtask", &[]),
    // Test-only: it may look at everything, and nobody may look at it.
    (
        "acceptance",
        &[
            "api",
            "cloud",
            "workflow",
            "store",
            "provider",
            "providers/*",
            "wire",
            "model",
            "simulator",
            "cairnd",
            "cairn",
        ],
    ),
    // Test-only like it: the load generator, the stopwatch, a provider that costs nothing and a cluster that waits for nothing.
    ("bench", &["api", "cloud", "workflow", "store", "provider", "providers/*", "simulator", "model"]),
];

/// What must not be below a crate, at any depth.
const ABSENT: &[(&str, &[&str], &str)] = &[(
    "model",
    &["tokio", "sqlx", "sqlx-core", "reqwest", "hyper", "axum", "mio"],
    "model does no I/O, so none of what does it stands below it",
)];

const EDGE: &str = "only the edges of the table in acceptance/src/architecture/edges.rs";
const TESTING: &str = "test support (a feature named testing) is for [dev-dependencies] and for acceptance";

/// A crate of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crate {
    /// Its package name.
    pub name: String,
    /// Where it stands below `crates/`.
    pub directory: String,
    /// What it depends on outside of its tests: name and features.
    pub normal: Vec<(String, Vec<String>)>,
    /// Everything below it, at any depth, outside of its tests.
    pub below: BTreeSet<String>,
}

impl Crate {
    /// The name it has in the table.
    fn role(&self) -> &str {
        if self.directory.starts_with("providers/") { "providers/*" } else { &self.name }
    }
}

/// Every edge that is not allowed.
pub fn forbidden_edges(crates: &[Crate]) -> Vec<Finding> {
    let roles: HashMap<&str, &str> = crates.iter().map(|one| (one.name.as_str(), one.role())).collect();
    let mut findings = Vec::new();
    for one in crates {
        let Some((_, allowed)) = ALLOWED.iter().find(|(role, _)| *role == one.role()) else {
            findings.push(finding(EDGE, one, "is not in the table"));
            continue;
        };
        for (name, _) in &one.normal {
            if let Some(role) = roles.get(name.as_str())
                && !allowed.contains(role)
            {
                findings.push(finding(EDGE, one, &format!("depends on {name}")));
            }
        }
    }
    findings
}

/// What stands below a crate that must not know of it.
pub fn forbidden_below(crates: &[Crate]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, absent, rule) in ABSENT {
        let found = crates.iter().filter(|one| one.name == *name);
        for one in found {
            let there = absent.iter().filter(|absent| one.below.contains(**absent));
            findings.extend(there.map(|there| finding(rule, one, &format!("{there} stands below it"))));
        }
    }
    findings
}

/// Product code that asks for test support.
pub fn testing_in_product(crates: &[Crate]) -> Vec<Finding> {
    let product = crates.iter().filter(|one| one.name != "acceptance");
    product
        .flat_map(|one| {
            let asks = one.normal.iter().filter(|(_, features)| features.iter().any(|feature| feature == "testing"));
            asks.map(|(name, _)| finding(TESTING, one, &format!("asks for {name}/testing")))
        })
        .collect()
}

fn finding(rule: &'static str, one: &Crate, what: &str) -> Finding {
    Finding { rule, place: format!("crates/{}/Cargo.toml", one.directory), what: what.to_owned() }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    features: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// The crates of this workspace.
pub async fn crates() -> Vec<Crate> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // Only this platform's dependencies: the others' are not downloaded by a build, and nothing is downloaded here.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(workspace())
        .output()
        .await
        .expect("run cargo metadata");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    read(&metadata)
}

fn read(metadata: &Metadata) -> Vec<Crate> {
    let members = metadata.packages.iter().filter(|package| metadata.workspace_members.contains(&package.id));
    members
        .map(|package| Crate {
            name: package.name.clone(),
            directory: directory(&package.manifest_path),
            normal: package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind.as_deref() != Some("dev"))
                .map(|dependency| (dependency.name.clone(), dependency.features.clone()))
                .collect(),
            below: below(metadata, &package.id),
        })
        .collect()
}

fn directory(manifest: &str) -> String {
    let inside = manifest.rsplit_once("/crates/").map_or(manifest, |(_, inside)| inside);
    inside.trim_end_matches("/Cargo.toml").to_owned()
}

fn below(metadata: &Metadata, root: &str) -> BTreeSet<String> {
    let nodes: HashMap<&str, &Node> = metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let names: HashMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let mut reached = BTreeSet::new();
    let mut pending = vec![root];
    while let Some(id) = pending.pop() {
        let normal = nodes
            .get(id)
            .into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev")));
        pending.extend(normal.map(|dependency| dependency.pkg.as_str()).filter(|id| reached.insert(*id)));
    }
    reached.into_iter().filter_map(|id| names.get(id).map(|name| (*name).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, normal: &[&str]) -> Crate {
        let edges = normal.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
        Crate { name: name.to_owned(), directory: name.to_owned(), normal: edges, below: BTreeSet::new() }
    }

    fn qemu(normal: &[&str]) -> Crate {
        Crate { directory: "providers/qemu".to_owned(), ..one("provider-qemu", normal) }
    }

    #[test]
    fn the_plan_itself_is_allowed() {
        let crates = [
            one("model", &["serde"]),
            one("store", &["model", "sqlx"]),
            one("provider", &["model"]),
            qemu(&["provider", "model", "tokio"]),
            one("cairnd", &["store", "provider-qemu"]),
        ];
        assert_eq!(forbidden_edges(&crates), []);
    }

    #[test]
    fn every_other_edge_is_found() {
        let crates = [
            one("model", &["store"]),
            one("store", &[]),
            qemu(&["store"]),
            one("api", &["provider-qemu"]),
            one("odd", &[]),
        ];
        let found: Vec<String> =
            forbidden_edges(&crates).into_iter().map(|finding| format!("{} {}", finding.place, finding.what)).collect();
        assert_eq!(
            found,
            [
                "crates/model/Cargo.toml depends on store",
                "crates/providers/qemu/Cargo.toml depends on store",
                "crates/api/Cargo.toml depends on provider-qemu",
                "crates/odd/Cargo.toml is not in the table",
            ]
        );
    }

    #[test]
    fn no_crate_may_name_what_only_tests() {
        assert!(ALLOWED.iter().all(|(_, allowed)| !allowed.contains(&"acceptance") && !allowed.contains(&"bench")));
    }

    #[test]
    fn what_does_io_is_found_below_the_model() {
        let mut model = one("model", &["innocent"]);
        model.below = ["innocent", "tokio"].map(str::to_owned).into();
        assert_eq!(forbidden_below(&[model]).len(), 1);
        assert_eq!(forbidden_below(&[one("model", &["serde"])]), []);
    }

    #[test]
    fn test_support_in_the_product_is_found() {
        let asking =
            |name: &str| Crate { normal: vec![("store".to_owned(), vec!["testing".to_owned()])], ..one(name, &[]) };
        assert_eq!(testing_in_product(&[asking("acceptance"), asking("cairnd")]).len(), 1);
    }

    #[test]
    fn what_only_tests_need_does_not_stand_below() {
        let text = r#"{"workspace_members": ["a"], "packages": [
            {"id": "a", "name": "model", "manifest_path": "/x/crates/model/Cargo.toml", "dependencies": [
                {"name": "tokio", "kind": "dev", "features": []}, {"name": "serde", "kind": null, "features": []}]},
            {"id": "b", "name": "tokio", "manifest_path": "/r/tokio/Cargo.toml", "dependencies": []},
            {"id": "c", "name": "serde", "manifest_path": "/r/serde/Cargo.toml", "dependencies": []}],
            "resolve": {"nodes": [{"id": "a", "deps": [
                {"pkg": "b", "dep_kinds": [{"kind": "dev"}]}, {"pkg": "c", "dep_kinds": [{"kind": null}]}]}]}}"#;
        let crates = read(&serde_json::from_str(text).unwrap());
        assert_eq!(crates[0].below, ["serde".to_owned()].into());
        assert_eq!(crates[0].normal, [("serde".to_owned(), Vec::new())]);
        assert_eq!(crates[0].directory, "model");
    }
}
