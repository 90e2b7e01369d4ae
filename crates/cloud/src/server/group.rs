//! Requests of one team that are alike but for their names, accepted together.
//!
//! A team's creates wait for each other in any case: the lock on its quota puts them in a row. So while one is being written
//! down, those that come meanwhile wait here and not at the lock, and the next transaction writes all of them: round
//! trips, commit and wake-up are paid once. It is a database's group commit, one storey higher. A request that comes alone
//! waits for nobody.
//!
//! That they went together is not to be seen from outside: what is refused to all of them is asked again for each alone,
//! and each has its own servers, actions and audit.

use super::create::{CreateServers, Created, Order, create, write};
use crate::{Caller, Error, Result};
use model::ids::{ActionId, TeamId};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::Store;
use store::servers::Server;
use tokio::sync::oneshot;

/// The most servers of one transaction, if one request alone does not ask for more. It keeps the quota locked meanwhile.
const MOST_TOGETHER: usize = 50;

/// Where requests wait for their group. Cheap to clone; one for each process.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    // An entry is there as long as somebody is at work on what waits in it.
    waiting: Arc<Mutex<HashMap<Alike, VecDeque<Waiting>>>>,
}

/// What the requests of a group have in common: all but the names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Alike {
    team: TeamId,
    request: Arc<CreateServers>,
}

#[derive(Debug)]
struct Waiting {
    order: Order,
    answer: oneshot::Sender<Result<Created>>,
}

impl Groups {
    /// As [`create`], in the company of whoever asks for the same at the same time. Once begun, it is carried to its end
    /// even when nobody waits for the answer any more.
    pub async fn create(&self, store: &Store, caller: &Caller, request: CreateServers) -> Result<Created> {
        // A key is claimed in the transaction of its own request. Without a region, each looks for the emptiest anew.
        if request.idempotency.is_some() || request.region.is_none() {
            return create(store, caller, &request).await;
        }
        let order = Order::checked(caller, &request)?;
        let request = Arc::new(CreateServers { names: Vec::new(), ..request });
        let alike = Alike { team: caller.team, request };
        let (answer, answered) = oneshot::channel();
        if let Some(shift) = self.join(alike, Waiting { order, answer }) {
            tokio::spawn(shift.work(store.clone()));
        }
        answered.await.unwrap_or_else(|_| Err(Error::Bug("a group of requests was left without an answer".into())))
    }

    /// Joins those who wait. If nobody is at work on them, the caller has to be.
    fn join(&self, alike: Alike, waiting: Waiting) -> Option<Shift> {
        let mut all = self.lock();
        if let Some(queue) = all.get_mut(&alike) {
            queue.push_back(waiting);
            return None;
        }
        all.insert(alike.clone(), VecDeque::from([waiting]));
        Some(Shift { groups: self.clone(), alike, ended: false })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Alike, VecDeque<Waiting>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The work on one entry of [`Groups`], until nobody waits in it.
struct Shift {
    groups: Groups,
    alike: Alike,
    ended: bool,
}

impl Shift {
    async fn work(mut self, store: Store) {
        while let Some(group) = self.next() {
            accept(&store, &self.alike, group).await;
        }
    }

    /// The next group, without those who have gone away meanwhile; `None` if nobody waits, and the entry is gone then.
    fn next(&mut self) -> Option<Vec<Waiting>> {
        let mut all = self.groups.lock();
        let mut group: Vec<Waiting> = Vec::new();
        let mut servers = 0;
        if let Some(queue) = all.get_mut(&self.alike) {
            queue.retain(|waiting| !waiting.answer.is_closed());
            while let Some(first) = queue.front() {
                servers += first.order.len();
                if servers > MOST_TOGETHER && !group.is_empty() {
                    break;
                }
                group.extend(queue.pop_front());
            }
        }
        if group.is_empty() {
            all.remove(&self.alike);
            self.ended = true;
            return None;
        }
        Some(group)
    }
}

impl Drop for Shift {
    /// Whoever waits for a shift that broke off is told so, and the next request begins a new one.
    fn drop(&mut self) {
        if !self.ended {
            self.groups.lock().remove(&self.alike);
        }
    }
}

/// Why a group was not accepted.
enum Failure {
    /// Before its commit: nothing of it stands.
    Before(Error),
    /// At its commit: nobody knows, as with any commit.
    Commit(Error),
}

async fn accept(store: &Store, alike: &Alike, group: Vec<Waiting>) {
    let orders: Vec<&Order> = group.iter().map(|waiting| &waiting.order).collect();
    match together(store, alike, &orders).await {
        Ok(made) => {
            let mut made = made.into_iter();
            for Waiting { order, answer } in group {
                // Whoever went away finds the servers in the list.
                let _ = answer.send(Ok(created(made.by_ref().take(order.len()))));
            }
        }
        Err(Failure::Before(_)) if group.len() > 1 => {
            for Waiting { order, answer } in group {
                let alone = match together(store, alike, &[&order]).await {
                    Ok(made) => Ok(created(made.into_iter())),
                    Err(Failure::Before(error) | Failure::Commit(error)) => Err(error),
                };
                let _ = answer.send(alone);
            }
        }
        Err(Failure::Before(error) | Failure::Commit(error)) => tell(group, error),
    }
}

/// The answer to one request.
fn created(made: impl Iterator<Item = (Server, ActionId)>) -> Created {
    let (servers, actions) = made.unzip();
    Created { servers, actions, repeated: false }
}

/// One failure for everybody.
fn tell(mut group: Vec<Waiting>, error: Error) {
    if group.len() == 1 {
        if let Some(only) = group.pop() {
            let _ = only.answer.send(Err(error));
        }
        return;
    }
    let error = Arc::new(error);
    for waiting in group {
        let _ = waiting.answer.send(Err(Error::Shared(Arc::clone(&error))));
    }
}

/// One transaction.
async fn together(
    store: &Store,
    alike: &Alike,
    orders: &[&Order],
) -> std::result::Result<Vec<(Server, ActionId)>, Failure> {
    let mut tx = store.tenant(alike.team).await.map_err(|error| Failure::Before(error.into()))?;
    let made = write(&mut tx, alike.team, &alike.request, orders).await.map_err(Failure::Before)?;
    tx.commit().await.map_err(|error| Failure::Commit(store::Error::from(error).into()))?;
    Ok(made)
}
