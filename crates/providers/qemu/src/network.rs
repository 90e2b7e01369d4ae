//! Networks on the host, as root: a bridge per network, a tap per interface, our own nftables tables.
//!
//! Bridges and taps are made with `ip` and not over rtnetlink: a tap for another user needs an ioctl that has no safe
//! binding, and one `ip -batch` does everything a guest needs in three milliseconds. What is ours carries an alias
//! (`cairn:<installation>:…`); an interface without it is never changed.

use crate::command_line::Connection;
use crate::config::Config;
use crate::durable::{self, blocking};
use crate::layout::{Layout, network_key};
use crate::locks;
use crate::program::Program;
use crate::record::Record;
use crate::region::Region;
use crate::rules::Rules;
use model::addressing::Ipv4Range;
use provider::{Fault, Interface, NetworkKind, NetworkRef, NetworkSpec, Result};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::Duration;

/// Everything that changes the host's network is done one at a time.
const LOCK: &str = "network";
const PATIENCE: Duration = Duration::from_secs(20);

/// The host's network.
#[derive(Debug)]
pub(crate) struct Network {
    layout: Layout,
    public_bridge: Option<String>,
}

/// The host's interfaces with their aliases.
#[derive(Debug)]
struct Links(HashMap<String, Option<String>>);

impl Links {
    async fn look() -> Result<Self> {
        let text = Program::new(Path::new("ip")).args(["-j", "link", "show"]).run().await?;
        let entries: Vec<Value> = serde_json::from_str(&text)
            .map_err(|error| Fault::bug(format!("ip -j link show printed no JSON: {error}")))?;
        let text = |entry: &Value, key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        let named = entries.iter().filter_map(|entry| Some((text(entry, "ifname")?, text(entry, "ifalias"))));
        Ok(Self(named.collect()))
    }

    /// Whether it is there; refused when it is there and not ours.
    fn ours(&self, name: &str, alias: &str) -> Result<bool> {
        match self.0.get(name) {
            None => Ok(false),
            Some(Some(found)) if found == alias => Ok(true),
            Some(_) => Err(Fault::refused(format!("the host has an interface {name} that is not ours"))),
        }
    }

    fn with_prefix(&self, prefix: &str) -> Vec<(String, String)> {
        let marked = self.0.iter().filter_map(|(name, alias)| Some((name.clone(), alias.clone()?)));
        marked.filter(|(_, alias)| alias.starts_with(prefix)).collect()
    }
}

/// Refused when another interface of the host has an address in the network's range: two bridges with one gateway would
/// answer for each other, and guests of both would be out of reach without a word.
async fn free_of_others(bridge: &str, spec: &NetworkSpec) -> Result<()> {
    let text = Program::new(Path::new("ip")).args(["-j", "-4", "address", "show"]).run().await?;
    let links: Vec<Value> = serde_json::from_str(&text)
        .map_err(|error| Fault::bug(format!("ip -j address show printed no JSON: {error}")))?;
    let wanted = Ipv4Range::containing(spec.base, spec.prefix);
    for link in &links {
        let name = link.get("ifname").and_then(Value::as_str).unwrap_or_default();
        for address in link.get("addr_info").and_then(Value::as_array).into_iter().flatten() {
            let local = address.get("local").and_then(Value::as_str).and_then(|text| text.parse().ok());
            let prefix = address.get("prefixlen").and_then(Value::as_u64).and_then(|length| u8::try_from(length).ok());
            let range = local.zip(prefix).and_then(|(local, prefix)| Ipv4Range::containing(local, prefix));
            if name != bridge && wanted.zip(range).is_some_and(|(wanted, range)| wanted.overlaps(range)) {
                let range = format!("{}/{}", spec.base, spec.prefix);
                return Err(Fault::refused(format!(
                    "the public range {range} is in use by this host's interface {name}; choose another range for the \
                     region's pool in the catalogue"
                )));
            }
        }
    }
    Ok(())
}

/// Each guest's QEMU runs as a user of its own and attaches to the tap that was made for it. The device is meant to be
/// open to everybody (mode 0666 in the kernel's tuntap.rst, and what udev gives it): it gives nobody more than the taps
/// that are theirs. Where no udev runs it is root's alone, and is opened here.
fn open_to_guests(device: &Path) -> Result<()> {
    let told = |what: &str, error: &std::io::Error| Fault::refused(format!("{}: {what}: {error}", device.display()));
    let permissions = std::fs::metadata(device).map_err(|error| told("the host has no such device", &error))?;
    if permissions.mode() & 0o006 == 0o006 {
        return Ok(());
    }
    tracing::info!(device = %device.display(), "opened to the guests' users, as udev would have done");
    std::fs::set_permissions(device, Permissions::from_mode(0o666))
        .map_err(|error| told("guests' users cannot attach to taps, and its mode cannot be changed to 0666", &error))
}

async fn batch(lines: &[String]) -> Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let input = lines.iter().fold(String::new(), |text, line| text + line + "\n");
    Program::new(Path::new("ip")).args(["-batch", "-"]).input(input).run().await.map(drop)
}

/// A change of interfaces and rules, collected and then made at once.
struct Change {
    rules: Rules,
    lines: Vec<String>,
    bridges: Vec<String>,
}

impl Change {
    fn of(rules: Rules) -> Self {
        Self { rules, lines: Vec::new(), bridges: Vec::new() }
    }

    /// The interfaces alone; the rules stay collected.
    async fn raise_bridges(&mut self) -> Result<()> {
        raise(&std::mem::take(&mut self.lines), &std::mem::take(&mut self.bridges)).await
    }

    /// The rules first, which name interfaces that need not be there yet: a tap must not carry a single unguarded frame.
    async fn apply(self) -> Result<()> {
        self.rules.apply().await?;
        raise(&self.lines, &self.bridges).await
    }
}

async fn raise(lines: &[String], bridges: &[String]) -> Result<()> {
    batch(lines).await?;
    for bridge in bridges {
        // The host itself has no IPv6 address on a guests' network: nothing there is guarded for it.
        set(&format!("/proc/sys/net/ipv6/conf/{bridge}/disable_ipv6"), "1");
    }
    Ok(())
}

impl Network {
    /// Tries whether bridged networking works here, without leaving anything.
    pub(crate) async fn open(config: &Config, layout: &Layout) -> Result<Self> {
        Links::look().await?;
        Rules::new(&layout.table()).check().await?;
        open_to_guests(Path::new("/dev/net/tun"))?;
        Ok(Self { layout: layout.clone(), public_bridge: config.public_bridge.clone() })
    }

    fn rules(&self) -> Rules {
        Rules::new(&self.layout.table())
    }

    /// The bridge that a network's interfaces are attached to.
    fn bridge(&self, spec: &NetworkSpec) -> Result<String> {
        if spec.kind != NetworkKind::PublicBridged {
            return Ok(self.layout.bridge(&spec.network));
        }
        let configured = self.public_bridge.clone();
        configured.ok_or_else(|| Fault::refused("the region's configuration names no bridge for its public network"))
    }

    /// See [`provider::Provider::ensure_network`]. A bridge without taps carries nothing, so its rules come with the first
    /// guest ([`Network::attach`]): a change of rules costs more than everything else here together.
    pub(crate) async fn ensure(&self, spec: &NetworkSpec) -> Result<()> {
        let _held = locks::take(&self.layout.locks(), LOCK, PATIENCE).await?;
        write_spec(&self.layout, spec).await?;
        let mut change = Change::of(self.rules());
        self.raise(spec, &Links::look().await?, &mut change).await?;
        change.raise_bridges().await
    }

    /// What makes the bridge, and what the rules need of it.
    async fn raise(&self, spec: &NetworkSpec, links: &Links, change: &mut Change) -> Result<()> {
        let bridge = self.bridge(spec)?;
        if spec.kind == NetworkKind::PublicBridged {
            if !links.0.contains_key(&bridge) {
                return Err(Fault::refused(format!("the host has no bridge {bridge}")));
            }
            return Ok(());
        }
        let alias = self.layout.alias(&network_key(&spec.network));
        let lines = &mut change.lines;
        if !links.ours(&bridge, &alias)? {
            if spec.kind == NetworkKind::PublicNat {
                free_of_others(&bridge, spec).await?;
            }
            lines.push(format!("link add name {bridge} type bridge forward_delay 0 mcast_snooping 0"));
            lines.push(format!("link set dev {bridge} alias {alias}"));
        }
        if let (NetworkKind::PublicNat, Some(gateway)) = (spec.kind, spec.gateway) {
            lines.push(format!("address replace {gateway}/{} dev {bridge}", spec.prefix));
        }
        lines.push(format!("link set dev {bridge} up"));
        change.rules.add_bridge(&bridge);
        if spec.kind == NetworkKind::PublicNat {
            set("/proc/sys/net/ipv4/ip_forward", "1");
            change.rules.translate(spec.base, spec.prefix);
        }
        change.bridges.push(bridge);
        Ok(())
    }

    /// See [`provider::Provider::delete_network`].
    pub(crate) async fn delete(&self, region: &Region, network: &NetworkRef) -> Result<()> {
        let _held = locks::take(&self.layout.locks(), LOCK, PATIENCE).await?;
        let used = |record: &Record| record.interfaces.iter().any(|interface| interface.network == *network);
        if region.guests()?.iter().any(|(_, record)| used(record)) {
            return Ok(());
        }
        let Some(spec) = read_spec(&self.layout, network)? else { return Ok(()) };
        if spec.kind != NetworkKind::PublicBridged {
            let bridge = self.layout.bridge(network);
            let links = Links::look().await?;
            if links.ours(&bridge, &self.layout.alias(&network_key(network)))? {
                batch(&[format!("link delete dev {bridge}")]).await?;
            }
            let translated = (spec.kind == NetworkKind::PublicNat).then_some((spec.base, spec.prefix));
            self.rules().remove_bridge(&bridge, translated).await?;
        }
        let path = spec_path(&self.layout, network);
        blocking(move || durable::remove(&path)).await?;
        if crate::region::names(&self.layout.networks())?.is_empty() {
            self.rules().remove_tables().await?;
        }
        Ok(())
    }

    /// Makes a guest's taps, and its networks too if they are gone (the host was restarted).
    pub(crate) async fn attach(&self, name: &str, record: &Record) -> Result<Vec<Connection>> {
        let _held = locks::take(&self.layout.locks(), LOCK, PATIENCE).await?;
        let links = Links::look().await?;
        let mut change = Change::of(self.rules());
        let mut lines = Vec::new();
        let mut connections = Vec::new();
        for (index, interface) in record.interfaces.iter().enumerate() {
            let spec = read_spec(&self.layout, &interface.network)?;
            let spec = spec.ok_or_else(|| Fault::refused("the guest's network was never made on this host"))?;
            let bridge = self.bridge(&spec)?;
            self.raise(&spec, &links, &mut change).await?;
            let tap = self.layout.tap(name, index);
            let alias = self.layout.alias(&format!("guest:{name}"));
            if links.ours(&tap, &alias)? {
                // It may belong to another user from before; taps cost nothing.
                lines.push(format!("tuntap del dev {tap} mode tap"));
            }
            let user = record.user.map(|user| format!(" user {user}")).unwrap_or_default();
            lines.push(format!("tuntap add dev {tap} mode tap{user}"));
            lines.push(format!("link set dev {tap} alias {alias}"));
            lines.push(format!("link set dev {tap} master {bridge} up"));
            change.rules.add_guest(&tap, interface);
            connections.push(Connection::Tap(tap));
        }
        change.lines.append(&mut lines);
        change.apply().await?;
        for tap in connections.iter().filter_map(|connection| match connection {
            Connection::Tap(tap) => Some(tap),
            Connection::User { .. } => None,
        }) {
            set(&format!("/proc/sys/net/ipv6/conf/{tap}/disable_ipv6"), "1");
        }
        Ok(connections)
    }

    /// Removes a guest's taps and their rules.
    pub(crate) async fn detach(&self, name: &str, record: Option<&Record>) -> Result<()> {
        let _held = locks::take(&self.layout.locks(), LOCK, PATIENCE).await?;
        let alias = self.layout.alias(&format!("guest:{name}"));
        let taps = Links::look().await?.with_prefix(&alias);
        let taps = taps.into_iter().filter(|(_, found)| *found == alias).map(|(tap, _)| tap);
        let lines: Vec<String> = taps.map(|tap| format!("tuntap del dev {tap} mode tap")).collect();
        batch(&lines).await?;
        let interfaces: &[Interface] = record.map_or(&[], |record| &record.interfaces);
        let named = interfaces.iter().enumerate().map(|(index, interface)| (self.layout.tap(name, index), interface));
        self.rules().remove_guest(&named.collect::<Vec<_>>()).await
    }

    /// After a restart of ours: the bridges and rules of everything that is recorded, in case somebody flushed them;
    /// taps of guests that are gone are removed.
    pub(crate) async fn restore(&self, region: &Region) -> Result<()> {
        let _held = locks::take(&self.layout.locks(), LOCK, PATIENCE).await?;
        let links = Links::look().await?;
        let guests = region.guests()?;
        let mut change = Change::of(self.rules());
        for name in crate::region::names(&self.layout.networks())? {
            let Some(spec) = read_spec_file(&self.layout.networks().join(&name))? else { continue };
            let raised = async {
                self.raise(&spec, &links, &mut change).await?;
                change.raise_bridges().await
            };
            if let Err(fault) = raised.await {
                tracing::warn!(network = name, fault = %fault.detail, "a network could not be restored");
            }
        }
        let mut lines = Vec::new();
        for (tap, alias) in links.with_prefix(&self.layout.alias("guest:")) {
            let owner = alias.rsplit(':').next().unwrap_or_default();
            let guest = guests.iter().find(|(place, _)| place.name == owner);
            let running = match guest {
                Some((place, record)) => crate::process::find(place, record)?.map(|_| record),
                None => None,
            };
            // A guest without a process may be just starting in another process of ours; it holds its lock then.
            let lock = locks::try_take(&self.layout.locks(), &crate::guests::lock_name(owner))?;
            match (running, lock) {
                (Some(record), _) => {
                    let index = (0..record.interfaces.len()).find(|index| self.layout.tap(owner, *index) == tap);
                    if let Some(interface) = index.and_then(|index| record.interfaces.get(index)) {
                        change.rules.add_guest(&tap, interface);
                    }
                }
                (None, None) => {}
                (None, Some(_held)) => lines.push(format!("tuntap del dev {tap} mode tap")),
            }
        }
        if !crate::region::names(&self.layout.networks())?.is_empty() {
            change.rules.apply().await?;
        }
        batch(&lines).await
    }

    /// Interfaces of ours that belong to no guest and no network.
    pub(crate) async fn leftovers(&self, guests: &[String]) -> Result<Vec<String>> {
        let links = Links::look().await?;
        let orphan = |alias: &str| !guests.iter().any(|name| alias.ends_with(&format!("guest:{name}")));
        let taps = links.with_prefix(&self.layout.alias("guest:"));
        Ok(taps.into_iter().filter(|(_, alias)| orphan(alias)).map(|(tap, _)| format!("tap {tap}")).collect())
    }
}

/// A kernel setting. Where it cannot be set (a container), guests lack something and everything else works.
fn set(path: &str, value: &str) {
    match std::fs::read_to_string(path) {
        Ok(now) if now.trim() == value => return,
        // A kernel without IPv6 has nothing to switch off.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        _ => {}
    }
    if let Err(error) = std::fs::write(path, value) {
        tracing::warn!(path, %error, "a kernel setting could not be changed");
    }
}

fn spec_path(layout: &Layout, network: &NetworkRef) -> std::path::PathBuf {
    layout.networks().join(format!("{}.json", layout.bridge(network)))
}

/// What was asked of a network.
pub(crate) fn read_spec(layout: &Layout, network: &NetworkRef) -> Result<Option<NetworkSpec>> {
    read_spec_file(&spec_path(layout, network))
}

fn read_spec_file(path: &Path) -> Result<Option<NetworkSpec>> {
    let Some(text) = durable::read_bounded(path, 1 << 16)? else { return Ok(None) };
    let spec = serde_json::from_slice(&text);
    spec.map(Some).map_err(|error| Fault::bug(format!("{}: {error}", path.display())))
}

/// Remembers what was asked: the gateway for user-mode guests, everything for after a restart of the host.
pub(crate) async fn write_spec(layout: &Layout, spec: &NetworkSpec) -> Result<()> {
    if read_spec(layout, &spec.network)?.as_ref() == Some(spec) {
        return Ok(());
    }
    let text = serde_json::to_vec(spec).map_err(|error| Fault::bug(format!("recording a network: {error}")))?;
    let path = spec_path(layout, &spec.network);
    blocking(move || durable::replace(&path, &text, 0o600)).await
}

/// Forgets a network where nothing of it exists on the host.
pub(crate) async fn forget_spec(layout: &Layout, network: &NetworkRef) -> Result<()> {
    let path = spec_path(layout, network);
    blocking(move || durable::remove(&path)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use provider::FaultKind;

    #[test]
    fn a_device_that_is_roots_alone_is_opened_and_a_missing_one_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let device = directory.path().join("tun");
        let missing = open_to_guests(&device).unwrap_err();
        assert!(missing.kind == FaultKind::Refused && missing.detail.contains("/tun"), "{missing}");
        std::fs::write(&device, "").unwrap();
        std::fs::set_permissions(&device, Permissions::from_mode(0o600)).unwrap();
        open_to_guests(&device).unwrap();
        assert_eq!(std::fs::metadata(&device).unwrap().mode() & 0o777, 0o666);
        // What the operator has set wider stays.
        std::fs::set_permissions(&device, Permissions::from_mode(0o667)).unwrap();
        open_to_guests(&device).unwrap();
        assert_eq!(std::fs::metadata(&device).unwrap().mode() & 0o777, 0o667);
    }
}
