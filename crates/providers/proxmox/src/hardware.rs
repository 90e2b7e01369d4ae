//! Property strings: disks, network cards and addresses as Proxmox writes them in a guest's configuration.

use crate::call::Indexed;
use crate::config::Config;
use crate::scalar::Lenient;
use provider::{Fault, Interface, NetworkRef, Resources, Result};
use serde_json::Value;

/// Buses that a machine's disks are on.
const BUSES: [&str; 4] = ["scsi", "virtio", "sata", "ide"];

/// Where a network is at the hosts: a bridge or vnet, and the VLAN on it.
pub(crate) fn bridge(config: &Config, network: &NetworkRef) -> Result<(String, Option<u16>)> {
    match network {
        NetworkRef::Public(pool) => {
            let bridge = config.bridges.get(pool).or_else(|| only(config));
            let bridge = bridge
                .ok_or_else(|| Fault::refused(format!("the region's configuration names no bridge for pool {pool}")))?;
            Ok((bridge.name.clone(), bridge.vlan))
        }
        NetworkRef::Vpc(vpc) => Ok((crate::network::vnet(config.installation, *vpc), None)),
    }
}

/// The one bridge of a region that has one: which pool it is for goes without saying.
fn only(config: &Config) -> Option<&crate::config::Bridge> {
    let mut bridges = config.bridges.values();
    bridges.next().filter(|_| bridges.next().is_none())
}

/// A MAC address as Proxmox writes it.
pub(crate) fn mac(bytes: [u8; 6]) -> String {
    bytes.map(|byte| format!("{byte:02X}")).join(":")
}

/// A machine's network cards.
pub(crate) fn cards(config: &Config, interfaces: &[Interface]) -> Result<Indexed> {
    let card = |(index, interface): (usize, &Interface)| {
        let (bridge, vlan) = bridge(config, &interface.network)?;
        let vlan = vlan.map(|vlan| format!(",tag={vlan}")).unwrap_or_default();
        Ok((index, format!("virtio={},bridge={bridge},firewall=1{vlan}", mac(interface.mac))))
    };
    interfaces.iter().enumerate().map(card).collect()
}

/// A container's network cards, which say the addresses, too.
pub(crate) fn container_cards(config: &Config, interfaces: &[Interface]) -> Result<Indexed> {
    let card = |(index, interface): (usize, &Interface)| {
        let (bridge, vlan) = bridge(config, &interface.network)?;
        let vlan = vlan.map(|vlan| format!(",tag={vlan}")).unwrap_or_default();
        let address = address(interface);
        let mac = mac(interface.mac);
        Ok((index, format!("name=eth{index},bridge={bridge},hwaddr={mac},{address},firewall=1{vlan}")))
    };
    interfaces.iter().enumerate().map(card).collect()
}

/// The addresses that cloud-init writes.
pub(crate) fn addresses(interfaces: &[Interface]) -> Indexed {
    interfaces.iter().map(address).enumerate().collect()
}

fn address(interface: &Interface) -> String {
    let gateway = interface.gateway.map(|gateway| format!(",gw={gateway}")).unwrap_or_default();
    format!("ip={}/{}{gateway}", interface.address, interface.prefix)
}

/// A disk: its key in the configuration, its volume and its size.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Disk {
    pub(crate) key: String,
    pub(crate) volume: String,
    pub(crate) bytes: u64,
}

impl Disk {
    /// The storage that it is on.
    pub(crate) fn storage(&self) -> &str {
        self.volume.split(':').next().unwrap_or_default()
    }

    fn read(key: &str, text: &str) -> Self {
        let volume = text.split(',').next().unwrap_or_default();
        let volume = volume.strip_prefix("file=").unwrap_or(volume).to_owned();
        let size = text.split(',').find_map(|part| part.strip_prefix("size="));
        Self { key: key.to_owned(), volume, bytes: size.and_then(bytes).unwrap_or_default() }
    }
}

/// The disk that a guest starts from: what its boot order names first, else the first there is.
pub(crate) fn boot_disk(config: &Value) -> Option<Disk> {
    if let Some(root) = config.text("rootfs") {
        return Some(Disk::read("rootfs", &root));
    }
    let order = config.text("boot").unwrap_or_default();
    let order = order.strip_prefix("order=").unwrap_or_default().to_owned();
    let named = order.split(';').filter(|key| is_disk(config, key)).map(str::to_owned).next();
    let first =
        || BUSES.iter().flat_map(|bus| (0..31).map(move |n| format!("{bus}{n}"))).find(|key| is_disk(config, key));
    let key = named.or_else(first)?;
    Some(Disk::read(&key, &config.text(&key)?))
}

fn is_disk(config: &Value, key: &str) -> bool {
    let bus = key.trim_end_matches(|c: char| c.is_ascii_digit());
    BUSES.contains(&bus)
        && config.text(key).is_some_and(|text| !text.contains("media=cdrom") && !text.contains("cloudinit"))
}

/// The drive that Proxmox writes cloud-init's documents to.
pub(crate) fn seed_drive(config: &Value) -> Option<String> {
    drives(config).find(|(_, text)| text.contains("cloudinit")).map(|(key, _)| key)
}

/// A CD-ROM drive of ours with a seed of ours: its key and volume.
pub(crate) fn seed_disc(config: &Value, prefix: &str) -> Option<(String, String)> {
    drives(config)
        .map(|(key, text)| (key, text.split(',').next().unwrap_or_default().to_owned()))
        .find(|(_, volume)| volume.contains(prefix))
}

/// A CD-ROM key that is free.
pub(crate) fn free_drive(config: &Value) -> Option<usize> {
    [2, 0, 1, 3].into_iter().find(|n| config.get(format!("ide{n}")).is_none())
}

fn drives(config: &Value) -> impl Iterator<Item = (String, String)> {
    let names = BUSES.iter().flat_map(|bus| (0..31).map(move |n| format!("{bus}{n}")));
    names.filter_map(|key| config.text(&key).map(|text| (key, text)))
}

/// Keys of a kind (`net`, `unused`) that a configuration has.
pub(crate) fn numbered(config: &Value, stem: &str) -> Vec<(usize, String)> {
    (0..256).filter_map(|n| config.text(&format!("{stem}{n}")).map(|text| (n, text))).collect()
}

/// What a guest's configuration gives it.
pub(crate) fn resources(config: &Value) -> Resources {
    let sockets = config.number("sockets").unwrap_or(1).max(1);
    let cores = config.number("cores").unwrap_or(1).max(1);
    // `memory` is a property string since 8.1: `512` or `current=512`.
    let memory = config.text("memory").unwrap_or_default();
    let memory = memory.trim_start_matches("current=").split(',').next().and_then(|mib| mib.parse().ok());
    Resources {
        vcpus: crate::scalar::small(sockets * cores),
        memory_mib: memory.unwrap_or(512),
        disk_gb: crate::scalar::small(boot_disk(config).map_or(0, |disk| disk.bytes >> 30)),
    }
}

/// A size as Proxmox writes it: a number, and a power of 1024.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: u64 = whole.parse().ok()?;
    // At most three digits behind the point decide anything.
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((whole << shift) + ((thousandths << shift) / 1000))
}

/// A name that DNS takes, from a title that people chose.
pub(crate) fn dns_name(title: &str) -> String {
    let kept = title.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' });
    let kept: String = kept.take(63).collect();
    let labels = kept.split('.').map(|label| label.trim_matches('-')).filter(|label| !label.is_empty());
    let name = labels.collect::<Vec<_>>().join(".");
    if name.is_empty() { "server".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let samples = [("1G", 1 << 30), ("2252M", 2252 << 20), ("4194304K", 4 << 30), ("512", 512), ("1.5T", 3 << 39)];
        for (text, size) in samples {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        assert_eq!((bytes("G"), bytes("1X")), (None, None));
    }

    #[test]
    fn the_disk_that_boots_is_found() {
        let config = json!({
            "boot": "order=ide2;scsi1;net0", "ide2": "none,media=cdrom", "scsi0": "a:vm-1-disk-0,size=1G",
            "scsi1": "a:vm-1-disk-1,iothread=1,size=20G", "ide0": "a:vm-1-cloudinit,media=cdrom"
        });
        let disk = boot_disk(&config).unwrap();
        assert_eq!((disk.key.as_str(), disk.volume.as_str(), disk.bytes), ("scsi1", "a:vm-1-disk-1", 20 << 30));
        assert_eq!(disk.storage(), "a");
        assert_eq!(seed_drive(&config).as_deref(), Some("ide0"));
        assert_eq!(free_drive(&config), Some(1));
        assert_eq!(boot_disk(&json!({"rootfs": "l:vm-2-disk-0,size=8G"})).unwrap().key, "rootfs");
        assert_eq!(boot_disk(&json!({"ide2": "l:vm-2-cloudinit"})), None);
    }

    #[test]
    fn memory_is_a_string_that_may_say_more() {
        let config = json!({"memory": "current=2048", "cores": "2", "sockets": 2, "scsi0": "a:b,size=3.5G"});
        assert_eq!(resources(&config), Resources { vcpus: 4, memory_mib: 2048, disk_gb: 3 });
        assert_eq!(resources(&json!({})), Resources { vcpus: 1, memory_mib: 512, disk_gb: 0 });
    }

    #[test]
    fn titles_become_names() {
        for (title, name) in [("web 1", "web-1"), ("a.b", "a.b"), ("-x-", "x"), ("…", "server"), ("äb", "b")] {
            assert_eq!(dns_name(title), name);
        }
    }
}
