//! The three NoCloud documents that a guest reads at its first boot.
//!
//! Whatever is ours is written as JSON, which every YAML parser reads: a value cannot become syntax. The tenant's
//! user data is carried as a part of a MIME message beside ours and keeps its own meaning; parts are in base64, so no
//! content can end its part. Facts about what cloud-init does are from its sources (`cloudinit/user_data.py`,
//! `cloudinit/handlers/__init__.py`, `cloudinit/sources/DataSourceNoCloud.py`, as of August 2026).

use crate::addressing::{Mac, NetworkRole};
use crate::ids::{InstallationId, ServerId};
use crate::names::ServerName;
use crate::refusal::Refusal;
use crate::ssh::PublicKey;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr};

/// The most bytes that user data may have (specification: "must be plain text and may not exceed 64 KiB in size").
pub const LONGEST_USER_DATA: usize = 64 * 1024;

/// A tenant's user data, within its bounds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserData(String);

impl UserData {
    /// Checks the bounds: at most [`LONGEST_USER_DATA`] bytes and no NUL character (which neither a text file nor the
    /// store can hold). The content may be anything. The refusal is about the field `user_data`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        if text.len() > LONGEST_USER_DATA {
            let message =
                format!("may not exceed 64 KiB; this has {} bytes. Fetch the rest with #include.", text.len());
            return Err(Refusal::field("user_data", message));
        }
        if text.contains('\0') {
            return Err(Refusal::field("user_data", "must be plain text; this contains a NUL character."));
        }
        Ok(Self(text.to_owned()))
    }

    /// As the tenant sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What cloud-init would take it for.
    pub fn kind(&self) -> UserDataKind {
        UserDataKind::of(&self.0)
    }
}

impl TryFrom<String> for UserData {
    type Error = Refusal;

    fn try_from(text: String) -> Result<Self, Refusal> {
        Self::parse(&text)
    }
}

impl From<UserData> for String {
    fn from(data: UserData) -> Self {
        data.0
    }
}

impl fmt::Debug for UserData {
    /// User data may hold secrets, so it never prints its content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({:?}, {} bytes)", self.kind(), self.0.len())
    }
}

/// The forms of user data, by how the text begins.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UserDataKind {
    /// A MIME message, with its own headers and usually of several parts.
    Mime,
    /// `## template: jinja`, with another form behind that line.
    Jinja,
    /// `#cloud-config`.
    CloudConfig,
    /// `#cloud-config-archive`: a YAML list of parts.
    CloudConfigArchive,
    /// `#cloud-config-jsonp`: a JSON patch of the configuration so far.
    CloudConfigPatch,
    /// `#!`.
    Script,
    /// `#include`: a list of URLs.
    Include,
    /// `#include-once`.
    IncludeOnce,
    /// `#cloud-boothook`.
    Boothook,
    /// `#part-handler`.
    PartHandler,
    /// None of these. cloud-init does nothing with it but keep it readable for the guest.
    Unknown,
}

impl UserDataKind {
    /// Recognises a text as cloud-init does: by its beginning, regardless of case and of blanks in front, the longest
    /// mark first; and as a MIME message if it begins with a header and says so in the first 4096 bytes.
    pub fn of(text: &str) -> Self {
        const MARKS: [(&str, UserDataKind); 9] = [
            ("#cloud-config-archive", UserDataKind::CloudConfigArchive),
            ("#cloud-config-jsonp", UserDataKind::CloudConfigPatch),
            ("## template: jinja", UserDataKind::Jinja),
            ("#cloud-boothook", UserDataKind::Boothook),
            ("#cloud-config", UserDataKind::CloudConfig),
            ("#include-once", UserDataKind::IncludeOnce),
            ("#part-handler", UserDataKind::PartHandler),
            ("#include", UserDataKind::Include),
            ("#!", UserDataKind::Script),
        ];
        let begins = text.trim_start();
        let is = |mark: &str| begins.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark));
        match MARKS.iter().find(|(mark, _)| is(mark)) {
            Some((_, kind)) => *kind,
            None if is_mime(text) => Self::Mime,
            None => Self::Unknown,
        }
    }

    /// The content type of a part of this form.
    const fn content_type(self) -> &'static str {
        match self {
            Self::Mime | Self::Unknown => "text/plain",
            Self::Jinja => "text/jinja2",
            Self::CloudConfig => "text/cloud-config",
            Self::CloudConfigArchive => "text/cloud-config-archive",
            Self::CloudConfigPatch => "text/cloud-config-jsonp",
            Self::Script => "text/x-shellscript",
            Self::Include => "text/x-include-url",
            Self::IncludeOnce => "text/x-include-once-url",
            Self::Boothook => "text/cloud-boothook",
            Self::PartHandler => "text/part-handler",
        }
    }
}

fn is_mime(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    let name = first.split_once(':').map_or("", |(name, _)| name);
    let header = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    let head = &text.as_bytes()[..text.len().min(4096)];
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    header && (head.contains("mime-version:") || head.starts_with("content-type: multipart/"))
}

/// One network interface as the guest shall set it up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Nic {
    /// Public or private.
    pub role: NetworkRole,
    /// By which the guest finds it.
    pub mac: Mac,
    /// Its static address.
    pub address: Ipv4Addr,
    /// Prefix length of its network.
    pub prefix: u8,
    /// The default route. Followed on the public interface only.
    pub gateway: Option<Ipv4Addr>,
}

/// What the documents are made from.
#[derive(Clone, Debug)]
pub struct Guest<'a> {
    /// The installation.
    pub installation: InstallationId,
    /// The server.
    pub server: ServerId,
    /// Any text that changes with every rebuild and with nothing else (the id of the create or rebuild action does).
    /// With it changes the instance id, and cloud-init takes the disk for a new machine.
    pub incarnation: &'a str,
    /// The server's name, which becomes the host name.
    pub name: &'a ServerName,
    /// Keys that may log in as root and as the image's default user.
    pub keys: &'a [PublicKey],
    /// The tenant's own.
    pub user_data: Option<&'a UserData>,
    /// Interfaces in the order of their names (`eth0`, `eth1`), public first.
    pub nics: &'a [Nic],
    /// Name servers.
    pub resolvers: &'a [IpAddr],
}

/// The NoCloud documents, each the content of the file of its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Documents {
    /// `user-data`: cloud-config, or a MIME message that contains it and the tenant's.
    pub user_data: String,
    /// `meta-data`: instance id, host name, keys.
    pub meta_data: String,
    /// `network-config`, version 2.
    pub network_config: String,
}

impl fmt::Debug for Documents {
    /// User data may hold secrets, so the documents never print their content.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.user_data.len() + self.meta_data.len() + self.network_config.len();
        write!(f, "Documents({bytes} bytes)")
    }
}

/// Renders the documents. The same input gives the same bytes.
pub fn render(guest: &Guest<'_>) -> Documents {
    Documents {
        user_data: user_data(guest),
        meta_data: yaml(&meta_data(guest)),
        network_config: yaml(&network_config(guest)),
    }
}

/// The instance id: `cairn-<server>-<hash>`, unique to the installation, the server and its incarnation, and fit to be
/// the name of a directory, which cloud-init makes of it.
pub fn instance_id(installation: InstallationId, server: ServerId, incarnation: &str) -> String {
    let digest = Sha256::new()
        .chain_update(b"cairn instance 1\0")
        .chain_update(installation.0.as_bytes())
        .chain_update(server.0.to_be_bytes())
        .chain_update(incarnation)
        .finalize();
    let mut id = format!("cairn-{server}-");
    for byte in digest.iter().take(6) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

fn key_lines(guest: &Guest<'_>) -> Vec<Value> {
    guest.keys.iter().map(|key| Value::from(key.line())).collect()
}

fn meta_data(guest: &Guest<'_>) -> Value {
    json!({
        "instance-id": instance_id(guest.installation, guest.server, guest.incarnation),
        "local-hostname": guest.name.as_str(),
        // Here too, because a tenant's own `ssh_authorized_keys` replaces ours in the merged configuration, while
        // keys from here are always added.
        "public-keys": key_lines(guest),
    })
}

fn cloud_config(guest: &Guest<'_>) -> String {
    let mut config = Map::new();
    config.insert("hostname".into(), guest.name.short().into());
    if let Some(qualified) = guest.name.qualified() {
        config.insert("fqdn".into(), qualified.into());
    }
    // `localhost` keeps the line of 127.0.1.1 right and leaves the tenant's own lines alone; `true` would write the
    // whole file anew at every boot.
    config.insert("manage_etc_hosts".into(), "localhost".into());
    config.insert("disable_root".into(), false.into());
    if !guest.keys.is_empty() {
        config.insert("ssh_pwauth".into(), false.into());
        config.insert("ssh_authorized_keys".into(), key_lines(guest).into());
    }
    format!("#cloud-config\n{}", yaml(&Value::Object(config)))
}

fn user_data(guest: &Guest<'_>) -> String {
    let ours = cloud_config(guest);
    let Some(theirs) = guest.user_data.filter(|data| !data.as_str().trim().is_empty()) else {
        return ours;
    };
    // Later parts win key by key, so the tenant's word stands over ours.
    let parts = [part(UserDataKind::CloudConfig, "cairn.cfg", &ours), their_part(theirs)];
    let boundary = boundary(&parts);
    let mut message = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\nMIME-Version: 1.0\n\n");
    for part in parts {
        let _ = write!(message, "--{boundary}\n{part}\n");
    }
    let _ = writeln!(message, "--{boundary}--");
    message
}

fn their_part(data: &UserData) -> String {
    match data.kind() {
        // A whole message is a part as it stands: its headers become the part's headers.
        UserDataKind::Mime => data.as_str().to_owned(),
        kind => part(kind, "user-data", data.as_str()),
    }
}

fn part(kind: UserDataKind, name: &str, content: &str) -> String {
    let mut part = format!("Content-Type: {}; charset=\"utf-8\"\nMIME-Version: 1.0\n", kind.content_type());
    let _ = write!(part, "Content-Transfer-Encoding: base64\nContent-Disposition: attachment; filename=\"{name}\"\n\n");
    // 57 bytes make a line of 76 characters, the most that RFC 2045 allows.
    for chunk in content.as_bytes().chunks(57) {
        part.push_str(&STANDARD.encode(chunk));
        part.push('\n');
    }
    part
}

/// A boundary that occurs in none of the parts. Only a tenant's own MIME message can contain one at all.
fn boundary(parts: &[String]) -> String {
    let taken = |candidate: &String| parts.iter().any(|part| part.contains(candidate.as_str()));
    // 64 KiB cannot hold this many different candidates, so one is always found.
    let mut candidates = (0..=LONGEST_USER_DATA).map(|n| format!("==cairn-part-{n}=="));
    candidates.find(|candidate| !taken(candidate)).unwrap_or_default()
}

fn network_config(guest: &Guest<'_>) -> Value {
    let mut ethernets = Map::new();
    let outward = guest.nics.iter().position(|nic| nic.role == NetworkRole::Public).unwrap_or(0);
    for (index, nic) in guest.nics.iter().enumerate() {
        let name = format!("eth{index}");
        let mut ethernet = json!({
            "match": { "macaddress": nic.mac.to_string() },
            "set-name": name,
            "dhcp4": false,
            "dhcp6": false,
            "addresses": [format!("{}/{}", nic.address, nic.prefix)],
        });
        if let (NetworkRole::Public, Some(gateway)) = (nic.role, nic.gateway) {
            // Not `to: default`, which older netplans refuse, nor `gateway4`, of which newer ones complain.
            ethernet["routes"] = json!([{ "to": "0.0.0.0/0", "via": gateway }]);
        }
        if index == outward && !guest.resolvers.is_empty() {
            ethernet["nameservers"] = json!({ "addresses": guest.resolvers });
        }
        ethernets.insert(name, ethernet);
    }
    json!({ "version": 2, "ethernets": ethernets })
}

/// JSON that every YAML 1.1 parser reads the same way. JSON may contain characters that PyYAML refuses or folds as
/// line breaks; they can only stand inside strings, where they are written as escapes.
fn yaml(value: &Value) -> String {
    let json = format!("{value:#}");
    let mut text = String::with_capacity(json.len() + 1);
    for c in json.chars() {
        let plain = matches!(c, '\n' | ' '..='~' | '\u{a0}'..='\u{2027}' | '\u{202a}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..);
        if plain {
            text.push(c);
        } else {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH anna@laptop";

    fn documents(name: &str, keys: &[&str], user_data: Option<&str>) -> Documents {
        let name = ServerName::parse(name).unwrap();
        let keys: Vec<_> = keys.iter().map(|line| PublicKey::parse(line).unwrap()).collect();
        let user_data = user_data.map(|text| UserData::parse(text).unwrap());
        let installation = InstallationId(Uuid::from_u128(7));
        let nic = |role, address: &str, prefix, gateway| Nic {
            role,
            mac: Mac::of(installation, ServerId(42), role),
            address: address.parse().unwrap(),
            prefix,
            gateway,
        };
        render(&Guest {
            installation,
            server: ServerId(42),
            incarnation: "7",
            name: &name,
            keys: &keys,
            user_data: user_data.as_ref(),
            nics: &[
                nic(NetworkRole::Public, "198.18.64.2", 20, Some("198.18.64.1".parse().unwrap())),
                nic(NetworkRole::Private, "10.116.0.2", 20, Some("10.116.0.1".parse().unwrap())),
            ],
            resolvers: &["1.1.1.1".parse().unwrap(), "9.9.9.9".parse().unwrap()],
        })
    }

    fn config(text: &str) -> Value {
        serde_json::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap()
    }

    /// The parts of a message: headers in lower case, and the content decoded where it is in base64.
    fn parts(message: &str) -> Vec<(String, String)> {
        let (head, body) = message.split_once("\n\n").unwrap();
        let boundary = head.split('"').nth(1).unwrap();
        let body = body.strip_prefix(&format!("--{boundary}\n")).unwrap();
        let body = body.strip_suffix(&format!("\n--{boundary}--\n")).unwrap();
        body.split(&format!("\n--{boundary}\n"))
            .map(|part| {
                let (headers, content) = part.split_once("\n\n").unwrap();
                let content = if headers.contains("base64") {
                    String::from_utf8(STANDARD.decode(content.replace('\n', "")).unwrap()).unwrap()
                } else {
                    content.to_owned()
                };
                (headers.to_ascii_lowercase(), content)
            })
            .collect()
    }

    #[test]
    fn without_user_data_it_is_plain_cloud_config() {
        let documents = documents("web.example.com", &[KEY], None);
        assert_eq!(
            config(&documents.user_data),
            json!({
                "hostname": "web", "fqdn": "web.example.com", "manage_etc_hosts": "localhost",
                "disable_root": false, "ssh_pwauth": false, "ssh_authorized_keys": [KEY],
            })
        );
        let meta: Value = serde_json::from_str(&documents.meta_data).unwrap();
        assert_eq!(meta["local-hostname"], "web.example.com");
        assert_eq!(meta["public-keys"], json!([KEY]));
        assert!(meta["instance-id"].as_str().unwrap().starts_with("cairn-42-"));
    }

    #[test]
    fn without_keys_the_password_setting_is_the_images_own() {
        let config = config(&documents("web", &[], None).user_data);
        assert_eq!(config, json!({ "hostname": "web", "manage_etc_hosts": "localhost", "disable_root": false }));
    }

    #[test]
    fn the_network() {
        let config: Value = serde_json::from_str(&documents("web", &[], None).network_config).unwrap();
        let mac = |role| Mac::of(InstallationId(Uuid::from_u128(7)), ServerId(42), role).to_string();
        assert_eq!(
            config,
            json!({ "version": 2, "ethernets": {
                "eth0": {
                    "match": { "macaddress": mac(NetworkRole::Public) }, "set-name": "eth0",
                    "dhcp4": false, "dhcp6": false, "addresses": ["198.18.64.2/20"],
                    "routes": [{ "to": "0.0.0.0/0", "via": "198.18.64.1" }],
                    "nameservers": { "addresses": ["1.1.1.1", "9.9.9.9"] },
                },
                "eth1": {
                    "match": { "macaddress": mac(NetworkRole::Private) }, "set-name": "eth1",
                    "dhcp4": false, "dhcp6": false, "addresses": ["10.116.0.2/20"],
                },
            }})
        );
    }

    #[test]
    fn an_instance_id_is_of_one_incarnation_of_one_server_of_one_installation() {
        let id = |installation, server, incarnation| {
            instance_id(InstallationId(Uuid::from_u128(installation)), ServerId(server), incarnation)
        };
        let all = [id(1, 1, "1"), id(2, 1, "1"), id(1, 2, "1"), id(1, 1, "2"), id(1, 1, "../../x")];
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(id(1, 1, "1"), all[0]);
        assert!(all.iter().all(|id| id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')));
    }

    #[test]
    fn every_form_is_recognised() {
        use UserDataKind::{
            Boothook, CloudConfig, CloudConfigArchive, CloudConfigPatch, Include, IncludeOnce, Jinja, Mime,
            PartHandler, Script, Unknown,
        };
        for (text, kind) in [
            ("#cloud-config\npackages: []", CloudConfig),
            (" \n#Cloud-Config\nx: MIME-Version: 1", CloudConfig),
            ("#cloud-config-archive\n- x", CloudConfigArchive),
            ("#cloud-config-jsonp\n[]", CloudConfigPatch),
            ("#!/bin/sh\necho", Script),
            ("#include\nhttp://x", Include),
            ("#include-once\nhttp://x", IncludeOnce),
            ("#cloud-boothook\n#!/bin/sh", Boothook),
            ("#part-handler\n", PartHandler),
            ("## template: jinja\n#cloud-config\n", Jinja),
            ("Content-Type: multipart/mixed; boundary=x\n\n--x--", Mime),
            ("MIME-Version: 1.0\nContent-Type: text/x-shellscript\n\n#!/bin/sh", Mime),
            ("From: x\nMIME-Version: 1.0\n\n", Mime),
            ("some text with mime-version: 1.0", Unknown),
            ("H4sIAAAAAAAA", Unknown),
            ("#clou", Unknown),
            ("ä", Unknown),
            ("", Unknown),
        ] {
            assert_eq!(UserDataKind::of(text), kind, "{text}");
        }
    }

    #[test]
    fn each_form_becomes_a_part_of_its_type() {
        for (text, kind) in [
            ("#cloud-config\npassword: pä\n", "text/cloud-config;"),
            ("#!/bin/sh\necho '--==cairn-part-0=='\n", "text/x-shellscript;"),
            ("#include\nhttp://x\n", "text/x-include-url;"),
            ("## template: jinja\n#cloud-config\n", "text/jinja2;"),
            ("just text", "text/plain;"),
        ] {
            let parts = parts(&documents("web", &[KEY], Some(text)).user_data);
            assert_eq!(parts.len(), 2);
            assert!(parts[0].0.starts_with("content-type: text/cloud-config;"));
            assert_eq!(config(&parts[0].1)["hostname"], "web");
            assert!(parts[1].0.starts_with(&format!("content-type: {kind}")), "{}", parts[1].0);
            assert_eq!(parts[1].1, text);
        }
    }

    #[test]
    fn a_message_is_nested_whole_under_a_boundary_of_its_own() {
        let theirs = "Content-Type: multipart/mixed; boundary=\"==cairn-part-0==\"\nMIME-Version: 1.0\n\n\
            --==cairn-part-0==\nContent-Type: text/x-shellscript\n\n#!/bin/sh\n--==cairn-part-0==--\n";
        let message = documents("web", &[], Some(theirs)).user_data;
        assert!(message.starts_with("Content-Type: multipart/mixed; boundary=\"==cairn-part-1==\"\n"));
        assert!(message.contains(theirs));
        assert_eq!(parts(&message).len(), 2);
    }

    #[test]
    fn blank_user_data_is_none() {
        assert!(documents("web", &[], Some(" \n")).user_data.starts_with("#cloud-config\n"));
    }

    #[test]
    fn bounds() {
        UserData::parse(&"a".repeat(65_536)).unwrap();
        assert!(UserData::parse(&"a".repeat(65_537)).unwrap_err().message.contains("64 KiB"));
        assert!(UserData::parse("a\0b").unwrap_err().message.contains("NUL"));
        assert!(!format!("{:?}", UserData::parse("secret").unwrap()).contains("secret"));
        assert!(!format!("{:?}", documents("web", &[], Some("secret"))).contains("secret"));
    }

    #[test]
    fn characters_that_break_yaml_are_escaped() {
        let text = yaml(&json!({ "k": "a\u{7f}\u{85}\u{2028}\u{feff}ä😀\u{1}\"" }));
        assert!(text.contains(r#"a\u007f\u0085\u2028\ufeffä😀\u0001\""#), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["k"], "a\u{7f}\u{85}\u{2028}\u{feff}ä😀\u{1}\"");
    }

    proptest! {
        #[test]
        fn no_user_data_gets_out_of_its_part(text in any::<String>(), n in 0usize..3) {
            let text = format!("{}{}{text}", "--==cairn-part-0==\n".repeat(n), "--==cairn-part-1==--\n".repeat(n));
            let Ok(_) = UserData::parse(&text) else { return Ok(()) };
            let message = documents("web", &[KEY], Some(&text)).user_data;
            if text.trim().is_empty() { return Ok(()) }
            let parts = parts(&message);
            prop_assert_eq!(parts.len(), 2);
            prop_assert_eq!(&config(&parts[0].1)["ssh_authorized_keys"][0], KEY);
            if UserDataKind::of(&text) != UserDataKind::Mime { prop_assert_eq!(&parts[1].1, &text); }
        }

        #[test]
        fn a_tenants_message_never_contains_our_boundary(noise in "[-=a-z0-9 \n]{0,200}", n in 0usize..20) {
            let mut text = "Content-Type: multipart/mixed; boundary=x\nMIME-Version: 1.0\n\n".to_owned();
            for k in 0..n { text.push_str(&format!("--==cairn-part-{k}==\n")); }
            text.push_str(&noise);
            let message = documents("web", &[], Some(&text)).user_data;
            let boundary = message.split('"').nth(1).unwrap();
            prop_assert!(!text.contains(boundary));
            prop_assert_eq!(message.matches(&format!("--{boundary}")).count(), 3);
        }
    }
}
