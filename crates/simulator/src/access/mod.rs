//! Users, tokens, roles, the tree of grants, tickets.

mod permissions;
mod privileges;
mod tickets;

pub(crate) use privileges::{PRIVILEGES, is_privilege};
pub(crate) use tickets::Credentials;

use crate::clock::Time;
use crate::scenario::Scenario;
use std::collections::{BTreeMap, BTreeSet};

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As in `root@pam`.
    pub(crate) user: String,
    /// The token's id, without its user.
    pub(crate) token: Option<String>,
}

impl Caller {
    /// Whoever asks what needs no credentials.
    pub(crate) fn nobody() -> Self {
        Self { user: String::new(), token: None }
    }

    pub(crate) fn root() -> Self {
        Self { user: "root@pam".to_owned(), token: None }
    }

    /// As in `root@pam!t1`.
    pub(crate) fn name(&self) -> String {
        match &self.token {
            Some(token) => format!("{}!{token}", self.user),
            None => self.user.clone(),
        }
    }

    /// Whether it is `root@pam` itself; its tokens never are.
    pub(crate) fn is_root(&self) -> bool {
        self.token.is_none() && self.user == "root@pam"
    }
}

#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) enabled: bool,
    /// Seconds since 1970; 0 is never.
    pub(crate) expire: i64,
    pub(crate) password: Option<String>,
    /// `comment`, `email`, `firstname`, `lastname`.
    pub(crate) more: BTreeMap<String, String>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

impl User {
    pub(crate) fn new(password: Option<String>) -> Self {
        Self { enabled: true, expire: 0, password, more: BTreeMap::new(), tokens: BTreeMap::new() }
    }

    fn is_usable(&self, now: Time) -> bool {
        self.enabled && (self.expire == 0 || self.expire > now.seconds())
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) secret: String,
    pub(crate) privsep: bool,
    pub(crate) expire: i64,
    pub(crate) comment: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Group {
    pub(crate) comment: String,
    pub(crate) members: BTreeSet<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub(crate) privileges: BTreeSet<String>,
    pub(crate) special: bool,
}

/// One line of the ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// `user`, `group` or `token`.
    pub(crate) kind: &'static str,
    pub(crate) who: String,
    pub(crate) role: String,
    pub(crate) propagate: bool,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) groups: BTreeMap<String, Group>,
    pub(crate) roles: BTreeMap<String, Role>,
    pub(crate) acl: BTreeMap<String, Vec<Grant>>,
    /// Signs tickets.
    secret: String,
}

impl Access {
    pub(crate) fn new(scenario: &Scenario, secret: String) -> Result<Self, String> {
        let mut access = Self {
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            roles: privileges::built_in(scenario.version.starts_with("8.")),
            acl: BTreeMap::new(),
            secret,
        };
        access.users.insert("root@pam".to_owned(), User::new(Some(scenario.root_password.clone())));
        for user in &scenario.users {
            access.users.insert(user.id.clone(), User::new(user.password.clone()));
        }
        for (name, privileges) in &scenario.roles {
            // 9.0 split this one into those for the guest agent.
            let old = |privilege: &str| privilege == "VM.Monitor" && scenario.version.starts_with("8.");
            if let Some(unknown) = privileges.iter().find(|privilege| !is_privilege(privilege) && !old(privilege)) {
                return Err(format!("the role {name} names the privilege {unknown}, which there is not"));
            }
            let role = Role { privileges: privileges.iter().cloned().collect(), special: false };
            access.roles.insert(name.clone(), role);
        }
        for token in &scenario.tokens {
            let named = token.id.split_once('!').and_then(|(user, id)| Some((access.users.get_mut(user)?, id)));
            let (user, id) = named.ok_or_else(|| format!("the token {} has no user", token.id))?;
            let privsep = token.privsep;
            user.tokens
                .insert(id.to_owned(), Token { secret: token.secret.clone(), privsep, expire: 0, comment: None });
        }
        for line in &scenario.acl {
            if !access.roles.contains_key(&line.role) {
                return Err(format!("the grant on {} names the role {}, which there is not", line.path, line.role));
            }
            let (kind, who) = match line.who.strip_prefix('@') {
                Some(group) => ("group", group),
                None if line.who.contains('!') => ("token", line.who.as_str()),
                None => ("user", line.who.as_str()),
            };
            let grant = Grant { kind, who: who.to_owned(), role: line.role.clone(), propagate: line.propagate };
            access.acl.entry(line.path.clone()).or_default().push(grant);
        }
        Ok(access)
    }

    pub(crate) fn token(&self, caller: &Caller) -> Option<&Token> {
        self.users.get(&caller.user)?.tokens.get(caller.token.as_ref()?)
    }

    /// Takes away every grant on a path, as the removal of a guest does.
    pub(crate) fn forget(&mut self, path: &str) {
        self.acl.remove(path);
    }
}
