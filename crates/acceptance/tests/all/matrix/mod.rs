//! The fault matrix of every server workflow over the simulated cluster: the product, its provider and its database as
//! they are. After each case the books are balanced, nothing of ours is left on the cluster, and what is somebody else's
//! is as it was.

mod availability;
mod containers;
mod crowd;
mod faults;
mod lab;
mod lines;
mod steps;

use acceptance::figures;
use faults::{Ending, cells, check, sample};
use lab::Lab;
use lines::{LINES, Line};
use std::sync::Arc;
use steps::Steps;
use workflow::harness::check_some;

/// The lines of whose kind every step is tested: the first of each kind.
fn kinds() -> Vec<Line> {
    let mut kinds: Vec<Line> = Vec::new();
    for line in LINES {
        if !kinds.iter().any(|known| known.kind == line.kind) {
            kinds.push(*line);
        }
    }
    kinds
}

/// One case in so many of the engine's matrix has its turn; all of them run without a cluster in `cloud`.
const STEPS_ONE_IN: usize = 3;

#[tokio::test]
#[ignore = "a stale worker still switches a restored guest off, and a case of server.resize hangs now and then"]
async fn every_fault_of_the_engine_at_every_step() {
    let lab = Lab::open().await;
    let (mut ran, mut all) = (0, 0);
    for (turn, line) in kinds().into_iter().filter(|line| is_wanted(line.kind)).enumerate() {
        let begun = std::time::Instant::now();
        let size =
            check_some(&Steps { lab: &lab, line }, |place| everything() || (place + turn).is_multiple_of(STEPS_ONE_IN))
                .await;
        eprintln!("{:>5} of {:>3} cases of {} in {:?}", size.ran, size.all, line.kind, begun.elapsed());
        (ran, all) = (ran + size.ran, all + size.all);
    }
    figures::write("server matrix steps", &[("cases", ran), ("of", all), ("kinds", kinds().len())]);
}

/// Whether nothing is to be left out for want of time.
fn everything() -> bool {
    std::env::var("CAIRN_MATRIX").is_ok_and(|wanted| wanted == "full")
}

/// Whether this part is looked into: all of them, or the one that `CAIRN_MATRIX_ONLY` names.
fn is_wanted(part: &str) -> bool {
    std::env::var("CAIRN_MATRIX_ONLY").map_or(true, |only| part.contains(&only))
}

/// One cell in so many has its turn where not everything is asked for (`CAIRN_MATRIX=full`).
const ONE_IN: u64 = 16;

#[tokio::test]
#[ignore = "takes minutes; not yet seen green as a whole"]
async fn every_fault_of_the_cluster_at_every_call() {
    let mut lab = Arc::new(Lab::open().await);
    let all = cells(&lab).await;
    let size = all.len();
    let chosen = if everything() { all } else { sample(all, ONE_IN) };
    let chosen: Vec<_> = chosen.into_iter().filter(|cell| is_wanted(&format!("{cell:?}"))).collect();
    let (mut unreached, mut parked, mut failed) = (0, 0, Vec::new());
    let begun = std::time::Instant::now();
    for cell in &chosen {
        let (here, case) = (Arc::clone(&lab), cell.clone());
        let run = tokio::spawn(async move { check(&here, &case).await });
        let stopper = run.abort_handle();
        match tokio::time::timeout(HANGS, run).await {
            Ok(Ok(Ending::Ended)) => {}
            Ok(Ok(Ending::Parked)) => parked += 1,
            Ok(Ok(Ending::Unreached)) => unreached += 1,
            failure => {
                stopper.abort();
                eprintln!("the failed case: {cell:?}: {failure:?}; {:?}", lab.standing().await);
                failed.push(format!("{cell:?}"));
                assert!(failed.len() < MOST_FAILURES, "{failed:#?}");
                lab = Arc::new(Lab::open().await);
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    eprintln!("{} of {size} cells in {:?}, {unreached} unreached, {parked} parked", chosen.len(), begun.elapsed());
    let figures =
        [("cells", size), ("cases", chosen.len()), ("not reached", unreached), ("needed an operator", parked)];
    figures::write("server matrix cluster", &figures);
}

/// How long a case may take in real time.
const HANGS: std::time::Duration = std::time::Duration::from_secs(60);
/// So many failed cases are enough to look at.
const MOST_FAILURES: usize = 30;
