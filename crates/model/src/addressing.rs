//! IPv4 ranges and MAC addresses.

use crate::ids::{InstallationId, ServerId};
use crate::refusal::Refusal;
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Why a text is no range.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RangeError {
    /// Not `a.b.c.d/n`.
    #[error("`{0}` is not an IPv4 range; write it as in 10.116.0.0/20")]
    Syntax(String),
    /// Bits are set behind the prefix.
    #[error("{given} has bits set behind its prefix; did you mean {meant}?")]
    HostBits {
        /// As written.
        given: Ipv4Net,
        /// The network that contains it.
        meant: Ipv4Net,
    },
}

/// An IPv4 network in CIDR notation with no host bits set. Written as text (`10.116.0.0/20`) everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Ipv4Range(Ipv4Net);

impl Ipv4Range {
    /// The network of this address and prefix length (0 to 32); bits behind the prefix are cleared.
    /// `None` if the prefix is longer than 32.
    pub fn containing(address: Ipv4Addr, prefix: u8) -> Option<Self> {
        Ipv4Net::new(address, prefix).ok().map(|net| Self(net.trunc()))
    }

    /// The first address, which names the network.
    pub fn base(self) -> Ipv4Addr {
        self.0.network()
    }

    /// The prefix length, 0 to 32.
    pub fn prefix(self) -> u8 {
        self.0.prefix_len()
    }

    /// The netmask as an address; its text is what the wire's `netmask` wants (`255.255.240.0`).
    pub fn netmask(self) -> Ipv4Addr {
        self.0.netmask()
    }

    /// How many addresses it has, the network's own and the broadcast address included.
    pub fn addresses(self) -> u64 {
        1 << (32 - u32::from(self.prefix()))
    }

    /// The address `offset` places behind the base (0 is the base itself); `None` outside the range.
    pub fn nth(self, offset: u64) -> Option<Ipv4Addr> {
        if offset >= self.addresses() {
            return None;
        }
        u32::try_from(u64::from(self.base().to_bits()) + offset).ok().map(Ipv4Addr::from_bits)
    }

    /// How far an address is behind the base; `None` outside the range.
    pub fn offset_of(self, address: Ipv4Addr) -> Option<u64> {
        self.contains(address).then(|| u64::from(address.to_bits()) - u64::from(self.base().to_bits()))
    }

    /// The first address that a host may have; the base itself in a /31 or /32.
    pub fn first_host(self) -> Ipv4Addr {
        if self.prefix() >= 31 { self.base() } else { Ipv4Addr::from_bits(self.base().to_bits() + 1) }
    }

    /// The last address that a host may have; not the broadcast address, except in a /31 or /32, which have none.
    pub fn last_host(self) -> Ipv4Addr {
        let broadcast = self.0.broadcast();
        if self.prefix() >= 31 { broadcast } else { Ipv4Addr::from_bits(broadcast.to_bits() - 1) }
    }

    /// The gateway by convention: the first host address.
    pub fn gateway(self) -> Ipv4Addr {
        self.first_host()
    }

    /// Whether a host may have this address: inside, and neither the base nor the broadcast address.
    pub fn is_host(self, address: Ipv4Addr) -> bool {
        (self.first_host()..=self.last_host()).contains(&address)
    }

    /// The addresses that servers may have, in order, beginning with the second host (the first is the gateway).
    pub fn server_addresses(self) -> impl Iterator<Item = Ipv4Addr> {
        (self.first_host().to_bits()..=self.last_host().to_bits()).skip(1).map(Ipv4Addr::from_bits)
    }

    /// Whether the address is inside, base and broadcast address included.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        self.0.contains(&address)
    }

    /// Whether the other range lies wholly inside this one.
    pub fn contains_range(self, other: Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains_range(other) || other.contains_range(self)
    }

    /// The first part of this range with that prefix length that overlaps none of those taken; `None` if there is no
    /// such part or if the prefix is shorter than this range's own. Takes at most as many looks as ranges are taken.
    pub fn first_free(self, prefix: u8, taken: &[Self]) -> Option<Self> {
        if prefix < self.prefix() || prefix > 32 {
            return None;
        }
        let mut offset = 0;
        loop {
            let candidate = Self::containing(self.nth(offset)?, prefix)?;
            let Some(obstacle) = taken.iter().find(|range| range.overlaps(candidate)) else {
                return Some(candidate);
            };
            // Behind whichever of the two ends later; both are aligned, so the next part begins there.
            let behind = |range: Self| u64::from(range.base().to_bits()) + range.addresses();
            offset = behind(candidate).max(behind(*obstacle)) - u64::from(self.base().to_bits());
        }
    }

    /// Checks a VPC's range as the specification wants it (`vpc_create.ip_range`): private in the sense of RFC 1918,
    /// not larger than /16, not smaller than /28. The refusal is about the field `ip_range`.
    pub fn parse_vpc(text: &str) -> Result<Self, Refusal> {
        let wrong = |message: String| Refusal::field("ip_range", message);
        let range: Self = text.parse().map_err(|error: RangeError| wrong(format!("{error}.")))?;
        if !(16..=28).contains(&range.prefix()) {
            return Err(wrong(format!("{range} must not be larger than a /16 nor smaller than a /28.")));
        }
        if !range.base().is_private() {
            let blocks = "10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16";
            return Err(wrong(format!("{range} must lie within the private addresses: {blocks}.")));
        }
        Ok(range)
    }

    /// The same as `ipnet` knows it (for the store).
    pub fn net(self) -> Ipv4Net {
        self.0
    }
}

impl fmt::Display for Ipv4Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Ipv4Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let net: Ipv4Net = text.parse().map_err(|_| RangeError::Syntax(text.escape_default().to_string()))?;
        Self::try_from(net)
    }
}

impl TryFrom<Ipv4Net> for Ipv4Range {
    type Error = RangeError;

    fn try_from(net: Ipv4Net) -> Result<Self, RangeError> {
        let meant = net.trunc();
        if net == meant { Ok(Self(net)) } else { Err(RangeError::HostBits { given: net, meant }) }
    }
}

impl TryFrom<String> for Ipv4Range {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<Ipv4Range> for String {
    fn from(range: Ipv4Range) -> Self {
        range.to_string()
    }
}

/// Which of a server's networks. The words are those of the wire's `networks.v4[].type`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkRole {
    /// Reaches the world.
    Public,
    /// The team's own network.
    Private,
}

impl NetworkRole {
    /// The word as stored and as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// A MAC address: six bytes in the order in which they are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The MAC address of a server's interface: always the same for the same three, different for the two roles of a
    /// server (the last bit is the role), and else spread by a hash over 45 bits, so that two installations on one
    /// wire do not meet. Locally administered and unicast.
    pub fn of(installation: InstallationId, server: ServerId, role: NetworkRole) -> Self {
        let digest = Sha256::new()
            .chain_update(b"cairn interface 1\0")
            .chain_update(installation.0.as_bytes())
            .chain_update(server.0.to_be_bytes())
            .finalize();
        let mut bytes = [0; 6];
        bytes.iter_mut().zip(digest.iter()).for_each(|(byte, hashed)| *byte = *hashed);
        bytes[0] = bytes[0] & 0b1111_1100 | 0b0000_0010;
        bytes[5] = bytes[5] & 0b1111_1110 | u8::from(role == NetworkRole::Private);
        Self(bytes)
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn range(text: &str) -> Ipv4Range {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_by_its_numbers() {
        let vpc = range("10.116.0.0/20");
        assert_eq!(vpc.netmask().to_string(), "255.255.240.0");
        assert_eq!(vpc.gateway(), ip("10.116.0.1"));
        assert_eq!(vpc.last_host(), ip("10.116.15.254"));
        assert_eq!(vpc.addresses(), 4096);
        assert_eq!(vpc.nth(4095), Some(ip("10.116.15.255")));
        assert_eq!(vpc.nth(4096), None);
        assert_eq!(vpc.offset_of(ip("10.116.1.0")), Some(256));
        assert_eq!(vpc.offset_of(ip("10.117.0.0")), None);
        assert!(!vpc.is_host(ip("10.116.0.0")) && !vpc.is_host(ip("10.116.15.255")));
        let mut servers = vpc.server_addresses();
        assert_eq!(servers.next(), Some(ip("10.116.0.2")));
        assert_eq!(servers.last(), Some(ip("10.116.15.254")));
    }

    #[test]
    fn the_ends_of_the_world() {
        let all = range("0.0.0.0/0");
        assert_eq!(all.addresses(), 1 << 32);
        assert_eq!(all.nth(u64::from(u32::MAX)), Some(Ipv4Addr::BROADCAST));
        assert_eq!(all.nth(1 << 32), None);
        let one = range("10.0.0.7/32");
        assert_eq!((one.first_host(), one.last_host(), one.server_addresses().count()), (one.base(), one.base(), 0));
        let pair = range("10.0.0.6/31");
        assert_eq!((pair.first_host(), pair.last_host()), (ip("10.0.0.6"), ip("10.0.0.7")));
        assert_eq!(range("255.255.255.0/24").last_host(), ip("255.255.255.254"));
    }

    #[test]
    fn texts_that_are_no_range() {
        for text in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0/8", "fd00::/8", "10.0.0.0/-1", "10.0.0.0/08x"] {
            assert!(matches!(text.parse::<Ipv4Range>(), Err(RangeError::Syntax(_))), "{text}");
        }
        let error = "10.116.0.5/20".parse::<Ipv4Range>().unwrap_err();
        assert!(error.to_string().ends_with("did you mean 10.116.0.0/20?"), "{error}");
        assert!(serde_json::from_str::<Ipv4Range>("\"10.116.0.5/20\"").is_err());
    }

    #[test]
    fn ranges_of_vpcs() {
        for good in ["10.116.0.0/20", "172.31.0.0/16", "192.168.7.16/28"] {
            Ipv4Range::parse_vpc(good).unwrap();
        }
        for bad in ["10.0.0.0/8", "10.0.0.0/29", "172.32.0.0/16", "8.8.8.0/24", "10.0.0.1/24", "x", "192.169.0.0/16"] {
            assert_eq!(Ipv4Range::parse_vpc(bad).unwrap_err().field.as_deref(), Some("ip_range"), "{bad}");
        }
    }

    #[test]
    fn free_parts_are_found_in_order() {
        let pool = range("10.116.0.0/14");
        assert_eq!(pool.first_free(20, &[]), Some(range("10.116.0.0/20")));
        let taken = [range("10.116.0.0/20"), range("10.116.16.0/24"), range("10.0.0.0/16")];
        assert_eq!(pool.first_free(20, &taken), Some(range("10.116.32.0/20")));
        assert_eq!(pool.first_free(20, &[range("10.0.0.0/8")]), None);
        assert_eq!(pool.first_free(13, &[]), None);
        assert_eq!(range("0.0.0.0/0").first_free(0, &[range("1.0.0.0/8")]), None);
    }

    #[test]
    fn the_mac_addresses_do_not_change() {
        // A change here would change the interfaces of every running server.
        let installation = InstallationId(Uuid::from_u128(1));
        let public = Mac::of(installation, ServerId(42), NetworkRole::Public);
        assert_eq!(public, Mac::of(installation, ServerId(42), NetworkRole::Public));
        assert_eq!(public.to_string(), "4e:e6:4d:dc:95:40");
    }

    fn any_range() -> impl Strategy<Value = Ipv4Range> {
        (any::<u32>(), 0u8..=32)
            .prop_map(|(bits, prefix)| Ipv4Range::containing(Ipv4Addr::from_bits(bits), prefix).unwrap())
    }

    proptest! {
        #[test]
        fn text_and_back(range in any_range()) {
            prop_assert_eq!(range.to_string().parse::<Ipv4Range>().unwrap(), range);
        }

        #[test]
        fn nth_and_offset_are_inverse(range in any_range(), place in any::<u64>()) {
            let offset = place % range.addresses();
            let address = range.nth(offset).unwrap();
            prop_assert!(range.contains(address));
            prop_assert_eq!(range.offset_of(address), Some(offset));
            prop_assert!(range.nth(range.addresses()).is_none());
        }

        #[test]
        fn hosts_are_inside(range in any_range()) {
            prop_assert!(range.first_host() <= range.last_host());
            prop_assert!(range.contains(range.first_host()) && range.contains(range.last_host()));
            for address in range.server_addresses().take(50) {
                prop_assert!(range.is_host(address) && address != range.gateway());
            }
        }

        #[test]
        fn overlap_is_having_an_address_in_common(a in any_range(), b in any_range()) {
            let apart = a.nth(a.addresses() - 1).unwrap() < b.base() || b.nth(b.addresses() - 1).unwrap() < a.base();
            prop_assert_eq!(a.overlaps(b), !apart);
            prop_assert_eq!(a.overlaps(b), b.overlaps(a));
        }

        #[test]
        fn a_free_part_is_free_and_the_first(taken in prop::collection::vec((0u32..64, 20u8..=28), 0..70)) {
            let pool = range("10.116.0.0/14");
            let taken: Vec<_> = taken.into_iter()
                .map(|(n, prefix)| Ipv4Range::containing(pool.nth(u64::from(n) * 4096).unwrap(), prefix).unwrap())
                .collect();
            let slow = (0..64)
                .map(|n| Ipv4Range::containing(pool.nth(n * 4096).unwrap(), 20).unwrap())
                .find(|part| !taken.iter().any(|t| t.overlaps(*part)));
            prop_assert_eq!(pool.first_free(20, &taken), slow);
        }

        #[test]
        fn macs_are_unicast_local_and_differ(id in any::<i32>(), a in any::<u128>(), b in any::<u128>()) {
            let (server, one, two) = (ServerId(id), InstallationId(Uuid::from_u128(a)), InstallationId(Uuid::from_u128(b)));
            let public = Mac::of(one, server, NetworkRole::Public);
            let private = Mac::of(one, server, NetworkRole::Private);
            prop_assert_eq!(public.0[0] & 0b11, 0b10);
            prop_assert_ne!(public, private);
            prop_assert_eq!(public == Mac::of(two, server, NetworkRole::Public), a == b);
            prop_assert_ne!(public, Mac::of(one, ServerId(id.wrapping_add(1)), NetworkRole::Public));
        }
    }
}
