//! Which Proxmox VE answers.

/// A version, as far as it decides anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
}

/// The oldest that is supported.
pub(crate) const OLDEST: Version = Version::new(8, 4);

impl Version {
    /// This one.
    pub(crate) const fn new(major: u32, minor: u32) -> Self {
        Self { major, minor }
    }

    /// Reads `9.2.3`, `8.4` or `9.0~beta1`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit());
        Some(Self { major: numbers.next()?.parse().ok()?, minor: numbers.next()?.parse().ok()? })
    }

    /// Whether this is `number` or newer, which is written as major × 100 + minor.
    pub(crate) fn at_least(self, number: u32) -> bool {
        self.major * 100 + self.minor >= number
    }
}

/// What is said of a version that is older than [`OLDEST`].
pub(crate) fn too_old(version: Version) -> String {
    format!("Proxmox VE {version} is too old: {OLDEST} is the oldest that is supported. Upgrade the cluster's nodes.")
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        assert_eq!(Version::parse("9.2.11"), Some(Version::new(9, 2)));
        assert_eq!(Version::parse("9.0~beta1"), Some(Version::new(9, 0)));
        assert_eq!(Version::parse("nine"), None);
        assert!(Version::new(9, 0).at_least(900) && !Version::new(8, 4).at_least(900));
        assert!(Version::new(8, 10) > OLDEST);
    }
}
