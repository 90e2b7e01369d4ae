//! A provider in memory: three hosts, guests by number, strangers among them, moves as tasks that can be held, refused
//! and undone. What it is told to do wrong is set by the test.

use async_trait::async_trait;
use provider::{
    Begun, Capabilities, Fault, Finding, Gpus, GpusSeen, Guest, GuestKind, GuestPower, GuestRef, GuestSpec, HostSeen,
    ImageRef, ImageSeen, ImageSource, Inventory, Mark, Movable, Move, NetworkRef, NetworkSpec, PowerWish, Provider,
    Reached, Resources, Result, Seed, Severity, Sighting, StorageSeen, Stranger, TaskRef, TaskState,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// Everything that the provider knows, and what it does wrong.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) guests: BTreeMap<String, Sighting>,
    pub(crate) strangers: BTreeMap<String, Stranger>,
    pub(crate) offline: Vec<String>,
    pub(crate) troubles: Vec<String>,
    pub(crate) storages: Vec<StorageSeen>,
    pub(crate) numbers: Option<(u32, u32)>,
    pub(crate) away: bool,
    /// What the list of everything says instead of the truth: it lags behind.
    pub(crate) old_list: Option<Inventory>,
    /// Moves stay under way until this is taken back.
    pub(crate) hold_moves: bool,
    /// How moves fail, before anything has happened.
    pub(crate) refuse_moves: Option<Fault>,
    /// Moves have their effect, and end as failed nevertheless.
    pub(crate) fail_after_effect: bool,
    pub(crate) hindrances: Vec<String>,
    pub(crate) not_to: Vec<(String, String)>,
    pub(crate) refuse_adoption: bool,
    /// What strangers say of their addresses.
    pub(crate) addresses: Vec<std::net::Ipv4Addr>,
    /// Disks cannot be copied, and no image is at hand.
    pub(crate) refuse_snapshots: bool,
    /// Disks cannot be made anew where their guests are.
    pub(crate) refuse_rebuilds: bool,
    /// Disks cannot be made anew, and nobody knew before.
    pub(crate) lose_rebuilds: bool,
    /// What is out of use; empty after a sweep.
    pub(crate) leftovers: Vec<String>,
    /// When the next guest is to be made, its image's bytes turn out to be gone.
    pub(crate) lose_image: bool,
    /// They are gone, until somebody fetches them.
    pub(crate) image_lost: bool,
    /// GPUs by host.
    pub(crate) gpus: Vec<(String, GpusSeen)>,
    /// What the guests were given of them, by number.
    pub(crate) given: BTreeMap<String, Gpus>,
    /// A stranger has them: guests that were given some do not start.
    pub(crate) gpus_taken: bool,
    pub(crate) live_moves: usize,
    pub(crate) deleted: Vec<String>,
    moves: BTreeMap<String, (String, String)>,
}

/// The provider.
#[derive(Clone, Default)]
pub(crate) struct Crowd(Arc<Mutex<State>>);

impl Crowd {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(crate) fn host_of(&self, number: &str) -> String {
        self.state().guests[number].guest.host.clone()
    }

    fn seen(&self, guest: &GuestRef, change: impl FnOnce(&mut Sighting)) -> Result<Begun> {
        let mut state = self.state();
        let found = state.guests.get_mut(&guest.name).filter(|found| found.guest.mark == guest.mark);
        found.map(change).ok_or_else(|| Fault::refused(format!("there is no guest {} of ours", guest.name)))?;
        Ok(Begun::Done)
    }
}

pub(crate) fn stranger(name: &str, host: &str) -> Stranger {
    Stranger {
        host: host.to_owned(),
        name: name.to_owned(),
        kind: GuestKind::Machine,
        title: format!("legacy-{name}"),
        power: Some(GuestPower::Stopped),
        resources: Resources { vcpus: 2, memory_mib: 3000, disk_gb: 33 },
        owner: None,
    }
}

#[async_trait]
impl Provider for Crowd {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            own_addresses: true,
            private_networks: true,
            migration: true,
            containers: true,
            gpus: true,
            guest_numbers: self.state().numbers,
            ..Capabilities::default()
        }
    }

    async fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        let state = self.state();
        if state.strangers.contains_key(&guest.name) {
            return Ok(Guest::Foreign("nobody's".to_owned()));
        }
        Ok(match state.guests.get(&guest.name) {
            Some(found) if found.guest.mark == guest.mark => Guest::Ours(Box::new(found.clone())),
            Some(found) => Guest::Foreign(format!("{:?}", found.guest.mark)),
            None => Guest::Absent,
        })
    }

    async fn ensure_image(&self, _image: &ImageRef, _source: &ImageSource) -> Result<Begun> {
        self.state().image_lost = false;
        Ok(Begun::Done)
    }

    async fn find_image(&self, _image: &ImageRef) -> Result<Option<ImageSeen>> {
        let state = self.state();
        if state.refuse_snapshots || state.image_lost {
            return Ok(None);
        }
        Ok(Some(ImageSeen { stored_bytes: 1 << 29, virtual_bytes: 2 << 30 }))
    }

    async fn delete_image(&self, _image: &ImageRef) -> Result<Begun> {
        Ok(Begun::Done)
    }

    async fn ensure_network(&self, _host: &str, _network: &NetworkSpec) -> Result<()> {
        Ok(())
    }

    async fn delete_network(&self, _host: &str, _network: &NetworkRef) -> Result<()> {
        Ok(())
    }

    async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        let sighting = Sighting {
            guest: guest.clone(),
            power: GuestPower::Stopped,
            resources: spec.resources,
            reached: Reached::default(),
            rebuilt: None,
            boot: None,
        };
        let mut state = self.state();
        state.image_lost |= std::mem::take(&mut state.lose_image);
        if state.image_lost {
            return Err(Fault::transient("there is no template"));
        }
        state.guests.entry(guest.name.clone()).or_insert(sighting);
        if let Some(gpus) = &spec.gpus {
            state.given.insert(guest.name.clone(), gpus.clone());
        }
        Ok(Begun::Done)
    }

    async fn power(&self, guest: &GuestRef, wish: PowerWish) -> Result<Begun> {
        let power = match wish {
            PowerWish::On | PowerWish::Reboot | PowerWish::Reset => GuestPower::Running,
            PowerWish::Off | PowerWish::Shutdown => GuestPower::Stopped,
        };
        let lacks = |state: &State| state.gpus_taken && state.given.contains_key(&guest.name);
        if power == GuestPower::Running && lacks(&self.state()) {
            return Ok(Begun::Task(TaskRef("start".to_owned())));
        }
        self.seen(guest, |found| found.power = power)
    }

    async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun> {
        self.seen(guest, |found| found.resources = *resources)
    }

    async fn give_gpus(&self, guest: &GuestRef, gpus: Option<&Gpus>) -> Result<()> {
        let mut state = self.state();
        match gpus {
            Some(gpus) => state.given.insert(guest.name.clone(), gpus.clone()),
            None => state.given.remove(&guest.name),
        };
        Ok(())
    }

    async fn reseed_guest(&self, _guest: &GuestRef, _seed: &Seed) -> Result<()> {
        Ok(())
    }

    async fn prepare_rebuild(&self, _guest: &GuestRef, _image: &ImageRef) -> Result<Begun> {
        if self.state().refuse_rebuilds {
            return Err(Fault::refused("the image's only copy is on pve9"));
        }
        Ok(Begun::Done)
    }

    async fn rebuild_guest(&self, guest: &GuestRef, _spec: &GuestSpec, token: &str) -> Result<Begun> {
        if self.state().lose_rebuilds {
            return Err(Fault::refused("the image went after it was looked for"));
        }
        self.seen(guest, |found| found.rebuilt = Some(token.to_owned()))
    }

    async fn snapshot_guest(&self, _guest: &GuestRef, _image: &ImageRef) -> Result<Begun> {
        if self.state().refuse_snapshots {
            return Err(Fault::refused("no room for a copy"));
        }
        Ok(Begun::Done)
    }

    async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun> {
        let mut state = self.state();
        state.guests.remove(&guest.name);
        state.given.remove(&guest.name);
        state.deleted.push(guest.name.clone());
        Ok(Begun::Done)
    }

    async fn console_log(&self, _guest: &GuestRef, _limit: usize) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn screenshot(&self, _guest: &GuestRef) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }

    async fn task(&self, task: &TaskRef) -> Result<TaskState> {
        let mut state = self.state();
        if state.hold_moves {
            return Ok(TaskState::Running { progress: Some(0.5) });
        }
        if task.0 == "start" {
            return Ok(TaskState::Failed(Fault::full("could not find a free device for 'hostpci0'")));
        }
        let Some((guest, to)) = state.moves.remove(&task.0) else { return Ok(TaskState::Vanished) };
        if let Some(found) = state.guests.get_mut(&guest) {
            found.guest.host = to;
        }
        Ok(if state.fail_after_effect { TaskState::Failed(Fault::transient("it said")) } else { TaskState::Done })
    }

    async fn inventory(&self) -> Result<Inventory> {
        let state = self.state();
        if state.away {
            return Err(Fault::transient("nobody answers"));
        }
        if let Some(old) = &state.old_list {
            return Ok(old.clone());
        }
        let host = |name: &str| HostSeen {
            name: name.to_owned(),
            cpus: 8,
            memory_mib: 64 << 10,
            disk_gb: 1000,
            disk_free_gb: 900,
            online: !state.offline.iter().any(|offline| offline == name),
            version: Some("9.2".to_owned()),
            architecture: Some("x86_64".to_owned()),
            gpus: state.gpus.iter().filter(|(host, _)| host == name).map(|(_, gpus)| gpus.clone()).collect(),
        };
        let shown = |sighting: &&Sighting| !state.offline.contains(&sighting.guest.host);
        Ok(Inventory {
            hosts: ["pve1", "pve2", "pve3"].map(host).to_vec(),
            guests: state.guests.values().filter(shown).cloned().collect(),
            storages: state.storages.clone(),
            strangers: state.strangers.values().cloned().collect(),
            leftovers: state.leftovers.clone(),
            troubles: state.troubles.clone(),
        })
    }

    async fn movable(&self, _guest: &GuestRef) -> Result<Movable> {
        let state = self.state();
        Ok(Movable { hindrances: state.hindrances.clone(), not_to: state.not_to.clone(), copies_disks: false })
    }

    async fn move_guest(&self, guest: &GuestRef, to: &str, how: Move) -> Result<Begun> {
        let mut state = self.state();
        if let Some(fault) = &state.refuse_moves {
            return Err(fault.clone());
        }
        if state.guests.get(&guest.name).is_some_and(|found| found.guest.host == to) {
            return Ok(Begun::Done);
        }
        state.live_moves += usize::from(how == Move::Live);
        let task = format!("move-{}-{}", guest.name, state.moves.len());
        state.moves.insert(task.clone(), (guest.name.clone(), to.to_owned()));
        Ok(Begun::Task(TaskRef(task)))
    }

    async fn sweep(&self) -> Result<usize> {
        Ok(std::mem::take(&mut self.state().leftovers).len())
    }

    async fn adopt_guest(&self, guest: &GuestRef) -> Result<()> {
        let mut state = self.state();
        if state.refuse_adoption {
            return Err(Fault::refused("its description cannot be written"));
        }
        if let Some(stranger) = state.strangers.remove(&guest.name) {
            let sighting = Sighting {
                guest: GuestRef { host: stranger.host, name: guest.name.clone(), mark: guest.mark },
                power: stranger.power.unwrap_or(GuestPower::Stopped),
                resources: stranger.resources,
                reached: Reached::default(),
                rebuilt: None,
                boot: None,
            };
            state.guests.insert(guest.name.clone(), sighting);
        }
        Ok(())
    }

    async fn stranger_addresses(&self, _guest: &GuestRef) -> Result<Vec<std::net::Ipv4Addr>> {
        Ok(self.state().addresses.clone())
    }

    async fn offers(&self) -> Result<provider::Offers> {
        Ok(provider::Offers { version: Some("Crowd 1".to_owned()), ..provider::Offers::default() })
    }

    async fn preflight(&self) -> Result<Vec<Finding>> {
        let sentence = "There is no bridge vmbr7 on host pve2. Make it there, or name another one.";
        let (severity, subject) = (Severity::Error, "bridge vmbr7".to_owned());
        Ok(vec![Finding { severity, subject, sentence: sentence.to_owned() }])
    }
}

/// A guest that carries the mark of another server.
pub(crate) fn sighting(mark: Mark, name: &str, host: &str) -> Sighting {
    Sighting {
        guest: GuestRef { host: host.to_owned(), name: name.to_owned(), mark },
        power: GuestPower::Running,
        resources: Resources { vcpus: 1, memory_mib: 2048, disk_gb: 20 },
        reached: Reached::default(),
        rebuilt: None,
        boot: None,
    }
}
