//! The gate: requests that wait until somebody lets them go on. Whoever holds it decides in which order the requests of
//! several clients are served, so that a race between them can be written down and had again.

use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// A request before the gate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldSeen {
    /// Later requests have larger ones.
    pub id: u64,
    /// The token that it came with, as in `root@pam!cairn`.
    pub token: String,
    /// As in `POST`.
    pub method: String,
    /// The path below `/api2/json`.
    pub path: String,
}

#[derive(Default)]
struct Held {
    /// Whose requests are held.
    tokens: Vec<String>,
    requests: BTreeMap<u64, (HeldSeen, oneshot::Sender<()>)>,
    next: u64,
}

pub(crate) struct Gate {
    held: Mutex<Held>,
    /// Rings when a request came or went.
    pub(crate) bell: watch::Sender<u64>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { held: Mutex::default(), bell: watch::Sender::new(0) }
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        self.bell.send_modify(|rings| *rings = rings.wrapping_add(1));
    }

    /// Holds the requests of these tokens from now on; of all others, lets go what waits.
    pub(crate) fn close_for(&self, tokens: &[&str]) {
        let mut held = self.lock();
        held.tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        let Held { tokens, requests, .. } = &mut *held;
        requests.retain(|_, (seen, _)| tokens.contains(&seen.token));
        drop(held);
        self.ring();
    }

    pub(crate) fn list(&self) -> Vec<HeldSeen> {
        self.lock().requests.values().map(|(seen, _)| seen.clone()).collect()
    }

    /// False: it does not wait any more.
    pub(crate) fn let_go(&self, id: u64) -> bool {
        let waited = self.lock().requests.remove(&id).is_some();
        self.ring();
        waited
    }

    /// Returns when the request may go on.
    pub(crate) async fn pass(&self, token: Option<&str>, method: &str, path: &str) {
        let Some(token) = token else { return };
        let (id, opens) = {
            let mut held = self.lock();
            if !held.tokens.iter().any(|known| known == token) {
                return;
            }
            held.next += 1;
            let (id, (opener, opens)) = (held.next, oneshot::channel());
            let (method, path) = (method.to_owned(), path.to_owned());
            held.requests.insert(id, (HeldSeen { id, token: token.to_owned(), method, path }, opener));
            (id, opens)
        };
        let _waits = Waits { gate: self, id };
        self.ring();
        // Whoever lets it go drops its sender.
        let _ = opens.await;
    }
}

/// Forgets a request whose client has gone away.
struct Waits<'a> {
    gate: &'a Gate,
    id: u64,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.gate.lock().requests.remove(&self.id).is_some() {
            self.gate.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn a_held_request_goes_on_when_it_is_let_go() {
        let gate = Gate::default();
        timeout(AT_ONCE, gate.pass(Some("a"), "GET", "/")).await.unwrap();
        gate.close_for(&["a"]);
        let mut waits = Box::pin(gate.pass(Some("a"), "GET", "/pools"));
        assert!(timeout(AT_ONCE, &mut waits).await.is_err());
        timeout(AT_ONCE, gate.pass(Some("b"), "GET", "/")).await.unwrap();
        let [held] = &gate.list()[..] else { panic!("not one request is held") };
        assert_eq!((held.token.as_str(), held.path.as_str()), ("a", "/pools"));
        assert!(gate.let_go(held.id));
        timeout(AT_ONCE, waits).await.unwrap();
        assert!(gate.list().is_empty());
    }

    #[tokio::test]
    async fn a_client_that_goes_away_is_forgotten() {
        let gate = Gate::default();
        gate.close_for(&["a"]);
        let mut waits = Box::pin(gate.pass(Some("a"), "GET", "/"));
        assert!(timeout(AT_ONCE, &mut waits).await.is_err());
        drop(waits);
        assert!(gate.list().is_empty());
    }
}
