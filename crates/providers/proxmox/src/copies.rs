//! Images of guests: a full copy beside the guest, made into a template. A machine that runs is copied while it runs:
//! as after a power cut, and quiesced where the guest agent answers. That works on every storage; copying from a
//! Proxmox snapshot does not.

use crate::call::Kind;
use crate::calls::{PostClone, PutMachineConfig};
use crate::hardware;
use crate::images::Copy;
use crate::mark::{self, Note, State};
use crate::region::{Region, There};
use crate::seeding::joined;
use crate::tasks::begun;
use provider::{Begun, Fault, GuestRef, ImageRef, Result};

impl Region {
    /// See [`provider::Provider::snapshot_guest`].
    pub(crate) async fn snapshot_guest(&self, guest: &GuestRef, image: &ImageRef) -> Result<Begun> {
        let there = self.ours(guest).await?;
        if there.place.kind == Kind::Container {
            return Err(Fault::refused("images cannot be made of containers"));
        }
        let cluster = self.cluster().await?;
        match self.copy_slot(image, &there.place.node, &cluster).await? {
            Copy::Whole => Ok(Begun::Done),
            Copy::Running(number) => self.copying(&there.place.node, there.place.number, number).await,
            Copy::Husk(place) => self.destroy(&place).await,
            Copy::Half(copy) => {
                self.strip(image, &copy).await?;
                self.turn_into_template(&copy.place).await
            }
            Copy::To(number) => {
                there.unlocked()?;
                self.copy(&there, image, number).await
            }
        }
    }

    async fn copy(&self, there: &There, image: &ImageRef, number: u32) -> Result<Begun> {
        let call = PostClone {
            node: there.place.node.clone(),
            vmid: there.place.number,
            newid: number,
            name: Some(format!("cairn-image-{}", image.image)),
            description: Some(Note::of_image(image, None).alone()),
            pool: Some(self.config.pool.clone()),
            full: Some(true),
            storage: Some(self.config.storage.clone()),
            target: None,
        };
        Ok(begun(self.transport.begin(&call).await?))
    }

    /// Takes out of a copy what was the guest's own: addresses, keys, network cards, GPUs, seeds.
    async fn strip(&self, image: &ImageRef, copy: &There) -> Result<()> {
        let there = self.again(copy).await?;
        let owned = |stem: &str| {
            let keys = hardware::numbered(&there.config, stem);
            keys.into_iter().map(|(index, _)| format!("{stem}{index}")).collect::<Vec<_>>()
        };
        let mut keys = [owned("net"), owned("ipconfig"), owned("unused"), owned("hostpci")].concat();
        for key in ["sshkeys", "ciuser", "cipassword", "nameserver"] {
            if there.config.get(key).is_some() {
                keys.push(key.to_owned());
            }
        }
        keys.extend(hardware::seed_drive(&there.config));
        keys.extend(hardware::seed_disc(&there.config, ":iso/cairn-").map(|(key, _)| key));
        let delete = keys.into_iter().fold(None, |list, key| Some(joined(list, &key)));
        let note = Note { state: State::Made, ..Note::of_image(image, None) };
        let call = PutMachineConfig {
            node: there.place.node.clone(),
            vmid: there.place.number,
            delete,
            description: Some(note.alone()),
            digest: there.digest(),
            tags: Some(mark::image_tags(image)),
            ..Default::default()
        };
        self.transport.ask(&call).await.map(drop)
    }
}
