//! How much of the specification the tests have seen answered rightly.
//!
//! An operation is covered when a 2xx response of it passed [`super::Contract::check`]. All processes of a run add to
//! one file; a run is everything with one value of `CAIRN_TEST_RUN`, or without it everything that one parent
//! (`cargo test`, `cargo nextest`) starts.
//! `covered-operations.txt` beside this crate's manifest is the promise: what stands there must stay covered.

use super::{Contract, Operation};
use crate::{figures, skip};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// Set to anything, it makes [`assert_nothing_lost`] add what is newly covered to the list.
const EXTEND: &str = "CAIRN_EXTEND_COVERED";
/// Names the run, where it takes more than one invocation of cargo.
const RUN: &str = "CAIRN_TEST_RUN";
/// Notes of earlier runs are removed after this long.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// Covered and all operations of one tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Operations with a valid 2xx response.
    pub covered: usize,
    /// Operations in the specification.
    pub all: usize,
}

static NOTED: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// Notes that `operation` is covered, once per process.
pub(super) fn note(contract: &Contract, operation: &Operation) {
    let mut noted = NOTED.lock().unwrap_or_else(PoisonError::into_inner);
    if !noted.insert(operation.operation_id.clone()) {
        return;
    }
    let file = run_file();
    fs::create_dir_all(notes()).expect("create the directory for coverage notes");
    // One short write to a file opened for appending: processes do not tear each other's lines.
    let mut open = OpenOptions::new().create(true).append(true).open(&file).expect("open the coverage notes");
    open.write_all(format!("{}\n", operation.operation_id).as_bytes()).expect("note the covered operation");
    write_figures(contract, &read(&file));
}

/// The operations that this run has covered so far, over all its processes.
pub fn covered() -> BTreeSet<String> {
    read(&run_file())
}

/// Covered and all operations of each tag.
pub fn by_tag(contract: &Contract, covered: &BTreeSet<String>) -> BTreeMap<String, Share> {
    let mut tags: BTreeMap<String, Share> = BTreeMap::new();
    for operation in contract.operations() {
        let share = tags.entry(operation.tag.clone()).or_default();
        share.all += 1;
        share.covered += usize::from(covered.contains(&operation.operation_id));
    }
    tags
}

/// `covered / all` of each tag of which anything is covered, and the total, as lines.
pub fn report(contract: &Contract, covered: &BTreeSet<String>) -> String {
    let tags = by_tag(contract, covered);
    let total = total(&tags);
    let lines = tags.iter().filter(|(_, share)| share.covered > 0);
    let mut text: String =
        lines.map(|(tag, share)| format!("{:>4} / {:<4} {tag}\n", share.covered, share.all)).collect();
    text.push_str(&format!("{:>4} / {:<4} operations of the specification\n", total.covered, total.all));
    text
}

/// Prints the report and fails if an operation of `covered-operations.txt` was not covered by this run.
///
/// Call it when every test that checks responses has ended; `tests/lost.rs` does, as the last stage of `script/test`.
/// A run that covered nothing at all (a filter, a missing specification) is skipped loudly.
pub fn assert_nothing_lost(contract: &Contract) {
    let covered = covered();
    if covered.is_empty() {
        skip("covered-operations.txt: this run has not checked any response");
        return;
    }
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("covered-operations.txt");
    let text = fs::read_to_string(&list).expect("read covered-operations.txt");
    println!("{}", report(contract, &covered));
    let compared = compare(&text, &covered, contract);
    assert!(compared.unknown.is_empty(), "{}: no such operation: {:#?}", list.display(), compared.unknown);
    assert!(compared.lost.is_empty(), "{}: no longer covered: {:#?}", list.display(), compared.lost);
    if compared.gained.is_empty() {
        return;
    }
    if std::env::var_os(EXTEND).is_some() {
        fs::write(&list, extended(&text, &compared.gained)).expect("extend covered-operations.txt");
    } else {
        println!("newly covered ({EXTEND}=1 adds them to covered-operations.txt): {:#?}", compared.gained);
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) lost: Vec<String>,
    pub(super) gained: Vec<String>,
    pub(super) unknown: Vec<String>,
}

pub(super) fn compare(list: &str, covered: &BTreeSet<String>, contract: &Contract) -> Compared {
    let listed: BTreeSet<String> = lines(list).map(str::to_owned).collect();
    let exists = |id: &&String| contract.operations().iter().any(|operation| operation.operation_id == **id);
    Compared {
        lost: listed.difference(covered).cloned().collect(),
        gained: covered.difference(&listed).cloned().collect(),
        unknown: listed.iter().filter(|id| !exists(id)).cloned().collect(),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

pub(super) fn extended(list: &str, gained: &[String]) -> String {
    let comments: String = list.lines().filter(|line| line.starts_with('#')).map(|line| format!("{line}\n")).collect();
    let all: BTreeSet<&str> = lines(list).chain(gained.iter().map(String::as_str)).collect();
    let operations: String = all.into_iter().map(|id| format!("{id}\n")).collect();
    comments + &operations
}

fn write_figures(contract: &Contract, covered: &BTreeSet<String>) {
    let tags = by_tag(contract, covered);
    let total = total(&tags);
    let mut flat = vec![("operations covered".to_owned(), total.covered), ("operations in all".to_owned(), total.all)];
    for (tag, share) in tags.into_iter().filter(|(_, share)| share.covered > 0) {
        flat.push((format!("{tag} covered"), share.covered));
        flat.push((format!("{tag} in all"), share.all));
    }
    figures::write("contract-coverage", &flat);
}

fn total(tags: &BTreeMap<String, Share>) -> Share {
    tags.values()
        .fold(Share::default(), |sum, share| Share { covered: sum.covered + share.covered, all: sum.all + share.all })
}

fn notes() -> PathBuf {
    figures::directory().join("contract-coverage")
}

fn read(file: &Path) -> BTreeSet<String> {
    lines(&fs::read_to_string(file).unwrap_or_default()).map(str::to_owned).collect()
}

/// The file of this run; without a name of its own it has that of the parent process and when that began. Those of old runs go.
fn run_file() -> PathBuf {
    static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
        let old = SystemTime::now().checked_sub(KEPT).unwrap_or(SystemTime::UNIX_EPOCH);
        for entry in fs::read_dir(notes()).into_iter().flatten().flatten() {
            if entry.metadata().and_then(|found| found.modified()).is_ok_and(|changed| changed < old) {
                let _ = fs::remove_file(entry.path());
            }
        }
        let named = std::env::var(RUN).ok().filter(|run| !run.is_empty());
        let run = named.unwrap_or_else(|| {
            let parent = std::os::unix::process::parent_id();
            format!("{parent}-{}", started(parent))
        });
        notes().join(format!("{run}.txt"))
    });
    FILE.clone()
}

/// When a process began, in clock ticks since the machine did: its pid alone comes round again.
fn started(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name in parentheses and may hold spaces; the 22nd is the start time.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().nth(19).unwrap_or("0").to_owned()
}
