//! Images: templates that guests are cloned from. On storages that every host has for itself, each host has its own; it
//! is made when the first guest there needs it, from the source that the first template's description names.

use crate::calls::{
    DeleteContent, DeleteGuest, GetContent, GetTasks, PostDownload, PostMachine, PostTemplate, PutMachineConfig,
};
use crate::cluster::{Cluster, GuestRow};
use crate::config::{Cloning, Config};
use crate::guests::is_template;
use crate::hardware;
use crate::mark::{self, Note, Source, State};
use crate::region::{Place, Region, There};
use crate::scalar::Lenient;
use crate::tasks::begun;
use crate::templates::Original;
use model::states::archive_extension;
use provider::{Begun, Checksum, Fault, GuestSpec, ImageRef, ImageSeen, ImageSource, Result, TaskRef};
use sha2::{Digest, Sha256};

/// Storages that make linked clones.
const LINKING: [&str; 8] = ["dir", "nfs", "cifs", "btrfs", "lvmthin", "zfspool", "zfs", "rbd"];

/// What was found of an image for a host.
pub(crate) enum Template {
    /// Clone this.
    Here(Original),
    /// It has to be made first.
    Making(Begun),
}

/// Where a template of ours is, or would be.
enum Slot {
    Taken(Box<There>),
    Free(u32),
}

impl Region {
    /// See [`provider::Provider::ensure_image`].
    pub(crate) async fn ensure_image(&self, image: &ImageRef, source: &ImageSource) -> Result<Begun> {
        let source = match source {
            ImageSource::Url { url, checksum } => Source { url: url.clone(), checksum: checksum.clone() },
            ImageSource::File { path, .. } => {
                return Err(Fault::refused(format!("Proxmox takes no file of ours ({path}): give the image a URL")));
            }
            ImageSource::Snapshot => return Err(Fault::refused("a snapshot is there or not; it cannot be fetched")),
        };
        let cluster = self.cluster().await?;
        if let Some(extension) = archive_extension(&source.url) {
            return self.fetch_archive(image, &source, extension, &cluster).await;
        }
        if self.adopted(image, &cluster).is_some() || self.whole_template(image, None, &cluster).await?.is_some() {
            return Ok(Begun::Done);
        }
        let node = self.host_for(image, &cluster)?;
        self.make_template(image, &source, &node, &cluster).await
    }

    /// See [`provider::Provider::find_image`]. The list grows with the cluster and images change seldom, so many servers
    /// that are made of one image look for it together.
    pub(crate) async fn find_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>> {
        if let Some(seen) = self.templates.image(image) {
            return Ok(Some(seen));
        }
        let seen = self.look_for_image(image).await?;
        if let Some(seen) = &seen {
            self.templates.keep_image(image, seen);
        }
        Ok(seen)
    }

    async fn look_for_image(&self, image: &ImageRef) -> Result<Option<ImageSeen>> {
        let cluster = self.cluster_kept().await?;
        if let Some(row) = self.adopted(image, &cluster) {
            return Ok(Some(ImageSeen { stored_bytes: row.disk_bytes, virtual_bytes: row.disk_bytes }));
        }
        if let Some(there) = self.whole_template(image, None, &cluster).await? {
            let bytes = hardware::boot_disk(&there.config).map_or(0, |disk| disk.bytes);
            return Ok(Some(ImageSeen { stored_bytes: bytes, virtual_bytes: bytes }));
        }
        for node in cluster.hosts_with(&self.config.file_storage) {
            if let Some((_, bytes)) = self.file(image, node, "vztmpl").await? {
                return Ok(Some(ImageSeen { stored_bytes: bytes, virtual_bytes: bytes }));
            }
            if cluster.is_shared(&self.config.file_storage) {
                break;
            }
        }
        Ok(None)
    }

    /// See [`provider::Provider::delete_image`]. A template that disks still build on is only taken out of use; the
    /// next deletion tries again.
    pub(crate) async fn delete_image(&self, image: &ImageRef) -> Result<Begun> {
        self.templates.forget(image);
        let cluster = self.cluster().await?;
        for row in self.templates_of(image, &cluster) {
            let Some(there) = self.look_listed(row).await? else { continue };
            if there.note.as_ref().is_some_and(|note| note.is_of_image(image)) {
                there.unlocked()?;
                self.retire(&there).await?;
                return self.destroy(&there.place).await;
            }
        }
        if let Some(begun) = self.end_copies(image, &cluster).await? {
            return Ok(begun);
        }
        for node in cluster.hosts_with(&self.config.file_storage) {
            for content in ["vztmpl", "import"] {
                if let Some((volume, _)) = self.file(image, node, content).await? {
                    let storage = self.config.file_storage.clone();
                    let call = DeleteContent { node: node.to_owned(), storage, volume };
                    return Ok(begun(self.transport.begin(&call).await?));
                }
            }
        }
        self.sweep_of(&cluster).await?;
        Ok(Begun::Done)
    }

    /// Sees to copies that say nothing of themselves yet: what is still being written is waited for, and what a killed one
    /// left is deleted. `None`: there is none.
    async fn end_copies(&self, image: &ImageRef, cluster: &Cluster) -> Result<Option<Begun>> {
        for node in cluster.hosts_with(&self.config.storage) {
            if let Slot::Taken(there) = self.slot(image, node, cluster).await?
                && there.note.is_none()
            {
                there.unlocked()?;
                return self.destroy(&there.place).await.map(Some);
            }
        }
        Ok(None)
    }

    /// Deletes a guest, whatever it is, with its disks.
    pub(crate) async fn destroy(&self, place: &Place) -> Result<Begun> {
        let call = DeleteGuest {
            node: place.node.clone(),
            kind: place.kind,
            vmid: place.number,
            purge: Some(true),
            destroy_unreferenced_disks: Some(true),
        };
        Ok(begun(self.transport.begin(&call).await?))
    }

    /// Takes a template out of use.
    async fn retire(&self, there: &There) -> Result<()> {
        let Some(note) = there.note.clone() else { return Ok(()) };
        let note = Note { state: State::Retired, ..note };
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            description: Some(note.written_into(&there.description())),
            digest: there.digest(),
            tags: Some([mark::TAG.to_owned(), mark::installation_tag(note.installation)].join(";")),
            ..Default::default()
        };
        self.transport.ask(&call).await.map(drop)
    }

    /// The template that a guest on `host` is cloned from; begun to be made when there is none.
    pub(crate) async fn template_for(&self, image: &ImageRef, host: &str, cluster: &Cluster) -> Result<Template> {
        if let Some(original) = self.template_at(image, host, cluster).await? {
            return Ok(Template::Here(original));
        }
        let Some(elsewhere) = self.whole_template(image, None, cluster).await? else {
            self.templates.forget(image);
            return Err(Fault::transient(format!("image {} has no template in this cluster yet", image.image)));
        };
        match elsewhere.note.as_ref().and_then(|note| note.source.clone()) {
            Some(source) => Ok(Template::Making(self.make_template(image, &source, host, cluster).await?)),
            // A copy of a guest's disk has no source: it is cloned where it is, and the clone is moved.
            None => Ok(Template::Here(self.original(&elsewhere))),
        }
    }

    /// The template that a guest on `host` is cloned from, if it is there.
    pub(crate) async fn template_at(
        &self,
        image: &ImageRef,
        host: &str,
        cluster: &Cluster,
    ) -> Result<Option<Original>> {
        let adopted = self.adopted(image, cluster);
        let anywhere = adopted.is_some() || cluster.is_shared(&self.config.storage);
        let here = if anywhere { None } else { Some(host) };
        if let Some(original) = self.templates.place(image, here) {
            return Ok(Some(original));
        }
        let found = match adopted {
            Some(row) => self.look_listed(row).await?,
            None => self.whole_template(image, here, cluster).await?,
        };
        let found = found.map(|there| self.original(&there));
        if let Some(original) = &found {
            self.templates.keep_place(image, here, original);
        }
        Ok(found)
    }

    fn original(&self, there: &There) -> Original {
        let storage = there.storage().unwrap_or_else(|| self.config.storage.clone());
        Original { place: there.place.clone(), storage }
    }

    /// Whether guests are made from it: its disk is on the storage that theirs go to now, or there is nothing that it could
    /// be made anew from. One on a storage that the region had before is kept until the image is deleted, and not used.
    fn is_of_use(&self, there: &There) -> bool {
        let fetched = there.note.as_ref().is_some_and(|note| note.source.is_some());
        !fetched || there.storage().is_none_or(|storage| storage == self.config.storage)
    }

    /// The operator's own template.
    fn adopted<'a>(&self, image: &ImageRef, cluster: &'a Cluster) -> Option<&'a GuestRow> {
        cluster.guests.get(self.config.templates.get(&image.image)?)
    }

    /// A complete template that is of use, on a certain host or on any that answers.
    async fn whole_template(&self, image: &ImageRef, host: Option<&str>, cluster: &Cluster) -> Result<Option<There>> {
        let tag = mark::image_tag(image);
        let tagged = cluster.guests.values().filter(|row| row.tags.contains(&tag));
        for row in tagged.filter(|row| host.is_none_or(|host| row.node == host) && !cluster.is_offline(&row.node)) {
            let Some(there) = self.look_listed(row).await? else { continue };
            let ours = there.note.as_ref().is_some_and(|note| note.is_of_image(image));
            if ours && is_template(&there) && self.is_of_use(&there) {
                return Ok(Some(there));
            }
        }
        Ok(None)
    }

    /// Everything in the templates' range that is, or may become, a template of this image.
    fn templates_of<'a>(&self, image: &ImageRef, cluster: &'a Cluster) -> Vec<&'a GuestRow> {
        let tag = mark::image_tag(image);
        let (first, last) = self.config.template_numbers;
        let mut found = Vec::new();
        for (_, row) in cluster.guests.range(first..=last) {
            // A copy of a guest is tagged when it is complete; before, only its number and its description tell.
            let half_made = row.tags.iter().all(|known| !known.starts_with("cairn-img-"));
            if row.tags.contains(&tag) || (half_made && !self.config.templates.values().any(|n| *n == row.number)) {
                found.push(row);
            }
        }
        found
    }

    /// The number that a host's template of this image has, or will have.
    async fn slot(&self, image: &ImageRef, host: &str, cluster: &Cluster) -> Result<Slot> {
        let (first, last) = self.config.template_numbers;
        let span = last - first + 1;
        let start = start(image, host) % span;
        for number in (0..span).map(|step| first + (start + step) % span) {
            let Some(row) = cluster.guests.get(&number) else { return Ok(Slot::Free(number)) };
            let Some(there) = self.look_listed(row).await? else { return Ok(Slot::Free(number)) };
            let ours = there.note.as_ref().is_some_and(|note| note.is_of_image(image)) && self.is_of_use(&there);
            // A copy that is still running has no description of ours yet: the number was chosen by us, so it is ours.
            let forming = there.note.is_none() && (there.lock().is_some() || there.is_husk()) && row.node == host;
            if (ours || forming) && there.place.node == host {
                return Ok(Slot::Taken(Box::new(there)));
            }
        }
        Err(Fault::refused(format!("the templates' numbers {first}–{last} are used up")))
    }

    /// One step towards a template on a host: download, machine, template.
    async fn make_template(&self, image: &ImageRef, source: &Source, host: &str, cluster: &Cluster) -> Result<Begun> {
        let number = match self.slot(image, host, cluster).await? {
            Slot::Taken(there) if there.lock().is_some() => {
                return self.underway(host, None, Some(there.place.number)).await;
            }
            Slot::Taken(there) if is_template(&there) => return Ok(Begun::Done),
            Slot::Taken(there) if there.is_husk() => return self.destroy(&there.place).await,
            Slot::Taken(there) => return self.turn_into_template(&there.place).await,
            Slot::Free(number) => number,
        };
        let Some((volume, _)) = self.file(image, host, "import").await? else {
            return self.download(image, source, host, "import", disk_extension(&source.url)?).await;
        };
        let call = PostMachine {
            node: host.to_owned(),
            vmid: number,
            agent: Some("enabled=1".to_owned()),
            boot: Some("order=scsi0".to_owned()),
            cores: Some(1),
            cpu: self.config.cpu_model.clone(),
            description: Some(Note::of_image(image, Some(source.clone())).alone()),
            memory: Some("1024".to_owned()),
            name: Some(format!("cairn-image-{}", image.image)),
            ostype: Some("l26".to_owned()),
            pool: Some(self.config.pool.clone()),
            scsi: vec![(0, format!("{}:0,import-from={volume}", self.config.storage))],
            scsihw: Some("virtio-scsi-single".to_owned()),
            serial: vec![(0, "socket".to_owned())],
            tags: Some(mark::image_tags(image)),
        };
        Ok(begun(self.transport.begin(&call).await?))
    }

    /// Makes a template of a complete machine.
    pub(crate) async fn turn_into_template(&self, place: &Place) -> Result<Begun> {
        let call = PostTemplate { node: place.node.clone(), vmid: place.number };
        match self.transport.begin(&call).await {
            Ok(upid) => Ok(begun(upid)),
            // Another worker, who needs the same template, may have been quicker.
            Err(fault) => match self.look(place.number, &place.node).await? {
                Some(there) if is_template(&there) => Ok(Begun::Done),
                _ => Err(fault),
            },
        }
    }

    async fn fetch_archive(
        &self,
        image: &ImageRef,
        source: &Source,
        extension: &str,
        cluster: &Cluster,
    ) -> Result<Begun> {
        let mut hosts = cluster.hosts_with(&self.config.file_storage);
        if cluster.is_shared(&self.config.file_storage) {
            hosts.truncate(1);
        }
        // An archive is small, and a container is made from it where it is to be: every host gets it.
        for host in hosts {
            if self.file(image, host, "vztmpl").await?.is_none() {
                return self.download(image, source, host, "vztmpl", extension).await;
            }
        }
        Ok(Begun::Done)
    }

    /// The archive that a container on `host` is made from; begun to be fetched when the host has none.
    pub(crate) async fn container_archive(
        &self,
        spec: &GuestSpec,
        host: &str,
    ) -> Result<std::result::Result<String, Begun>> {
        if let Some((volume, _)) = self.file(&spec.image, host, "vztmpl").await? {
            return Ok(Ok(volume));
        }
        let Some(ImageSource::Url { url, checksum }) = &spec.source else {
            return Err(Fault::transient(format!("the image's archive is not on {host} yet")));
        };
        let Some(extension) = archive_extension(url) else {
            return Err(Fault::refused(format!("{} is no archive: no container can be made of it", file_name(url))));
        };
        let source = Source { url: url.clone(), checksum: checksum.clone() };
        Ok(Err(self.download(&spec.image, &source, host, "vztmpl", extension).await?))
    }

    async fn download(
        &self,
        image: &ImageRef,
        source: &Source,
        host: &str,
        content: &str,
        extension: &str,
    ) -> Result<Begun> {
        let filename = format!("{}{extension}", stem(image));
        if let Some(task) = self.active(host, Some("download"), None, Some(&filename)).await? {
            return Ok(Begun::Task(task));
        }
        let (algorithm, checksum) = match &source.checksum {
            Some(Checksum::Sha256(sum)) => (Some("sha256".to_owned()), Some(sum.clone())),
            Some(Checksum::Sha512(sum)) => (Some("sha512".to_owned()), Some(sum.clone())),
            None => (None, None),
        };
        let call = PostDownload {
            node: host.to_owned(),
            storage: self.config.file_storage.clone(),
            url: source.url.clone(),
            filename,
            content: content.to_owned(),
            checksum,
            checksum_algorithm: algorithm,
        };
        Ok(begun(self.transport.begin(&call).await?))
    }

    /// A file of this image on a host's storage: its volume and its size.
    async fn file(&self, image: &ImageRef, host: &str, content: &str) -> Result<Option<(String, u64)>> {
        let storage = self.config.file_storage.clone();
        let prefix = format!("{storage}:{content}/{}.", stem(image));
        let call = GetContent { node: host.to_owned(), storage, content: Some(content.to_owned()), vmid: None };
        let answer = self.transport.ask(&call).await?;
        let found =
            answer.rows().iter().find(|row| row.text("volid").is_some_and(|volume| volume.starts_with(&prefix)));
        Ok(found.and_then(|row| Some((row.text("volid")?, row.number("size").unwrap_or_default()))))
    }

    /// A task that is running on a host.
    async fn active(
        &self,
        host: &str,
        work: Option<&str>,
        number: Option<u32>,
        id: Option<&str>,
    ) -> Result<Option<TaskRef>> {
        let call = GetTasks {
            node: host.to_owned(),
            source: Some("active".to_owned()),
            vmid: number,
            typefilter: work.map(str::to_owned),
            limit: Some(100),
        };
        let answer = self.transport.ask(&call).await?;
        let running = answer.rows().iter().filter(|row| row.get("endtime").is_none());
        let mut named = running.filter(|row| id.is_none_or(|id| row.text("id").as_deref() == Some(id)));
        Ok(named.find_map(|row| row.text("upid")).map(TaskRef))
    }

    /// Follows what is being done to a locked template.
    async fn underway(&self, host: &str, work: Option<&str>, number: Option<u32>) -> Result<Begun> {
        match self.active(host, work, number, None).await? {
            Some(task) => Ok(Begun::Task(task)),
            None => Err(Fault::transient(format!("template {} is locked by other work", number.unwrap_or_default()))),
        }
    }

    /// Whether clones share their template's disk.
    pub(crate) fn is_linked(&self, cluster: &Cluster) -> bool {
        let technique = cluster.storage(&self.config.storage).map(|storage| storage.technique.as_str());
        match self.config.cloning {
            Cloning::Linked => true,
            Cloning::Full => false,
            Cloning::Automatic => technique.is_some_and(|technique| LINKING.contains(&technique)),
        }
    }

    /// The host that fetches an image: always the same one, as long as it answers.
    fn host_for(&self, image: &ImageRef, cluster: &Cluster) -> Result<String> {
        let able = cluster.hosts_with(&self.config.storage);
        let able: Vec<&str> =
            cluster.hosts_with(&self.config.file_storage).into_iter().filter(|host| able.contains(host)).collect();
        let chosen = able.get(start(image, "") as usize % able.len().max(1));
        chosen.map(|host| (*host).to_owned()).ok_or_else(|| {
            let Config { storage, file_storage, .. } = &self.config;
            Fault::transient(format!("no host that answers has both {storage} and {file_storage}"))
        })
    }

    /// Where a template for a copy of a guest goes: on the guest's own host.
    pub(crate) async fn copy_slot(&self, image: &ImageRef, host: &str, cluster: &Cluster) -> Result<Copy> {
        Ok(match self.slot(image, host, cluster).await? {
            Slot::Free(number) => Copy::To(number),
            Slot::Taken(there) if there.lock().is_some() => Copy::Running(there.place.number),
            Slot::Taken(there) if is_template(&there) => Copy::Whole,
            Slot::Taken(there) if there.is_husk() => Copy::Husk(there.place),
            Slot::Taken(there) => Copy::Half(there),
        })
    }

    /// Follows the copy that a guest's disk is being made into.
    pub(crate) async fn copying(&self, host: &str, guest: u32, number: u32) -> Result<Begun> {
        match self.active(host, Some("qmclone"), Some(guest), None).await? {
            Some(task) => Ok(Begun::Task(task)),
            None => self.underway(host, None, Some(number)).await,
        }
    }
}

/// How far a copy of a guest is.
pub(crate) enum Copy {
    /// Not begun; this number is free.
    To(u32),
    Running(u32),
    /// A killed one left this; it is nobody's.
    Husk(Place),
    Half(Box<There>),
    Whole,
}

/// What an image's files are called.
fn stem(image: &ImageRef) -> String {
    format!("cairn-{}-{}", mark::short(image.installation), image.image)
}

/// Where the search for a free number begins.
fn start(image: &ImageRef, host: &str) -> u32 {
    let digest = Sha256::digest(format!("{}/{}/{host}", image.installation, image.image));
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

/// The last part of a URL's path.
fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// What a disk image is called at Proxmox: it goes by names, and cloud images named `.img` are qcow2.
fn disk_extension(url: &str) -> Result<&'static str> {
    let name = file_name(url);
    let packed = [".gz", ".xz", ".zst", ".bz2", ".zip"];
    if packed.iter().any(|extension| name.ends_with(extension)) {
        return Err(Fault::refused(format!("{name} is packed; Proxmox takes .qcow2, .img, .raw and .vmdk")));
    }
    Ok(match name.rsplit_once('.') {
        Some((_, "raw")) => ".raw",
        Some((_, "vmdk")) => ".vmdk",
        _ => ".qcow2",
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ids::{ImageId, InstallationId};

    #[test]
    fn names_say_what_the_bytes_are() {
        assert_eq!(disk_extension("https://x/debian-12.qcow2?x=.raw").unwrap(), ".qcow2");
        assert_eq!(disk_extension("https://x/noble.img").unwrap(), ".qcow2");
        assert_eq!(disk_extension("https://x/a.raw#b").unwrap(), ".raw");
        assert!(disk_extension("https://x/a.img.xz").is_err());
        assert_eq!(archive_extension("https://x/alpine.tar.xz"), Some(".tar.xz"));
        assert_eq!(archive_extension("https://x/alpine.qcow2"), None);
    }

    #[test]
    fn a_search_begins_where_it_began_before_and_elsewhere_for_another_host() {
        let image = ImageRef { installation: InstallationId(uuid::Uuid::nil()), image: ImageId(7) };
        assert_eq!(start(&image, "a"), start(&image, "a"));
        assert_ne!(start(&image, "a"), start(&image, "b"));
    }
}
