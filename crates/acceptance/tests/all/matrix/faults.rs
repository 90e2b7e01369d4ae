//! What can go wrong in the cluster, with what it goes together, and what one case is: the fault happens once, and the
//! workflow is driven to its end: made, or refused and wholly taken back.

use super::cells::{Cell, Place, Presence};
use super::lab::{Lab, NODES};
use super::lines::Ask;
use simulator::{Deed, Fault, Moment, Rule, When};
use workflow::ManualClock;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ill {
    Refused,
    Denied,
    TimeoutBefore,
    TimeoutAfter,
    AnswerLost,
    LockTimeout,
    TaskFails,
    TaskFailsAfter,
    TaskWarns,
    TaskVanishes,
    TaskKilled,
    NodeDies,
    QuorumLost,
    StorageFull,
    StrangerTakes,
    GuestDeleted,
    GuestMoved,
}

pub(super) const EVERY: [Ill; 17] = [
    Ill::Refused,
    Ill::Denied,
    Ill::TimeoutBefore,
    Ill::TimeoutAfter,
    Ill::AnswerLost,
    Ill::LockTimeout,
    Ill::TaskFails,
    Ill::TaskFailsAfter,
    Ill::TaskWarns,
    Ill::TaskVanishes,
    Ill::TaskKilled,
    Ill::NodeDies,
    Ill::QuorumLost,
    Ill::StorageFull,
    Ill::StrangerTakes,
    Ill::GuestDeleted,
    Ill::GuestMoved,
];

/// How a case came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The call was made, and the workflow came to its end by itself.
    Ended,
    /// It gave up, as it may where an operator has to do something first.
    Parked,
    /// The workflow took another way this time: the call was not made.
    Unreached,
}

/// Calls that are made once more before what is broken works again.
const UNTIL_MENDED: u32 = 12;

/// How long it takes until somebody removes the lock of a worker that was killed.
const OPERATOR_COMES: std::time::Duration = std::time::Duration::from_secs(120);

impl Ill {
    /// Why it does not go together with this call; `None`: it does.
    pub(super) fn spared(self, place: &Place, ask: Ask) -> Option<&'static str> {
        let changes = place.method != "GET";
        match self {
            Self::AnswerLost if !changes => Some("the same as a question that was not heard"),
            Self::TimeoutAfter | Self::LockTimeout | Self::StorageFull if !changes => {
                Some("a question changes nothing")
            }
            Self::TaskFails | Self::TaskFailsAfter | Self::TaskWarns | Self::TaskVanishes | Self::TaskKilled
                if !changes || !forks(place) =>
            {
                Some("the call begins no task")
            }
            Self::StrangerTakes if ask != Ask::Create || place.guest != Presence::NotYet => {
                Some("the guest has its number already")
            }
            Self::GuestDeleted | Self::GuestMoved => match place.guest {
                Presence::NotYet => Some("there is no guest yet"),
                Presence::There => None,
                Presence::Gone => Some("the guest is gone already"),
            },
            _ => None,
        }
    }

    /// Whether it leaves more behind than a call that went wrong.
    fn changes_the_world(self) -> bool {
        match self {
            Self::TaskKilled
            | Self::NodeDies
            | Self::QuorumLost
            | Self::StorageFull
            | Self::StrangerTakes
            | Self::GuestDeleted
            | Self::GuestMoved => true,
            Self::Refused
            | Self::Denied
            | Self::TimeoutBefore
            | Self::TimeoutAfter
            | Self::AnswerLost
            | Self::LockTimeout
            | Self::TaskFails
            | Self::TaskFailsAfter
            | Self::TaskWarns
            | Self::TaskVanishes => false,
        }
    }

    /// The fault, about the guest of this number.
    fn fault(self, place: &Place, number: u32) -> Fault {
        let vmid = Some(number);
        let failed =
            |moment| Fault::TaskFails { message: "command '/usr/bin/odd' failed: exit code 1".to_owned(), moment };
        let deed = match self {
            Self::Refused => {
                return Fault::Refuse { status: 500, message: "something that nobody expects\n".to_owned() };
            }
            Self::Denied => {
                let message = "Permission check failed (/vms, VM.Audit)\n".to_owned();
                return Fault::Refuse { status: 403, message };
            }
            Self::TimeoutBefore => return Fault::Unanswered { hold_ms: 0 },
            Self::TimeoutAfter => return Fault::TimedOut,
            Self::AnswerLost => return Fault::Lost,
            Self::LockTimeout => return Fault::LockTimeout,
            Self::TaskFails => return failed(Moment::Before),
            Self::TaskFailsAfter => return failed(Moment::After),
            Self::TaskWarns => return Fault::TaskWarns { lines: vec!["this is odd".to_owned()] },
            Self::TaskVanishes => return Fault::TaskVanishes,
            Self::TaskKilled => return Fault::TaskKilled { moment: Moment::Before },
            Self::NodeDies => Deed::NodeDies { node: place.node.clone() },
            Self::QuorumLost => Deed::QuorumLost,
            Self::StorageFull => Deed::StorageFills { storage: "local-lvm".to_owned(), node: None },
            Self::StrangerTakes => Deed::StrangerTakes { vmid },
            Self::GuestDeleted => Deed::GuestDeleted { vmid },
            Self::GuestMoved => Deed::GuestMoved { vmid, to: NODES[3].to_owned() },
        };
        Fault::Deed { deed }
    }

    /// What makes it good again.
    fn mended(self, place: &Place) -> Option<Deed> {
        match self {
            Self::NodeDies => Some(Deed::NodeReturns { node: place.node.clone() }),
            Self::QuorumLost => Some(Deed::QuorumBack),
            Self::StorageFull => Some(Deed::StorageEmptied { storage: "local-lvm".to_owned() }),
            _ => None,
        }
    }

    /// Whether it may need an operator: a killed worker leaves its lock behind.
    fn needs_an_operator(self) -> bool {
        self == Self::TaskKilled
    }
}

/// Whether a call begins a task.
fn forks(place: &Place) -> bool {
    let ends = |end: &str| place.path.ends_with(end);
    match place.method.as_str() {
        "POST" => {
            place.path.contains("/status/")
                || ends("/clone")
                || ends("/migrate")
                || ends("/template")
                || ends("/download-url")
        }
        "PUT" => ends("/resize") || ends("/cluster/sdn") || ends("/move_disk"),
        "DELETE" => ends("/qemu/*"),
        _ => false,
    }
}

/// Runs one case; panics unless everything is as it was afterwards. A call that was not made because its answer was still
/// known is made over a connection that knows nothing.
pub(super) async fn check(lab: &Lab, cell: &Cell) -> Ending {
    match check_over(lab, cell, Connection::Kept).await {
        Ending::Unreached => check_over(lab, cell, Connection::New).await,
        ending => ending,
    }
}

/// What the connection to the cluster knows when the workflow begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    /// What cases before have left in it.
    Kept,
    /// Nothing.
    New,
}

async fn check_over(lab: &Lab, cell: &Cell, connection: Connection) -> Ending {
    let clock = ManualClock::starting_now();
    let Cell { line, place, ill } = cell;
    line.prepare(lab, &clock).await;
    if connection == Connection::New {
        lab.connect_anew();
    }
    let number = match lab.living().await.first() {
        Some(server) => lab.number(*server).await,
        None => lab.next_number().await,
    };
    let control = &lab.simulator.control;
    let when = When::request(&place.method, &place.path);
    let rule = control.fault(Rule::once(when, ill.fault(place, number)).after(place.skip));
    if let Some(deed) = ill.mended(place) {
        control.fault(Rule::once(When::default(), Fault::Deed { deed }).after(place.index + UNTIL_MENDED));
    }
    let id = line.ask.of(lab).await;
    if ill.needs_an_operator() {
        lab.engine_of(&clock, line.registry()).run_until_idle(OPERATOR_COMES).await.unwrap();
    } else {
        lab.settle_with(&clock, line.registry()).await;
    }
    let reached = control.hits(rule) > 0;
    let parked = store::workflow::parked(lab.store().pool()).await.unwrap();
    assert!(
        parked.is_empty() || ill.needs_an_operator(),
        "{id} gave up: {:?}",
        parked.iter().map(|parked| &parked.last_error).collect::<Vec<_>>()
    );
    control.clear_faults();
    if ill.changes_the_world() {
        lab.heal(&clock).await;
        lab.settle(&clock).await;
    }
    lab.remove_all().await;
    lab.settle(&clock).await;
    let given_up = store::workflow::parked(lab.store().pool()).await.unwrap();
    assert!(given_up.is_empty(), "gave up although everything works: {given_up:?}");
    if *ill == Ill::StrangerTakes {
        lab.see_off(number).await;
    }
    if ill.changes_the_world() {
        lab.look().await;
    }
    lab.assert_empty().await;
    match (reached, parked.is_empty()) {
        (false, _) => Ending::Unreached,
        (true, true) => Ending::Ended,
        (true, false) => Ending::Parked,
    }
}
