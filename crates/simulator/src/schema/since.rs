//! What came with which version. Only what is known: whatever is not named here, every version has.

use std::str::FromStr;

/// A version of pve-manager, as in `9.2.3`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    numbers: Vec<u32>,
    pub(crate) text: String,
}

impl Version {
    pub(crate) fn parse(text: &str) -> Self {
        let numbers = text.split(['.', '-']).filter_map(|part| u32::from_str(part).ok()).collect();
        Self { numbers, text: text.to_owned() }
    }

    /// As in `9.2`.
    pub(crate) fn release(&self) -> String {
        self.text.splitn(3, '.').take(2).collect::<Vec<_>>().join(".")
    }

    pub(crate) fn is_at_least(&self, major: u32, minor: u32) -> bool {
        self.numbers.as_slice() >= [major, minor].as_slice()
    }
}

/// Paths that begin so came with this version.
const ENDPOINTS: &[(&str, (u32, u32))] = &[
    ("/cluster/bulk-action", (9, 1)),
    ("/cluster/ha/status/arm-ha", (9, 2)),
    ("/cluster/ha/status/disarm-ha", (9, 2)),
    ("/cluster/ha/rules", (9, 0)),
    ("/cluster/sdn/lock", (9, 0)),
    ("/cluster/sdn/rollback", (9, 0)),
    ("/cluster/sdn/dry-run", (9, 1)),
    ("/cluster/sdn/fabrics", (9, 0)),
    ("/cluster/sdn/prefix-lists", (9, 2)),
    ("/cluster/sdn/route-maps", (9, 2)),
    ("/nodes/{node}/storage/{storage}/oci-registry-pull", (9, 1)),
    ("/nodes/{node}/query-oci-repo-tags", (9, 1)),
];

/// A parameter of paths that begin so came with this version.
const PARAMETERS: &[(&str, &str, (u32, u32))] = &[
    ("/nodes/{node}/qemu", "ha-managed", (9, 1)),
    ("/nodes/{node}/lxc", "ha-managed", (9, 1)),
    ("/nodes/{node}/lxc", "entrypoint", (9, 1)),
    ("/nodes/{node}/lxc", "env", (9, 1)),
    ("/access/users/{userid}/token/{tokenid}", "regenerate", (9, 2)),
    ("/cluster/ha/resources", "failback", (9, 0)),
    ("/cluster/ha/resources", "auto-rebalance", (9, 2)),
    ("/cluster/ha/resources/{sid}", "purge", (9, 1)),
    ("/cluster/sdn", "lock-token", (9, 0)),
];

pub(crate) fn has_endpoint(version: &Version, path: &str) -> bool {
    ENDPOINTS.iter().all(|(prefix, (major, minor))| !path.starts_with(prefix) || version.is_at_least(*major, *minor))
}

pub(crate) fn has_parameter(version: &Version, path: &str, name: &str) -> bool {
    PARAMETERS.iter().all(|(prefix, known, since)| {
        *known != name || !path.starts_with(prefix) || version.is_at_least(since.0, since.1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(Version::parse("9.10.1").is_at_least(9, 2));
        assert!(!Version::parse("8.4.14").is_at_least(9, 0));
        assert_eq!(Version::parse("9.2.3").release(), "9.2");
    }
}
