//! Formats by their name. One that is not named here accepts everything.

use crate::transport::items;
use regex::Regex;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A Perl pattern of the schema, anchored as PVE anchors it. `None`: it is beyond us and accepts everything.
pub(crate) fn expression(pattern: &str) -> Option<Regex> {
    let pattern = pattern.replace("(?^i:", "(?i:").replace("(?^u:", "(?:").replace("(?^:", "(?:");
    Regex::new(&format!("^(?:{pattern})$")).ok()
}

/// What is wrong with a value of this format.
pub(crate) fn wrong(format: &str, value: &str) -> Option<String> {
    if let Some(single) = format.strip_suffix("-list").filter(|single| *single != "pve-tag") {
        return items(value).find_map(|item| wrong(single, item));
    }
    let good = match format {
        "pve-vmid" => value.parse::<u32>().is_ok_and(|vmid| (100..1_000_000_000).contains(&vmid)),
        "dns-name" => value.len() <= 253 && value.split('.').all(is_label),
        "pve-node" | "pve-poolid" | "pve-groupid" | "pve-roleid" => value.split('/').all(is_plain),
        "pve-configid" => value.starts_with(|first: char| first.is_ascii_alphabetic()) && is_plain(value),
        "pve-storage-id" => {
            value.len() > 1 && value.starts_with(|first: char| first.is_ascii_alphabetic()) && is_plain(value)
        }
        "pve-userid" => value.split_once('@').is_some_and(|(user, realm)| !user.is_empty() && is_plain(realm)),
        "pve-tag-list" => {
            return items(value).find_map(|tag| (!is_tag(tag)).then(|| "invalid characters in tag".to_owned()));
        }
        "urlencoded" => is_urlencoded(value),
        "ip" | "address" if format == "ip" => value.parse::<IpAddr>().is_ok(),
        "ipv4" => value.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<Ipv6Addr>().is_ok(),
        "CIDR" | "CIDRv4" | "CIDRv6" => is_network(value),
        "IPorCIDR" => value.parse::<IpAddr>().is_ok() || is_network(value),
        "mac-addr" => is_mac(value),
        "pve-priv" => return (!crate::access::is_privilege(value)).then(|| format!("invalid privilege '{value}'")),
        "pve-fw-dport-spec" | "pve-fw-sport-spec" => return wrong_ports(value),
        "pve-volume-id" => value.split_once(':').is_some_and(|(storage, rest)| is_plain(storage) && !rest.is_empty()),
        _ => true,
    };
    (!good).then(|| message(format, value))
}

fn message(format: &str, value: &str) -> String {
    match format {
        "pve-vmid" => "value does not look like a valid VM ID".to_owned(),
        "dns-name" => "value does not look like a valid DNS name".to_owned(),
        "pve-node" => "value does not look like a valid node name".to_owned(),
        "pve-configid" => format!("invalid configuration ID '{value}'"),
        "pve-storage-id" => format!("storage ID '{value}' contains illegal characters"),
        "pve-userid" => format!("value '{value}' does not look like a valid user name"),
        "urlencoded" => "invalid urlencoded string".to_owned(),
        "ip" => "value does not look like a valid IP address".to_owned(),
        "ipv4" => "value does not look like a valid IPv4 address".to_owned(),
        "ipv6" => "value does not look like a valid IPv6 address".to_owned(),
        "mac-addr" => "value does not look like a valid unicast MAC address".to_owned(),
        "pve-volume-id" => format!("unable to parse volume ID '{value}'"),
        "pve-poolid" => format!("invalid pool ID '{value}'"),
        _ => format!("value does not look like a valid {format}"),
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_label(label: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !label.is_empty()
        && label.len() <= 63
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(inside)
}

fn is_tag(tag: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.bytes().next().is_some_and(first) && tag.bytes().all(|byte| first(byte) || b"-+.".contains(&byte))
}

fn is_urlencoded(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let good = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
            }
            byte => byte.is_ascii_alphanumeric() || b"-_.~!*'()".contains(&byte),
        };
        if !good {
            return false;
        }
    }
    true
}

fn is_network(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
}

fn is_mac(text: &str) -> bool {
    let bytes: Vec<Option<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok().filter(|_| byte.len() == 2)).collect();
    bytes.len() == 6
        && bytes.iter().all(Option::is_some)
        && bytes.first().copied().flatten().is_some_and(|first| first & 1 == 0)
}

fn wrong_ports(text: &str) -> Option<String> {
    text.split(',').flat_map(|range| range.split(':')).find_map(|port| {
        let number = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
        (number && port.parse::<u16>().is_err()).then(|| format!("invalid port '{port}'"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_encoded() {
        assert_eq!(wrong("urlencoded", "ssh-ed25519%20AAAA%2Bx%3D%20a%40b"), None);
        assert_eq!(wrong("urlencoded", "ssh-ed25519 AAAA").as_deref(), Some("invalid urlencoded string"));
        assert_eq!(wrong("urlencoded", "a+b").as_deref(), Some("invalid urlencoded string"));
    }

    #[test]
    fn tags_ports_and_macs() {
        assert_eq!(wrong("pve-tag-list", "a;b,c").as_deref(), None);
        assert_eq!(wrong("pve-tag-list", "a=b").as_deref(), Some("invalid characters in tag"));
        assert_eq!(wrong("pve-fw-dport-spec", "99999").as_deref(), Some("invalid port '99999'"));
        assert_eq!(wrong("pve-fw-dport-spec", "22,80:90,http"), None);
        assert!(wrong("mac-addr", "01:00:00:00:00:00").is_some());
    }

    #[test]
    fn perl_patterns_compile() {
        assert!(expression("(?^i:[a-z]+)").unwrap().is_match("ABC"));
        assert!(!expression("\\+?\\d+(\\.\\d+)?[KMGT]?").unwrap().is_match(" 1G"));
    }
}
