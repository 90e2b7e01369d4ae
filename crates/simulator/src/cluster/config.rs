//! A guest's config: what its file says, what is pending, its snapshots, and the digest over all of it.

use sha1::{Digest, Sha1};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// Values by key, as the file has them.
pub(crate) type Entries = BTreeMap<String, String>;

/// One file below `/etc/pve/nodes/*/qemu-server` or `lxc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) entries: Entries,
    pub(crate) pending: Entries,
    pub(crate) pending_delete: BTreeSet<String>,
    pub(crate) snapshots: BTreeMap<String, Snapshot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) entries: Entries,
    pub(crate) parent: Option<String>,
    pub(crate) time: i64,
    pub(crate) description: String,
    pub(crate) vmstate: bool,
}

impl Config {
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str)
    }

    pub(crate) fn is(&self, key: &str) -> bool {
        self.get(key) == Some("1")
    }

    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(|value| value.parse().ok())
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.entries.insert(key.to_owned(), value.into());
    }

    /// The SHA-1 of the whole file, snapshots and pending changes included.
    pub(crate) fn digest(&self) -> String {
        hex::encode(Sha1::digest(self.render()))
    }

    fn render(&self) -> String {
        let mut text = String::new();
        let mut section = |title: &str, entries: &Entries, more: &[(&str, String)]| {
            if !title.is_empty() {
                let _ = writeln!(text, "\n[{title}]");
            }
            for (key, value) in entries
                .iter()
                .map(|(key, value)| (key.as_str(), value))
                .chain(more.iter().map(|(key, value)| (*key, value)))
            {
                let _ = writeln!(text, "{key}: {}", value.replace('\n', "%0A"));
            }
        };
        section("", &self.entries, &[]);
        if !self.pending.is_empty() || !self.pending_delete.is_empty() {
            let delete = self.pending_delete.iter().cloned().collect::<Vec<_>>().join(",");
            section("PENDING", &self.pending, &[("delete", delete)]);
        }
        for (name, snapshot) in &self.snapshots {
            let more = [
                ("parent", snapshot.parent.clone().unwrap_or_default()),
                ("snaptime", snapshot.time.to_string()),
                ("description", snapshot.description.clone()),
                ("vmstate", u8::from(snapshot.vmstate).to_string()),
            ];
            section(name, &snapshot.entries, &more);
        }
        text
    }

    /// Every drive that holds a volume: key and drive.
    pub(crate) fn drives(&self) -> impl Iterator<Item = (&str, Drive)> {
        self.entries.iter().filter(|(key, _)| is_drive_key(key)).map(|(key, value)| (key.as_str(), Drive::parse(value)))
    }

    /// The first key `unusedN` that is free.
    pub(crate) fn free_unused(&self) -> String {
        let mut keys = (0..256).map(|number| format!("unused{number}"));
        keys.find(|key| !self.entries.contains_key(key)).unwrap_or_else(|| "unused255".to_owned())
    }
}

/// Whether a key names a disk, a CD drive or a mount point.
pub(crate) fn is_drive_key(key: &str) -> bool {
    let stem = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    key == "rootfs"
        || stem.len() < key.len()
            && matches!(stem, "ide" | "sata" | "scsi" | "virtio" | "efidisk" | "tpmstate" | "unused" | "mp")
}

/// `local-lvm:vm-100-disk-0,size=32G`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    /// The volume, or `none`, or what is to be made.
    pub(crate) volume: String,
    /// In their order.
    pub(crate) options: Vec<(String, String)>,
}

impl Drive {
    pub(crate) fn parse(text: &str) -> Self {
        let mut drive = Self { volume: String::new(), options: Vec::new() };
        for part in text.split(',').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("file" | "volume", volume)) => volume.clone_into(&mut drive.volume),
                Some((key, value)) => drive.options.push((key.to_owned(), value.to_owned())),
                None => part.clone_into(&mut drive.volume),
            }
        }
        drive
    }

    pub(crate) fn option(&self, key: &str) -> Option<&str> {
        self.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.options.retain(|(name, _)| name != key);
        self.options.push((key.to_owned(), value.into()));
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<String> {
        let at = self.options.iter().position(|(name, _)| name == key)?;
        Some(self.options.remove(at).1)
    }

    /// As the file has it: options in the order of their names, the size last.
    pub(crate) fn render(&self) -> String {
        let mut options = self.options.clone();
        options.sort();
        options.iter().fold(self.volume.clone(), |text, (key, value)| format!("{text},{key}={value}"))
    }

    pub(crate) fn is_cdrom(&self) -> bool {
        self.option("media") == Some("cdrom")
    }

    /// Storage and name, if it is a volume at all.
    pub(crate) fn storage(&self) -> Option<&str> {
        self.volume.split_once(':').map(|(storage, _)| storage)
    }

    pub(crate) fn size(&self) -> u64 {
        self.option("size").and_then(parse_size).unwrap_or(0)
    }
}

/// `32G`, `528K`, `+5G` without its sign.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, factor) = match text.chars().last()? {
        'K' => (text.strip_suffix('K')?, 1_u64 << 10),
        'M' => (text.strip_suffix('M')?, 1 << 20),
        'G' => (text.strip_suffix('G')?, 1 << 30),
        'T' => (text.strip_suffix('T')?, 1 << 40),
        _ => (text, 1),
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let (whole, part) = number.split_once('.')?;
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    let digits = u32::try_from(part.len()).ok()?;
    Some(whole + part.parse::<u64>().ok()?.checked_mul(factor)? / 10_u64.checked_pow(digits)?)
}

/// As PVE writes it: the largest unit that divides it.
pub(crate) fn pretty_size(bytes: u64) -> String {
    let mut size = bytes;
    for unit in ["", "K", "M", "G"] {
        if size < 1024 || !size.is_multiple_of(1024) {
            return format!("{size}{unit}");
        }
        size /= 1024;
    }
    format!("{size}T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written_as_pve_does() {
        assert_eq!(parse_size("1.5G"), Some(1_610_612_736));
        assert_eq!(pretty_size(1 << 31), "2G");
        assert_eq!(pretty_size(540_672), "528K");
        assert_eq!(pretty_size(1 << 40), "1T");
    }

    #[test]
    fn the_digest_covers_pending_changes_and_snapshots() {
        let mut config = Config::default();
        let empty = config.digest();
        config.pending.insert("cores".to_owned(), "2".to_owned());
        let pending = config.digest();
        config.pending.clear();
        config.snapshots.insert("s".to_owned(), Snapshot::default());
        assert!(empty != pending && pending != config.digest() && empty != config.digest());
    }

    #[test]
    fn a_drive_is_read_back_as_it_was() {
        let drive = Drive::parse("local:1,format=qcow2");
        assert_eq!((drive.volume.as_str(), drive.option("format")), ("local:1", Some("qcow2")));
        assert_eq!(Drive::parse("file=x:y,size=1G,discard=on").render(), "x:y,discard=on,size=1G");
        assert!(is_drive_key("scsi0") && is_drive_key("rootfs") && !is_drive_key("scsihw") && !is_drive_key("net0"));
    }
}
