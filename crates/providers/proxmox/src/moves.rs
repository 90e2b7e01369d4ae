//! Moving guests between hosts.

use crate::call::Kind;
use crate::calls::{GetMigrate, PostContainerMigrate, PostMachineMigrate, PostShutdown};
use crate::region::{Place, Region};
use crate::scalar::{Lenient, plain};
use crate::tasks::begun;
use provider::{Begun, Fault, GuestPower, GuestRef, Movable, Move, Result};
use serde_json::Value;

/// How long a guest that is to be moved while stopped may take to stop by itself, in seconds; then it is cut off.
const TO_STOP: u32 = 120;

impl Region {
    /// See [`provider::Provider::movable`].
    pub(crate) async fn movable(&self, guest: &GuestRef) -> Result<Movable> {
        let there = self.ours(guest).await?;
        let mut movable = Movable::default();
        if let Some(lock) = there.lock() {
            movable.hindrances.push(format!("It is locked ({lock}): something is being done to it."));
        }
        let answer = self.preconditions(&there.place, None).await?;
        let mapped = names(answer.get("mapped-resources"));
        movable.hindrances.extend(held_devices(&answer, &mapped));
        let mut resources = names(answer.get("local_resources"));
        resources.retain(|resource| !mapped.contains(resource));
        if !resources.is_empty() {
            movable.hindrances.push(format!("It uses devices of its host: {}.", resources.join(", ")));
        }
        for disk in answer.get("local_disks").map_or(&[][..], Lenient::rows) {
            let volume = disk.text("volid").unwrap_or_default();
            if disk.flag("cdrom") && !volume.contains("cloudinit") {
                movable.hindrances.push(format!("The disc {volume} in its drive is on a storage of its host alone."));
            } else {
                movable.copies_disks = true;
            }
        }
        let not = answer.get("not_allowed_nodes").and_then(Value::as_object);
        movable.not_to = not.into_iter().flatten().map(|(host, why)| (host.clone(), sentence(why))).collect();
        Ok(movable)
    }

    async fn preconditions(&self, place: &Place, target: Option<String>) -> Result<Value> {
        let (node, kind, vmid) = (place.node.clone(), place.kind, place.number);
        self.transport.ask(&GetMigrate { node, kind, vmid, target }).await
    }

    /// See [`provider::Provider::move_guest`].
    pub(crate) async fn move_guest(&self, guest: &GuestRef, to: &str, how: Move) -> Result<Begun> {
        let there = self.ours(guest).await?;
        // The lock outlives the task by a moment: it is over when the lock is gone.
        there.unlocked()?;
        if there.place.node == to {
            return Ok(Begun::Done);
        }
        let cluster = self.cluster().await?;
        if !cluster.hosts.iter().any(|host| host.name == to && host.online) {
            return Err(Fault::transient(format!("host {to} does not answer")));
        }
        let row = cluster.guests.get(&there.place.number);
        if let Some(state) = row.and_then(|row| row.ha.as_deref()).filter(|state| MOVING.contains(state)) {
            return Err(Fault::transient(format!("high availability is at it: {state}")));
        }
        let status = self.status(&there.place).await?;
        let running = status.power == GuestPower::Running;
        if running && how == Move::Cold && !status.managed {
            let Place { node, kind, number: vmid } = there.place.clone();
            let call = PostShutdown { node, kind, vmid, timeout: Some(TO_STOP), force_stop: Some(true) };
            return Ok(begun(self.transport.begin(&call).await?));
        }
        self.migrate(&there.place, to, running).await
    }

    async fn migrate(&self, place: &Place, to: &str, running: bool) -> Result<Begun> {
        let (node, vmid, target) = (place.node.clone(), place.number, to.to_owned());
        let upid = match place.kind {
            Kind::Machine => {
                let answer = self.preconditions(place, Some(to.to_owned())).await?;
                let local = !answer.get("local_disks").map_or(&[][..], Lenient::rows).is_empty();
                let call = PostMachineMigrate {
                    node,
                    vmid,
                    target,
                    online: running.then_some(true),
                    with_local_disks: local.then_some(true),
                    targetstorage: None,
                };
                self.transport.begin(&call).await?
            }
            // Containers have no memory that could be moved: it is stopped and started.
            Kind::Container => {
                let call =
                    PostContainerMigrate { node, vmid, target, restart: running.then_some(true), target_storage: None };
                self.transport.begin(&call).await?
            }
        };
        Ok(begun(upid))
    }
}

/// States in which high availability is moving a guest.
const MOVING: [&str; 4] = ["migrate", "relocate", "fence", "recovery"];

/// Devices by mappings are exchanged for those of the other host, as a rule only where the guest does not run.
fn held_devices(answer: &Value, mapped: &[String]) -> Option<String> {
    let info = answer.get("mapped-resource-info");
    let moves = |key: &String| info.and_then(|info| info.get(key)).is_some_and(|one| one.flag("live-migration"));
    let held: Vec<&String> = mapped.iter().filter(|key| !moves(key)).collect();
    if held.is_empty() || !answer.flag("running") {
        return None;
    }
    let name = |key: &&String| info.and_then(|info| info.get(key.as_str())?.text("name"));
    let named = held.iter().map(|key| name(key).map_or_else(|| (*key).clone(), |name| format!("{key} ({name})")));
    let devices = named.collect::<Vec<_>>().join(", ");
    Some(format!(
        "It runs and has devices of its host that cannot be moved with it: {devices}. Once it is powered off, it can be moved to \
         a host that has such devices."
    ))
}

fn names(list: Option<&Value>) -> Vec<String> {
    list.map_or(&[][..], Lenient::rows).iter().filter_map(plain).collect()
}

/// Why a host cannot take it.
fn sentence(why: &Value) -> String {
    let mut parts = Vec::new();
    for (field, what) in
        [("unavailable_storages", "it lacks the storage"), ("unavailable-resources", "it lacks the device")]
    {
        let missing = names(why.get(field));
        if !missing.is_empty() {
            parts.push(format!("{what} {}", missing.join(", ")));
        }
    }
    let rules = why.get("blocking-ha-resources").map_or(&[][..], Lenient::rows);
    let rules: Vec<String> = rules.iter().filter_map(|rule| rule.text("sid")).collect();
    if !rules.is_empty() {
        parts.push(format!("rules of high availability keep it apart from {}", rules.join(", ")));
    }
    if parts.is_empty() { "the cluster says no".to_owned() } else { parts.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn devices_hold_a_guest_only_while_it_runs() {
        let mut answer = json!({"running": 1, "mapped-resource-info": {
            "hostpci0": {"name": "a100"}, "hostpci1": {"name": "vgpu", "live-migration": 1}}});
        let mapped = ["hostpci0".to_owned(), "hostpci1".to_owned()];
        let said = held_devices(&answer, &mapped).unwrap();
        assert!(said.contains("hostpci0 (a100).") && !said.contains("hostpci1"), "{said}");
        assert!(
            held_devices(&json!({"running": 1}), &mapped).unwrap().contains("hostpci0, hostpci1."),
            "8.4 says less"
        );
        answer["running"] = json!(0);
        assert_eq!(held_devices(&answer, &mapped), None);
        assert_eq!(held_devices(&json!({"running": 1}), &[]), None);
    }

    #[test]
    fn why_a_host_cannot_take_a_guest_is_a_sentence() {
        let why =
            json!({"unavailable_storages": ["local-zfs"], "blocking-ha-resources": [{"sid": "vm:101", "cause": "x"}]});
        let expected = "it lacks the storage local-zfs; rules of high availability keep it apart from vm:101";
        assert_eq!(sentence(&why), expected);
        assert_eq!(sentence(&json!({})), "the cluster says no");
    }
}
