//! QEMU's arguments for a guest.

use crate::agent;
use crate::host::Acceleration;
use crate::layout::{GuestPlace, machine_id};
use crate::qmp;
use crate::record::Record;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// The pidfile in a guest's run directory.
pub(crate) const PIDFILE: &str = "pid";
/// The block node that is the guest's disk.
pub(crate) const DISK: &str = "disk";
/// The character device that keeps the end of the serial console.
pub(crate) const CONSOLE: &str = "serial";
/// How much of the console QEMU keeps: a power of two. A tenant may write for ever, so it must not be a file.
const CONSOLE_BYTES: u32 = 1 << 20;

/// How one interface is connected on the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Connection {
    /// By a tap that is there already.
    Tap(String),
    /// By QEMU's own network stack, arranged so that the address which the guest's seed names is right.
    User {
        /// The network's base address and prefix length.
        network: (Ipv4Addr, u8),
        /// Where the guest's default route points to.
        gateway: Ipv4Addr,
        /// The guest.
        guest: Ipv4Addr,
        /// The port on 127.0.0.1 that leads to the guest's SSH port.
        ssh_port: u16,
    },
}

/// The arguments. `connections` belong to the record's first interfaces, in order.
pub(crate) fn arguments(
    place: &GuestPlace,
    record: &Record,
    acceleration: Acceleration,
    connections: &[Connection],
) -> Vec<String> {
    let mut list: Vec<String> = Vec::with_capacity(64);
    let mut add = |words: &[&str]| list.extend(words.iter().map(|word| (*word).to_owned()));
    let (accelerator, processor) = match acceleration {
        Acceleration::Kvm => ("kvm", "host"),
        // The translation buffer's default is a GiB, which would be more than most guests' memory.
        Acceleration::Translation => ("tcg,thread=multi,tb-size=256", "max"),
    };
    add(&["-name", &format!("guest={},debug-threads=on", place.name)]);
    add(&["-uuid", &machine_id(&record.mark).to_string()]);
    add(&["-nodefaults", "-no-user-config", "-machine", "pc,usb=off,vmport=off"]);
    add(&["-accel", accelerator, "-cpu", processor]);
    add(&["-smp", &record.resources.vcpus.to_string()]);
    add(&["-m", &format!("size={}M", record.resources.memory_mib)]);
    add(&["-rtc", "base=utc", "-boot", "menu=off,strict=on"]);
    add(&["-display", "none", "-vga", "std"]);
    // QEMU can start no program, gain no right and change no limit, whatever a guest makes of it.
    add(&["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    add(&["-pidfile", PIDFILE]);
    // Relative paths: QEMU starts in the run directory, and a socket's address has room for 107 bytes only.
    add(&["-chardev", &format!("socket,id=qmp,path={},server=on,wait=off", qmp::SOCKET)]);
    add(&["-mon", "chardev=qmp,mode=control"]);
    add(&["-chardev", &format!("socket,id=agent,path={},server=on,wait=off", agent::SOCKET)]);
    add(&["-device", "virtio-serial-pci,id=channels"]);
    add(&["-device", "virtserialport,bus=channels.0,chardev=agent,name=org.qemu.guest_agent.0"]);
    add(&["-chardev", &format!("ringbuf,id={CONSOLE},size={CONSOLE_BYTES}")]);
    add(&["-device", &format!("isa-serial,chardev={CONSOLE}")]);
    add(&["-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"]);
    add(&["-blockdev", &disk(place, record).to_string()]);
    add(&["-device", &format!("virtio-blk-pci,drive={DISK},id=vda,bootindex=1")]);
    add(&["-blockdev", &seed(place, record).to_string(), "-device", "virtio-blk-pci,drive=seed,id=vdb"]);
    for (index, (connection, interface)) in connections.iter().zip(&record.interfaces).enumerate() {
        add(&["-netdev", &netdev(index, connection).to_string()]);
        // No boot ROM: nobody boots over the network, and reading it takes time at every start.
        let mac = mac_text(interface.mac);
        add(&["-device", &format!("virtio-net-pci,netdev=net{index},id=nic{index},mac={mac},romfile=")]);
    }
    list
}

/// As JSON, so that no character of a path has a meaning.
fn disk(place: &GuestPlace, record: &Record) -> Value {
    json!({
        "driver": "qcow2",
        "node-name": DISK,
        "discard": "unmap",
        "file": {"driver": "file", "filename": place.disk(record.disk), "discard": "unmap"},
        "backing": {
            "driver": "qcow2",
            "read-only": true,
            "file": {"driver": "file", "filename": place.base(record.disk), "read-only": true},
            // An image that names a backing file was refused; this makes sure that QEMU opens none either.
            "backing": null,
        },
    })
}

fn seed(place: &GuestPlace, record: &Record) -> Value {
    json!({
        "driver": "raw",
        "node-name": "seed",
        "read-only": true,
        "file": {"driver": "file", "filename": place.seed(record.seed), "read-only": true},
    })
}

fn netdev(index: usize, connection: &Connection) -> Value {
    let id = format!("net{index}");
    match connection {
        Connection::Tap(tap) => json!({"type": "tap", "id": id, "ifname": tap, "script": "no", "downscript": "no"}),
        Connection::User { network: (base, prefix), gateway, guest, ssh_port } => json!({
            "type": "user",
            "id": id,
            "net": format!("{base}/{prefix}"),
            "host": gateway,
            "dhcpstart": guest,
            "dns": name_server(*base, *gateway, *guest),
            "ipv6": false,
            "hostfwd": [{"str": format!("tcp:127.0.0.1:{ssh_port}-{guest}:22")}],
        }),
    }
}

/// Slirp wants an address for its own name server that is in the network and nobody else's.
fn name_server(base: Ipv4Addr, gateway: Ipv4Addr, guest: Ipv4Addr) -> Ipv4Addr {
    let taken = |address: &Ipv4Addr| *address == gateway || *address == guest;
    (1..=3).map(|step| Ipv4Addr::from_bits(base.to_bits() | step)).find(|address| !taken(address)).unwrap_or(base)
}

/// A MAC address as QEMU, `ip` and `nft` write it.
pub(crate) fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}
