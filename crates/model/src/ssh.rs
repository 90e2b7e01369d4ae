//! OpenSSH public keys as people paste them.

use crate::refusal::Refusal;
use md5::{Digest, Md5};
use ssh_key::public::{KeyData, PublicKey as Parsed};
use ssh_key::{Algorithm, HashAlg};

/// The longest line that is looked at, in bytes. An RSA key of 16384 bits has about 2,800.
pub const LONGEST_LINE: usize = 16 * 1024;

/// The shortest RSA key that current OpenSSH servers accept (`RequiredRSASize`, sshd_config(5)).
pub const SHORTEST_RSA_BITS: usize = 1024;

/// A checked public key. Holds one line of printable text, so that it can be put into an `authorized_keys` file
/// without becoming two.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct PublicKey {
    line: String,
    fingerprint: String,
    sha256: String,
}

impl PublicKey {
    /// Checks a line as found in an `id_*.pub` file: a type, the key in base64, and an optional comment.
    ///
    /// Taken are `ssh-ed25519`, `ecdsa-sha2-nistp256/384/521`, `ssh-rsa` of at least 1024 bits, and the two security
    /// key types `sk-ssh-ed25519@openssh.com` and `sk-ecdsa-sha2-nistp256@openssh.com`. The base64 text must contain a
    /// whole key of the type that stands before it and nothing else. Options in front (`command="…"`), certificates,
    /// private keys and more than one line are refused. The refusal is about the field `public_key`.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let refuse = |problem: &str| Refusal::field("public_key", problem);
        let text = text.trim();
        if text.is_empty() {
            return Err(refuse("must not be empty; paste the line of your id_ed25519.pub."));
        }
        if text.starts_with("-----BEGIN") || text.contains("PRIVATE KEY") {
            return Err(refuse(
                "is a private key or not in OpenSSH's format; paste the line of the .pub file instead.",
            ));
        }
        if text.len() > LONGEST_LINE {
            return Err(refuse("is longer than any OpenSSH public key; paste one line of a .pub file."));
        }
        if text.contains(['\n', '\r']) {
            return Err(refuse("must be a single line; register each key by itself."));
        }
        let (kind, rest) = text.split_once([' ', '\t']).unwrap_or((text, ""));
        let rest = rest.trim_start();
        let (blob, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
        let parsed = read(kind, blob).map_err(refuse)?;
        let bytes = parsed.to_bytes().map_err(|_| refuse(DAMAGED))?;
        let comment = printable(comment);
        let line = if comment.is_empty() { format!("{kind} {blob}") } else { format!("{kind} {blob} {comment}") };
        Ok(Self {
            line,
            fingerprint: colon_hex(&Md5::digest(&bytes)),
            sha256: parsed.fingerprint(HashAlg::Sha256).to_string(),
        })
    }

    /// `type base64 comment`, single blanks between them, no line end.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The fingerprint that the API shows and takes in place of an id: MD5 of the key in colon-separated hex
    /// (`3b:16:bf:e4:…`, 47 characters).
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The fingerprint that `ssh-keygen -l` shows: `SHA256:` and base64 without padding.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }
}

const DAMAGED: &str = "is damaged: its base64 text is not a whole key of the type before it; copy the line again.";
const UNKNOWN: &str = "does not begin with a known key type; it should read as `ssh-ed25519 AAAA… name` \
     (ed25519, ecdsa and rsa keys and their security key variants are taken; options and certificates are not).";

fn read(kind: &str, blob: &str) -> Result<Parsed, &'static str> {
    match kind.parse::<Algorithm>() {
        Ok(
            Algorithm::Ed25519
            | Algorithm::Ecdsa { .. }
            | Algorithm::Rsa { hash: None }
            | Algorithm::SkEd25519
            | Algorithm::SkEcdsaSha2NistP256,
        ) => {}
        Ok(Algorithm::Dsa) => {
            return Err("is a DSA key, which OpenSSH no longer accepts; make a new one with ssh-keygen -t ed25519.");
        }
        _ => return Err(UNKNOWN),
    }
    if blob.is_empty() {
        return Err("has a type but no key; paste the whole line of the .pub file.");
    }
    let parsed = Parsed::from_openssh(&format!("{kind} {blob}")).map_err(|_| DAMAGED)?;
    if let KeyData::Rsa(rsa) = parsed.key_data() {
        let modulus = rsa.n.as_positive_bytes().ok_or(DAMAGED)?;
        let unused = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
        if modulus.len() * 8 - unused < SHORTEST_RSA_BITS {
            return Err(
                "is an RSA key of fewer than 1024 bits, which OpenSSH refuses; make a new one with ssh-keygen -t ed25519.",
            );
        }
    }
    Ok(parsed)
}

/// The comment without anything that could end the line, hide or reorder text.
fn printable(comment: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    comment.chars().filter(|c| !hidden(*c)).collect::<String>().trim().to_owned()
}

fn colon_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    /// Line, MD5 and SHA256 fingerprint as ssh-keygen itself prints them.
    const SAMPLES: &[(&str, &str, &str)] = &[
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP3efffqa8OF7LlKte4NXhL8XMwWPBGiAYv9irTqgk54 anna@laptop",
            "7b:8d:1f:a3:34:fb:8b:40:08:13:b1:a6:60:10:81:fd",
            "SHA256:TMT0k2u7iOS2XRK9ytGzgrvJsP4qi6tQp59jfEv/aqc",
        ),
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCWvGBvuSWYPNBavuJ5WYbsdePLIjH0zDXM7uQkAHRjQIkC+vbONrGYyn3Omgdx0zt+02UuHXa8dzo+C3FnwJ7zcn6ydiO9DnxRqhSjScodH0DpJGcZxUZpmVCKz+xUVrpX1FDEfGamVdhMUhouOpFtz9JpgmKKuHNRqgk5+bRQ893xWAGGHbPFjk+n9+6tuP1Nco4fDanWmCzZljYUDmOqeLYrTqoJ4bz7pp7ypGONcxkkxqjOxsLtXMChAfUyZeTYqzo0NwRQuv67VolxI+fA7OoyK73DByBF3+XyQo3mvUZ47rw1/FvpV7qrkYY/xXETFG0df3XlvQYYI5W7+x6j anna@laptop",
            "da:a6:95:43:11:ec:42:1f:82:af:88:93:65:00:fe:0d",
            "SHA256:2yojHftqm9QnSraro3NJ604ib/DugAQGZ9A6tixn22c",
        ),
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBFvI+fcvIGYe78zD87sldnhDWHCDeBVVcVM5qLvmMczRhOwjQN8KstmGSu1oqKAhJwzgE4zkMeY3hfz/4N70mZo= anna@laptop",
            "32:a8:c3:16:f6:53:72:e8:91:02:d6:b8:f9:82:a2:d2",
            "SHA256:Nqjsa57jJdI8zb6uDpBEtUX435b9lVBjEHKohLfXGIA",
        ),
        (
            "ecdsa-sha2-nistp384 AAAAE2VjZHNhLXNoYTItbmlzdHAzODQAAAAIbmlzdHAzODQAAABhBBLw1WrHuOL7cY77rG48erDIEIEPq4m/hAz9tkifNCsuNZ6seRldxTOmFV3jZuMRn20vPUoi47UxxHfZkuGsXWpC6rYeW+vqfGS0823aS4BrjU4seZJkDVEBNHCy7X+YQA== anna@laptop",
            "1f:cb:06:62:75:f4:37:98:cb:6b:9d:fe:b7:4a:65:e1",
            "SHA256:8ijapKo4rJjgP/kgdY5dAuSSoQBfdFpCZDN4e7X/AL0",
        ),
        (
            "ecdsa-sha2-nistp521 AAAAE2VjZHNhLXNoYTItbmlzdHA1MjEAAAAIbmlzdHA1MjEAAACFBAFsYQW9oPoYRoCPAJVR/jubbHvcjw05HPz9plJn5/YgB4qs/VMIDz0Tvi9dWF9DyNfBOpSgOyV+1RDLEeiRpEt4FAARiYUfJxWYoJ2Xq7qjVTCYimumTz3Rv42k3PwrBLzs1UkBmqWFgFMXlkOXzK8d0bxQiUu+8trSjwz2chl+SustLA== anna@laptop",
            "a1:c6:9e:41:a4:06:5a:27:86:c5:26:88:6e:2a:55:cc",
            "SHA256:bRgUBnpYkI3jEqJ2dcXKrbLdtE2tvJSwb+jT2BKPFQI",
        ),
    ];

    fn word(bytes: &[u8]) -> Vec<u8> {
        [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn refusal(text: &str) -> String {
        let refusal = PublicKey::parse(text).unwrap_err();
        assert_eq!(refusal.field.as_deref(), Some("public_key"));
        refusal.message
    }

    #[test]
    fn keys_made_by_ssh_keygen_and_their_fingerprints() {
        for (line, md5, sha256) in SAMPLES {
            let key = PublicKey::parse(line).unwrap();
            assert_eq!(key.line(), *line);
            assert_eq!(key.fingerprint(), *md5);
            assert_eq!(key.sha256(), *sha256);
        }
    }

    #[test]
    fn security_key_types_are_taken() {
        let blob = [word(b"sk-ssh-ed25519@openssh.com"), word(&[7; 32]), word(b"ssh:")].concat();
        PublicKey::parse(&format!("sk-ssh-ed25519@openssh.com {} me", STANDARD.encode(blob))).unwrap();
    }

    #[test]
    fn blanks_are_made_single_and_the_comment_clean() {
        let (line, ..) = SAMPLES[0];
        let blob = line.split(' ').nth(1).unwrap();
        let key = PublicKey::parse(&format!("  ssh-ed25519 \t {blob}  a  b\u{1b}[2J\u{202e} käse\u{85} \n")).unwrap();
        assert_eq!(key.line(), format!("ssh-ed25519 {blob} a  b[2J käse"));
        assert_eq!(PublicKey::parse(&format!("ssh-ed25519 {blob}")).unwrap().line(), format!("ssh-ed25519 {blob}"));
    }

    #[test]
    fn what_is_no_key_is_refused_with_advice() {
        let (line, ..) = SAMPLES[0];
        let blob = line.split(' ').nth(1).unwrap();
        let (rsa, ..) = SAMPLES[1];
        let rsa_blob = rsa.split(' ').nth(1).unwrap();
        assert!(refusal("").contains("id_ed25519.pub"));
        assert!(refusal(&format!("{line}\n{line}")).contains("single line"));
        assert!(refusal(&format!("{line}\rssh-ed25519 x")).contains("single line"));
        assert!(refusal(&format!("command=\"id\" {line}")).contains("options"));
        assert!(refusal("-----BEGIN OPENSSH PRIVATE KEY-----").contains("private"));
        assert!(refusal(&format!("ssh-rsa {blob}")).contains("damaged"));
        assert!(refusal(&format!("ssh-ed25519 {rsa_blob}")).contains("damaged"));
        assert!(refusal(&format!("ssh-ed25519 {}", &blob[..blob.len() - 4])).contains("damaged"));
        assert!(refusal("ssh-ed25519").contains("no key"));
        assert!(refusal("ssh-ed25519 !!!!").contains("damaged"));
        assert!(refusal("ssh-dss AAAAB3NzaC1kc3M=").contains("DSA"));
        assert!(refusal(&format!("ssh-ed25519-cert-v01@openssh.com {blob}")).contains("certificates"));
        assert!(refusal(&format!("rsa-sha2-256 {rsa_blob}")).contains("known key type"));
        assert!(refusal(&"a".repeat(LONGEST_LINE + 1)).contains("longer"));
        let behind = [STANDARD.decode(blob).unwrap(), b"more".to_vec()].concat();
        assert!(refusal(&format!("ssh-ed25519 {}", STANDARD.encode(behind))).contains("damaged"));
        let short = [word(b"ssh-rsa"), word(&[1, 0, 1]), word(&[0x7f; 64])].concat();
        assert!(refusal(&format!("ssh-rsa {}", STANDARD.encode(short))).contains("1024"));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_one_clean_line(comment in any::<String>(), noise in any::<String>()) {
            let (line, ..) = SAMPLES[0];
            for text in [format!("{line}{comment}"), format!("{line} {comment}"), noise] {
                if let Ok(key) = PublicKey::parse(&text) {
                    let clean = key.line().chars().all(|c| !c.is_control() && c != '\u{2028}');
                    prop_assert!(clean);
                    prop_assert_eq!(PublicKey::parse(key.line()).unwrap(), key);
                }
            }
        }
    }
}
