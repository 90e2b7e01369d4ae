//! One open state directory: what every part works with.

use crate::config::{Config, Networking};
use crate::durable;
use crate::host::{self, Acceleration};
use crate::layout::Layout;
use crate::limits::Limits;
use crate::locks;
use crate::network::Network;
use crate::process::Identity;
use crate::program::Program;
use crate::record::{Found, Record};
use crate::tasks::Tasks;
use provider::{Capabilities, Fault, Mark, Result};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// See [`crate::Qemu`].
#[derive(Debug)]
pub(crate) struct Region {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) acceleration: Acceleration,
    pub(crate) tasks: Tasks,
    pub(crate) limits: Limits,
    /// `None` with user-mode networking.
    pub(crate) network: Option<Network>,
    /// Whether each guest's QEMU gets a user of its own.
    separate_users: bool,
}

impl Region {
    /// Opens the state directory and puts in order what an earlier process left there.
    pub(crate) async fn open(config: Config) -> Result<Self> {
        // Two providers are linked into the daemon, so one must be chosen; an error says that somebody did already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        prepare(&config)?;
        let state_dir = std::fs::canonicalize(&config.state_dir);
        let state_dir = state_dir.map_err(|error| crate::fault::from_io(config.state_dir.display(), &error))?;
        let layout = Layout::new(state_dir, config.installation);
        for program in [&config.qemu_binary, &config.qemu_img_binary] {
            Program::new(program).args(["--version"]).run().await?;
        }
        let network = choose_network(&config, &layout).await?;
        let separate_users = host::is_root() && host::everyone_may_pass(layout.root());
        if host::is_root() && !separate_users {
            let directory = layout.root().display();
            tracing::warn!(%directory, "guests run as root: their users could not enter the state directory");
        }
        let limits = if host::is_root() { Limits::open(&layout.table()) } else { Limits::none() };
        let acceleration = host::acceleration();
        let tasks = Tasks::default();
        let region = Self { config, layout, acceleration, tasks, limits, network, separate_users };
        region.put_in_order().await?;
        Ok(region)
    }

    /// What this host can do.
    pub(crate) fn capabilities(&self) -> Capabilities {
        Capabilities {
            own_addresses: self.bridged(),
            private_networks: self.bridged(),
            live_snapshot: true,
            screenshot: true,
            console_log: true,
            resource_limits: self.limits.enforced(),
            hardware_virtualization: self.acceleration == Acceleration::Kvm,
            ipv6: false,
            ..Capabilities::default()
        }
    }

    /// Whether guests have taps.
    pub(crate) fn bridged(&self) -> bool {
        self.network.is_some()
    }

    /// The user that a guest's QEMU runs as, when that is not our own: one per guest, so that one that was broken out
    /// of cannot read the next one's disk.
    pub(crate) fn user_of(&self, mark: &Mark) -> Option<u32> {
        let number = mark.server.0.unsigned_abs() & 0x0FFF_FFFF;
        self.separate_users.then(|| self.config.guest_user_base.saturating_add(number))
    }

    /// The same with the group that opens `/dev/kvm` where that is used.
    pub(crate) fn identity(&self, record: &Record) -> Option<Identity> {
        let device = match self.acceleration {
            Acceleration::Kvm => host::kvm_group(),
            Acceleration::Translation => None,
        };
        record.user.map(|user| Identity { user, device })
    }

    /// Every guest of ours with its record.
    pub(crate) fn guests(&self) -> Result<Vec<(crate::layout::GuestPlace, Record)>> {
        let mut guests = Vec::new();
        for name in names(&self.layout.guests())? {
            let Ok(place) = self.layout.named(&name) else { continue };
            if let Found::Guest(record) = Record::read(&place)?
                && record.mark.installation == self.layout.installation()
            {
                guests.push((place, *record));
            }
        }
        Ok(guests)
    }

    /// Removes what no living process is working on: half-made and half-removed guests, superseded disks. Starts and
    /// stops nothing.
    async fn put_in_order(&self) -> Result<()> {
        for name in names(&self.layout.guests())? {
            let path = self.layout.guests().join(&name);
            let guest = name.trim_start_matches(".new-").trim_start_matches(".gone-");
            // Held by somebody: at work, not left over.
            let Some(held) = locks::try_take(&self.layout.locks(), &crate::guests::lock_name(guest))? else { continue };
            if guest.len() < name.len() {
                tracing::info!(name, "removing what an interrupted piece of work left");
                durable::remove(&path)?;
                held.retire();
                continue;
            }
            let Ok(place) = self.layout.named(guest) else { continue };
            if let Found::Guest(record) = Record::read(&place)? {
                crate::guests::remove_superseded(&place, &record)?;
                crate::snapshot::thaw_forgotten(&place).await?;
            }
        }
        match &self.network {
            Some(network) => network.restore(self).await,
            None => Ok(()),
        }
    }
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory);
    let entries = entries.map_err(|error| crate::fault::from_io(directory.display(), &error))?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

/// Makes the directories, and makes sure that they are this installation's.
fn prepare(config: &Config) -> Result<()> {
    let layout = Layout::new(config.state_dir.clone(), config.installation);
    let make = |path: &Path, mode: u32| {
        let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(path);
        made.map_err(|error| crate::fault::from_io(format!("making {}", path.display()), &error))
    };
    // Guests' users pass through, each to its own directory, and list nothing.
    for open in [config.state_dir.clone(), layout.guests()] {
        make(&open, 0o711)?;
    }
    for closed in [layout.images(), layout.downloads(), layout.networks(), layout.locks()] {
        make(&closed, 0o700)?;
    }
    let ours = config.installation.to_string();
    match durable::read_bounded(&layout.owner(), 256)? {
        None => durable::replace(&layout.owner(), ours.as_bytes(), 0o600),
        Some(owner) if owner.trim_ascii() == ours.as_bytes() => Ok(()),
        Some(_) => Err(Fault::refused(format!("{} belongs to another installation", config.state_dir.display()))),
    }
}

async fn choose_network(config: &Config, layout: &Layout) -> Result<Option<Network>> {
    match config.networking {
        Networking::User => Ok(None),
        Networking::Bridged => Network::open(config, layout).await.map(Some),
        Networking::Auto if !host::is_root() => Ok(None),
        Networking::Auto => match Network::open(config, layout).await {
            Ok(network) => Ok(Some(network)),
            Err(fault) => {
                tracing::warn!(fault = %fault.detail, "no bridged networking here; guests get user-mode networking");
                Ok(None)
            }
        },
    }
}
