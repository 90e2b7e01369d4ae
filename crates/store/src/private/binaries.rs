//! Where PostgreSQL's programs are on this machine.

use super::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::process::Command;

/// The oldest version whose SQL the product uses.
const OLDEST: u32 = 15;
/// Where distributions put the programs, one directory per version, outside of `PATH`.
const VERSIONED: &str = "/usr/lib/postgresql";
/// The same for the builds of postgresql.org for Red Hat's family: `/usr/pgsql-17/bin`.
const NAMED: (&str, &str) = ("/usr", "pgsql-");

#[derive(Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// The newest usable version, or exactly the one that wrote the data.
    pub(super) async fn find(written_by: Option<u32>) -> Result<Self> {
        let mut found = Vec::new();
        for directory in candidates() {
            if let Some(version) = version(&directory.join("postgres")).await {
                found.push((version, directory));
            }
        }
        choose(found, written_by).map(|directory| Self { directory })
    }

    pub(super) fn postgres(&self) -> PathBuf {
        self.directory.join("postgres")
    }

    pub(super) fn initdb(&self) -> PathBuf {
        self.directory.join("initdb")
    }
}

fn choose(mut found: Vec<(u32, PathBuf)>, written_by: Option<u32>) -> Result<PathBuf> {
    found.sort();
    let versions: Vec<String> = found.iter().map(|(version, _)| version.to_string()).collect();
    let fits = |version: u32| written_by.map_or(version >= OLDEST, |wanted| version == wanted);
    found.into_iter().rfind(|(version, _)| fits(*version)).map(|(_, directory)| directory).ok_or_else(|| {
        Error::NotInstalled {
            needed: written_by
                .map_or_else(|| format!("{OLDEST} or newer"), |wanted| format!("{wanted}, which wrote the data,")),
            found: if versions.is_empty() { "none".to_owned() } else { versions.join(", ") },
        }
    })
}

/// Directories that hold both programs, links resolved: `postgres` finds its own files beside the real one.
fn candidates() -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    directories.extend(entries(Path::new(VERSIONED)).map(|version| version.join("bin")));
    let named = |entry: &PathBuf| entry.file_name().is_some_and(|n| n.to_string_lossy().starts_with(NAMED.1));
    directories.extend(entries(Path::new(NAMED.0)).filter(named).map(|version| version.join("bin")));
    directories
        .into_iter()
        .filter_map(|directory| directory.join("postgres").canonicalize().ok())
        .filter_map(|program| program.parent().map(Path::to_owned))
        .filter(|directory| directory.join("initdb").is_file())
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path())
}

async fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").env("LC_ALL", "C").output().await.ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)`, `postgres (PostgreSQL) 18beta1`.
fn parse_version(line: &str) -> Option<u32> {
    let number = line.split_once("(PostgreSQL)")?.1.trim_start();
    let digits = number.find(|c: char| !c.is_ascii_digit()).unwrap_or(number.len());
    number[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_program_says() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.20 (Debian 15.20-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_version("mysqld 8"), None);
    }

    #[test]
    fn the_newest_is_taken_unless_data_is_there() {
        let found = || vec![(17, PathBuf::from("/17")), (14, PathBuf::from("/14")), (15, PathBuf::from("/15"))];
        assert_eq!(choose(found(), None).unwrap(), PathBuf::from("/17"));
        assert_eq!(choose(found(), Some(15)).unwrap(), PathBuf::from("/15"));
        let missing = choose(found(), Some(16)).unwrap_err().to_string();
        assert!(missing.contains("16, which wrote the data") && missing.contains("14, 15, 17"), "{missing}");
        assert!(choose(vec![(14, PathBuf::from("/14"))], None).is_err());
    }
}
