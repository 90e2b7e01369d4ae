//! Each call that a workflow makes × each fault of the cluster. A clean run tells the calls; then each goes wrong once,
//! and the workflow is driven to its end: made, or refused and wholly taken back.

use super::lab::{Lab, NODES};
use super::lines::{Ask, LINES, Line};
use simulator::{CallSeen, Deed, Fault, Moment, Rule, When};
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use workflow::ManualClock;

/// A call of a clean run: what it is like, and the how-manieth of its like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    method: String,
    /// With a star for every node, number and task.
    path: String,
    skip: u32,
    /// The how-manieth of all calls.
    index: u32,
    /// The node that the path named.
    node: String,
}

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

const EVERY: [Ill; 17] = [
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

/// One cell of the matrix.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    line: Line,
    place: Place,
    ill: Ill,
}

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
const OPERATOR_COMES: std::time::Duration = std::time::Duration::from_secs(600);

/// Every cell of every line.
pub(super) async fn cells(lab: &Lab) -> Vec<Cell> {
    let mut cells = Vec::new();
    for line in LINES {
        let places = places(lab, *line).await;
        assert!(
            !places.is_empty() || matches!(line.ask, Ask::Backups | Ask::Glance),
            "{line:?} asks the cluster nothing"
        );
        for place in places {
            let ills = EVERY.into_iter().filter(|ill| ill.can_befall(&place, line.ask));
            cells.extend(ills.map(|ill| Cell { line: *line, place: place.clone(), ill }));
        }
    }
    cells
}

/// What there is time for: the same cells every time, some of every fault of every line.
pub(super) fn sample(cells: Vec<Cell>, one_in: u64) -> Vec<Cell> {
    let mut seen = std::collections::HashSet::new();
    let chosen = |cell: &Cell| {
        let mut hasher = DefaultHasher::new();
        (cell.line.ask as u8, cell.line.before.len(), &cell.place.method, &cell.place.path, cell.place.skip, cell.ill)
            .hash(&mut hasher);
        hasher.finish().is_multiple_of(one_in)
    };
    cells.into_iter().filter(|cell| chosen(cell) || seen.insert((cell.line.ask as u8, cell.ill))).collect()
}

/// The calls of a clean run.
async fn places(lab: &Lab, line: Line) -> Vec<Place> {
    let clock = ManualClock::starting_now();
    prepare(lab, &clock, line).await;
    let before = lab.calls();
    line.ask.of(lab).await;
    lab.settle(&clock).await;
    let calls = lab.simulator.control.calls();
    let made = lab.calls() - before;
    let mut places: Vec<Place> = Vec::new();
    for call in &calls[calls.len() - made..] {
        let (path, node) = like(call);
        let skip = places.iter().filter(|place| place.method == call.method && place.path == path).count();
        let [skip, index] = [skip, places.len()].map(|count| u32::try_from(count).unwrap());
        places.push(Place { method: call.method.clone(), path, skip, index, node });
    }
    lab.remove_all().await;
    lab.settle(&clock).await;
    lab.look().await;
    lab.assert_empty().await;
    places
}

/// A call's path with a star for what differs between two runs; and its node.
fn like(call: &CallSeen) -> (String, String) {
    let mut node = NODES[1].to_owned();
    let star = |segment: &str| {
        if NODES.contains(&segment) {
            segment.clone_into(&mut node);
            return "*".to_owned();
        }
        let varies = segment.starts_with("UPID:") || segment.parse::<u32>().is_ok() || is_vnet(segment);
        if varies { "*".to_owned() } else { segment.to_owned() }
    };
    let path = call.path.split('/').map(star).collect::<Vec<_>>().join("/");
    (path, node)
}

/// A private network's name: eight letters and digits, and no word of the API's.
fn is_vnet(segment: &str) -> bool {
    segment.len() == 8 && segment.starts_with('c') && segment.chars().any(|c| c.is_ascii_digit())
}

async fn prepare(lab: &Lab, clock: &ManualClock, line: Line) {
    for ask in line.before {
        ask.of(lab).await;
        lab.settle(clock).await;
    }
}

impl Ill {
    fn can_befall(self, place: &Place, ask: Ask) -> bool {
        let changes = place.method != "GET";
        match self {
            Self::TimeoutAfter | Self::LockTimeout => changes,
            Self::TaskFails | Self::TaskFailsAfter | Self::TaskWarns | Self::TaskVanishes | Self::TaskKilled => {
                changes && forks(place)
            }
            Self::StorageFull => changes,
            Self::StrangerTakes => ask == Ask::Create,
            _ => true,
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

/// Runs one case; panics unless everything is as it was afterwards.
pub(super) async fn check(lab: &Lab, cell: &Cell) -> Ending {
    let clock = ManualClock::starting_now();
    let Cell { line, place, ill } = cell;
    prepare(lab, &clock, *line).await;
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
        lab.engine(&clock, "patient").run_until_idle(OPERATOR_COMES).await.unwrap();
    } else {
        lab.settle(&clock).await;
    }
    let reached = control.hits(rule) > 0;
    let parked = store::workflow::parked(lab.store().pool()).await.unwrap();
    assert!(
        parked.is_empty() || ill.needs_an_operator(),
        "{id} gave up: {:?}",
        parked.iter().map(|parked| &parked.last_error).collect::<Vec<_>>()
    );
    lab.heal(&clock).await;
    lab.settle(&clock).await;
    lab.remove_all().await;
    lab.settle(&clock).await;
    let given_up = store::workflow::parked(lab.store().pool()).await.unwrap();
    assert!(given_up.is_empty(), "gave up although everything works: {given_up:?}");
    if *ill == Ill::StrangerTakes {
        lab.see_off(number).await;
    }
    lab.look().await;
    lab.assert_empty().await;
    match (reached, parked.is_empty()) {
        (false, _) => Ending::Unreached,
        (true, true) => Ending::Ended,
        (true, false) => Ending::Parked,
    }
}
