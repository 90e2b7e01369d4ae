//! High availability: the cluster's manager starts a guest again that died, elsewhere if its host did. What is under it is
//! taken out again when it is deleted (`changes`); its power is asked of the manager (`power`).

use crate::calls::PostHaResource;
use crate::power::service;
use crate::region::Region;
use provider::{GuestPower, GuestRef, Result};

impl Region {
    /// See [`provider::Provider::keep_available`]. From then on power is the manager's, so it is told what it is now.
    pub(crate) async fn keep_available(&self, guest: &GuestRef) -> Result<()> {
        let there = self.ours(guest).await?;
        let status = self.status(&there.place).await?;
        if status.managed {
            return Ok(());
        }
        let state = match status.power {
            GuestPower::Running => "started",
            GuestPower::Stopped => "stopped",
        };
        let call = PostHaResource { sid: service(&there.place), state: Some(state.to_owned()) };
        self.transport.ask(&call).await.map(drop)
    }
}
