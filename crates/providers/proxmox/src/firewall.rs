//! Nobody sends under an address that is not theirs: per guest, the firewall lets through its own MAC and addresses
//! only. It filters where the cluster's firewall is switched on; `preflight` says when it is not.

use crate::calls::{
    DeleteIpsetEntry, GetFirewallOptions, GetIpset, GetIpsets, PostIpset, PostIpsetEntry, PutFirewallOptions,
};
use crate::errors::{Failed, Said};
use crate::region::{Place, Region};
use crate::scalar::Lenient;
use provider::{Interface, Result};

impl Region {
    /// Ensures the filter of a guest that has just been made: without looking first at what is not there yet. What its
    /// template had is there, and is found by being in the way.
    pub(crate) async fn fence_anew(&self, place: &Place, interfaces: &[Interface]) -> Result<()> {
        self.transport.ask(&wanted(place)).await?;
        for (index, interface) in interfaces.iter().enumerate() {
            self.allow_only(place, &set(index), false, &interface.address.to_string()).await?;
        }
        Ok(())
    }

    /// Ensures the filter.
    pub(crate) async fn fence(&self, place: &Place, interfaces: &[Interface]) -> Result<()> {
        let (node, kind, vmid) = (place.node.clone(), place.kind, place.number);
        let options = self.transport.ask(&GetFirewallOptions { node: node.clone(), kind, vmid }).await?;
        let said = |name: &str, wanted: &str| options.text(name).as_deref() == Some(wanted);
        let switched = ["enable", "ipfilter", "macfilter"].iter().all(|name| options.flag(name));
        if !switched || !said("policy_in", "ACCEPT") || !said("policy_out", "ACCEPT") {
            self.transport.ask(&wanted(place)).await?;
        }
        let sets = self.transport.ask(&GetIpsets { node, kind, vmid }).await?;
        let sets: Vec<String> = sets.rows().iter().filter_map(|row| row.text("name")).collect();
        for (index, interface) in interfaces.iter().enumerate() {
            let name = set(index);
            let known = sets.contains(&name);
            self.allow_only(place, &name, known, &interface.address.to_string()).await?;
        }
        Ok(())
    }

    async fn allow_only(&self, place: &Place, name: &str, known: bool, address: &str) -> Result<()> {
        let (node, kind, vmid, name) = (place.node.clone(), place.kind, place.number, name.to_owned());
        let mut entries = Vec::new();
        let known = known || !self.new_set(place, &name).await?;
        if known {
            let call = GetIpset { node: node.clone(), kind, vmid, name: name.clone() };
            let answer = self.transport.ask(&call).await?;
            entries.extend(answer.rows().iter().filter_map(|row| row.text("cidr")));
        }
        let is_ours = |cidr: &String| cidr.trim_end_matches("/32") == address;
        if !entries.iter().any(is_ours) {
            let cidr = address.to_owned();
            let call = PostIpsetEntry { node: node.clone(), kind, vmid, name: name.clone(), cidr };
            made(self.transport.try_ask(&call).await, "filling an address set")?;
        }
        for cidr in entries.into_iter().filter(|cidr| !is_ours(cidr)) {
            let call = DeleteIpsetEntry { node: node.clone(), kind, vmid, name: name.clone(), cidr };
            self.transport.ask(&call).await?;
        }
        Ok(())
    }

    /// Makes an address set. `false`: it is there already.
    async fn new_set(&self, place: &Place, name: &str) -> Result<bool> {
        let (node, kind, vmid) = (place.node.clone(), place.kind, place.number);
        let comment = Some("Cairn: the address of this interface".to_owned());
        let call = PostIpset { node, kind, vmid, name: name.to_owned(), comment };
        made(self.transport.try_ask(&call).await, "making an address set")
    }
}

/// The address set of a guest's interface; the filter goes by its name.
fn set(index: usize) -> String {
    format!("ipfilter-net{index}")
}

/// Which of these has which default changed between versions, so all are said.
fn wanted(place: &Place) -> PutFirewallOptions {
    PutFirewallOptions {
        node: place.node.clone(),
        kind: place.kind,
        vmid: place.number,
        enable: Some(true),
        ipfilter: Some(true),
        macfilter: Some(true),
        policy_in: Some("ACCEPT".to_owned()),
        policy_out: Some("ACCEPT".to_owned()),
    }
}

/// "Already exists" is what was wanted: then nothing was made.
fn made(answer: std::result::Result<serde_json::Value, Failed>, doing: &str) -> Result<bool> {
    match answer {
        Ok(_) => Ok(true),
        Err(failed) if failed.said() == Some(Said::Exists) => Ok(false),
        Err(failed) => Err(failed.fault(doing)),
    }
}
