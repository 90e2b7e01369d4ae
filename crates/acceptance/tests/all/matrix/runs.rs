//! The two halves of the matrix, each shared between two laboratories: what can go wrong in the engine, at each half of each
//! step; and what can go wrong in the cluster, at each call.
//!
//! `CAIRN_MATRIX=full` runs also what a half of a step asks once more, `CAIRN_MATRIX_ONLY=…` what has that in its name.

use super::cells::{Cell, Matrix};
use super::faults::{EVERY, Ending, check};
use super::lab::Lab;
use super::lines::{LINES, Line};
use super::steps::Steps;
use acceptance::figures;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use workflow::harness::{Size, check_some};

/// So many laboratories work beside each other.
const LABS: usize = 2;
/// How long a case may take in real time.
const HANGS: Duration = Duration::from_secs(60);
/// So many failed cases are enough to look at.
const MOST_FAILURES: usize = 30;

/// Whether nothing is to be left out for want of time.
fn everything() -> bool {
    std::env::var("CAIRN_MATRIX").is_ok_and(|wanted| wanted == "full")
}

/// Whether this part is looked into: all of them, or what `CAIRN_MATRIX_ONLY` names.
fn is_wanted(part: &str) -> bool {
    std::env::var("CAIRN_MATRIX_ONLY").map_or(true, |only| part.contains(&only))
}

/// Whether nothing is left out by name: only then do its figures say something.
fn is_whole() -> bool {
    std::env::var_os("CAIRN_MATRIX_ONLY").is_none()
}

/// Works in so many threads, each with a laboratory and a runtime of its own.
fn beside_each_other<T: Send>(work: impl AsyncFn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LABS)
            .map(|share| {
                let work = &work;
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                    runtime.block_on(work(share))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// The lines of whose kind every step is tested: the first of each kind.
fn kinds() -> Vec<Line> {
    let mut kinds: Vec<Line> = Vec::new();
    for line in LINES.iter().filter(|line| is_wanted(line.kind)) {
        if !kinds.iter().any(|known| known.kind == line.kind) {
            kinds.push(*line);
        }
    }
    kinds
}

#[test]
fn every_fault_of_the_engine_at_every_step() {
    let begun = Instant::now();
    let shares = beside_each_other(async |share| {
        let lab = Lab::open().await;
        let mut sizes: Vec<Size> = Vec::new();
        for line in kinds() {
            sizes.push(check_some(&Steps { lab: &lab, line }, |place| place % LABS == share).await);
        }
        sizes
    });
    let mut ran = 0;
    for (number, line) in kinds().iter().enumerate() {
        let [here, all] = [shares.iter().map(|share| share[number].ran).sum::<usize>(), shares[0][number].all];
        assert_eq!(here, all, "{}", line.kind);
        eprintln!("{all:>5} cases of {}", line.kind);
        ran += all;
    }
    eprintln!("{ran} cases of {} kinds in {:?}", kinds().len(), begun.elapsed());
    if is_whole() {
        figures::write("server matrix steps", &[("cases", ran), ("kinds", kinds().len())]);
    }
}

/// What became of the cells.
#[derive(Default)]
struct Tally {
    ran: usize,
    unreached: Vec<String>,
    parked: usize,
    failed: Vec<String>,
}

#[test]
fn every_fault_of_the_cluster_at_every_step() {
    let begun = Instant::now();
    let matrix = Mutex::new(None);
    let (left, ready) = (Mutex::new(VecDeque::new()), tokio::sync::Semaphore::new(0));
    let tallies = beside_each_other(async |share| {
        let lab = Lab::open().await;
        // One reads the matrix off clean runs, and the others take from it as well.
        if share == 0 {
            let read = Matrix::of(&lab, everything()).await;
            let wanted = read.cells.iter().filter(|cell| is_wanted(&format!("{cell:?}")));
            left.lock().unwrap().extend(wanted.cloned());
            *matrix.lock().unwrap() = Some(read);
            ready.add_permits(LABS);
        }
        let _ready = ready.acquire().await.unwrap();
        run(Arc::new(lab), &left).await
    });
    let matrix = matrix.into_inner().unwrap().unwrap();
    let sum = |of: fn(&Tally) -> usize| tallies.iter().map(of).sum::<usize>();
    let failed: Vec<&String> = tallies.iter().flat_map(|tally| &tally.failed).collect();
    let unreached: Vec<&String> = tallies.iter().flat_map(|tally| &tally.unreached).collect();
    let (ran, parked) = (sum(|tally| tally.ran), sum(|tally| tally.parked));
    let without: usize = matrix.without.values().sum();
    eprintln!(
        "{} lines, {} halves of steps ({} of them ask the cluster nothing), {} calls × {} faults: {} cells, and {without} \
         that do not go together: {:?}",
        LINES.len(),
        matrix.halves,
        matrix.silent,
        matrix.calls,
        EVERY.len(),
        matrix.cells.len(),
        matrix.without
    );
    eprintln!("{ran} ran in {:?}, {parked} needed an operator, not reached: {unreached:?}", begun.elapsed());
    assert!(failed.is_empty(), "{failed:#?}");
    let figures = [
        ("lines", LINES.len()),
        ("halves of steps", matrix.halves),
        ("calls", matrix.calls),
        ("faults", EVERY.len()),
        ("cells", matrix.cells.len()),
        ("ran", ran),
        ("do not go together", without),
        ("needed an operator", parked),
        ("not reached", unreached.len()),
    ];
    if is_whole() {
        figures::write("server matrix cluster", &figures);
    }
}

/// Takes cells until none is left. A case that failed may leave anything behind: the next has a laboratory of its own.
async fn run(mut lab: Arc<Lab>, left: &Mutex<VecDeque<Cell>>) -> Tally {
    let mut tally = Tally::default();
    loop {
        let Some(cell) = left.lock().unwrap().pop_front() else { return tally };
        let (here, case) = (Arc::clone(&lab), cell.clone());
        let running = tokio::spawn(async move { check(&here, &case).await });
        let stopper = running.abort_handle();
        tally.ran += 1;
        match tokio::time::timeout(HANGS, running).await {
            Ok(Ok(Ending::Ended)) => {}
            Ok(Ok(Ending::Parked)) => tally.parked += 1,
            Ok(Ok(Ending::Unreached)) => tally.unreached.push(format!("{cell:?}")),
            failure => {
                stopper.abort();
                eprintln!("the failed case: {cell:?}: {failure:?}; {:?}", lab.standing().await);
                tally.failed.push(format!("{cell:?}"));
                assert!(tally.failed.len() < MOST_FAILURES, "{:#?}", tally.failed);
                lab = Arc::new(Lab::open().await);
            }
        }
    }
}
