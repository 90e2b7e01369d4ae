//! What tenants are told of workflows: every step in words, including those that have not begun.

use crate::world::registry;
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The names of a kind's steps, in the order in which they are made. Empty for a kind that this release does not know.
pub fn step_names(kind: &str) -> &'static [&'static str] {
    static NAMES: OnceLock<BTreeMap<&'static str, Vec<&'static str>>> = OnceLock::new();
    let known = NAMES.get_or_init(|| {
        let Ok(registry) = registry() else { return BTreeMap::new() };
        let names = |kind| registry.get(kind).map(|definition| definition.step_names()).unwrap_or_default();
        registry.kinds().map(|kind| (kind, names(kind))).collect()
    });
    known.get(kind).map_or(&[], Vec::as_slice)
}

/// A step in words: what its making does, and what its unmaking does. A step that has none is told by its name.
pub fn sentence(step: &str, making: bool) -> String {
    let (make, unmake) = match step {
        "place" => ("finding a host", "giving the host's room back"),
        "claim_addresses" => ("claiming addresses", "giving the addresses back"),
        "fetch_image" | "fetch_new_image" => ("fetching the image", "keeping the image for others"),
        "connect_networks" => ("connecting the networks", "disconnecting the networks"),
        "create_guest" => ("making the disk", "deleting the disk"),
        "start" | "switch_on" => ("starting", "stopping"),
        "switch_off" => ("cutting the power", "leaving the power as it is"),
        "answer" => ("waiting for the first answer", "taking leave"),
        "meter" => ("starting the meter", "stopping the meter"),
        "ask_to_stop" => ("asking the guest to stop", "leaving the guest as it is"),
        "await_stop" => ("waiting for the guest to stop", "leaving the guest as it is"),
        "restart" => ("restarting", "leaving the guest as it is"),
        "make_room" => ("making room for the new size", "giving the room back"),
        "resize_guest" => ("changing the size", "changing the size back"),
        "record_size" => ("writing the new size down", "leaving the size as it is"),
        "rebuild_disk" => ("making the disk anew", "leaving the disk as it is"),
        "write_name" => ("writing the new name", "leaving the name as it is"),
        "make_image" => ("copying the disk", "leaving the copy as it is"),
        "hold_bytes" => ("getting the image's bytes", "deleting the image's bytes"),
        "record_image" => ("making the image available", "taking the image off the list"),
        "fetch_view" => ("looking", "looking away"),
        "write_policy" => ("writing the backup policy down", "leaving the backup policy as it is"),
        "keep_backup" => ("taking the backup out of its schedule", "leaving the backup kept"),
        "reserve_target" => ("finding another host", "giving the other host's room back"),
        "move_guest" => ("moving to the other host", "looking where the guest is"),
        "record_host" => ("writing the new host down", "leaving the host as it is"),
        "mend_guest" => ("giving the guest back what it should have", "leaving the guest as it is"),
        "note_power" => ("looking whether the server runs", "starting the server again if it ran"),
        "delete_unused" => ("deleting what is out of use", "leaving what is out of use"),
        "try_connection" => ("trying the connection out", "forgetting the connection"),
        "fetch_template" => ("fetching the image", "keeping the image for others"),
        "find_bytes" => ("looking for the image's bytes", "leaving the image's bytes where they are"),
        other => return other.replace('_', " "),
    };
    if making { make.to_owned() } else { unmake.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_told_in_words() {
        let registry = registry().unwrap();
        for kind in registry.kinds() {
            assert!(!step_names(kind).is_empty());
            for step in step_names(kind) {
                for making in [true, false] {
                    let told = sentence(step, making);
                    assert_ne!(told, step.replace('_', " "), "step `{step}` of `{kind}` has no words in progress.rs");
                }
            }
        }
    }
}
