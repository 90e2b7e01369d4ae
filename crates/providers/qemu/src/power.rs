//! Starting, stopping and resetting guests.

use crate::agent::Agent;
use crate::command_line::{Connection, arguments};
use crate::durable::blocking;
use crate::guests::Owned;
use crate::process::{self, Process};
use crate::qmp::Qmp;
use crate::region::Region;
use provider::{Begun, Fault, GuestRef, PowerWish, Result};
use serde_json::json;
use std::time::Duration;

/// How long QEMU may take to flush and end when it is told to.
const QUIT: Duration = Duration::from_secs(5);

impl Region {
    /// See [`provider::Provider::power`].
    pub(crate) async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun> {
        let owned = self.present(guest).await?;
        let process = process::find(&owned.place, &owned.record)?;
        match (wish, process) {
            (PowerWish::On, Some(_)) | (PowerWish::Shutdown, None) => {}
            (PowerWish::On, None) => self.start(owned).await?,
            (PowerWish::Off, process) => self.stop(&owned, process).await?,
            (PowerWish::Shutdown, Some(_)) => {
                self.drain_console(&owned).await;
                Qmp::connect(&owned.place.run()).await?.call("system_powerdown", json!({})).await?;
            }
            (PowerWish::Reset, Some(_)) => {
                Qmp::connect(&owned.place.run()).await?.call("system_reset", json!({})).await?;
            }
            (PowerWish::Reboot, Some(_)) => reboot(&owned).await?,
            (PowerWish::Reset | PowerWish::Reboot, None) => {
                return Err(Fault::refused(format!("{} is not running", guest.name)));
            }
        }
        Ok(Begun::Done)
    }

    async fn start(&self, mut owned: Owned) -> Result<()> {
        // A process without its pidfile would fight the new one for the disk.
        if let Some(process) = process::search(&owned.record) {
            return Err(Fault::transient(format!("process {} of this guest is still ending", process.pid)));
        }
        let mut attempt = 1;
        loop {
            let connections = self.connect(&owned.place.name, &owned.record).await?;
            let arguments = arguments(&owned.place, &owned.record, self.acceleration, &connections);
            let identity = self.identity(&owned.record);
            let qemu = &self.config.qemu_binary;
            match process::start(qemu, &arguments, &owned.place, &owned.record, identity).await {
                Ok(process) => {
                    self.limits.apply(&owned.place.name, &owned.record.resources, process.pid);
                    return Ok(());
                }
                Err(fault) if attempt < 4 && fault.detail.contains("host forwarding") => {
                    // Somebody took the port while the guest was stopped.
                    attempt += 1;
                    owned = self.move_ssh_port(owned).await?;
                }
                Err(fault) => {
                    self.disconnect(&owned.place.name, Some(&owned.record)).await?;
                    return Err(fault);
                }
            }
        }
    }

    async fn move_ssh_port(&self, mut owned: Owned) -> Result<Owned> {
        owned.record.ssh_port = Some(self.free_ssh_port(&owned.record.mark)?);
        blocking(move || owned.record.write(&owned.place).map(|()| owned)).await
    }

    /// The plug: QEMU is told to end, so that it writes out what it holds of the disk; then it is killed.
    async fn stop(&self, owned: &Owned, process: Option<Process>) -> Result<()> {
        if let Some(process) = process {
            self.drain_console(owned).await;
            if let Ok(mut monitor) = Qmp::connect(&owned.place.run()).await
                && let Err(fault) = monitor.call("quit", json!({})).await
            {
                tracing::debug!(guest = owned.place.name, fault = %fault.detail, "QEMU ended without an answer");
            }
            if !process.ended_within(QUIT).await? {
                process.kill().await?;
            }
        }
        self.limits.remove(&owned.place.name).await;
        self.disconnect(&owned.place.name, Some(&owned.record)).await
    }

    /// The host's side of the guest's interfaces, made or found.
    async fn connect(&self, name: &str, record: &crate::record::Record) -> Result<Vec<Connection>> {
        match &self.network {
            Some(network) => network.attach(name, record).await,
            None => self.user_connection(record),
        }
    }

    /// Removes the host's side of the guest's interfaces.
    pub(crate) async fn disconnect(&self, name: &str, record: Option<&crate::record::Record>) -> Result<()> {
        match &self.network {
            Some(network) => network.detach(name, record).await,
            None => Ok(()),
        }
    }
}

/// ACPI knows no restart. The guest agent does; without one, Ctrl-Alt-Del, which every Linux understands.
async fn reboot(owned: &Owned) -> Result<()> {
    let run = owned.place.run();
    if let Ok(mut agent) = Agent::connect(&run).await {
        match agent.reboot().await {
            Ok(()) => return Ok(()),
            Err(fault) => tracing::debug!(guest = owned.place.name, fault = %fault.detail, "the agent does not reboot"),
        }
    }
    let keys = ["ctrl", "alt", "delete"].map(|key| json!({"type": "qcode", "data": key}));
    Qmp::connect(&run).await?.call("send-key", json!({"keys": keys})).await.map(drop)
}
