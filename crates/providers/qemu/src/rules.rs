//! Our nftables tables: `bridge cairn_…` lets a guest speak only with its own addresses, `inet cairn_…` keeps guests
//! off the host, apart from each other's networks, and translates what leaves. The chains never change; guests and
//! networks are elements of sets. Every change sends the chains again in the same transaction, so it also heals a
//! table that somebody flushed. Other tables are not looked at; theirs may drop what ours accept.
//!
//! The text is made of interface names that we derive, addresses and numbers; nothing in it comes from a tenant.

use crate::command_line::mac_text;
use crate::program::Program;
use provider::{Interface, Result};
use std::fmt::Write;
use std::net::Ipv4Addr;
use std::path::Path;

/// A change to the tables, collected and then applied at once.
#[derive(Debug)]
pub(crate) struct Rules {
    table: String,
    elements: String,
}

/// Chains as they always are; `T` stands for the table's name.
const CHAINS: &str = "
add table bridge T
add set bridge T taps { type ifname; }
add set bridge T sources { type ifname . ether_addr . ipv4_addr; }
add chain bridge T guest
add chain bridge T prerouting { type filter hook prerouting priority -300; policy accept; }
flush chain bridge T guest
flush chain bridge T prerouting
add rule bridge T guest iifname . arp saddr ether . arp saddr ip @sources iifname . ether saddr . arp saddr ip @sources accept
add rule bridge T guest iifname . ether saddr . ip saddr @sources accept
add rule bridge T guest drop
add rule bridge T prerouting iifname @taps jump guest
add table inet T
add set inet T bridges { type ifname; }
add set inet T same { type ifname . ifname; }
add set inet T translated { type ipv4_addr; flags interval; }
add chain inet T to_host
add chain inet T input { type filter hook input priority filter; policy accept; }
add chain inet T forward { type filter hook forward priority filter; policy accept; }
add chain inet T postrouting { type nat hook postrouting priority srcnat; policy accept; }
flush table inet T
add rule inet T input iifname @bridges jump to_host
add rule inet T to_host ct state established,related accept
add rule inet T to_host icmp type echo-request limit rate 50/second burst 50 packets accept
add rule inet T to_host drop
add rule inet T forward iifname . oifname @same accept
add rule inet T forward iifname @bridges oifname @bridges drop
add rule inet T forward iifname @bridges ip daddr 169.254.0.0/16 drop
add rule inet T forward iifname @bridges meta nfproto ipv6 drop
add rule inet T forward iifname @bridges tcp flags syn tcp option maxseg size set rt mtu
add rule inet T postrouting ip saddr @translated ip daddr != @translated masquerade
";

impl Rules {
    /// An empty change to the tables of this name.
    pub(crate) fn new(table: &str) -> Self {
        Self { table: table.to_owned(), elements: String::new() }
    }

    fn add(&mut self, family: &str, set: &str, element: &str) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.elements, "add element {family} {} {set} {{ {element} }}", self.table);
    }

    /// Guests on this bridge are kept off the host and off other bridges.
    pub(crate) fn add_bridge(&mut self, bridge: &str) {
        self.add("inet", "bridges", &format!("\"{bridge}\""));
        self.add("inet", "same", &format!("\"{bridge}\" . \"{bridge}\""));
    }

    /// What leaves this network gets the host's address.
    pub(crate) fn translate(&mut self, base: Ipv4Addr, prefix: u8) {
        self.add("inet", "translated", &format!("{base}/{prefix}"));
    }

    /// The tap may carry this interface's addresses and no others.
    pub(crate) fn add_guest(&mut self, tap: &str, interface: &Interface) {
        self.add("bridge", "taps", &format!("\"{tap}\""));
        self.add("bridge", "sources", &source(tap, interface));
    }

    /// Applies the change.
    pub(crate) async fn apply(self) -> Result<()> {
        let chains = CHAINS.replace(" T ", &format!(" {} ", self.table)).replace(" T\n", &format!(" {}\n", self.table));
        run(chains + &self.elements).await
    }

    /// Tries whether the kernel takes the chains, without putting them in.
    pub(crate) async fn check(self) -> Result<()> {
        let chains = CHAINS.replace(" T ", &format!(" {} ", self.table)).replace(" T\n", &format!(" {}\n", self.table));
        Program::new(Path::new("nft")).args(["-c", "-f", "-"]).input(chains).run().await.map(drop)
    }

    /// Takes a bridge out.
    pub(crate) async fn remove_bridge(mut self, bridge: &str, translated: Option<(Ipv4Addr, u8)>) -> Result<()> {
        self.take("inet", "bridges", &format!("\"{bridge}\""));
        self.take("inet", "same", &format!("\"{bridge}\" . \"{bridge}\""));
        if let Some((base, prefix)) = translated {
            self.take("inet", "translated", &format!("{base}/{prefix}"));
        }
        forgiving(self.elements).await
    }

    /// Takes a guest's taps out.
    pub(crate) async fn remove_guest(mut self, taps: &[(String, &Interface)]) -> Result<()> {
        for (tap, interface) in taps {
            self.take("bridge", "taps", &format!("\"{tap}\""));
            self.take("bridge", "sources", &source(tap, interface));
        }
        if self.elements.is_empty() { Ok(()) } else { forgiving(self.elements).await }
    }

    /// Adding first makes the removal right also when the element is not there.
    fn take(&mut self, family: &str, set: &str, element: &str) {
        self.add(family, set, element);
        let _ = writeln!(self.elements, "delete element {family} {} {set} {{ {element} }}", self.table);
    }

    /// Removes both tables.
    pub(crate) async fn remove_tables(self) -> Result<()> {
        let table = &self.table;
        // Adding first, for the same reason.
        let text =
            ["bridge", "inet"].map(|family| format!("add table {family} {table}\ndelete table {family} {table}\n"));
        run(text.concat()).await
    }
}

fn source(tap: &str, interface: &Interface) -> String {
    format!("\"{tap}\" . {} . {}", mac_text(interface.mac), interface.address)
}

async fn run(text: String) -> Result<()> {
    Program::new(Path::new("nft")).args(["-f", "-"]).input(text).run().await.map(drop)
}

/// Without the table there is nothing to take out of it.
async fn forgiving(text: String) -> Result<()> {
    match run(text).await {
        Err(fault) if fault.detail.contains("No such file or directory") => Ok(()),
        ended => ended,
    }
}
