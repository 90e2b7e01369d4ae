//! Who may what: the tree of grants, pools, and the intersection with a token's own grants.

use super::{Access, Caller};
use std::collections::{BTreeMap, BTreeSet};

/// Privileges on a path, and whether each holds below it as well.
pub(crate) type Granted = BTreeMap<String, bool>;

/// Pools by member: `/vms/100` and `/storage/local` to the pool's name.
pub(crate) type PoolOf<'a> = &'a dyn Fn(&str) -> Option<String>;

impl Access {
    /// Everything that the caller may on this path.
    pub(crate) fn granted(&self, caller: &Caller, path: &str, pool_of: PoolOf<'_>) -> Granted {
        if self.is_almighty(caller) {
            return super::PRIVILEGES.iter().map(|privilege| ((*privilege).to_owned(), true)).collect();
        }
        let of_user = self.privileges("user", &caller.user, path, pool_of);
        match self.token(caller) {
            Some(token) if token.privsep => {
                let own = self.privileges("token", &caller.name(), path, pool_of);
                let both = |(name, propagate): (String, bool)| own.get(&name).map(|mine| (name, *mine && propagate));
                if caller.user == "root@pam" { own } else { of_user.into_iter().filter_map(both).collect() }
            }
            _ => of_user,
        }
    }

    /// Whether one privilege is granted; the same as looking for it in [`Access::granted`].
    pub(crate) fn may(&self, caller: &Caller, path: &str, privilege: &str, pool_of: PoolOf<'_>) -> bool {
        self.is_almighty(caller) || self.granted(caller, path, pool_of).contains_key(privilege)
    }

    /// `root@pam`, and tokens that share its rights.
    pub(crate) fn is_almighty(&self, caller: &Caller) -> bool {
        caller.user == "root@pam" && self.token(caller).is_none_or(|token| !token.privsep)
    }

    fn privileges(&self, kind: &str, who: &str, path: &str, pool_of: PoolOf<'_>) -> Granted {
        let mut granted = Granted::new();
        let roles = self.roles_on(kind, who, path);
        if roles.contains_key("NoAccess") {
            return granted;
        }
        self.gather(&roles, &mut granted);
        if let Some(pool) = pool_of(path) {
            let roles = self.roles_on(kind, who, &format!("/pool/{pool}"));
            if !roles.contains_key("NoAccess") {
                self.gather(&roles, &mut granted);
            }
        }
        granted
    }

    fn gather(&self, roles: &BTreeMap<String, bool>, granted: &mut Granted) {
        for (role, propagate) in roles {
            for privilege in self.roles.get(role).iter().flat_map(|role| &role.privileges) {
                let there = granted.entry(privilege.clone()).or_default();
                *there |= propagate;
            }
        }
    }

    /// The roles on a path. A deeper level replaces what a higher one gave; a user's own grants replace its groups'.
    fn roles_on(&self, kind: &str, who: &str, path: &str) -> BTreeMap<String, bool> {
        let mut roles = BTreeMap::new();
        let groups: BTreeSet<&str> = match kind {
            "user" => self
                .groups
                .iter()
                .filter(|(_, group)| group.members.contains(who))
                .map(|(name, _)| name.as_str())
                .collect(),
            _ => BTreeSet::new(),
        };
        for level in levels(path) {
            let Some(grants) = self.acl.get(level) else { continue };
            let here = |wanted: &dyn Fn(&super::Grant) -> bool| -> BTreeMap<String, bool> {
                let counts = |grant: &&super::Grant| wanted(grant) && (grant.propagate || level == path);
                grants.iter().filter(counts).map(|grant| (grant.role.clone(), grant.propagate)).collect()
            };
            let mut found = here(&|grant| grant.kind == kind && grant.who == who);
            if found.is_empty() {
                found = here(&|grant| grant.kind == "group" && groups.contains(grant.who.as_str()));
            }
            if !found.is_empty() {
                roles = found;
            }
        }
        roles
    }
}

/// `/`, `/vms`, `/vms/100`.
fn levels(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.match_indices('/').skip(1).map(|(at, _)| path.get(..at).unwrap_or(path));
    let root = std::iter::once("/");
    let itself = (path != "/").then_some(path);
    root.chain(inner).chain(itself)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{AclSpec, Scenario, TokenSpec, UserSpec};

    fn access(grants: &[(&str, &str, &str)]) -> Access {
        let scenario = Scenario {
            users: vec![UserSpec { id: "a@pve".to_owned(), password: None }],
            tokens: vec![TokenSpec { id: "a@pve!t".to_owned(), secret: "s".to_owned(), privsep: true }],
            acl: grants
                .iter()
                .map(|(path, who, role)| AclSpec {
                    path: (*path).to_owned(),
                    who: (*who).to_owned(),
                    role: (*role).to_owned(),
                    propagate: true,
                })
                .collect(),
            ..Scenario::default()
        };
        Access::new(&scenario, String::new()).unwrap()
    }

    fn caller(token: Option<&str>) -> Caller {
        Caller { user: "a@pve".to_owned(), token: token.map(str::to_owned) }
    }

    #[test]
    fn a_deeper_grant_replaces() {
        let access = access(&[("/", "a@pve", "PVEVMAdmin"), ("/vms/100", "a@pve", "NoAccess")]);
        assert!(access.may(&caller(None), "/vms/101", "VM.Audit", &|_| None));
        assert!(!access.may(&caller(None), "/vms/100", "VM.Audit", &|_| None));
    }

    #[test]
    fn a_separated_token_has_what_both_have() {
        let access = access(&[("/vms", "a@pve", "PVEVMUser"), ("/", "a@pve!t", "PVEAuditor")]);
        let granted = access.granted(&caller(Some("t")), "/vms/100", &|_| None);
        assert_eq!(granted.keys().map(String::as_str).collect::<Vec<_>>(), ["VM.Audit", "VM.GuestAgent.Audit"]);
        assert!(access.granted(&caller(Some("t")), "/storage/x", &|_| None).is_empty());
    }

    #[test]
    fn a_pool_grants_on_its_members() {
        let access = access(&[("/pool/p", "a@pve", "PVEVMAdmin")]);
        let pool_of = |path: &str| (path == "/vms/100").then(|| "p".to_owned());
        assert!(access.may(&caller(None), "/vms/100", "VM.Allocate", &pool_of));
        assert!(!access.may(&caller(None), "/vms/101", "VM.Allocate", &pool_of));
    }

    #[test]
    fn levels_begin_at_the_root() {
        assert_eq!(levels("/a/b").collect::<Vec<_>>(), ["/", "/a", "/a/b"]);
        assert_eq!(levels("/").collect::<Vec<_>>(), ["/"]);
    }
}
