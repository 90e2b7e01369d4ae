//! Formats by their name. One that is not named here accepts everything.

use crate::transport::items;
use regex::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// A Perl pattern of the schema, anchored as PVE anchors it. `None`: it is beyond us and accepts everything.
pub(crate) fn expression(pattern: &str) -> Option<Regex> {
    let pattern = pattern.replace("(?^i:", "(?i:").replace("(?^u:", "(?:").replace("(?^:", "(?:");
    let pattern = format!("^(?:{})$", pattern.replace("\\0", "\\x00"));
    // Letters of all scripts, repeated by the hundred, are more than an expression may be: then those of ASCII.
    Regex::new(&pattern).or_else(|_| RegexBuilder::new(&pattern).unicode(false).build()).ok()
}

/// What is wrong with a value of this format.
pub(crate) fn wrong(format: &str, value: &str) -> Option<String> {
    if let Some(single) = format.strip_suffix("-list").filter(|single| *single != "pve-tag") {
        return items(value).find_map(|item| wrong(single, item));
    }
    let good = match format {
        "pve-vmid" => value.parse::<u32>().is_ok_and(|vmid| (100..1_000_000_000).contains(&vmid)),
        "dns-name" => is_name(value),
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
        "ip" => value.parse::<IpAddr>().is_ok(),
        "ipv4" => value.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => value.parse::<Ipv6Addr>().is_ok(),
        "address" | "pve-storage-server" => value.parse::<IpAddr>().is_ok() || is_name(value),
        "CIDR" => is_network(value),
        "CIDRv4" => is_network(value) && !value.contains(':'),
        "CIDRv6" => is_network(value) && value.contains(':'),
        "IPorCIDR" => value.parse::<IpAddr>().is_ok() || is_network(value),
        "mac-addr" => is_mac(value),
        "pve-priv" => return (!crate::access::is_privilege(value)).then(|| format!("invalid privilege '{value}'")),
        "pve-fw-dport-spec" | "pve-fw-sport-spec" => return wrong_ports(value),
        "pve-volume-id" => value.split_once(':').is_some_and(|(storage, rest)| is_plain(storage) && !rest.is_empty()),
        "pve-storage-content" => CONTENTS.contains(&value),
        "pve-qm-ipconfig" => is_address_config(value),
        "pve-startup-order" => value.split(',').all(|part| {
            let (key, number) = part.split_once('=').unwrap_or(("order", part));
            matches!(key, "order" | "up" | "down") && is_number(number)
        }),
        "pve-hotplug-features" => items(value).all(|item| HOTPLUG.contains(&item)),
        "pve-ha-node" => {
            let (node, priority) = value.split_once(':').unwrap_or((value, "0"));
            is_label(node) && is_number(priority)
        }
        _ => shape(format).is_none_or(|shape| shape.is_match(value)),
    };
    (!good).then(|| message(format, value))
}

/// What a storage may hold.
const CONTENTS: &[&str] = &["images", "rootdir", "iso", "vztmpl", "backup", "snippets", "import", "none"];
const HOTPLUG: &[&str] = &["0", "1", "network", "disk", "cpu", "memory", "usb", "cloudinit"];

/// Formats that an expression tells. Looser than PVE's own where those are not published: what is refused here, PVE
/// refuses, too.
const SHAPES: &[(&str, &str)] = &[
    ("pve-iface", r"[A-Za-z][A-Za-z0-9_]{1,20}([:.]\d+)?"),
    ("pve-bridge-id", r"[-_.\w]+"),
    ("pve-realm", r"[A-Za-z][A-Za-z0-9.\-_]+"),
    ("pve-tokenid", r"[^\s:/]+@[A-Za-z][A-Za-z0-9.\-_]+![A-Za-z][A-Za-z0-9.\-_]+"),
    ("email", r"[^\s@]+@[^\s@]+"),
    ("email-opt", r"([^\s@]+@[^\s@]+)?"),
    ("email-or-username", r"[^\x00-\x20@]+(@[^\x00-\x20@]+)?"),
    ("pve-storage-path", r"/[^\x00-\x1f]*"),
    ("pve-storage-vgname", r"[A-Za-z0-9.\-_]+"),
    ("pve-storage-portal-dns", r"[^\x00-\x20/]+"),
    ("pve-qm-boot", r"[acdn]{1,4}|(legacy=[acdn]{1,4}|order=[a-z0-9;]*)(,(legacy=[acdn]{1,4}|order=[a-z0-9;]*))*"),
    ("pve-qm-bootdisk", r"(ide|sata|scsi|virtio|efidisk|tpmstate)\d+"),
    ("mac-prefix", r"(?i)[a-f0-9][02468ace](:[a-f0-9]{2}){0,2}:?"),
    ("ipv4mask", r"\d{1,3}(\.\d{1,3}){3}"),
    ("pve-ha-resource-id", r"\S+:\S+"),
    ("pve-ha-resource-or-vm-id", r"\S+:\S+|\d+"),
    ("pve-replication-job-id", r"[1-9]\d{2,8}-\d{1,9}"),
    ("storage-pair", r"[^\x00-\x20:]+(:[^\x00-\x20:]+)?"),
    ("bridge-pair", r"[^\x00-\x20:]+(:[^\x00-\x20:]+)?"),
    ("pve-day-of-week", r"mon|tue|wed|thu|fri|sat|sun"),
    ("pve-task-status-type", r"ok|error|warning|unknown"),
    ("pve-cpuset", r"\d+(-\d+)?(,\d+(-\d+)?)*"),
    ("pve-ct-timezone", r"[A-Za-z0-9_+/\-]+"),
    ("pem-string", r"(?s).*-----BEGIN .*"),
    ("pem-certificate-chain", r"(?s).*-----BEGIN .*"),
    ("IPorCIDRorAlias", r"[A-Za-z0-9.:/_\-]+"),
    ("pve-fw-addr-spec", r"[+!A-Za-z0-9.:/_,\-]+"),
    ("pve-fw-protocol-spec", r"[A-Za-z0-9.\-]+"),
    ("pve-fw-icmp-type-spec", r"[A-Za-z0-9/\-]+"),
];

fn shape(format: &str) -> Option<&'static Regex> {
    static COMPILED: LazyLock<HashMap<&str, Regex>> =
        LazyLock::new(|| SHAPES.iter().filter_map(|(format, pattern)| Some((*format, expression(pattern)?))).collect());
    COMPILED.get(format)
}

/// As in `ip=10.0.0.5/24,gw=10.0.0.1`: a gateway only beside an address of its family.
fn is_address_config(value: &str) -> bool {
    let parts: Vec<(&str, &str)> = value.split(',').filter_map(|part| part.split_once('=')).collect();
    let has = |key: &str| parts.iter().any(|(name, _)| *name == key);
    let fits = |(key, value): &(&str, &str)| match *key {
        "ip" => *value == "dhcp" || is_network(value) && !value.contains(':'),
        "ip6" => matches!(*value, "dhcp" | "auto") || is_network(value) && value.contains(':'),
        "gw" => value.parse::<Ipv4Addr>().is_ok() && has("ip"),
        "gw6" => value.parse::<Ipv6Addr>().is_ok() && has("ip6"),
        _ => false,
    };
    parts.len() == value.split(',').count() && parts.iter().all(fits)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit())
}

fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
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
        "pve-iface" => format!("invalid network interface name '{value}'"),
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
        let name = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        (!name || is_number(port) && port.parse::<u16>().is_err()).then(|| format!("invalid port '{port}'"))
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
    fn addresses_of_a_guest_are_whole() {
        for good in
            ["ip=dhcp", "ip=198.18.0.5/24,gw=198.18.0.1", "ip6=auto", "ip=10.0.0.1/8,ip6=fd00::1/64,gw6=fd00::2"]
        {
            assert_eq!(wrong("pve-qm-ipconfig", good), None, "{good}");
        }
        for bad in ["ip=10.0.0.1", "gw=10.0.0.1", "ip=dhcp,gateway=10.0.0.1", "ip=fd00::1/64", "dhcp", ""] {
            assert!(wrong("pve-qm-ipconfig", bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn every_shape_compiles() {
        assert!(SHAPES.iter().all(|(format, _)| shape(format).is_some()));
        assert_eq!((wrong("pve-iface", "vmbr0.12"), wrong("pve-qm-boot", "order=scsi0;net0")), (None, None));
        assert_eq!(wrong("pve-iface-list", "eno1 9x").as_deref(), Some("invalid network interface name '9x'"));
    }

    #[test]
    fn perl_patterns_compile() {
        assert!(expression("(?^i:[a-z]+)").unwrap().is_match("ABC"));
        assert!(!expression("\\+?\\d+(\\.\\d+)?[KMGT]?").unwrap().is_match(" 1G"));
    }
}
