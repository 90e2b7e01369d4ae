//! Templates that are out of use: deleted once no disk is built on them any more.

use crate::calls::GetContent;
use crate::cluster::{Cluster, GuestRow};
use crate::hardware;
use crate::mark::{self, State};
use crate::region::{Region, There};
use crate::scalar::Lenient;
use provider::Result;

impl Region {
    /// See [`provider::Provider::sweep`].
    pub(crate) async fn sweep(&self) -> Result<usize> {
        let cluster = self.cluster().await?;
        self.sweep_of(&cluster).await
    }

    /// Begins to delete the templates of this installation that are out of use and not built on. One that is would refuse
    /// by itself; it is not tried, because each try would stand as a failed task in the cluster's log.
    pub(crate) async fn sweep_of(&self, cluster: &Cluster) -> Result<usize> {
        let tag = mark::installation_tag(self.config.installation);
        let (first, last) = self.config.template_numbers;
        let mut begun = 0;
        for (_, row) in cluster.guests.range(first..=last) {
            if !row.tags.contains(&tag) || !is_out_of_use(row) {
                continue;
            }
            let Some(there) = self.look_listed(row).await? else { continue };
            let retired = there.note.as_ref().is_some_and(|note| {
                note.state == State::Retired && note.installation == self.config.installation && note.image.is_some()
            });
            if retired && there.lock().is_none() && !self.is_built_on(&there).await? {
                self.destroy(&there.place).await?;
                begun += 1;
            }
        }
        Ok(begun)
    }

    /// Whether a disk on the template's storage has the template's disk as its base: the storage's list says so of each
    /// (`parent`), and for some types the volume's own name does.
    async fn is_built_on(&self, there: &There) -> Result<bool> {
        let Some(disk) = hardware::boot_disk(&there.config) else { return Ok(false) };
        let name = disk.volume.rsplit([':', '/']).next().unwrap_or_default();
        let call = GetContent {
            node: there.place.node.clone(),
            storage: disk.storage().to_owned(),
            content: Some("images".to_owned()),
            vmid: None,
        };
        let answer = self.transport.ask(&call).await?;
        let on_it = |text: &str| text.split([':', '/', '@']).any(|part| part == name);
        Ok(answer.rows().iter().any(|row| {
            let volume = row.text("volid").unwrap_or_default();
            volume != disk.volume && (on_it(&volume) || row.text("parent").is_some_and(|parent| on_it(&parent)))
        }))
    }
}

/// Whether a template's tags say that no image has it.
fn is_out_of_use(row: &GuestRow) -> bool {
    row.template && row.tags.iter().all(|tag| !tag.starts_with("cairn-img-"))
}
