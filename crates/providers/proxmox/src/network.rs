//! Private networks: vnets in a zone of the cluster's SDN. Edits there are cluster-wide and pend until they are applied
//! together with everybody else's, so a lock is held, nothing foreign may be pending, and what fails is rolled back.

use crate::calls::{
    DeleteSdnLock, DeleteVnet, GetNodeZones, GetVnets, GetZones, PostSdnLock, PostSdnRollback, PostVnet, PutSdn,
};
use crate::cluster::GuestRow;
use crate::errors::{Failed, Said};
use crate::mark;
use crate::region::Region;
use crate::scalar::Lenient;
use model::ids::{InstallationId, VpcId};
use provider::{Fault, NetworkRef, NetworkSpec, Result};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long a network that was seen is believed to be there: others work on this cluster, too.
const BELIEVED: Duration = Duration::from_secs(60);
/// Nobody holds the lock for longer than so many times what a task may be unknown: an edit and its application.
const HELD: u32 = 12;
/// Whoever has the lock for longer than so many times that, at every try of ours, has died with it.
const FORGOTTEN: u32 = 30;
const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// What this process knows of the cluster's networks.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Networks that were seen, and when.
    seen: HashMap<String, Instant>,
    /// The cluster's lock, as far as it may be ours. It has no expiry: nobody else gives it back.
    lock: Option<Held>,
    /// Since when the lock was somebody else's at every try.
    in_the_way: Option<Instant>,
}

/// A lock that may be ours.
#[derive(Debug)]
enum Held {
    /// It was asked for, and no answer came. Since when.
    Perhaps(Instant),
    /// It is, under this token.
    Under(String),
}

/// A network's name at Proxmox: at most eight letters and digits, the first a letter.
pub(crate) fn vnet(installation: InstallationId, vpc: VpcId) -> String {
    let digest = Sha256::digest(format!("{installation}/{vpc}"));
    let letters = digest.iter().take(7).map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
    std::iter::once('c').chain(letters).collect()
}

impl Region {
    /// See [`provider::Provider::ensure_network`].
    pub(crate) async fn ensure_network(&self, host: &str, network: &NetworkSpec) -> Result<()> {
        let vpc = match &network.network {
            NetworkRef::Public(_) => return crate::hardware::bridge(&self.config, &network.network).map(drop),
            NetworkRef::Vpc(vpc) => *vpc,
        };
        let Some(zone) = self.config.private_zone.clone() else {
            return Err(Fault::refused("the region's configuration names no SDN zone for private networks"));
        };
        let name = vnet(self.config.installation, vpc);
        let mut known = self.networks.lock().await;
        if known.seen.get(&name).is_some_and(|seen| seen.elapsed() < BELIEVED) {
            return Ok(());
        }
        let vnets = self.transport.ask(&GetVnets { pending: Some(true) }).await?;
        let alias = self.alias(vpc);
        match vnets.rows().iter().find(|row| row.text("vnet").as_deref() == Some(name.as_str())) {
            Some(row) if current(row, "alias").as_deref() != Some(alias.as_str()) => {
                let owner = current(row, "alias").unwrap_or_default();
                return Err(Fault::refused(format!("the vnet {name} is not ours ({owner})")));
            }
            Some(row) if row.get("state").is_none() => {}
            Some(row) if row.text("state").as_deref() == Some("deleted") => {
                self.take_back(&mut known, &vnets, &name).await?;
                return Err(Fault::transient(format!(
                    "the network {name} was about to be deleted: it is looked at again"
                )));
            }
            Some(_) => self.edit(&mut known, &vnets, None, &[&name]).await?,
            None => {
                let tag = self.tag(&zone, &name, &vnets).await?;
                let call =
                    PostVnet { vnet: name.clone(), zone: zone.clone(), tag, alias: Some(alias), lock_token: None };
                self.edit(&mut known, &vnets, Some(Edit::Add(call)), &[&name]).await?;
            }
        }
        self.is_applied(host, &zone).await?;
        known.seen.insert(name, Instant::now());
        Ok(())
    }

    /// See [`provider::Provider::delete_network`].
    pub(crate) async fn delete_network(&self, network: &NetworkRef) -> Result<()> {
        let vpc = match network {
            NetworkRef::Public(_) => return Ok(()),
            NetworkRef::Vpc(vpc) => *vpc,
        };
        let name = vnet(self.config.installation, vpc);
        let tag = mark::network_tag(&name);
        let mut known = self.networks.lock().await;
        // A copy of a guest's disk has the guest's tags until it is finished, and needs no network.
        let (first, last) = self.config.template_numbers;
        let uses = |(number, row): (&u32, &GuestRow)| !(first..=last).contains(number) && row.tags.contains(&tag);
        if self.cluster().await?.guests.iter().any(uses) {
            return Ok(());
        }
        let vnets = self.transport.ask(&GetVnets { pending: Some(true) }).await?;
        let Some(row) = vnets.rows().iter().find(|row| row.text("vnet").as_deref() == Some(name.as_str())) else {
            return Ok(());
        };
        if current(row, "alias").as_deref() != Some(self.alias(vpc).as_str()) {
            return Ok(());
        }
        known.seen.remove(&name);
        let deleted = row.text("state").as_deref() == Some("deleted");
        let edit = (!deleted).then(|| Edit::Remove(DeleteVnet { vnet: name.clone(), lock_token: None }));
        self.edit(&mut known, &vnets, edit, &[&name]).await
    }

    /// A guest did not start: perhaps because its network is gone, which another process may have deleted since.
    pub(crate) async fn doubt_networks(&self) {
        self.networks.lock().await.seen.clear();
    }

    /// Our mark on a vnet.
    fn alias(&self, vpc: VpcId) -> String {
        format!("cairn {} vpc {vpc}", mark::short(self.config.installation))
    }

    /// A number for a network where its zone's technique needs one, which no other vnet has.
    async fn tag(&self, zone: &str, name: &str, vnets: &Value) -> Result<Option<u32>> {
        let zones = self.transport.ask(&GetZones {}).await?;
        let found = zones.rows().iter().find(|row| row.text("zone").as_deref() == Some(zone));
        let found = found.ok_or_else(|| Fault::refused(format!("there is no SDN zone {zone} in the cluster")))?;
        let last = match found.text("type").as_deref() {
            Some("simple") => return Ok(None),
            Some("vlan" | "qinq") => 4094,
            _ => 16_777_215,
        };
        let taken: Vec<u32> = vnets.rows().iter().filter_map(|row| current(row, "tag")?.parse().ok()).collect();
        let digest = Sha256::digest(name);
        let start = u32::from_be_bytes([0, digest[0], digest[1], digest[2]]);
        let free = (0..last).map(|step| 1 + (start + step) % last).find(|tag| !taken.contains(tag));
        free.map(Some).ok_or_else(|| Fault::full(format!("zone {zone} has no number left")))
    }

    /// Refuses to touch the networks while somebody else's change of them is not applied.
    fn nothing_foreign(vnets: &Value, ours: &[&String]) -> Result<()> {
        let foreign = vnets.rows().iter().find(|row| {
            row.get("state").is_some() && !ours.iter().any(|name| row.text("vnet").as_ref() == Some(*name))
        });
        if let Some(row) = foreign {
            let name = row.text("vnet").unwrap_or_default();
            return Err(Fault::transient(format!(
                "vnet {name} has a change that is not applied: apply it or take it back"
            )));
        }
        Ok(())
    }

    /// Whoever was deleting a network has died before it was applied. Guests may have come to it since, so it stays.
    async fn take_back(&self, known: &mut Known, vnets: &Value, name: &String) -> Result<()> {
        Self::nothing_foreign(vnets, &[name])?;
        match self.lock(known, true).await? {
            Some(token) => {
                self.roll_back(known, Some(token)).await;
                Ok(())
            }
            // Before 9.0 nothing can be taken back: it goes, and is made anew.
            None => self.edit_locked(None, None).await,
        }
    }

    /// Makes one edit and applies it, under the lock.
    async fn edit(&self, known: &mut Known, vnets: &Value, edit: Option<Edit>, ours: &[&String]) -> Result<()> {
        Self::nothing_foreign(vnets, ours)?;
        let token = self.lock(known, edit.is_none()).await?;
        match self.edit_locked(edit, token.clone()).await {
            Ok(()) => {
                known.lock = None;
                Ok(())
            }
            Err(fault) => {
                self.roll_back(known, token).await;
                Err(fault)
            }
        }
    }

    /// Takes the cluster's SDN lock. `None`: this version has none.
    async fn lock(&self, known: &mut Known, ours_pending: bool) -> Result<Option<String>> {
        let version = self.transport.version().await.map_err(|failed| failed.fault("asking for the version"))?;
        if !version.at_least(900) {
            return Ok(None);
        }
        if let Some(Held::Under(token)) = &known.lock {
            let call = DeleteSdnLock { lock_token: Some(token.clone()), force: None };
            given_back(known, self.transport.try_ask(&call).await)?;
        }
        let since = match known.lock {
            Some(Held::Perhaps(since)) => Some(since),
            _ => None,
        };
        // Written down first: whoever asks may be called off before the answer comes.
        known.lock = Some(Held::Perhaps(since.unwrap_or_else(Instant::now)));
        let call = PostSdnLock { allow_pending: ours_pending.then_some(true) };
        match self.transport.try_ask(&call).await {
            Ok(answer) => {
                let token = crate::scalar::plain(&answer);
                known.lock = token.clone().map(Held::Under);
                known.in_the_way = None;
                Ok(token)
            }
            Err(failed) => Err(self.not_locked(known, since, &failed).await),
        }
    }

    /// Why the lock was not had. One that we asked for without an answer, and that nobody gave back for longer than
    /// anybody holds it, is broken open; and so is one that was in the way for so long that whoever took it must have died
    /// with it. A process of ours may have, and nobody else gives it back. Who lives nevertheless is told that its token
    /// holds nothing, and begins again.
    async fn not_locked(&self, known: &mut Known, since: Option<Instant>, failed: &Failed) -> Fault {
        let fault = failed.fault("locking the cluster's networks");
        if failed.said().is_none() {
            if since.is_none() && matches!(failed, Failed::NeverSent(_)) {
                known.lock = None;
            }
            return fault;
        }
        if since.is_none() {
            known.lock = None;
        }
        if failed.said() == Some(Said::Other) {
            let in_the_way = *known.in_the_way.get_or_insert_with(Instant::now);
            let grace = self.config.task_grace;
            if since.is_some_and(|since| since.elapsed() > grace * HELD) || in_the_way.elapsed() > grace * FORGOTTEN {
                tracing::warn!("whoever took the lock on the cluster's networks has forgotten it: it is broken open");
                let call = DeleteSdnLock { lock_token: None, force: Some(true) };
                if let Err(fault) = given_back(known, self.transport.try_ask(&call).await) {
                    return fault;
                }
                known.in_the_way = None;
            }
        }
        match failed.said() {
            Some(Said::Input | Said::Other | Said::Exists) => Fault::transient(fault.detail),
            _ => fault,
        }
    }

    async fn edit_locked(&self, edit: Option<Edit>, token: Option<String>) -> Result<()> {
        match edit {
            Some(Edit::Add(call)) => {
                let call = PostVnet { lock_token: token.clone(), ..call };
                self.transport.ask(&call).await?;
            }
            Some(Edit::Remove(call)) => {
                let call = DeleteVnet { lock_token: token.clone(), ..call };
                self.transport.ask(&call).await?;
            }
            None => {}
        }
        let release = token.is_some().then_some(true);
        let upid = self.transport.begin(&PutSdn { lock_token: token, release_lock: release }).await?;
        self.wait(upid).await
    }

    /// Takes back what is not applied and gives the lock back. What does not work here is the next one's to see.
    async fn roll_back(&self, known: &mut Known, token: Option<String>) {
        let Some(token) = token else { return };
        let call = PostSdnRollback { lock_token: Some(token.clone()), release_lock: Some(true) };
        let Err(fault) = given_back(known, self.transport.try_ask(&call).await) else { return };
        tracing::warn!(detail = %fault.detail, "changes of the cluster's networks could not be taken back");
        let call = DeleteSdnLock { lock_token: Some(token), force: None };
        let given_back = given_back(known, self.transport.try_ask(&call).await);
        tracing::warn!(given_back = given_back.is_ok(), "the lock on the cluster's networks");
    }

    /// Whether a host has what was applied: its task says "OK" even where a host failed.
    async fn is_applied(&self, host: &str, zone: &str) -> Result<()> {
        let answer = self.transport.ask(&GetNodeZones { node: host.to_owned() }).await?;
        let status = answer.rows().iter().find(|row| row.text("zone").as_deref() == Some(zone));
        let status = status.and_then(|row| row.text("status")).unwrap_or_else(|| "not there".to_owned());
        if status == "available" {
            return Ok(());
        }
        Err(Fault::transient(format!("zone {zone} on {host} is {status}: look at the node's network configuration")))
    }
}

enum Edit {
    Add(PostVnet),
    Remove(DeleteVnet),
}

/// What the answer to giving the lock back says: a token that is not the lock's any more holds nothing.
fn given_back(known: &mut Known, answer: std::result::Result<Value, Failed>) -> Result<()> {
    match answer {
        Err(failed) if failed.said() != Some(Said::Pending) => {
            Err(failed.fault("giving back the lock on the cluster's networks"))
        }
        _ => {
            known.lock = None;
            Ok(())
        }
    }
}

/// A vnet's value as it will be: what pends stands apart.
fn current(row: &Value, name: &str) -> Option<String> {
    row.get("pending").and_then(|pending| pending.text(name)).or_else(|| row.text(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_proxmox_takes_and_always_the_same() {
        let id = |n: u128| VpcId(uuid::Uuid::from_u128(n));
        let installation = InstallationId(uuid::Uuid::nil());
        for n in 0..200 {
            let name = vnet(installation, id(n));
            assert!(name.len() == 8 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
            assert_eq!(name, vnet(installation, id(n)));
        }
        assert_ne!(vnet(installation, id(1)), vnet(installation, id(2)));
    }

    #[test]
    fn what_pends_comes_first() {
        let row = serde_json::json!({"vnet": "v", "alias": "old", "pending": {"alias": "new"}, "tag": 5});
        assert_eq!((current(&row, "alias"), current(&row, "tag")), (Some("new".into()), Some("5".into())));
    }
}
