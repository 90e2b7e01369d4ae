//! Where a team's own image may be fetched from.
//!
//! A tenant chooses the address and the region's provider fetches it, from inside the operator's network: so it must
//! not become a way into that network. What the address itself says is checked here. A name says nothing of where it
//! leads, and may lead elsewhere by the time it is asked for: the provider checks every address that it connects to.

use crate::refusal::Refusal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The longest address that is taken.
const LONGEST: usize = 2048;

/// How far fetching may reach.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reach {
    /// Public addresses, over https: with no checksum to compare, nothing else says that what arrives is what was meant.
    #[default]
    Public,
    /// Everything that the provider's host reaches, also over http: the operator answers for it.
    Anywhere,
}

/// An address that may be fetched.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct ImageUrl(Url);

impl ImageUrl {
    /// Checks an address.
    ///
    /// # Errors
    /// Names the field `url`, and never repeats the address, which may hold a secret in its query.
    pub fn parse(text: &str, reach: Reach) -> Result<Self, Refusal> {
        let refuse = |message: &str| Refusal::field("url", message);
        if text.len() > LONGEST {
            return Err(refuse("The address may have at most 2048 bytes."));
        }
        let url = Url::parse(text).map_err(|_| refuse("It is no address. Write https://host/path."))?;
        match (url.scheme(), reach) {
            ("https", _) | ("http", Reach::Anywhere) => {}
            ("http", Reach::Public) => {
                return Err(refuse("The image has to be served over https: nothing else shows that it is genuine."));
            }
            _ => return Err(refuse("Only https addresses can be fetched.")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("The address must not hold a user name or password."));
        }
        let within_reach = match (url.host(), reach) {
            (None, _) => return Err(refuse("The address names no host.")),
            (Some(_), Reach::Anywhere) => true,
            (Some(Host::Ipv4(address)), Reach::Public) => is_public(IpAddr::V4(address)),
            (Some(Host::Ipv6(address)), Reach::Public) => is_public(IpAddr::V6(address)),
            (Some(Host::Domain(name)), Reach::Public) => may_be_public(name),
        };
        if !within_reach {
            return Err(refuse("The address is not on the public internet."));
        }
        Ok(Self(url))
    }

    /// The address, normalised.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// What it may be called where others read it: without query and fragment, which may hold a secret.
    pub fn shown(&self) -> String {
        let mut shown = self.0.clone();
        shown.set_query(None);
        shown.set_fragment(None);
        shown.into()
    }
}

/// A name without a dot, and the names that are reserved for the near (RFC 6761, 6762, 8375), are never public.
fn may_be_public(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let near = ["localhost", "local", "internal", "home.arpa"];
    name.contains('.') && !near.iter().any(|zone| name == *zone || name.ends_with(&format!(".{zone}")))
}

/// Whether an address is one of the public internet (IANA's special-purpose registries say which are not).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let shared = first == 100 && second & 0b1100_0000 == 64;
    let special = first == 0 || first >= 240 || (first, second, third) == (192, 0, 0);
    let benchmark = first == 198 && second & 0b1111_1110 == 18;
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || shared
        || special
        || benchmark)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    // Global unicast, without 6to4 and Teredo (which carry an IPv4 address inside) and documentation.
    let [first, second, ..] = address.segments();
    (0x2000..0x4000).contains(&first)
        && first != 0x2002
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && !(first == 0x3fff && second < 0x1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn public_addresses_are_taken() {
        for good in [
            "https://images.example.org/a.qcow2",
            "https://images.example.org:8443/a.img.gz?token=x",
            "https://8.8.8.8/x",
            "https://[2606:4700::1111]/x",
            "HTTPS://Example.ORG",
        ] {
            ImageUrl::parse(good, Reach::Public).unwrap();
        }
    }

    #[test]
    fn ways_into_the_operators_network_are_not() {
        for bad in [
            "",
            "x",
            "/etc/passwd",
            "file:///etc/passwd",
            "ftp://example.org/x",
            "gopher://example.org/",
            "data:text/plain,x",
            "http://example.org/x",
            "https://",
            "https://user@example.org/x",
            "https://user:secret@example.org/x",
            "https://localhost/x",
            "https://LOCALHOST./x",
            "https://a.localhost/",
            "https://intranet/x",
            "https://db.internal/x",
            "https://printer.local/x",
            "https://127.0.0.1/x",
            "https://127.1/x",
            "https://2130706433/x",
            "https://0x7f000001/x",
            "https://0177.0.0.1/x",
            "https://10.0.0.1/x",
            "https://172.16.0.1/x",
            "https://192.168.1.1/x",
            "https://169.254.169.254/metadata/v1/",
            "https://100.64.0.1/x",
            "https://0.0.0.0/x",
            "https://224.0.0.1/x",
            "https://255.255.255.255/x",
            "https://[::1]/x",
            "https://[::]/x",
            "https://[fe80::1]/x",
            "https://[fc00::1]/x",
            "https://[::ffff:10.0.0.1]/x",
            "https://[2002:a00:1::]/x",
            "https://[64:ff9b::a00:1]/x",
        ] {
            let refusal = ImageUrl::parse(bad, Reach::Public).expect_err(bad);
            assert_eq!(refusal.field.as_deref(), Some("url"), "{bad}");
            assert!(!refusal.message.contains("secret"), "{bad}");
        }
        ImageUrl::parse(&format!("https://example.org/{}", "a".repeat(3000)), Reach::Public).unwrap_err();
    }

    #[test]
    fn the_operator_may_allow_more_but_not_everything() {
        for good in ["http://10.0.0.1/x", "http://localhost:8000/x", "https://intranet/x"] {
            ImageUrl::parse(good, Reach::Anywhere).unwrap();
        }
        for bad in ["file:///etc/passwd", "http://user:secret@10.0.0.1/x"] {
            ImageUrl::parse(bad, Reach::Anywhere).unwrap_err();
        }
    }

    #[test]
    fn secrets_in_the_query_are_not_shown() {
        let url = ImageUrl::parse("https://example.org/a?token=secret#x", Reach::Public).unwrap();
        assert_eq!(url.shown(), "https://example.org/a");
        assert!(url.as_str().contains("token=secret"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (ImageUrl::parse(&text, Reach::Public), ImageUrl::parse(&text, Reach::Anywhere));
        }

        #[test]
        fn every_spelling_of_a_private_address_is_seen_through(last in any::<[u8; 3]>()) {
            let number = u32::from_be_bytes([10, last[0], last[1], last[2]]);
            for text in [format!("https://{number}/"), format!("https://{number:#x}/"), format!("https://0{number:o}/")] {
                prop_assert!(ImageUrl::parse(&text, Reach::Public).is_err(), "{}", text);
            }
        }
    }
}
