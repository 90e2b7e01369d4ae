//! Locks of processes: files below `/var/lock`, and those of the cluster's file system. They end with their holder.

use super::TaskId;
use std::collections::HashMap;

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    Shared,
    Exclusive,
}

/// Who holds what, and who waits for it. Keys are `NODE:FILE`, or the name of a cluster's lock.
#[derive(Debug, Default)]
pub(crate) struct Flocks(HashMap<String, Flock>);

#[derive(Debug, Default)]
struct Flock {
    holders: Vec<(TaskId, Hold)>,
    waiting: Vec<TaskId>,
}

impl Flocks {
    /// Whether somebody else than `task` would have to let go first.
    pub(crate) fn is_free(&self, key: &str, hold: Hold, task: Option<TaskId>) -> bool {
        let Some(flock) = self.0.get(key) else { return true };
        flock
            .holders
            .iter()
            .all(|(holder, held)| Some(*holder) == task || (*held == Hold::Shared && hold == Hold::Shared))
    }

    /// Takes the lock, or stands in line for it.
    pub(crate) fn take(&mut self, key: &str, hold: Hold, task: TaskId) -> bool {
        let free = self.is_free(key, hold, Some(task));
        let flock = self.0.entry(key.to_owned()).or_default();
        if free {
            flock.waiting.retain(|waiting| *waiting != task);
            flock.holders.push((task, hold));
        } else if !flock.waiting.contains(&task) {
            flock.waiting.push(task);
        }
        free
    }

    /// Lets go of one lock, or of all of them; returns who stood in line.
    pub(crate) fn release(&mut self, task: TaskId, key: Option<&str>) -> Vec<TaskId> {
        let mut woken = Vec::new();
        self.0.retain(|name, flock| {
            if key.is_some_and(|key| key != name) {
                return true;
            }
            let before = flock.holders.len();
            flock.holders.retain(|(holder, _)| *holder != task);
            if key.is_none() {
                flock.waiting.retain(|waiting| *waiting != task);
            }
            if flock.holders.len() < before {
                woken.append(&mut flock.waiting);
            }
            !flock.holders.is_empty() || !flock.waiting.is_empty()
        });
        woken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_share_and_writers_do_not() {
        let mut flocks = Flocks::default();
        assert!(flocks.take("x", Hold::Shared, 1));
        assert!(flocks.take("x", Hold::Shared, 2));
        assert!(!flocks.take("x", Hold::Exclusive, 3));
        assert_eq!(flocks.release(1, None), [3]);
        assert!(!flocks.take("x", Hold::Exclusive, 3));
        assert_eq!(flocks.release(2, None), [3]);
        assert!(flocks.take("x", Hold::Exclusive, 3));
        assert!(!flocks.is_free("x", Hold::Shared, None));
    }
}
