//! Changing a guest that is whole: its size, its seed, its disk, its mark. And deleting it.

use crate::call::Kind;
use crate::calls::{
    DeleteGuest, DeleteHaResource, GetPermissions, PostMachineConfig, PutContainerConfig, PutMachineConfig, PutPools,
};
use crate::hardware;
use crate::images::Template;
use crate::looks::Look;
use crate::mark::{self, Note, State};
use crate::power::service;
use crate::preflight::has;
use crate::privileges::lacking_for_adoption;
use crate::region::{Region, There, number, stranger};
use crate::tasks::begun;
use crate::templates::Original;
use provider::{Begun, Fault, GuestPower, GuestRef, GuestSpec, ImageRef, Resources, Result, Seed};
use std::collections::BTreeMap;

impl Region {
    /// See [`provider::Provider::resize_guest`].
    pub(crate) async fn resize_guest(&self, guest: &GuestRef, resources: &Resources) -> Result<Begun> {
        let mut there = self.ours(guest).await?;
        there.unlocked()?;
        let has = hardware::resources(&there.config);
        if (has.vcpus, has.memory_mib) != (resources.vcpus, resources.memory_mib) {
            self.resize(&there, resources).await?;
            there = self.again(&there).await?;
        }
        Ok(self.grow(&there, resources.disk_gb).await?.unwrap_or(Begun::Done))
    }

    async fn resize(&self, there: &There, resources: &Resources) -> Result<()> {
        let (node, vmid, digest) = (there.place.node.clone(), there.place.number, there.digest());
        let cores = Some(resources.vcpus);
        let answer = match there.place.kind {
            Kind::Machine => {
                let memory = Some(resources.memory_mib.to_string());
                let sockets = Some(1);
                let call = PutMachineConfig { node, vmid, digest, cores, sockets, memory, ..Default::default() };
                self.transport.ask(&call).await?
            }
            Kind::Container => {
                let memory = Some(resources.memory_mib);
                let call = PutContainerConfig { node, vmid, digest, cores, memory, ..Default::default() };
                self.transport.ask(&call).await?
            }
        };
        drop(answer);
        Ok(())
    }

    /// See [`provider::Provider::reseed_guest`].
    pub(crate) async fn reseed_guest(&self, guest: &GuestRef, seed: &Seed) -> Result<()> {
        let there = self.ours(guest).await?;
        there.unlocked()?;
        let (node, vmid) = (there.place.node.clone(), there.place.number);
        let name = Some(hardware::dns_name(&seed.plain.host_name)).filter(|_| !seed.plain.host_name.is_empty());
        if there.place.kind == Kind::Container {
            let digest = there.digest();
            let call = PutContainerConfig { node, vmid, hostname: name, digest, ..Default::default() };
            return self.transport.ask(&call).await.map(drop);
        }
        let change = PutMachineConfig { node: node.clone(), vmid, name, ..Default::default() };
        let (there, change) = self.seed(there, &guest.mark, seed, &[], change).await?;
        let inserted: Vec<String> = change.ide.iter().map(|(_, text)| text.clone()).collect();
        self.transport.ask(&PutMachineConfig { digest: there.digest(), ..change }).await?;
        // A new disc is in the drive: the old one is nobody's any more.
        match inserted.iter().find_map(|text| text.strip_suffix(",media=cdrom")) {
            Some(volume) => self.delete_discs(&node, guest.mark.server, Some(volume)).await,
            None => Ok(()),
        }
    }

    /// See [`provider::Provider::prepare_rebuild`].
    pub(crate) async fn prepare_rebuild(&self, guest: &GuestRef, image: &ImageRef) -> Result<Begun> {
        let there = self.ours(guest).await?;
        if there.place.kind == Kind::Container {
            return Err(irreplaceable());
        }
        Ok(match self.import_source(&there, image).await? {
            Ok(_) => Begun::Done,
            Err(begun) => begun,
        })
    }

    /// See [`provider::Provider::rebuild_guest`]. The old disk is set aside and freed only when the new one is complete;
    /// the description says which rebuild is under way, so that a repeat goes on where this one stopped.
    pub(crate) async fn rebuild_guest(&self, guest: &GuestRef, spec: &GuestSpec, token: &str) -> Result<Begun> {
        let there = self.ours(guest).await?;
        let note = there.note.clone().unwrap_or_else(|| Note::of_guest(&guest.mark));
        if note.rebuilt.as_deref() == Some(token) {
            return Ok(Begun::Done);
        }
        there.unlocked()?;
        if there.place.kind == Kind::Container {
            return Err(irreplaceable());
        }
        if self.status(&there.place).await?.power == GuestPower::Running {
            return Err(Fault::refused(format!("guest {} runs: it has to be stopped first", guest.name)));
        }
        let source = match self.import_source(&there, &spec.image).await? {
            Ok(volume) => volume,
            Err(begun) => return Ok(begun),
        };
        let (there, note) = if note.rebuilding.as_deref() == Some(token) {
            (there, note)
        } else {
            self.set_aside(&there, note, token).await?
        };
        if hardware::boot_disk(&there.config).is_none() {
            let call = PostMachineConfig {
                node: there.place.node.clone(),
                vmid: there.place.number,
                digest: there.digest(),
                scsi: vec![(0, format!("{}:0,import-from={source}", self.config.storage))],
                ..Default::default()
            };
            return Ok(begun(self.transport.begin(&call).await?));
        }
        if let Some(begun) = self.grow(&there, spec.resources.disk_gb).await? {
            return Ok(begun);
        }
        let there = self.free_replaced(there, &note).await?;
        self.fence(&there.place, &spec.interfaces).await?;
        let done =
            Note { rebuilt: Some(token.to_owned()), rebuilding: None, replaced: None, state: State::Made, ..note };
        self.configure(guest, spec, there, done).await?;
        Ok(Begun::Done)
    }

    /// The volume that the new disk is copied from; or what has to be waited for first.
    async fn import_source(&self, there: &There, image: &ImageRef) -> Result<std::result::Result<String, Begun>> {
        let cluster = self.cluster().await?;
        let Original { place: template, storage } = match self.template_for(image, &there.place.node, &cluster).await? {
            Template::Here(original) => original,
            Template::Making(begun) => return Ok(Err(begun)),
        };
        if template.node != there.place.node && !cluster.is_shared(&storage) {
            return Err(Fault::refused(format!(
                "the image's only copy is on {}, on its own storage {storage}, and guest {} is on {}: move it there first",
                template.node, there.place.number, there.place.node
            )));
        }
        let found = self.look(template.number, &template.node).await?;
        let disk = found.as_ref().and_then(|found| hardware::boot_disk(&found.config));
        let disk = disk.ok_or_else(|| Fault::transient(format!("template {} has no disk", template.number)))?;
        Ok(Ok(disk.volume))
    }

    /// Takes the old disk out; it stays as an unused one until the new one is complete.
    async fn set_aside(&self, there: &There, note: Note, token: &str) -> Result<(There, Note)> {
        let disk = hardware::boot_disk(&there.config);
        let note = Note {
            rebuilding: Some(token.to_owned()),
            // What an interrupted rebuild made goes, and the disk that it replaced stays noted.
            replaced: note.replaced.or_else(|| disk.as_ref().map(|disk| disk.volume.clone())),
            ..note
        };
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            delete: disk.map(|disk| disk.key),
            description: Some(note.written_into(&there.description())),
            digest: there.digest(),
            ..Default::default()
        };
        self.transport.ask(&call).await?;
        Ok((self.again(there).await?, note))
    }

    /// Frees the disks that were set aside. Others that are unused are somebody else's business, except for what an
    /// interrupted rebuild left, which was ours to begin with: the guest's own volumes.
    async fn free_replaced(&self, there: There, note: &Note) -> Result<There> {
        let own = format!("vm-{}-", there.place.number);
        let unused = hardware::numbered(&there.config, "unused").into_iter();
        let ours = unused.filter(|(_, volume)| Some(volume) == note.replaced.as_ref() || volume.contains(&own));
        let keys: Vec<String> = ours.map(|(index, _)| format!("unused{index}")).collect();
        if keys.is_empty() {
            return Ok(there);
        }
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            delete: Some(keys.join(",")),
            digest: there.digest(),
            ..Default::default()
        };
        self.transport.ask(&call).await?;
        self.again(&there).await
    }

    /// See [`provider::Provider::delete_guest`].
    pub(crate) async fn delete_guest(&self, guest: &GuestRef) -> Result<Begun> {
        let Look { there, status } = self.handed_on(number(guest)?, &guest.host).await?;
        let Some(there) = there else { return Ok(Begun::Done) };
        if self.is_of_our_range(&there) && there.is_husk() {
            return self.destroy(&there.place).await;
        }
        if !there.note.as_ref().is_some_and(|note| note.is_of(&guest.mark)) {
            return Err(Fault::refused(stranger(&there)));
        }
        there.unlocked()?;
        let status = match status {
            Some(status) => status,
            None => self.status(&there.place).await?,
        };
        if status.managed {
            // Left in, it would start the guest again.
            let call = DeleteHaResource { sid: service(&there.place), purge: Some(true) };
            self.transport.ask(&call).await?;
        }
        if let Some(begun) = self.stopped(&there.place, &status).await? {
            return Ok(begun);
        }
        if there.place.kind == Kind::Machine
            && hardware::seed_disc(&there.config, &self.disc_prefix(guest.mark.server)).is_some()
        {
            self.delete_discs(&there.place.node, guest.mark.server, None).await?;
        }
        let call = DeleteGuest {
            node: there.place.node.clone(),
            kind: there.place.kind,
            vmid: there.place.number,
            purge: Some(true),
            destroy_unreferenced_disks: Some(true),
        };
        let begun = begun(self.transport.begin(&call).await?);
        self.forget(there.place.number);
        Ok(begun)
    }

    /// See [`provider::Provider::adopt_guest`].
    pub(crate) async fn adopt_guest(&self, guest: &GuestRef) -> Result<()> {
        let Some(there) = self.look(number(guest)?, &guest.host).await? else {
            return Err(Fault::refused(format!("there is no guest {} in the cluster", guest.name)));
        };
        match &there.note {
            Some(note) if note.is_of(&guest.mark) => return Ok(()),
            Some(_) => return Err(Fault::refused(stranger(&there))),
            None => there.unlocked()?,
        }
        if crate::guests::is_template(&there) {
            return Err(Fault::refused(format!("guest {} is a template", guest.name)));
        }
        self.may_adopt(there.place.number).await?;
        let note = Note { state: State::Made, ..Note::of_guest(&guest.mark) };
        let (node, vmid, digest) = (there.place.node.clone(), there.place.number, there.digest());
        let description = Some(note.written_into(&there.description()));
        let tags = Some(mark::guest_tags(guest, &[], &there.tags()));
        match there.place.kind {
            Kind::Machine => {
                let call = PutMachineConfig { node, vmid, description, tags, digest, ..Default::default() };
                self.transport.ask(&call).await?;
            }
            Kind::Container => {
                let call = PutContainerConfig { node, vmid, description, tags, digest, ..Default::default() };
                self.transport.ask(&call).await?;
            }
        }
        self.join_pool(vmid).await;
        Ok(())
    }

    /// Refuses what would be marked as ours and then be out of our reach.
    async fn may_adopt(&self, number: u32) -> Result<()> {
        let mut granted = BTreeMap::new();
        // One path each: what comes through a pool stands in no list of all grants.
        for path in [format!("/vms/{number}"), format!("/pool/{}", self.config.pool)] {
            let answer = self.transport.ask(&GetPermissions { path: Some(path.clone()) }).await?;
            granted.insert(path, answer);
        }
        let may = |path: &str, privilege: &str| granted.get(path).is_some_and(|answer| has(answer, path, privilege));
        let lacking = lacking_for_adoption(&self.config, number, may);
        if lacking.is_empty() {
            return Ok(());
        }
        let (lacking, pool) = (lacking.into_iter().collect::<Vec<_>>().join(" and "), &self.config.pool);
        Err(Fault::refused(format!(
            "the token lacks {lacking}. Put the guest into the pool first (pveum pool modify {pool} --vms {number}), or grant \
             these rights as the last lines of `cairn admin region add proxmox --setup` do; then adopt it again"
        )))
    }

    /// Puts an adopted guest into our pool, where our rights are. It was changed already, so we may do without.
    async fn join_pool(&self, number: u32) {
        let call = PutPools { poolid: self.config.pool.clone(), vms: Some(number.to_string()) };
        if let Err(fault) = self.transport.ask(&call).await {
            tracing::warn!(guest = number, pool = %self.config.pool, detail = %fault.detail, "an adopted guest stays out of the pool");
        }
    }
}

/// What is said of a rebuild of a container.
fn irreplaceable() -> Fault {
    Fault::refused("a container's disk cannot be replaced in place: order a new one")
}
