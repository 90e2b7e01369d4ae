//! Starting and stopping. Where high availability keeps a guest, it decides over its power: there the wish is written
//! down for it, and comes true some seconds later.

use crate::call::Kind;
use crate::calls::{PostReboot, PostReset, PostShutdown, PostStart, PostStop, PutHaResource};
use crate::looks::Look;
use crate::region::{Place, Region, Status, number, ours};
use crate::tasks::begun;
use provider::{Begun, Fault, GuestPower, GuestRef, PowerWish, Result};

/// How long a guest that was asked to stop or restart may take before its task gives up, in seconds.
const OBEDIENCE: u32 = 180;

impl Region {
    /// See [`provider::Provider::power`].
    pub(crate) async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun> {
        let Look { there, status } = self.handed_on(number(guest)?, &guest.host).await?;
        let there = ours(guest, there)?;
        let status = match status {
            Some(status) => status,
            None => self.status(&there.place).await?,
        };
        match (wish, status.power) {
            (PowerWish::On, GuestPower::Running) | (PowerWish::Off | PowerWish::Shutdown, GuestPower::Stopped) => {
                return Ok(Begun::Done);
            }
            (PowerWish::Reboot | PowerWish::Reset, GuestPower::Stopped) => {
                return Err(Fault::refused(format!("guest {} does not run", guest.name)));
            }
            _ => {}
        }
        if let Some(locked) = there.unlocked().err().filter(|_| wish == PowerWish::On) {
            return Err(locked);
        }
        if status.managed
            && let Some(state) = wanted_state(wish)
        {
            let call = PutHaResource { sid: service(&there.place), state: Some(state.to_owned()) };
            self.transport.ask(&call).await?;
            return Ok(Begun::Done);
        }
        self.switch(&there.place, wish).await
    }

    async fn switch(&self, place: &Place, wish: PowerWish) -> Result<Begun> {
        let (node, kind, vmid) = (place.node.clone(), place.kind, place.number);
        match (wish, kind) {
            (PowerWish::On, _) => Ok(begun(self.transport.begin(&PostStart { node, kind, vmid }).await?)),
            (PowerWish::Off, _) => {
                // A shutdown that is still being waited for would hold the guest's lock.
                let call = PostStop { node, kind, vmid, overrule_shutdown: Some(true) };
                Ok(begun(self.transport.begin(&call).await?))
            }
            (PowerWish::Shutdown, _) => {
                let call = PostShutdown { node, kind, vmid, timeout: Some(OBEDIENCE), force_stop: None };
                self.transport.begin(&call).await?;
                Ok(Begun::Done)
            }
            // A container has no button for a reset; its reboot is the kernel's business, not the guest's.
            (PowerWish::Reboot, _) | (PowerWish::Reset, Kind::Container) => {
                let call = PostReboot { node, kind, vmid, timeout: Some(OBEDIENCE) };
                self.transport.begin(&call).await?;
                Ok(Begun::Done)
            }
            (PowerWish::Reset, Kind::Machine) => Ok(begun(self.transport.begin(&PostReset { node, vmid }).await?)),
        }
    }

    /// Stops a guest at once. `None`: it does not run.
    pub(crate) async fn stopped(&self, place: &Place, status: &Status) -> Result<Option<Begun>> {
        if status.power == GuestPower::Stopped {
            return Ok(None);
        }
        self.switch(place, PowerWish::Off).await.map(Some)
    }
}

/// What high availability is told; it knows nothing of restarts.
fn wanted_state(wish: PowerWish) -> Option<&'static str> {
    match wish {
        PowerWish::On => Some("started"),
        PowerWish::Off | PowerWish::Shutdown => Some("stopped"),
        PowerWish::Reboot | PowerWish::Reset => None,
    }
}

/// A guest's name in high availability.
pub(crate) fn service(place: &Place) -> String {
    match place.kind {
        Kind::Machine => format!("vm:{}", place.number),
        Kind::Container => format!("ct:{}", place.number),
    }
}
