//! Guests: looking for one, and making one. What takes several tasks is one task per call; the next call sees from the
//! guest itself how far it is. Its description says who it is from the first moment on, and at the end that it is whole.

use crate::call::{Call, Kind};
use crate::calls::{PostClone, PostContainer, PostMachineMigrate, PutContainerConfig, PutMachineConfig, PutResize};
use crate::cluster::Cluster;
use crate::errors::Said;
use crate::gpus;
use crate::hardware;
use crate::images::Template;
use crate::looks::Look;
use crate::mark::{self, Note, State};
use crate::region::{Place, Region, There, number, stranger};
use crate::scalar::Lenient;
use crate::tasks::begun;
use crate::templates::Original;
use provider::{
    Begun, Fault, Guest, GuestKind, GuestRef, GuestSpec, ImageRef, Interface, NetworkRef, Reached, Result, Sighting,
};
use std::sync::Arc;

impl Region {
    /// See [`provider::Provider::find_guest`].
    pub(crate) async fn find_guest(&self, guest: &GuestRef) -> Result<Guest> {
        let number = number(guest)?;
        let Some(there) = self.look_for(number, &guest.host).await? else {
            self.looks.keep(number, Look { there: None, status: None });
            return Ok(Guest::Absent);
        };
        self.looks.keep(number, Look { there: Some(there.clone()), status: None });
        let forming = matches!(there.lock().as_deref(), Some("clone" | "create"));
        let Some(note) = &there.note else {
            // A clone has no description of ours before it is complete; the range of numbers is ours alone.
            return Ok(match self.is_of_our_range(&there) {
                true if forming => Guest::Forming,
                true if there.is_husk() => Guest::Unfinished,
                _ => Guest::Foreign(stranger(&there)),
            });
        };
        if !note.is_of(&guest.mark) {
            return Ok(Guest::Foreign(stranger(&there)));
        }
        if !there.is_whole() {
            return Ok(if there.lock().is_some() { Guest::Forming } else { Guest::Unfinished });
        }
        let status = self.status(&there.place).await?;
        let sighting = Sighting {
            guest: GuestRef { host: there.place.node.clone(), ..guest.clone() },
            power: status.power,
            resources: hardware::resources(&there.config),
            reached: Reached::default(),
            rebuilt: note.rebuilt.clone(),
            boot: status.process.clone(),
        };
        self.looks.keep(number, Look { there: Some(there), status: Some(status) });
        Ok(Guest::Ours(Box::new(sighting)))
    }

    /// See [`provider::Provider::create_guest`].
    pub(crate) async fn create_guest(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        match self.handed_on(number(guest)?, &guest.host).await?.there {
            None if spec.kind == GuestKind::Container => self.make_container(guest, spec).await,
            None => self.clone_template(guest, spec).await,
            Some(there) => match &there.note {
                Some(note) if note.is_of(&guest.mark) && there.is_whole() => Ok(Begun::Done),
                Some(note) if note.is_of(&guest.mark) => self.finish(guest, spec, there).await,
                None if self.is_of_our_range(&there) && there.is_husk() => self.destroy(&there.place).await,
                _ => Err(Fault::refused(stranger(&there))),
            },
        }
    }

    /// Whether it has a number that nobody but us gives.
    pub(crate) fn is_of_our_range(&self, there: &There) -> bool {
        let (first, last) = self.config.guest_numbers;
        (first..=last).contains(&there.place.number)
    }

    async fn clone_template(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        let (cluster, original) = match self.template_lately_at(&spec.image, &guest.host).await? {
            Some(known) => known,
            None => {
                let cluster = self.cluster_kept().await?;
                match self.template_for(&spec.image, &guest.host, &cluster).await? {
                    Template::Here(original) => (cluster, original),
                    // That is done; the guest is not, and the list does not show the template yet.
                    Template::Making(Begun::Done) => {
                        return Err(Fault::transient(format!("the template on {} has just been made", guest.host)));
                    }
                    Template::Making(begun) => return Ok(begun),
                }
            }
        };
        let Original { place: template, storage } = original;
        let elsewhere = template.node != guest.host;
        // On storages of their own a copy is made where the template is, and moved when it is there.
        let shared = cluster.is_shared(&storage) && cluster.is_shared(&self.config.storage);
        // A linked clone's disk is on the storage of its template.
        let linked = storage == self.config.storage && self.is_linked(&cluster) && (shared || !elsewhere);
        let call = PostClone {
            node: template.node.clone(),
            vmid: template.number,
            newid: number(guest)?,
            name: Some(hardware::dns_name(&spec.title)),
            description: Some(Note::of_guest(&guest.mark).alone()),
            pool: Some(self.config.pool.clone()),
            full: Some(!linked),
            storage: (!linked).then(|| self.config.storage.clone()),
            target: (elsewhere && shared).then(|| guest.host.clone()),
        };
        let clones = self.cloning.of(&template);
        let mut clones = clones.lock().await;
        self.room_to_clone(&template, &mut clones).await?;
        let begun = self.begin_new(&call).await;
        match &begun {
            Ok(_) => self.expect(Place { number: call.newid, kind: Kind::Machine, node: template.node }),
            Err(_) => self.templates.forget(&spec.image),
        }
        begun
    }

    /// The template, if the cluster's last list knows one: the list grows with the cluster, and which storages it has and
    /// where templates are changes seldom. The template itself is looked at; one that the list does not know may be new.
    async fn template_lately_at(&self, image: &ImageRef, host: &str) -> Result<Option<(Arc<Cluster>, Original)>> {
        let Some(cluster) = self.cluster_lately() else { return Ok(None) };
        Ok(self.template_at(image, host, &cluster).await?.map(|original| (cluster, original)))
    }

    /// Begins to make what was not seen. What is there all the same is a clone that is not visible before it is whole,
    /// or somebody's guest that the token may not see.
    async fn begin_new<C: Call>(&self, call: &C) -> Result<Begun> {
        match self.transport.try_ask(call).await {
            Ok(answer) => Ok(begun(answer.as_str().map(str::to_owned))),
            Err(failed) if failed.said() == Some(Said::Exists) => Err(Fault::transient(
                failed.fault("a number that was free when it was looked at").detail
                    + "; the token needs VM.Audit on /vms",
            )),
            Err(failed) => Err(failed.fault(C::TEMPLATE)),
        }
    }

    async fn make_container(&self, guest: &GuestRef, spec: &GuestSpec) -> Result<Begun> {
        let archive = match self.container_archive(spec, &guest.host).await? {
            Ok(volume) => volume,
            Err(begun) => return Ok(begun),
        };
        let keys: Vec<&str> = spec.seed.plain.keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).collect();
        let call = PostContainer {
            node: guest.host.clone(),
            vmid: number(guest)?,
            ostemplate: archive,
            cores: Some(spec.resources.vcpus),
            description: Some(Note::of_guest(&guest.mark).alone()),
            features: Some("nesting=1".to_owned()),
            hostname: Some(hardware::dns_name(&spec.title)),
            memory: Some(spec.resources.memory_mib),
            nameserver: resolvers(spec),
            net: hardware::container_cards(&self.config, &spec.interfaces)?,
            onboot: Some(true),
            pool: Some(self.config.pool.clone()),
            rootfs: Some(format!("{}:{}", self.config.storage, spec.resources.disk_gb)),
            ssh_public_keys: Some(keys.join("\n")).filter(|keys| !keys.is_empty()),
            swap: Some(0),
            tags: Some(mark::guest_tags(guest, &self.vnets(&spec.interfaces), &[])),
            unprivileged: Some(true),
        };
        self.begin_new(&call).await
    }

    /// What remains to be done to a guest that is there and not whole. Its configuration says that it is made as soon as its
    /// disk is as large as it says: one change for everything, and the growing, which needs no look in between, comes last.
    async fn finish(&self, guest: &GuestRef, spec: &GuestSpec, there: There) -> Result<Begun> {
        there.unlocked()?;
        if there.place.node != guest.host && there.place.kind == Kind::Machine {
            return self.bring(&there.place, &guest.host).await;
        }
        self.fence_anew(&there.place, &spec.interfaces).await?;
        let disk_gb = Some(spec.resources.disk_gb);
        let note = Note { state: State::Made, disk_gb, ..Note::of_guest(&guest.mark) };
        let there = match there.place.kind {
            Kind::Machine => self.configure(guest, spec, there, note).await?,
            Kind::Container => {
                let call = PutContainerConfig {
                    node: there.place.node.clone(),
                    vmid: there.place.number,
                    description: Some(note.written_into(&there.description())),
                    digest: there.digest(),
                    ..Default::default()
                };
                self.transport.ask(&call).await?;
                there.changed(note)
            }
        };
        let growing = self.grow(&there, spec.resources.disk_gb).await?;
        if let Some(Begun::Task(task)) = growing
            && !self.is_soon_done(&task).await?
        {
            return Ok(Begun::Task(task));
        }
        self.just_made(there);
        Ok(Begun::Done)
    }

    /// Moves a copy that was made where its template is.
    async fn bring(&self, place: &Place, to: &str) -> Result<Begun> {
        let call = PostMachineMigrate {
            node: place.node.clone(),
            vmid: place.number,
            target: to.to_owned(),
            ..Default::default()
        };
        Ok(begun(self.transport.begin(&call).await?))
    }

    /// Grows the disk to so many GiB; `None`: it is that large.
    pub(crate) async fn grow(&self, there: &There, disk_gb: u32) -> Result<Option<Begun>> {
        let Some(disk) = hardware::boot_disk(&there.config) else {
            return Err(Fault::refused(format!("guest {} has no disk", there.place.number)));
        };
        if disk.bytes >= u64::from(disk_gb) << 30 {
            return Ok(None);
        }
        let call = PutResize {
            node: there.place.node.clone(),
            kind: there.place.kind,
            vmid: there.place.number,
            disk: disk.key,
            size: format!("{disk_gb}G"),
            digest: there.digest(),
        };
        let upid = self.transport.begin(&call).await?;
        Ok(upid.map(|upid| begun(Some(upid))))
    }

    /// Writes everything that a machine is into its configuration; the mark that says that it is whole comes with it.
    /// The guest as it is then.
    pub(crate) async fn configure(
        &self,
        guest: &GuestRef,
        spec: &GuestSpec,
        there: There,
        note: Note,
    ) -> Result<There> {
        let kept = spec.interfaces.len();
        let superfluous = hardware::numbered(&there.config, "net").into_iter().filter(|(index, _)| *index >= kept);
        let superfluous: Vec<String> = superfluous.map(|(index, _)| format!("net{index}")).collect();
        // A GPU wants PCI Express. The disk has seen no other machine yet, unless its template says which one.
        let machine = gpus::machine(&there);
        let express = spec.gpus.is_some() && machine.is_empty() && there.config.text("arch").is_none();
        let machine = if express { "q35".to_owned() } else { machine };
        let devices = self.gpu_change(&there, spec.gpus.as_ref(), &machine)?;
        let superfluous = [superfluous, devices.delete].concat();
        let boot = hardware::boot_disk(&there.config).map_or_else(|| "scsi0".to_owned(), |disk| disk.key);
        let change = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            agent: Some("enabled=1".to_owned()),
            boot: Some(format!("order={boot}")),
            cores: Some(spec.resources.vcpus),
            cpu: self.config.cpu_model.clone(),
            delete: Some(superfluous.join(",")).filter(|list| !list.is_empty()),
            description: Some(note.written_into(&there.description())),
            hostpci: devices.hostpci,
            machine: Some(machine).filter(|_| express),
            memory: Some(spec.resources.memory_mib.to_string()),
            name: Some(hardware::dns_name(&spec.title)),
            net: hardware::cards(&self.config, &spec.interfaces)?,
            onboot: Some(true),
            serial: vec![(0, "socket".to_owned())],
            sockets: Some(1),
            tags: Some(mark::guest_tags(guest, &self.vnets(&spec.interfaces), &there.tags())),
            ..Default::default()
        };
        let (there, change) = self.seed(there, &guest.mark, &spec.seed, &spec.interfaces, change).await?;
        self.transport.ask(&PutMachineConfig { digest: there.digest(), ..change }).await?;
        Ok(there.changed(note))
    }

    /// The vnets of a guest's private interfaces.
    pub(crate) fn vnets(&self, interfaces: &[Interface]) -> Vec<String> {
        let vnet = |interface: &Interface| match &interface.network {
            NetworkRef::Vpc(vpc) => Some(crate::network::vnet(self.config.installation, *vpc)),
            NetworkRef::Public(_) => None,
        };
        interfaces.iter().filter_map(vnet).collect()
    }
}

/// Name servers in one line.
fn resolvers(spec: &GuestSpec) -> Option<String> {
    let list: Vec<String> = spec.seed.plain.resolvers.iter().map(ToString::to_string).collect();
    Some(list.join(" ")).filter(|list| !list.is_empty())
}

/// Whether a configuration is a template's.
pub(crate) fn is_template(there: &There) -> bool {
    there.config.flag("template")
}
