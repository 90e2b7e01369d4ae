//! What was just seen, for the call that acts on it. A step looks before it asks for anything, and so does every call that
//! changes a guest: handed on, one look is enough for both. Nothing is handed on twice.

use crate::region::{Region, Status, There};
use crate::transport::held;
use provider::{GuestPower, Result};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long a look may be on its way to the call that acts on it. Whoever changes the guest meanwhile is met by Proxmox
/// itself: by the digest, by the lock, by "does not exist".
const HANDED_ON: Duration = Duration::from_secs(2);
/// More looks than this are not kept without seeing which are too old.
const MANY: usize = 256;

/// A look at a number.
#[derive(Clone, Debug)]
pub(crate) struct Look {
    /// `None`: nothing has the number, and the cluster knows that.
    pub(crate) there: Option<There>,
    /// Its state of that moment, where it was asked for.
    pub(crate) status: Option<Status>,
}

/// Looks on their way.
#[derive(Debug, Default)]
pub(crate) struct Looks(Mutex<HashMap<u32, (Look, Instant)>>);

impl Looks {
    /// Keeps a look in place of an earlier one.
    pub(crate) fn keep(&self, number: u32, look: Look) {
        let mut looks = held(&self.0);
        if looks.len() >= MANY {
            looks.retain(|_, (_, at)| at.elapsed() < HANDED_ON);
        }
        looks.insert(number, (look, Instant::now()));
    }

    /// Takes it out: whatever is done now, the next call has to look again.
    fn take(&self, number: u32) -> Option<Look> {
        let (look, at) = held(&self.0).remove(&number)?;
        (at.elapsed() < HANDED_ON).then_some(look)
    }
}

impl Region {
    /// The look that was just taken at a guest, or a new one.
    pub(crate) async fn handed_on(&self, number: u32, host: &str) -> Result<Look> {
        match self.looks.take(number) {
            Some(look) => Ok(look),
            None => Ok(Look { there: self.look(number, host).await?, status: None }),
        }
    }

    /// What is known of a guest that has just been made: it is whole, and nobody has started it.
    pub(crate) fn just_made(&self, there: There) {
        let status = Status { power: GuestPower::Stopped, process: None, managed: false };
        self.looks.keep(there.place.number, Look { there: Some(there), status: Some(status) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_handed_on_once() {
        let looks = Looks::default();
        looks.keep(100, Look { there: None, status: None });
        assert!(looks.take(100).is_some());
        assert!(looks.take(100).is_none());
    }

    #[test]
    fn looks_that_nobody_takes_do_not_pile_up() {
        let looks = Looks::default();
        let Some(long_ago) = Instant::now().checked_sub(HANDED_ON) else { return };
        for number in 0..MANY {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            held(&looks.0).insert(number, (Look { there: None, status: None }, long_ago));
        }
        looks.keep(u32::MAX, Look { there: None, status: None });
        assert_eq!(held(&looks.0).len(), 1);
        assert!(looks.take(7).is_none());
    }
}
