//! User-mode networking: QEMU's own network stack, one NIC, a forwarded SSH port. Works for anybody. What it cannot
//! do is said in the capabilities: no addresses of ours, no private networks. A guest reaches services on the host's
//! loopback through its gateway address, so this is for trying things out and not for strangers.

use crate::command_line::Connection;
use crate::network;
use crate::record::Record;
use crate::region::Region;
use provider::{Fault, Mark, Result};
use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};

/// Below the ports that Linux gives to outgoing connections.
const FIRST_PORT: u16 = 22_000;
const PORTS: u16 = 9_000;

impl Region {
    /// A port that nobody listens on and no other guest of ours has; the same server gets the same one if it is free.
    pub(crate) fn free_ssh_port(&self, mark: &Mark) -> Result<u16> {
        let others = self.guests()?.into_iter().filter(|(_, record)| record.mark != *mark);
        let taken: HashSet<u16> = others.filter_map(|(_, record)| record.ssh_port).collect();
        let start = u16::try_from(mark.server.0.unsigned_abs() % u32::from(PORTS)).unwrap_or(0);
        let candidates = (0..PORTS).map(|step| FIRST_PORT + (start + step) % PORTS);
        let free = |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
        candidates.into_iter().find(free).ok_or_else(|| Fault::full("no port is free for the guest's SSH"))
    }

    /// The one NIC, with QEMU's network laid out as the seed's static configuration expects it.
    pub(crate) fn user_connection(&self, record: &Record) -> Result<Vec<Connection>> {
        let (Some(interface), Some(ssh_port)) = (record.interfaces.first(), record.ssh_port) else {
            return Ok(Vec::new());
        };
        let mask = u32::MAX.checked_shl(32 - u32::from(interface.prefix)).unwrap_or(0);
        let base = Ipv4Addr::from_bits(interface.address.to_bits() & mask);
        let known = network::read_spec(&self.layout, &interface.network)?.and_then(|spec| spec.gateway);
        let gateway = known.unwrap_or_else(|| Ipv4Addr::from_bits(base.to_bits() | 1));
        let network = (base, interface.prefix);
        Ok(vec![Connection::User { network, gateway, guest: interface.address, ssh_port }])
    }
}
