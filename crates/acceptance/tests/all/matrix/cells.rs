//! The cells of the matrix: each call that a step of a workflow makes × each fault of the cluster. A clean run of every line
//! tells which calls there are, and which step makes them.

use super::faults::{EVERY, Ill};
use super::lab::{Lab, NODES};
use super::lines::{Ask, LINES, Line};
use async_trait::async_trait;
use cloud::Site;
use serde_json::Value;
use simulator::{CallSeen, Control};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use workflow::{AnyStep, Direction, Fault, ManualClock, Outcome, Registry, Run, Weight};

/// A half of a step of a line.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Half {
    pub(super) kind: &'static str,
    pub(super) step: &'static str,
    pub(super) direction: &'static str,
}

/// A call of a clean run: what it is like, and the how-manieth of its like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) half: Half,
    pub(super) method: String,
    /// With a star for every node, number and task.
    pub(super) path: String,
    pub(super) skip: u32,
    /// The how-manieth of all calls.
    pub(super) index: u32,
    /// The node that the path named.
    pub(super) node: String,
    /// Where the guest is in its life when the call is made.
    pub(super) guest: Presence,
    /// The same half has asked the same before.
    pub(super) repeated: bool,
}

/// Where a guest is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Presence {
    NotYet,
    There,
    Gone,
}

/// One cell of the matrix.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) line: Line,
    pub(super) place: Place,
    pub(super) ill: Ill,
}

/// Every cell of every line, and what there is none for.
#[derive(Default)]
pub(super) struct Matrix {
    pub(super) cells: Vec<Cell>,
    /// Halves of steps over all lines.
    pub(super) halves: usize,
    /// Halves that ask the cluster nothing.
    pub(super) silent: usize,
    /// Calls of all lines.
    pub(super) calls: usize,
    /// Combinations of a call and a fault that do not go together, by the reason.
    pub(super) without: BTreeMap<&'static str, usize>,
}

impl Matrix {
    /// Reads it off clean runs. Where a half asks the same twice, the second time is left out unless everything is wanted.
    pub(super) async fn of(lab: &Lab, everything: bool) -> Self {
        let mut matrix = Self::default();
        for line in LINES {
            let (places, halves) = places(lab, *line).await;
            let asking: BTreeSet<&Half> = places.iter().map(|place| &place.half).collect();
            assert!(!asking.is_empty() || SILENT.contains(&line.ask), "{line:?} asks the cluster nothing");
            matrix.halves += halves.len();
            matrix.silent += halves.iter().filter(|half| !asking.contains(half)).count();
            matrix.calls += places.len();
            for place in places {
                for ill in EVERY {
                    let again = if place.repeated && !everything { Some("asked a moment before") } else { None };
                    match ill.spared(&place, line.ask).or(again) {
                        None => matrix.cells.push(Cell { line: *line, place: place.clone(), ill }),
                        Some(why) => *matrix.without.entry(why).or_default() += 1,
                    }
                }
            }
        }
        matrix
    }
}

/// Lines that are about rows alone.
const SILENT: [Ask; 2] = [Ask::Backups, Ask::Glance];

/// The calls of a clean run, and every half of a step that it had.
async fn places(lab: &Lab, line: Line) -> (Vec<Place>, BTreeSet<Half>) {
    let clock = ManualClock::starting_now();
    line.prepare(lab, &clock).await;
    // What is asked once and then known for a while is asked in the first line.
    if line.ask == Ask::Create {
        lab.connect_anew();
    }
    let before = lab.calls();
    line.ask.of(lab).await;
    let notes = Notes::default();
    lab.settle_with(&clock, notes.taken_in(line.registry(), &lab.simulator.control)).await;
    let notes = notes.0.lock().unwrap().clone();
    let calls = lab.simulator.control.calls();
    let mut places: Vec<Place> = Vec::new();
    let mut presence = if line.ask == Ask::Create { Presence::NotYet } else { Presence::There };
    for (at, call) in calls.iter().enumerate().skip(before) {
        let (path, node) = like(call);
        // What is asked before the first half begins is asked for its sake.
        let half = notes.iter().rev().find(|(first, _)| *first <= at).or(notes.first()).map(|(_, half)| half.clone());
        let half = half.expect("a line without steps");
        let alike = |place: &&Place| place.method == call.method && place.path == path;
        let [skip, index] =
            [places.iter().filter(alike).count(), places.len()].map(|count| u32::try_from(count).unwrap());
        let repeated = call.method == "GET" && places.iter().filter(alike).any(|place| place.half == half);
        let method = call.method.clone();
        let begins = method == "POST" && path.ends_with("/clone");
        let ends = method == "DELETE" && path.ends_with("/qemu/*");
        places.push(Place { half, method, path, skip, index, node, guest: presence, repeated });
        match line.ask {
            Ask::Create if begins => presence = Presence::There,
            Ask::Destroy | Ask::DestroyWithSnapshots if ends => presence = Presence::Gone,
            _ => {}
        }
    }
    lab.remove_all().await;
    lab.settle(&clock).await;
    lab.look().await;
    lab.assert_empty().await;
    (places, notes.into_iter().map(|(_, half)| half).collect())
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

/// Which half of a step began before which call.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(usize, Half)>>>);

impl Notes {
    /// The same steps, each of which notes that it begins.
    fn taken_in(&self, registry: Registry<Site>, control: &Control) -> Registry<Site> {
        let kinds: Vec<&'static str> = registry.kinds().collect();
        kinds.into_iter().fold(registry, |registry, kind| {
            registry.decorated(kind, |_, inner| {
                Arc::new(Noting { inner, kind, notes: self.clone(), control: control.clone() })
            })
        })
    }
}

struct Noting {
    inner: Arc<dyn AnyStep<Site>>,
    kind: &'static str,
    notes: Notes,
    control: Control,
}

impl Noting {
    fn note(&self, direction: Direction) {
        let half = Half { kind: self.kind, step: self.inner.name(), direction: direction.as_str() };
        self.notes.0.lock().unwrap().push((self.control.calls().len(), half));
    }
}

#[async_trait]
impl AnyStep<Site> for Noting {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn awaits(&self) -> &'static str {
        self.inner.awaits()
    }

    fn weight(&self) -> Weight {
        self.inner.weight()
    }

    fn sample(&self) -> Value {
        self.inner.sample()
    }

    fn reads(&self, memo: &Value) -> Result<(), String> {
        self.inner.reads(memo)
    }

    async fn make(&self, cx: &Site, run: &mut Run<Site>) -> Result<Outcome<Value>, Fault> {
        self.note(Direction::Make);
        self.inner.make(cx, run).await
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, memo: Option<Value>) -> Result<Outcome<()>, Fault> {
        self.note(Direction::Unmake);
        self.inner.unmake(cx, run, memo).await
    }
}

/// A step that says no instead of being made.
pub(super) struct Refusing(pub(super) Arc<dyn AnyStep<Site>>);

#[async_trait]
impl AnyStep<Site> for Refusing {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn awaits(&self) -> &'static str {
        self.0.awaits()
    }

    fn weight(&self) -> Weight {
        self.0.weight()
    }

    fn sample(&self) -> Value {
        self.0.sample()
    }

    fn reads(&self, memo: &Value) -> Result<(), String> {
        self.0.reads(memo)
    }

    async fn make(&self, _cx: &Site, _run: &mut Run<Site>) -> Result<Outcome<Value>, Fault> {
        Ok(Outcome::refuse("made_to_refuse", "made to refuse"))
    }

    async fn unmake(&self, cx: &Site, run: &mut Run<Site>, memo: Option<Value>) -> Result<Outcome<()>, Fault> {
        self.0.unmake(cx, run, memo).await
    }
}
