//! What a guest learns at its first boot. Proxmox writes cloud-init's documents itself from single values; where a
//! tenant gave a document of their own, which no API takes, the seed is a disc that is uploaded and put into a drive.

use crate::calls::{DeleteContent, GetContent, PostUpload, PutMachineConfig};
use crate::hardware;
use crate::mark;
use crate::region::{Region, There};
use crate::scalar::Lenient;
use model::ids::ServerId;
use provider::{Fault, Interface, Mark, Result, Seed};
use sha2::{Digest, Sha256};

impl Region {
    /// What all seed discs of a server are called.
    pub(crate) fn disc_prefix(&self, server: ServerId) -> String {
        format!("cairn-{}-s{server}-", mark::short(self.config.installation))
    }

    /// Adds the seed to a change of a machine's configuration. What the other way of seeding left is taken out first.
    /// `interfaces`: none where only names and keys change.
    pub(crate) async fn seed(
        &self,
        there: There,
        mark: &Mark,
        seed: &Seed,
        interfaces: &[Interface],
        change: PutMachineConfig,
    ) -> Result<(There, PutMachineConfig)> {
        if seed.plain.has_user_data {
            self.seed_by_disc(there, mark, seed, change).await
        } else {
            self.seed_by_values(there, mark, seed, interfaces, change).await
        }
    }

    async fn seed_by_values(
        &self,
        mut there: There,
        mark: &Mark,
        seed: &Seed,
        interfaces: &[Interface],
        mut change: PutMachineConfig,
    ) -> Result<(There, PutMachineConfig)> {
        if let Some((key, _)) = hardware::seed_disc(&there.config, &self.disc_prefix(mark.server)) {
            there = self.take_out(&there, &key).await?;
            self.delete_discs(&there.place.node, mark.server, None).await?;
        }
        if hardware::seed_drive(&there.config).is_none() {
            let free = hardware::free_drive(&there.config);
            let free = free.ok_or_else(|| Fault::refused("the machine has no drive left for cloud-init"))?;
            change.ide.push((free, format!("{}:cloudinit", self.config.storage)));
        }
        let plain = &seed.plain;
        change.ciuser = Some(plain.user.clone()).filter(|user| !user.is_empty());
        let keys: Vec<&str> = plain.keys.iter().map(|key| key.trim()).filter(|key| !key.is_empty()).collect();
        if keys.is_empty() {
            if there.config.get("sshkeys").is_some() {
                change.delete = Some(joined(change.delete, "sshkeys"));
            }
        } else {
            change.sshkeys = Some(crate::call::percent(&keys.join("\n")));
        }
        let resolvers: Vec<String> = plain.resolvers.iter().map(ToString::to_string).collect();
        change.nameserver = Some(resolvers.join(" ")).filter(|list| !list.is_empty());
        change.ipconfig = hardware::addresses(interfaces);
        Ok((there, change))
    }

    async fn seed_by_disc(
        &self,
        mut there: There,
        mark: &Mark,
        seed: &Seed,
        mut change: PutMachineConfig,
    ) -> Result<(There, PutMachineConfig)> {
        if let Some(key) = hardware::seed_drive(&there.config) {
            there = self.take_out(&there, &key).await?;
        }
        let prefix = self.disc_prefix(mark.server);
        let bytes = crate::disc::image(seed)?;
        let digest = hex::encode(Sha256::digest(&bytes));
        let name = format!("{prefix}{}.iso", digest.get(..12).unwrap_or_default());
        let volume = format!("{}:iso/{name}", self.config.file_storage);
        let inserted = hardware::seed_disc(&there.config, &prefix);
        if inserted.as_ref().is_some_and(|(_, held)| *held == volume) {
            return Ok((there, change));
        }
        if !self.discs(&there.place.node, mark.server).await?.contains(&volume) {
            self.upload(&there.place.node, &name, &bytes).await?;
        }
        let key = match inserted {
            Some((key, _)) => key.trim_start_matches("ide").parse().ok(),
            None => hardware::free_drive(&there.config),
        };
        let key = key.ok_or_else(|| Fault::refused("the machine has no drive left for its seed"))?;
        change.ide.push((key, format!("{volume},media=cdrom")));
        Ok((there, change))
    }

    async fn upload(&self, node: &str, name: &str, bytes: &[u8]) -> Result<()> {
        let call = PostUpload {
            node: node.to_owned(),
            storage: self.config.file_storage.clone(),
            content: "iso".to_owned(),
            filename: name.to_owned(),
        };
        // The node that we are connected to keeps the file on its own disk first, so it should be the target.
        let host = self.address_of(node).await?;
        self.wait(self.transport.upload(&call, name, bytes, host.as_deref()).await?).await
    }

    /// Takes a drive out of a machine.
    async fn take_out(&self, there: &There, key: &str) -> Result<There> {
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            delete: Some(key.to_owned()),
            digest: there.digest(),
            ..Default::default()
        };
        self.transport.ask(&call).await?;
        self.again(there).await
    }

    /// A server's seed discs on a host.
    async fn discs(&self, node: &str, server: ServerId) -> Result<Vec<String>> {
        let call = GetContent {
            node: node.to_owned(),
            storage: self.config.file_storage.clone(),
            content: Some("iso".to_owned()),
            vmid: None,
        };
        let prefix = format!("{}:iso/{}", self.config.file_storage, self.disc_prefix(server));
        let answer = self.transport.ask(&call).await?;
        let volumes = answer.rows().iter().filter_map(|row| row.text("volid"));
        Ok(volumes.filter(|volume| volume.starts_with(&prefix)).collect())
    }

    /// Ensures that a server's seed discs are gone, except for one.
    pub(crate) async fn delete_discs(&self, node: &str, server: ServerId, except: Option<&str>) -> Result<()> {
        let discs = self.discs(node, server).await?;
        for volume in discs.into_iter().filter(|volume| Some(volume.as_str()) != except) {
            let storage = self.config.file_storage.clone();
            let call = DeleteContent { node: node.to_owned(), storage, volume };
            self.wait(self.transport.begin(&call).await?).await?;
        }
        Ok(())
    }
}

/// One name more in a list of keys.
pub(crate) fn joined(list: Option<String>, key: &str) -> String {
    list.map_or_else(|| key.to_owned(), |list| format!("{list},{key}"))
}
