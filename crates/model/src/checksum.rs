//! Checksums of images, and the lists in which distributions publish them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The algorithms that are trusted. MD5 and SHA-1 lines of a list are passed over.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// SHA-256: 64 hex digits.
    Sha256,
    /// SHA-512: 128 hex digits.
    Sha512,
}

impl Algorithm {
    /// The word: `sha256` or `sha512`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn of_digits(hex: &str) -> Option<Self> {
        let algorithm = match hex.len() {
            64 => Self::Sha256,
            128 => Self::Sha512,
            _ => return None,
        };
        hex.bytes().all(|b| b.is_ascii_hexdigit()).then_some(algorithm)
    }
}

/// Why there is no checksum to be had.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ChecksumError {
    /// Not `sha256:<64 hex digits>` or `sha512:<128 hex digits>`.
    #[error("`{0}` is not a checksum; write sha256: or sha512: and the hex digits")]
    Syntax(String),
    /// The list has no SHA-256 or SHA-512 line for the file.
    #[error("the list of checksums has no SHA-256 or SHA-512 for `{0}`")]
    Missing(String),
    /// The list says two different things about the file.
    #[error("the list of checksums has two different ones for `{0}`")]
    Ambiguous(String),
}

/// A checksum. Its text is `sha256:<hex>` or `sha512:<hex>` in lower case.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

impl Checksum {
    /// From hex digits alone; which algorithm it is follows from their number. `None` if they are neither 64 nor 128
    /// hex digits.
    pub fn from_hex(hex: &str) -> Option<Self> {
        Algorithm::of_digits(hex).map(|algorithm| Self { algorithm, hex: hex.to_ascii_lowercase() })
    }

    /// Which algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits, in lower case.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Finds a file's checksum in a list as published beside images: coreutils' `<hex>  <name>` and `<hex> *<name>`
    /// (Debian, Ubuntu, AlmaLinux), the BSD style `SHA256 (<name>) = <hex>` (Fedora, Rocky Linux), each possibly inside
    /// a PGP signed message; or a file with nothing but the digits in it. A directory before the name is ignored. Of
    /// several algorithms the strongest counts.
    ///
    /// # Errors
    /// If the file is not in the list, or twice with different digits.
    pub fn find(list: &str, file: &str) -> Result<Self, ChecksumError> {
        let named = |name: &str| name.rsplit('/').next() == Some(file);
        let mut found: Option<Self> = None;
        for (name, checksum) in list.lines().filter_map(entry) {
            if !named(name) {
                continue;
            }
            match &found {
                Some(known) if known.algorithm == checksum.algorithm && *known != checksum => {
                    return Err(ChecksumError::Ambiguous(file.to_owned()));
                }
                Some(known) if known.algorithm >= checksum.algorithm => {}
                _ => found = Some(checksum),
            }
        }
        found.or_else(|| Self::from_hex(list.trim())).ok_or_else(|| ChecksumError::Missing(file.to_owned()))
    }
}

/// The name and checksum of one line, if it has both.
fn entry(line: &str) -> Option<(&str, Checksum)> {
    let line = line.trim();
    bsd(line).or_else(|| coreutils(line))
}

fn bsd(line: &str) -> Option<(&str, Checksum)> {
    let (name, hex) = line.split_once(" (")?.1.rsplit_once(") = ")?;
    let checksum = Checksum::from_hex(hex.trim())?;
    let word = line.split(' ').next()?.replace('-', "").to_ascii_lowercase();
    (word == checksum.algorithm.as_str()).then_some((name, checksum))
}

fn coreutils(line: &str) -> Option<(&str, Checksum)> {
    let (hex, name) = line.split_once([' ', '\t'])?;
    let name = name.trim_start();
    Some((name.strip_prefix('*').unwrap_or(name), Checksum::from_hex(hex)?))
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.as_str(), self.hex)
    }
}

impl FromStr for Checksum {
    type Err = ChecksumError;

    fn from_str(text: &str) -> Result<Self, ChecksumError> {
        text.split_once(':')
            .and_then(|(word, hex)| Self::from_hex(hex).filter(|checksum| checksum.algorithm.as_str() == word))
            .ok_or_else(|| ChecksumError::Syntax(text.escape_default().to_string()))
    }
}

impl TryFrom<String> for Checksum {
    type Error = ChecksumError;

    fn try_from(text: String) -> Result<Self, ChecksumError> {
        text.parse()
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(digit: char, count: usize) -> String {
        digit.to_string().repeat(count)
    }

    #[test]
    fn text_and_back() {
        let text = format!("sha256:{}", hex('a', 64));
        assert_eq!(text.parse::<Checksum>().unwrap().to_string(), text);
        assert_eq!(text.to_uppercase().replace("SHA", "sha").parse::<Checksum>().unwrap().to_string(), text);
        for bad in [
            "",
            "sha256:",
            "md5:abc",
            &hex('a', 64),
            &format!("sha512:{}", hex('a', 64)),
            &format!("sha256:{}", hex('g', 64)),
        ] {
            assert!(matches!(bad.parse::<Checksum>(), Err(ChecksumError::Syntax(_))), "{bad}");
        }
    }

    #[test]
    fn lists_of_coreutils() {
        // Debian's SHA512SUMS, Ubuntu's SHA256SUMS (binary mark), AlmaLinux's CHECKSUM.
        let list = format!(
            "{}  debian-13-generic-amd64.json\n{}  debian-13-generic-amd64.qcow2\n{} *./dir/b.img\n",
            hex('1', 128),
            hex('2', 128),
            hex('3', 64)
        );
        assert_eq!(Checksum::find(&list, "debian-13-generic-amd64.qcow2").unwrap().hex(), hex('2', 128));
        assert_eq!(Checksum::find(&list, "b.img").unwrap().to_string(), format!("sha256:{}", hex('3', 64)));
        assert_eq!(Checksum::find(&list, "qcow2"), Err(ChecksumError::Missing("qcow2".into())));
        assert_eq!(Checksum::find(&list, ""), Err(ChecksumError::Missing(String::new())));
    }

    #[test]
    fn lists_in_bsd_style_within_a_signature() {
        let list = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# Fedora (x).qcow2: 556400640 bytes\nSHA256 (Fedora (x).qcow2) = {}\r\n\
             MD5 (Fedora (x).qcow2) = {}\n-----BEGIN PGP SIGNATURE-----\n\n{}\n",
            hex('A', 64),
            hex('b', 32),
            hex('c', 64)
        );
        assert_eq!(Checksum::find(&list, "Fedora (x).qcow2").unwrap().hex(), hex('a', 64));
        let wrong = format!("SHA1 (f) = {}\n", hex('a', 64));
        assert!(Checksum::find(&wrong, "f").is_err(), "the word and the digits must agree");
    }

    #[test]
    fn the_strongest_counts_and_contradictions_do_not() {
        let list = format!("SHA512 (f) = {}\nSHA256 (f) = {}\n", hex('1', 128), hex('2', 64));
        assert_eq!(Checksum::find(&list, "f").unwrap().algorithm(), Algorithm::Sha512);
        let twice = format!("{0}  f\n{0}  f\n", hex('1', 64));
        Checksum::find(&twice, "f").unwrap();
        let torn = format!("{}  f\n{}  f\n", hex('1', 64), hex('2', 64));
        assert_eq!(Checksum::find(&torn, "f"), Err(ChecksumError::Ambiguous("f".into())));
        assert_eq!(Checksum::find(&format!("{}\n", hex('5', 64)), "any").unwrap().hex(), hex('5', 64));
        assert!(Checksum::find(&format!("{}  other\n", hex('5', 64)), "any").is_err());
    }

    proptest! {
        #[test]
        fn what_is_found_was_written(names in prop::collection::btree_set("[a-z.()-]{1,12}", 1..8), bsd in any::<bool>(), seed in 0u8..10) {
            let digest = |n: usize| format!("{:064x}", n * 10 + usize::from(seed));
            let list: String = names.iter().enumerate()
                .map(|(n, name)| if bsd { format!("SHA256 ({name}) = {}\n", digest(n)) } else { format!("{}  {name}\n", digest(n)) })
                .collect();
            for (n, name) in names.iter().enumerate() {
                let found = Checksum::find(&list, name).unwrap();
                prop_assert_eq!(found.hex(), digest(n));
            }
        }

        #[test]
        fn no_list_panics(list in any::<String>(), file in any::<String>()) {
            let _ = Checksum::find(&list, &file);
        }
    }
}
