//! The script of faults: data that says what goes wrong, when, and how often.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One line of the script.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is about.
    #[serde(default)]
    pub when: When,
    /// What happens.
    pub fault: Fault,
    /// How many matches pass unharmed before it begins.
    #[serde(default)]
    pub skip: u32,
    /// How many matches it then hits; `None` means every one.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Rule {
    /// Hits the first match, once.
    pub fn once(when: When, fault: Fault) -> Self {
        Self { when, fault, skip: 0, times: Some(1) }
    }

    /// Hits every match.
    pub fn always(when: When, fault: Fault) -> Self {
        Self { when, fault, skip: 0, times: None }
    }

    /// Lets `skip` matches pass first.
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// Which requests and tasks a [`Rule`] is about. What is not said matches everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct When {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: Option<String>,
    /// The path below `/api2/json`, as in `/nodes/*/qemu/*/clone`: `*` is any one segment, `**` at the end any rest.
    pub path: Option<String>,
    /// The guest that the path or the parameter `vmid` or `newid` names.
    pub vmid: Option<u32>,
    /// The type of the task that the request forks, as in `qmclone`.
    pub task: Option<String>,
    /// The node that the path names.
    pub node: Option<String>,
}

impl When {
    /// Requests of one method to paths like `path`.
    pub fn request(method: &str, path: &str) -> Self {
        Self { method: Some(method.to_owned()), path: Some(path.to_owned()), ..Self::default() }
    }

    /// Requests that fork a task of this type, and the tasks themselves.
    pub fn task(kind: &str) -> Self {
        Self { task: Some(kind.to_owned()), ..Self::default() }
    }

    /// Only about this guest.
    pub fn of(mut self, vmid: u32) -> Self {
        self.vmid = Some(vmid);
        self
    }

    pub(crate) fn matches(&self, seen: &Seen<'_>) -> bool {
        self.method.as_deref().is_none_or(|method| method == seen.method)
            && self.path.as_deref().is_none_or(|pattern| path_matches(pattern, seen.path))
            && self.vmid.is_none_or(|vmid| seen.vmid == Some(vmid) || seen.newid == Some(vmid))
            && self.task.as_deref().is_none_or(|task| seen.task == Some(task))
            && self.node.as_deref().is_none_or(|node| seen.node == Some(node))
    }
}

/// What a rule looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) node: Option<&'a str>,
    pub(crate) vmid: Option<u32>,
    pub(crate) newid: Option<u32>,
    pub(crate) task: Option<&'a str>,
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let mut path = path.split('/');
    for wanted in pattern.split('/') {
        if wanted == "**" {
            return true;
        }
        match path.next() {
            Some(segment) if wanted == "*" || wanted == segment => {}
            _ => return false,
        }
    }
    path.next().is_none()
}

/// Whether a fault comes before the effect or after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// Nothing has happened.
    #[default]
    Before,
    /// It has happened.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Fault {
    /// The request is answered with this, and nothing happens.
    Refuse {
        /// As in 500.
        status: u16,
        /// What PVE would write; the reason phrase is its first line. Empty: an empty body, as 595 has.
        message: String,
    },
    /// Nothing happens, and the connection is held for so long and then closed without an answer.
    Unanswered {
        /// In virtual milliseconds.
        #[serde(default)]
        hold_ms: u64,
    },
    /// It happens, and the connection is closed without an answer. The important one.
    Lost,
    /// It happens, and the proxy answers 596 `Connection timed out`.
    TimedOut,
    /// A lock is not had: 500 `can't lock file '…' - got timeout`, and nothing happens.
    LockTimeout,
    /// The answer comes this much later; past 30 s and through another node it becomes a 596.
    Delay {
        /// In virtual milliseconds.
        ms: u64,
    },
    /// The task ends with this text.
    TaskFails {
        /// What follows `TASK ERROR: `.
        message: String,
        /// Whether its work was done.
        #[serde(default)]
        moment: Moment,
    },
    /// The task does its work and ends `WARNINGS: n`.
    TaskWarns {
        /// Its log gets each as `WARN: …`.
        lines: Vec<String>,
    },
    /// The task goes on, and nobody knows it: 400 `no such task`.
    TaskVanishes,
    /// The worker is killed: `unexpected status`.
    TaskKilled {
        /// Whether its work was done. A killed worker cleans nothing up: locks stay.
        #[serde(default)]
        moment: Moment,
    },
    /// The world changes just before the request is served.
    Deed {
        /// How.
        deed: Deed,
    },
}

/// A change that nobody asked for by the API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "deed")]
pub enum Deed {
    /// The node is gone: its port refuses, its tasks end `unexpected status` when it comes back, its guests stop.
    NodeDies {
        /// Its name.
        node: String,
    },
    /// The node is back.
    NodeReturns {
        /// Its name.
        node: String,
    },
    /// No config can be written.
    QuorumLost,
    /// Configs can be written again.
    QuorumBack,
    /// A storage has no byte left.
    StorageFills {
        /// Its id.
        storage: String,
        /// Where; `None` for a shared one or for every node.
        #[serde(default)]
        node: Option<String>,
    },
    /// Its room is as before it filled.
    StorageEmptied {
        /// Its id.
        storage: String,
    },
    /// Somebody else's guest takes this id.
    StrangerTakes {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
    },
    /// The guest is gone, with its disks.
    GuestDeleted {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
    },
    /// The guest is on another node.
    GuestMoved {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
        /// Where it is now.
        to: String,
    },
    /// Somebody else changed the guest's config: its description is now this.
    GuestEdited {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
        /// The new description.
        description: String,
    },
    /// The guest stopped by itself.
    GuestStops {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
    },
    /// The guest's agent answers no more, or again.
    AgentDies {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
    },
    /// The config property `lock` is set, as a killed worker leaves it; an empty one removes it.
    LockLeft {
        /// `None`: the guest that the matched request names.
        #[serde(default)]
        vmid: Option<u32>,
        /// As in `clone`.
        lock: String,
    },
}

/// The name of a rule in the script.
pub type RuleId = u64;

/// The script, and how far it has come.
#[derive(Debug, Default)]
pub(crate) struct Script {
    rules: Vec<Scripted>,
    next: RuleId,
}

#[derive(Clone, Debug)]
struct Scripted {
    id: RuleId,
    rule: Rule,
    matched: u32,
    hits: u32,
}

/// A rule as the control port lists it.
#[derive(Clone, Debug, Serialize)]
pub struct RuleSeen {
    /// Its name.
    pub id: RuleId,
    /// What it says.
    pub rule: Rule,
    /// How often it has hit.
    pub hits: u32,
}

impl Script {
    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        self.next += 1;
        self.rules.push(Scripted { id: self.next, rule, matched: 0, hits: 0 });
        self.next
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    pub(crate) fn list(&self) -> Vec<RuleSeen> {
        self.rules.iter().map(|one| RuleSeen { id: one.id, rule: one.rule.clone(), hits: one.hits }).collect()
    }

    /// Every fault that hits this request or the task it forks, in the order of the script.
    pub(crate) fn hits(&mut self, seen: &Seen<'_>) -> Vec<Fault> {
        let mut faults = Vec::new();
        for one in &mut self.rules {
            if one.rule.times.is_some_and(|times| one.hits >= times) || !one.rule.when.matches(seen) {
                continue;
            }
            one.matched += 1;
            if one.matched > one.rule.skip {
                one.hits += 1;
                faults.push(one.rule.fault.clone());
            }
        }
        faults
    }
}

/// What is to happen to one request, gathered from every rule that hit it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    pub(crate) deeds: Vec<Deed>,
    pub(crate) refuse: Option<(u16, String)>,
    pub(crate) unanswered: Option<Duration>,
    pub(crate) lost: bool,
    pub(crate) timed_out: bool,
    pub(crate) lock_timeout: bool,
    pub(crate) delay: Duration,
    pub(crate) task: Option<Fault>,
}

impl Fate {
    pub(crate) fn of(faults: Vec<Fault>) -> Self {
        let mut fate = Self::default();
        for fault in faults {
            match fault {
                Fault::Refuse { status, message } => fate.refuse = Some((status, message)),
                Fault::Unanswered { hold_ms } => fate.unanswered = Some(Duration::from_millis(hold_ms)),
                Fault::Lost => fate.lost = true,
                Fault::TimedOut => fate.timed_out = true,
                Fault::LockTimeout => fate.lock_timeout = true,
                Fault::Delay { ms } => fate.delay += Duration::from_millis(ms),
                Fault::Deed { deed } => fate.deeds.push(deed),
                fault => fate.task = Some(fault),
            }
        }
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(path: &str) -> Seen<'_> {
        Seen { method: "POST", path, node: Some("pve1"), vmid: Some(100), newid: None, task: Some("qmstart") }
    }

    #[test]
    fn a_rule_hits_after_its_skips_and_as_often_as_it_says() {
        let mut script = Script::default();
        let id = script.add(Rule::once(When::task("qmstart"), Fault::Lost).after(1));
        let hits: Vec<usize> = (0..3).map(|_| script.hits(&seen("/nodes/pve1/qemu/100/status/start")).len()).collect();
        assert_eq!(hits, [0, 1, 0]);
        assert_eq!(script.list().iter().map(|rule| (rule.id, rule.hits)).collect::<Vec<_>>(), [(id, 1)]);
    }

    #[test]
    fn a_star_is_one_segment() {
        assert!(path_matches("/nodes/*/qemu", "/nodes/pve1/qemu"));
        assert!(!path_matches("/nodes/*/qemu", "/nodes/pve1/qemu/100"));
        assert!(path_matches("/nodes/**", "/nodes/pve1/qemu/100"));
        assert!(!path_matches("/pools", "/nodes"));
    }

    #[test]
    fn another_guest_is_not_meant() {
        assert!(!When::default().of(101).matches(&seen("/x")));
        assert!(When::default().of(100).matches(&seen("/x")));
    }

    #[test]
    fn a_rule_is_data() {
        let text =
            r#"{"when": {"task": "qmclone"}, "fault": {"kind": "task_fails", "message": "got timeout"}, "times": 2}"#;
        let rule: Rule = serde_json::from_str(text).unwrap();
        assert!(matches!(rule.fault, Fault::TaskFails { moment: Moment::Before, .. }));
    }
}
