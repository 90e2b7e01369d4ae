//! Storages and their volumes.

use super::Cluster;
use crate::control::VolumeSeen;
use crate::scenario::Scenario;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
pub(crate) struct Volume {
    pub(crate) size: u64,
    pub(crate) format: String,
    pub(crate) vmid: Option<u32>,
    /// `images`, `rootdir`, `iso`, `vztmpl`, `import`, `backup`.
    pub(crate) content: String,
    /// Seconds since 1970.
    pub(crate) ctime: i64,
    /// The volume that it is a linked clone of.
    pub(crate) parent: Option<String>,
    /// By algorithm, in hexadecimal; empty when nobody computed it.
    pub(crate) checksums: BTreeMap<String, String>,
}

impl Volume {
    pub(crate) fn disk(size: u64, format: &str, vmid: u32) -> Self {
        Self {
            size,
            format: format.to_owned(),
            vmid: Some(vmid),
            content: "images".to_owned(),
            ctime: 0,
            parent: None,
            checksums: BTreeMap::new(),
        }
    }

    pub(crate) fn file(size: u64, content: &str, name: &str) -> Self {
        let format = name.rsplit('.').next().unwrap_or_default();
        let format = if content == "vztmpl" { format!("t{format}") } else { format.to_owned() };
        Self { format, vmid: None, content: content.to_owned(), ..Self::disk(size, "", 0) }
    }
}

/// The bytes of a storage on one node, or of a shared one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Space {
    pub(crate) total: u64,
    used: u64,
    pub(crate) full: bool,
    pub(crate) volumes: BTreeMap<String, Volume>,
}

impl Space {
    pub(crate) fn used(&self) -> u64 {
        if self.full { self.total } else { self.used.min(self.total) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Storage {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) content: String,
    pub(crate) shared: bool,
    pub(crate) disabled: bool,
    /// Which nodes have it; empty: all.
    pub(crate) nodes: Vec<usize>,
    pub(crate) speed: u64,
    /// What else its config says.
    pub(crate) options: BTreeMap<String, String>,
    /// By node; `None` for a shared one.
    pub(crate) spaces: BTreeMap<Option<usize>, Space>,
    size: u64,
}

impl Storage {
    pub(crate) fn new(id: &str, kind: &str, content: &str, size: u64) -> Self {
        Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            content: content.to_owned(),
            shared: matches!(kind, "nfs" | "cifs" | "cephfs" | "rbd" | "pbs" | "iscsi"),
            disabled: false,
            nodes: Vec::new(),
            speed: 2_000_000_000,
            options: BTreeMap::new(),
            spaces: BTreeMap::new(),
            size,
        }
    }

    pub(crate) fn is_on(&self, node: usize) -> bool {
        self.nodes.is_empty() || self.nodes.contains(&node)
    }

    pub(crate) fn has(&self, content: &str) -> bool {
        self.content.split(',').any(|one| one == content)
    }

    /// Whether volumes are files.
    pub(crate) fn is_files(&self) -> bool {
        matches!(self.kind.as_str(), "dir" | "nfs" | "cifs" | "btrfs" | "cephfs")
    }

    fn place(&self, node: usize) -> Option<usize> {
        (!self.shared).then_some(node)
    }

    pub(crate) fn space(&self, node: usize) -> Option<&Space> {
        self.spaces.get(&self.place(node))
    }

    /// Where the directory is.
    pub(crate) fn path(&self) -> String {
        let default = || if self.id == "local" { "/var/lib/vz".to_owned() } else { format!("/mnt/pve/{}", self.id) };
        self.options.get("path").cloned().unwrap_or_else(default)
    }

    /// Whether a disk of this format can have snapshots.
    pub(crate) fn snapshots(&self, format: &str) -> bool {
        match self.kind.as_str() {
            "lvmthin" | "zfspool" | "rbd" | "btrfs" => true,
            "lvm" => false,
            _ => format == "qcow2",
        }
    }

    fn space_mut(&mut self, node: usize) -> &mut Space {
        let (place, size) = (self.place(node), self.size);
        self.spaces.entry(place).or_insert_with(|| Space { total: size, ..Space::default() })
    }
}

impl Cluster {
    pub(super) fn fill_storages(&mut self, scenario: &Scenario) -> Result<(), String> {
        for spec in &scenario.storages {
            let unknown = |name: &String| format!("the storage {} names the node {name}", spec.id);
            let nodes: Result<Vec<usize>, String> =
                spec.nodes.iter().map(|name| self.node_index(name).ok_or_else(|| unknown(name))).collect();
            let mut storage = Storage::new(&spec.id, &spec.kind, &spec.content, spec.size);
            storage.shared = spec.shared;
            storage.nodes = nodes?;
            storage.speed = spec.speed;
            for node in 0..self.nodes.len() {
                if storage.is_on(node) {
                    storage.space_mut(node);
                }
            }
            self.storages.insert(spec.id.clone(), storage);
        }
        for image in &scenario.images {
            let there = (0..self.nodes.len())
                .filter(|node| image.node.as_deref().is_none_or(|name| name == self.node_name(*node)));
            let nodes: Vec<usize> = there.collect();
            for node in nodes {
                let content = image
                    .volid
                    .split_once(':')
                    .and_then(|(_, rest)| rest.split_once('/'))
                    .map_or("images", |(content, _)| content);
                let volume = Volume::file(image.size, content, &image.volid);
                self.put_volume(&image.volid, node, volume)?;
            }
        }
        Ok(())
    }

    /// Gives a new storage its bytes on every node that has it.
    pub(crate) fn open_spaces(&mut self, id: &str) {
        let count = self.nodes.len();
        if let Some(storage) = self.storages.get_mut(id) {
            for node in
                (0..count).filter(|node| storage.nodes.is_empty() || storage.nodes.contains(node)).collect::<Vec<_>>()
            {
                storage.space_mut(node);
            }
        }
    }

    /// Puts a volume where its id says.
    pub(crate) fn put_volume(&mut self, volid: &str, node: usize, mut volume: Volume) -> Result<(), String> {
        volume.ctime = self.now.seconds();
        let (id, _) = volid.split_once(':').ok_or_else(|| format!("unable to parse volume ID '{volid}'"))?;
        let storage = self.storages.get_mut(id).ok_or_else(|| format!("storage '{id}' does not exist"))?;
        if !storage.is_on(node) {
            return Ok(());
        }
        let thin = volume.parent.is_some();
        let space = storage.space_mut(node);
        if space.full || !thin && space.used.saturating_add(volume.size) > space.total {
            return Err(format!("unable to allocate '{volid}' - No space left on device"));
        }
        space.used += if thin { 0 } else { volume.size };
        if let Some(before) = space.volumes.insert(volid.to_owned(), volume) {
            space.used = space.used.saturating_sub(before.size);
        }
        Ok(())
    }

    /// Makes a disk with a free name and returns its id. `stem` is `vm`, or `base` for a template's.
    pub(crate) fn allocate(
        &mut self,
        storage: &str,
        node: usize,
        vmid: u32,
        stem: &str,
        volume: Volume,
    ) -> Result<String, String> {
        let there = self.storages.get(storage).ok_or_else(|| format!("storage '{storage}' does not exist"))?;
        if !there.is_on(node) {
            return Err(format!("storage '{storage}' is not available on node '{}'", self.node_name(node)));
        }
        let files = there.is_files();
        let name = |number: u32| {
            let name = format!("{stem}-{vmid}-disk-{number}");
            let own = if files { format!("{vmid}/{name}.{}", volume.format) } else { name };
            match &volume.parent {
                Some(parent) if there.kind != "lvmthin" => {
                    let base = parent.split_once(':').map_or(parent.as_str(), |(_, base)| base);
                    format!("{storage}:{base}/{own}")
                }
                _ => format!("{storage}:{own}"),
            }
        };
        let taken = |volid: &str| {
            let tail = |volid: &str| {
                volid.rsplit(['/', ':']).next().map(|name| name.split('.').next().unwrap_or(name).to_owned())
            };
            let mine = tail(volid);
            there.space(node).is_some_and(|space| {
                space.volumes.iter().any(|(other, volume)| volume.vmid == Some(vmid) && tail(other) == mine)
            })
        };
        let volid = (0..).map(name).find(|volid| !taken(volid)).unwrap_or_default();
        self.put_volume(&volid, node, volume)?;
        Ok(volid)
    }

    pub(crate) fn volume(&self, volid: &str, node: usize) -> Option<&Volume> {
        let (storage, _) = volid.split_once(':')?;
        self.storages.get(storage)?.space(node)?.volumes.get(volid)
    }

    pub(crate) fn owner_of(&self, volid: &str, node: usize) -> Option<u32> {
        self.volume(volid, node).and_then(|volume| volume.vmid)
    }

    /// Frees a volume; returns it if it was there.
    pub(crate) fn free(&mut self, volid: &str, node: usize) -> Option<Volume> {
        let (storage, _) = volid.split_once(':')?;
        let space = self.storages.get_mut(storage)?.space_mut(node);
        let volume = space.volumes.remove(volid)?;
        if volume.parent.is_none() {
            space.used = space.used.saturating_sub(volume.size);
        }
        Some(volume)
    }

    /// Makes a volume so large.
    pub(crate) fn grow(&mut self, volid: &str, node: usize, size: u64) -> Result<(), String> {
        let (storage, _) = volid.split_once(':').ok_or("no volume")?;
        let storage = self.storages.get_mut(storage).ok_or("no storage")?;
        let space = storage.space_mut(node);
        let before = space.volumes.get(volid).map_or(0, |volume| volume.size);
        // A linked clone takes no room of its own, and gives none back.
        let linked = space.volumes.get(volid).is_some_and(|volume| volume.parent.is_some());
        if space.full || space.used.saturating_add(size.saturating_sub(before)) > space.total {
            return Err("No space left on device".to_owned());
        }
        space.used += if linked { 0 } else { size.saturating_sub(before) };
        if let Some(volume) = space.volumes.get_mut(volid) {
            volume.size = size;
        }
        Ok(())
    }

    /// Whether a base volume has linked clones.
    pub(crate) fn has_clones(&self, volid: &str, node: usize) -> bool {
        let space = volid.split_once(':').and_then(|(storage, _)| self.storages.get(storage)?.space(node));
        space.is_some_and(|space| space.volumes.values().any(|volume| volume.parent.as_deref() == Some(volid)))
    }

    pub(crate) fn fill(&mut self, storage: &str, node: Option<usize>) -> Result<(), String> {
        let storage = self.storages.get_mut(storage).ok_or_else(|| format!("there is no storage {storage}"))?;
        for (place, space) in &mut storage.spaces {
            if place.is_none() || node.is_none() || *place == node {
                space.full = true;
            }
        }
        Ok(())
    }

    pub(crate) fn empty(&mut self, storage: &str) -> Result<(), String> {
        let storage = self.storages.get_mut(storage).ok_or_else(|| format!("there is no storage {storage}"))?;
        storage.spaces.values_mut().for_each(|space| space.full = false);
        Ok(())
    }

    pub(crate) fn volumes_seen(&self) -> Vec<VolumeSeen> {
        let spaces = self.storages.values().flat_map(|storage| &storage.spaces);
        let seen = spaces.flat_map(|(place, space)| {
            space.volumes.iter().map(|(volid, volume)| VolumeSeen {
                volid: volid.clone(),
                node: place.map(|node| self.node_name(node).to_owned()),
                size: volume.size,
                vmid: volume.vmid,
                parent: volume.parent.clone(),
            })
        });
        seen.collect()
    }
}
