//! Guests as files: looked at, made, changed, removed. Their processes are in `power`.

use crate::durable::{self, blocking};
use crate::images::{LONG, seen};
use crate::layout::{GuestPlace, base_name};
use crate::locks::{self, Held};
use crate::process;
use crate::program::Program;
use crate::record::{Found, Record};
use crate::region::Region;
use provider::{
    Begun, Fault, Guest, GuestPower, GuestRef, GuestSpec, ImageRef, Reached, Resources, Result, Seed, Sighting,
};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// How long a call waits for other work on the same guest.
const PATIENCE: Duration = Duration::from_secs(10);

/// A guest that was looked at, with its lock.
pub(crate) struct Owned {
    pub(crate) place: GuestPlace,
    pub(crate) record: Record,
    pub(crate) held: Held,
}

impl Region {
    /// See [`provider::Provider::find_guest`].
    pub(crate) fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        let place = self.layout.guest(guest)?;
        match Record::read(&place)? {
            Found::Guest(record) if record.mark == guest.mark => {
                Ok(Guest::Ours(Box::new(self.sighting(&place, &record)?)))
            }
            Found::Guest(record) => {
                let mark = record.mark;
                Ok(Guest::Foreign(format!("server {} of installation {}", mark.server, mark.installation)))
            }
            Found::Unreadable(why) => Ok(Guest::Foreign(why)),
            Found::Nothing if self.is_forming(&place.name)? => Ok(Guest::Forming),
            Found::Nothing => Ok(Guest::Absent),
        }
    }

    fn is_forming(&self, name: &str) -> Result<bool> {
        if !self.layout.forming(name).directory.exists() {
            return Ok(false);
        }
        match locks::try_take(&self.layout.locks(), &lock_name(name))? {
            Some(held) => {
                held.retire();
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// What is seen of a guest of ours.
    pub(crate) fn sighting(&self, place: &GuestPlace, record: &Record) -> Result<Sighting> {
        let process = process::find(place, record)?;
        let host = self.config.host_name.clone();
        Ok(Sighting {
            guest: GuestRef { host, name: place.name.clone(), mark: record.mark },
            power: if process.is_some() { GuestPower::Running } else { GuestPower::Stopped },
            resources: record.resources,
            reached: Reached { ssh: record.ssh_port.map(|port| ("127.0.0.1".to_owned(), port)) },
            rebuilt: record.rebuilt.clone(),
            boot: process.map(|process| format!("{}-{}", process.pid, process.started)),
        })
    }

    /// Takes a guest's lock and looks. `None` when it is absent; a foreign one is refused.
    pub(crate) async fn own(&self, guest: &GuestRef) -> Result<Option<Owned>> {
        let place = self.layout.guest(guest)?;
        let held = locks::take(&self.layout.locks(), &lock_name(&place.name), PATIENCE).await?;
        match Record::read(&place)? {
            Found::Guest(record) if record.mark == guest.mark => Ok(Some(Owned { place, record: *record, held })),
            Found::Guest(_) => Err(Fault::refused(format!("{} carries another mark", place.name))),
            Found::Unreadable(why) => Err(Fault::refused(why)),
            Found::Nothing => {
                held.retire();
                Ok(None)
            }
        }
    }

    /// Like [`Self::own`], for work that needs the guest to be there.
    pub(crate) async fn present(&self, guest: &GuestRef) -> Result<Owned> {
        let found = self.own(guest).await?;
        found.ok_or_else(|| Fault::refused(format!("there is no guest {}", guest.name)))
    }

    /// Like [`Self::present`], for work that needs the guest to be stopped.
    async fn stopped(&self, guest: &GuestRef, what: &str) -> Result<Owned> {
        let owned = self.present(guest).await?;
        if process::find(&owned.place, &owned.record)?.is_some() {
            return Err(Fault::refused(format!("{} must be stopped to be {what}", guest.name)));
        }
        Ok(owned)
    }

    /// See [`provider::Provider::create_guest`].
    pub(crate) async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        let place = self.layout.guest(guest)?;
        if guest.mark.installation != self.layout.installation() {
            return Err(Fault::bug("a guest of another installation cannot be created here"));
        }
        // The directory appears under the lock, so whoever has the lock and sees none may make it.
        let held = locks::take(&self.layout.locks(), &lock_name(&place.name), PATIENCE).await?;
        match Record::read(&place)? {
            Found::Guest(record) if record.mark == guest.mark => return Ok(Begun::Done),
            Found::Guest(_) => return Err(Fault::refused(format!("{} carries another mark", place.name))),
            Found::Unreadable(why) => return Err(Fault::refused(why)),
            Found::Nothing => {}
        }
        let record = self.new_record(guest, spec)?;
        let forming = self.layout.forming(&place.name);
        let made = self.form(&forming, &record, spec).await;
        match made {
            Ok(()) => {}
            Err(fault) => {
                let directory = forming.directory.clone();
                blocking(move || durable::remove(&directory)).await?;
                held.retire();
                return Err(fault);
            }
        }
        let (from, to) = (forming.directory, place.directory);
        blocking(move || durable::rename(&from, &to)).await?;
        Ok(Begun::Done)
    }

    fn new_record(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Record> {
        Ok(Record {
            mark: guest.mark,
            title: spec.title.clone(),
            image: spec.image,
            resources: spec.resources,
            interfaces: spec.interfaces.clone(),
            disk: 1,
            seed: 1,
            rebuilt: None,
            ssh_port: if self.bridged() { None } else { Some(self.free_ssh_port(&guest.mark)?) },
            user: self.user_of(&guest.mark),
        })
    }

    /// Makes the whole directory under its temporary name.
    async fn form(&self, forming: &GuestPlace, record: &Record, spec: &GuestSpec) -> Result<()> {
        let volume = crate::seed::volume(&spec.seed)?;
        let (place, user) = (forming.clone(), record.user);
        blocking(move || {
            durable::remove(&place.directory)?;
            // QEMU may pass through to the files that it needs, and nobody else may: a base image is readable for
            // everybody who reaches it, and may be another server's snapshot.
            make_directory(&place.directory, if user.is_some() { 0o710 } else { 0o700 }, None)?;
            let entered = std::os::unix::fs::chown(&place.directory, None, user);
            entered.map_err(|error| crate::fault::from_io(place.directory.display(), &error))?;
            make_directory(&place.run(), 0o700, user)
        })
        .await?;
        let (place, record_copy) = (forming.clone(), record.clone());
        let files = blocking(move || {
            write_seed(&place, &record_copy, &volume)?;
            record_copy.write(&place)
        });
        tokio::try_join!(files, self.make_disk(forming, record, &spec.image))?;
        Ok(())
    }

    /// A fresh overlay of the record's size and number on the image.
    async fn make_disk(&self, place: &GuestPlace, record: &Record, image: &ImageRef) -> Result<()> {
        let source = self.own_image(image)?;
        let base = place.base(record.disk);
        let wanted = disk_bytes(&record.resources);
        let (directory, image) = (place.directory.clone(), image.image);
        blocking(move || {
            let seen = seen(&source)?.ok_or_else(|| Fault::refused(format!("image {image} is not in this region")))?;
            if seen.virtual_bytes > wanted {
                let needed = seen.virtual_bytes.div_ceil(1 << 30);
                return Err(Fault::refused(format!("the image needs a disk of at least {needed} GB")));
            }
            durable::remove(&base)?;
            let linked = std::fs::hard_link(&source, &base);
            linked.map_err(|error| crate::fault::from_io(format!("linking {}", source.display()), &error))
        })
        .await?;
        // -u: the base was verified when it came in; opening it again would only cost time.
        let disk = place.disk(record.disk);
        let arguments = ["create", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b"].map(str::to_owned);
        let tool = Program::new(&self.config.qemu_img_binary).args(arguments).args([base_name(record.disk)]);
        tool.args([&disk]).args([wanted.to_string()]).run().await?;
        let user = record.user;
        blocking(move || {
            own_file(&disk, 0o600, user)?;
            flush(&disk)?;
            durable::sync_directory(&directory)
        })
        .await
    }

    /// See [`provider::Provider::resize_guest`].
    pub(crate) async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun> {
        let mut owned = self.stopped(guest, "resized").await?;
        let now = owned.record.resources;
        if now == *resources {
            return Ok(Begun::Done);
        }
        if resources.disk_gb < now.disk_gb {
            return Err(Fault::refused(format!("a disk of {} GB cannot become smaller", now.disk_gb)));
        }
        if resources.disk_gb > now.disk_gb {
            let disk = owned.place.disk(owned.record.disk);
            let tool = Program::new(&self.config.qemu_img_binary).args(["resize", "-q", "-f", "qcow2"]);
            tool.args([&disk]).args([disk_bytes(resources).to_string()]).run().await?;
        }
        owned.record.resources = *resources;
        blocking(move || owned.record.write(&owned.place)).await?;
        Ok(Begun::Done)
    }

    /// See [`provider::Provider::reseed_guest`]. A running guest keeps the old volume open and sees the new one at
    /// its next start.
    pub(crate) async fn reseed_guest(&self, guest: &GuestRef, seed: &Seed) -> Result<()> {
        let volume = crate::seed::volume(seed)?;
        let mut owned = self.present(guest).await?;
        blocking(move || {
            let current = durable::read_bounded(&owned.place.seed(owned.record.seed), 1 << 24)?;
            if current.as_deref() == Some(volume.as_slice()) {
                return Ok(());
            }
            owned.record.seed += 1;
            write_seed(&owned.place, &owned.record, &volume)?;
            owned.record.write(&owned.place)?;
            remove_superseded(&owned.place, &owned.record)
        })
        .await
    }

    /// See [`provider::Provider::rebuild_guest`]. The record's rewrite is the moment at which it happens.
    pub(crate) async fn rebuild_guest(&self, guest: &GuestRef, spec: &GuestSpec, token: &str) -> Result<Begun> {
        let mut owned = self.present(guest).await?;
        if owned.record.rebuilt.as_deref() == Some(token) {
            return Ok(Begun::Done);
        }
        if process::find(&owned.place, &owned.record)?.is_some() {
            return Err(Fault::refused(format!("{} must be stopped to be rebuilt", guest.name)));
        }
        let volume = crate::seed::volume(&spec.seed)?;
        let record = &mut owned.record;
        record.disk += 1;
        record.seed += 1;
        record.image = spec.image;
        record.resources.disk_gb = spec.resources.disk_gb;
        record.rebuilt = Some(token.to_owned());
        let made = self.make_disk(&owned.place, &owned.record, &spec.image).await;
        let Owned { place, record, held } = owned;
        blocking(move || {
            // Dropped only here: the work goes on when the call is given up.
            let _held = held;
            if let Err(fault) = made {
                durable::remove(&place.disk(record.disk))?;
                durable::remove(&place.base(record.disk))?;
                return Err(fault);
            }
            write_seed(&place, &record, &volume)?;
            record.write(&place)?;
            remove_superseded(&place, &record)
        })
        .await?;
        Ok(Begun::Done)
    }

    /// See [`provider::Provider::delete_guest`].
    pub(crate) async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun> {
        let place = self.layout.guest(guest)?;
        let leaving = self.layout.leaving(&place.name);
        let forming = self.layout.forming(&place.name).directory;
        let Some(owned) = self.own(guest).await? else {
            // An earlier attempt may have come this far; nothing with its taps can belong to anybody else.
            let held = locks::take(&self.layout.locks(), &lock_name(&place.name), PATIENCE).await?;
            self.disconnect(&place.name, None).await?;
            blocking(move || [leaving, forming].iter().try_for_each(|path| durable::remove(path))).await?;
            held.retire();
            return Ok(Begun::Done);
        };
        let running = match process::find(&place, &owned.record)? {
            Some(process) => Some(process),
            None => process::search(&owned.record),
        };
        if let Some(process) = running {
            process.kill().await?;
        }
        self.disconnect(&place.name, Some(&owned.record)).await?;
        self.limits.remove(&place.name).await;
        let Owned { held, .. } = owned;
        blocking(move || {
            durable::remove(&leaving)?;
            durable::rename(&place.directory, &leaving)?;
            durable::remove(&leaving)
        })
        .await?;
        held.retire();
        Ok(Begun::Done)
    }

    /// A standalone copy of a stopped guest's disk, in the guest's directory.
    pub(crate) async fn copy_disk(&self, owned: &Owned, to: &Path) -> Result<()> {
        let from = owned.place.disk(owned.record.disk);
        let tool = Program::new(&self.config.qemu_img_binary).args(["convert", "-f", "qcow2", "-O", "qcow2"]);
        tool.args([from.as_path(), to]).limit(LONG).run().await.map(drop)
    }
}

/// The name of a guest's lock.
pub(crate) fn lock_name(name: &str) -> String {
    format!("guest-{name}")
}

/// Our GB are GiB on this host, so that nobody gets less than was promised.
pub(crate) fn disk_bytes(resources: &Resources) -> u64 {
    u64::from(resources.disk_gb) << 30
}

fn make_directory(path: &Path, mode: u32, user: Option<u32>) -> Result<()> {
    let made = std::fs::DirBuilder::new().mode(mode).create(path);
    made.map_err(|error| crate::fault::from_io(format!("making {}", path.display()), &error))?;
    own_file(path, mode, user)
}

/// Gives a file to the user that QEMU runs as.
pub(crate) fn own_file(path: &Path, mode: u32, user: Option<u32>) -> Result<()> {
    let own = || {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        user.map_or(Ok(()), |user| std::os::unix::fs::chown(path, Some(user), Some(user)))
    };
    own().map_err(|error| crate::fault::from_io(format!("handing over {}", path.display()), &error))
}

fn write_seed(place: &GuestPlace, record: &Record, volume: &[u8]) -> Result<()> {
    let path = place.seed(record.seed);
    durable::write_new(&path, volume, 0o600)?;
    own_file(&path, 0o600, record.user)
}

fn flush(path: &Path) -> Result<()> {
    let flushed = std::fs::File::open(path).and_then(|file| file.sync_all());
    flushed.map_err(|error| crate::fault::from_io(format!("flushing {}", path.display()), &error))
}

/// Removes disks, bases and seeds of other numbers than the record's: what an exchange left.
pub(crate) fn remove_superseded(place: &GuestPlace, record: &Record) -> Result<()> {
    let current = [place.base(record.disk), place.disk(record.disk), place.seed(record.seed)];
    let entries = std::fs::read_dir(&place.directory);
    let entries = entries.map_err(|error| crate::fault::from_io(place.directory.display(), &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let numbered = ["base-", "disk-", "seed-"].iter().any(|start| name.starts_with(start));
        if numbered && !current.contains(&path) {
            durable::remove(&path)?;
        }
    }
    Ok(())
}
