//! Random interleavings: servers are made, changed, moved and destroyed while nodes die and answers are lost, by two
//! workers at once. What is asked, when, and what goes wrong follows from a seed.

use super::lab::{Lab, NODES};
use super::lines::Ask;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use simulator::{Deed, Fault, Rule, When};
use std::time::Duration;
use workflow::ManualClock;

/// What is done in one interleaving.
const TURNS: usize = 7;
/// More servers at once say nothing more.
const MOST_SERVERS: usize = 3;

/// Asked of servers that are there.
const ASKS: [Ask; 12] = [
    Ask::Destroy,
    Ask::Destroy,
    Ask::Migrate,
    Ask::Migrate,
    Ask::Migrate,
    Ask::PowerOff,
    Ask::PowerOff,
    Ask::Resize,
    Ask::Resize,
    Ask::PowerOn,
    Ask::Snapshot,
    Ask::DestroyWithSnapshots,
];

/// One interleaving; how many requests were accepted. Panics unless the books are balanced afterwards.
pub(super) async fn interleave(lab: &Lab, seed: u64) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let clock = ManualClock::starting_now();
    let (first, second) = (lab.engine(&clock, "first"), lab.engine(&clock, "second"));
    let mut accepted = 0;
    for turn in 0..TURNS {
        let servers = lab.living().await;
        if turn == 0 || (servers.len() < MOST_SERVERS && rng.random_range(0..4) == 0) {
            lab.order("web").await;
            accepted += 1;
        } else if rng.random_range(0..3) == 0 {
            misfortune(lab, &mut rng).await;
        } else if let Some(server) = servers.get(rng.random_range(0..MOST_SERVERS)) {
            let ask = ASKS[rng.random_range(0..ASKS.len())];
            match ask.about(lab, *server).await {
                Ok(_) => accepted += 1,
                // Something else is going on with it, or it is not in the state for that.
                Err(cloud::Error::Refused(_)) => {}
                Err(other) => panic!("{ask:?}: {other}"),
            }
        }
        let within = Duration::from_millis(rng.random_range(0..3000));
        let (one, other) = tokio::join!(first.run_until_idle(within), second.run_until_idle(within));
        one.and(other).unwrap();
    }
    lab.heal(&clock).await;
    lab.settle(&clock).await;
    lab.remove_all().await;
    lab.settle(&clock).await;
    lab.look().await;
    lab.assert_empty().await;
    accepted
}

async fn misfortune(lab: &Lab, rng: &mut StdRng) {
    let control = &lab.simulator.control;
    let node = NODES[rng.random_range(0..NODES.len())].to_owned();
    match rng.random_range(0..6) {
        0 | 1 => control.deed(Deed::NodeDies { node }).await.unwrap(),
        2 => {
            for node in NODES {
                control.deed(Deed::NodeReturns { node: node.to_owned() }).await.unwrap();
            }
        }
        3 => lab.look().await,
        kind => {
            let when = When { method: Some(if kind == 4 { "POST" } else { "PUT" }.to_owned()), ..When::default() };
            control.fault(Rule::once(when, Fault::Lost).after(rng.random_range(0..4)));
        }
    }
}
