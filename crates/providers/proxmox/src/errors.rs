//! The one place where what Proxmox said becomes a [`Fault`]. Its status codes carry next to nothing (what is absent,
//! taken or busy is a 500 each), so the text decides; nothing else in this crate looks at one.

use provider::{Fault, FaultKind};
use std::collections::BTreeMap;

/// A request that was not answered with success.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Failed {
    /// Nothing was sent: it may be tried again anywhere.
    NeverSent(String),
    /// It may have taken effect.
    Unknown(String),
    /// It was answered with a no.
    Answered(Refusal),
}

/// A no.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: u16,
    /// What it says, over several lines perhaps.
    pub(crate) message: String,
    /// What is wrong with which parameter.
    pub(crate) errors: BTreeMap<String, String>,
}

/// What a text means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// There is no such thing.
    Absent,
    /// There is such a thing already.
    Exists,
    /// The guest has a lock in its configuration.
    Locked,
    /// A lock of the host or the storage was not had in time, or a connection of the host's failed.
    Busy,
    /// It was changed since we looked.
    Stale,
    /// The cluster has no majority.
    NoQuorum,
    /// No room.
    Full,
    /// Something still depends on it.
    InUse,
    /// It runs already.
    Running,
    /// It does not run.
    NotRunning,
    /// No such task.
    NoTask,
    /// The task's worker died: nobody knows.
    Outcome,
    /// Someone has SDN changes that are not applied, or holds the SDN lock.
    Pending,
    /// We are not who we say.
    Stranger,
    /// We may not.
    Denied,
    /// A parameter is wrong.
    Input,
    /// There is no such operation.
    Unimplemented,
    /// Something else.
    Other,
}

/// What the text must hold, and what it means then; the first that fits decides. All pieces have to be there.
const TEXTS: &[(&[&str], Said)] = &[
    (&["no such task"], Said::NoTask),
    (&["unexpected status"], Said::Outcome),
    (&["unable to get last line from task log"], Said::Outcome),
    (&["received interrupt"], Said::Outcome),
    (&["no quorum"], Said::NoQuorum),
    (&["invalid lock token"], Said::Pending),
    (&["sdn", "lock"], Said::Pending),
    (&["pending changes"], Said::Pending),
    (&["checksum mismatch (file change"], Said::Stale),
    (&["detected modified configuration"], Said::Stale),
    (&["is locked ("], Said::Locked),
    (&["no space left on device"], Said::Full),
    (&["disk quota exceeded"], Said::Full),
    (&["out of space"], Said::Full),
    (&["insufficient free space"], Said::Full),
    (&["not enough free"], Said::Full),
    (&["cannot allocate memory"], Said::Full),
    (&["could not find a free device"], Said::Full),
    (&["pci device", "already in use by vmid"], Said::Full),
    (&["pci device", "reserved for use by vmid"], Said::Full),
    (&["pci device mapping not found"], Said::Full),
    (&["got timeout"], Said::Busy),
    (&["got lock request timeout"], Said::Busy),
    (&["locked command timed out"], Said::Busy),
    (&["got no worker upid"], Said::Busy),
    (&["starting worker failed"], Said::Busy),
    (&["trying to acquire"], Said::Busy),
    (&["connection refused"], Said::Busy),
    (&["connection timed out"], Said::Busy),
    (&["no route to host"], Said::Busy),
    (&["still in use"], Said::InUse),
    (&["already running"], Said::Running),
    (&["not running"], Said::NotRunning),
    (&["already exists"], Said::Exists),
    (&["file exists"], Said::Exists),
    (&["already defined"], Said::Exists),
    (&["configuration file", "does not exist"], Said::Absent),
    (&["unable to find configuration file"], Said::Absent),
    (&["no such"], Said::Absent),
    (&["only root can"], Said::Denied),
];

/// What a text means; `status` where it came with one.
pub(crate) fn said(status: Option<u16>, message: &str, errors: &BTreeMap<String, String>) -> Said {
    let text = errors.values().fold(message.to_lowercase(), |text, error| text + "\n" + &error.to_lowercase());
    // What we may not see has a text of its own liking.
    match status {
        Some(401) => return Said::Stranger,
        Some(403) => return Said::Denied,
        Some(501) => return Said::Unimplemented,
        _ => {}
    }
    let found = TEXTS.iter().find(|(pieces, _)| pieces.iter().all(|piece| text.contains(piece)));
    match (found, status) {
        (Some((_, said)), _) => *said,
        (None, Some(400)) => Said::Input,
        (None, _) => Said::Other,
    }
}

impl Said {
    /// What happens next.
    fn kind(self) -> FaultKind {
        match self {
            Self::Locked | Self::Busy | Self::Stale | Self::NoQuorum | Self::Pending | Self::InUse => {
                FaultKind::Transient
            }
            // The operator renews the token, and what waits goes on.
            Self::Stranger => FaultKind::Transient,
            // Somebody was quicker, or it is gone: look again.
            Self::Exists | Self::Absent | Self::Running | Self::NotRunning | Self::NoTask | Self::Outcome => {
                FaultKind::Unknown
            }
            Self::Full => FaultKind::Full,
            Self::Denied | Self::Input | Self::Other => FaultKind::Refused,
            Self::Unimplemented => FaultKind::Bug,
        }
    }
}

impl Refusal {
    /// What it means.
    pub(crate) fn said(&self) -> Said {
        said(Some(self.status), &self.message, &self.errors)
    }

    fn sentence(&self) -> String {
        let mut sentence = format!("{} {}", self.status, self.message.trim()).trim_end().to_owned();
        for (parameter, error) in &self.errors {
            sentence = format!("{sentence}; {parameter}: {}", error.trim());
        }
        sentence
    }
}

impl Failed {
    /// What it means, where something was said.
    pub(crate) fn said(&self) -> Option<Said> {
        match self {
            Self::Answered(refusal) => Some(refusal.said()),
            _ => None,
        }
    }

    /// As a fault; `doing` says what was tried.
    pub(crate) fn fault(&self, doing: &str) -> Fault {
        match self {
            Self::NeverSent(why) => Fault::transient(format!("{why} ({doing} was not sent)")),
            Self::Unknown(why) => Fault::unknown(format!("{doing}: no answer: {why}")),
            Self::Answered(refusal) => {
                let said = refusal.said();
                let advice = match (said, refusal.status) {
                    (Said::Stranger, _) => {
                        ". The cluster does not know the token, it has expired, or its secret is wrong: put a valid one into \
                         the region"
                    }
                    (Said::Denied, 403) => ". The token lacks this right; a test of the region names all that it lacks",
                    _ => "",
                };
                Fault { kind: said.kind(), detail: format!("{doing}: {}{advice}", refusal.sentence()) }
            }
        }
    }
}

/// How a task ended.
pub(crate) enum Ended {
    /// Well; with so many warnings.
    Well { warnings: bool },
    /// Nobody knows.
    Unknown,
    /// Badly.
    Badly(Fault),
}

/// Reads a task's exit status.
pub(crate) fn ended(doing: &str, exit: &str) -> Ended {
    let counted = exit.strip_prefix("WARNINGS: ").is_some_and(|count| count.trim().parse::<u32>().is_ok());
    if exit == "OK" || counted {
        return Ended::Well { warnings: counted };
    }
    match said(None, exit, &BTreeMap::new()) {
        // It is as it was to be.
        Said::Running => Ended::Well { warnings: false },
        Said::Outcome => Ended::Unknown,
        said => Ended::Badly(Fault { kind: said.kind(), detail: format!("{doing}: {}", exit.trim()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, message: &str) -> Refusal {
        Refusal { status, message: message.into(), errors: BTreeMap::new() }
    }

    /// Sentences as Proxmox VE 8.4 and 9.1 answered them.
    #[test]
    fn recorded_sentences_keep_their_meaning() {
        let samples = [
            (500, "Configuration file 'nodes/pve1/qemu-server/999.conf' does not exist\n", Said::Absent),
            (500, "unable to create VM 100 - VM 100 already exists on node 'pve1'\n", Said::Exists),
            (500, "VM is locked (backup)\n", Said::Locked),
            (500, "CT is locked (snapshot-delete)\n", Said::Locked),
            (500, "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout\n", Said::Busy),
            (500, "cfs-lock 'storage-ceph' error: got lock request timeout\n", Said::Busy),
            (500, "'storage-ceph'-locked command timed out - aborting\n", Said::Busy),
            (500, "checksum mismatch (file change by other user?)\n", Said::Stale),
            (500, "detected modified configuration - file changed by other user? Try again.\n", Said::Stale),
            (500, "cluster not ready - no quorum?\n", Said::NoQuorum),
            (500, "VM 100 is running - destroy failed\n", Said::Other),
            (500, "create sdn vnet object failed: invalid lock token provided! at /usr/share/perl5\n", Said::Pending),
            (403, "Permission check failed (/vms/100, VM.Config.CPU)\n", Said::Denied),
            (403, "Permission check failed (pool 'nopool' does not exist)\n", Said::Denied),
            (401, "", Said::Stranger),
            (400, "Parameter verification failed.\n", Said::Input),
            (501, "Method 'GET /x' not implemented", Said::Unimplemented),
        ];
        for (status, message, meaning) in samples {
            assert_eq!(refused(status, message).said(), meaning, "{message}");
        }
        let errors = BTreeMap::from([("upid".to_owned(), "no such task".to_owned())]);
        assert_eq!(said(Some(400), "Parameter verification failed.\n", &errors), Said::NoTask);
        let errors = BTreeMap::from([("cidr".to_owned(), "address '10.1.2.3' already exists".to_owned())]);
        assert_eq!(said(Some(400), "Parameter verification failed.\n", &errors), Said::Exists);
    }

    #[test]
    fn a_task_that_warned_ended_well_and_one_whose_worker_died_did_not_end() {
        assert!(matches!(ended("x", "OK"), Ended::Well { warnings: false }));
        assert!(matches!(ended("x", "WARNINGS: 3"), Ended::Well { warnings: true }));
        assert!(matches!(ended("x", "VM 100 already running"), Ended::Well { .. }));
        assert!(matches!(ended("x", "unexpected status"), Ended::Unknown));
        let samples = [
            ("bridge 'vmbr77' does not exist", FaultKind::Refused),
            ("VM is locked (backup)", FaultKind::Transient),
            ("can't lock file '/var/lock/qemu-server/lock-9000.conf' - got timeout", FaultKind::Transient),
            ("clone failed: unable to create image: No space left on device", FaultKind::Full),
            ("download failed: Connecting to 127.0.0.1:1... failed: Connection refused.", FaultKind::Transient),
            ("checksum mismatch: got 'a' != expect 'b'", FaultKind::Refused),
            ("could not find a free device for 'hostpci0'", FaultKind::Full),
            ("PCI device '0000:01:00.0' already in use by VMID '103'", FaultKind::Full),
            ("PCI device '0000:01:00.0' is currently reserved for use by VMID '103'", FaultKind::Full),
            ("PCI device mapping not found for 'a100'", FaultKind::Full),
            ("base volume 'x:base-9-disk-0' is still in use by linked cloned", FaultKind::Transient),
        ];
        for (exit, kind) in samples {
            let Ended::Badly(fault) = ended("x", exit) else { panic!("{exit}") };
            assert_eq!(fault.kind, kind, "{exit}");
        }
    }

    #[test]
    fn what_was_not_sent_may_be_sent_again_and_what_was_not_answered_may_not() {
        assert_eq!(Failed::NeverSent("x".into()).fault("y").kind, FaultKind::Transient);
        assert_eq!(Failed::Unknown("x".into()).fault("y").kind, FaultKind::Unknown);
        assert_eq!(Failed::Answered(refused(500, "something odd")).fault("y").kind, FaultKind::Refused);
    }
}
