//! Secrets at rest: what a provider is logged in to with is sealed before it is written down, under a key that the
//! database never sees. XChaCha20-Poly1305, a random nonce each time; what the secret is for is authenticated with it, so
//! that a sealed secret opens in no other place than its own.

use chacha20poly1305::aead::{Aead, Generate, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

/// The first byte of everything sealed so.
const VERSION: u8 = 1;
/// Bytes of a nonce.
const NONCE: usize = 24;

/// The key of an installation. Never printed.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

/// Why a key or a sealed secret is of no use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unusable {
    /// The text is no key.
    #[error("the key is not 64 hexadecimal digits")]
    Key,
    /// It was sealed under another key, for another purpose, or damaged.
    #[error("the secret was sealed under another key or is damaged; enter it again")]
    Sealed,
}

impl Key {
    /// A new key.
    pub fn generate() -> Self {
        Self(chacha20poly1305::Key::generate().into())
    }

    /// Reads a key: 64 hexadecimal digits, white space around them is fine.
    pub fn parse(text: &str) -> Result<Self, Unusable> {
        let digits = text.trim().as_bytes();
        let mut key = [0; 32];
        if digits.len() != 64 {
            return Err(Unusable::Key);
        }
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| Unusable::Key)?;
            let both_digits = pair.bytes().all(|digit| digit.is_ascii_hexdigit());
            *byte = u8::from_str_radix(pair, 16).ok().filter(|_| both_digits).ok_or(Unusable::Key)?;
        }
        Ok(Self(key))
    }

    /// The key as [`Key::parse`] reads it.
    pub fn to_text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Seals a secret for a purpose.
    pub fn seal(&self, purpose: &str, secret: &str) -> Result<Vec<u8>, Unusable> {
        let nonce = XNonce::generate();
        let payload = Payload { msg: secret.as_bytes(), aad: purpose.as_bytes() };
        let sealed = self.cipher().encrypt(&nonce, payload).map_err(|_| Unusable::Sealed)?;
        Ok([&[VERSION][..], &nonce[..], &sealed[..]].concat())
    }

    /// Opens what was sealed for this purpose.
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<String, Unusable> {
        let (version, rest) = sealed.split_first().ok_or(Unusable::Sealed)?;
        if *version != VERSION || rest.len() < NONCE {
            return Err(Unusable::Sealed);
        }
        let (nonce, text) = rest.split_at(NONCE);
        let nonce = XNonce::try_from(nonce).map_err(|_| Unusable::Sealed)?;
        let payload = Payload { msg: text, aad: purpose.as_bytes() };
        let opened = self.cipher().decrypt(&nonce, payload).map_err(|_| Unusable::Sealed)?;
        String::from_utf8(opened).map_err(|_| Unusable::Sealed)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_under_its_key_and_for_its_purpose_only() {
        let (key, other) = (Key::generate(), Key::generate());
        let sealed = key.seal("region:demo", "hunter2").unwrap();
        assert_eq!(key.open("region:demo", &sealed).as_deref(), Ok("hunter2"));
        assert_eq!(key.open("region:other", &sealed), Err(Unusable::Sealed));
        assert_eq!(other.open("region:demo", &sealed), Err(Unusable::Sealed));
        for place in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[place] ^= 1;
            assert_eq!(key.open("region:demo", &damaged), Err(Unusable::Sealed), "byte {place}");
        }
        assert_eq!(key.open("region:demo", &[]), Err(Unusable::Sealed));
        assert!(!sealed.windows(7).any(|part| part == b"hunter2"));
    }

    #[test]
    fn the_same_secret_is_never_sealed_alike() {
        let key = Key::generate();
        assert_ne!(key.seal("a", "b").unwrap(), key.seal("a", "b").unwrap());
    }

    #[test]
    fn a_key_is_read_as_it_is_written() {
        let key = Key::generate();
        let read = Key::parse(&format!("{}\n", key.to_text())).unwrap();
        assert_eq!(read.open("a", &key.seal("a", "b").unwrap()).as_deref(), Ok("b"));
        for bad in ["", "abc", &"g".repeat(64), &"+1".repeat(32)] {
            assert_eq!(Key::parse(bad).unwrap_err(), Unusable::Key, "{bad}");
        }
        assert_eq!(format!("{key:?}"), "Key");
    }
}
