//! The account that a private PostgreSQL runs as: never root.

use super::{Error, Result, at};
use nix::unistd::{Uid, User, getegid, geteuid};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tokio::process::Command;

/// Who root lends the database to, in order of preference.
const LENT_TO: [&str; 2] = ["postgres", "nobody"];

#[derive(Debug)]
pub(super) struct Account {
    uid: u32,
    gid: u32,
    name: String,
    /// Whether we must change to it (we are root), or are it already.
    lent: bool,
}

impl Account {
    /// The account for the cluster in `directory`, which may not exist yet.
    pub(super) fn for_directory(directory: &Path) -> Result<Self> {
        let owner = fs::symlink_metadata(directory).ok().map(|found| found.uid());
        let account = if geteuid().is_root() { Self::lent(owner)? } else { Self::ourselves() };
        if owner.is_some_and(|owner| owner != account.uid && owner != geteuid().as_raw()) {
            let why = format!("it belongs to another user than {}", account.name);
            return Err(Error::Unusable { directory: directory.to_owned(), why });
        }
        account.may_enter(directory)?;
        Ok(account)
    }

    /// The account that already owns the cluster, so that installing a package between two starts changes nothing.
    fn lent(owner: Option<u32>) -> Result<Self> {
        let known: Vec<User> = LENT_TO.into_iter().filter_map(|name| User::from_name(name).ok().flatten()).collect();
        let chosen = known.iter().find(|user| Some(user.uid.as_raw()) == owner).or(known.first());
        let user = chosen.ok_or(Error::NoAccount)?;
        Ok(Self { uid: user.uid.as_raw(), gid: user.gid.as_raw(), name: user.name.clone(), lent: true })
    }

    fn ourselves() -> Self {
        let uid = geteuid().as_raw();
        let name = User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        Self { uid, gid: getegid().as_raw(), name, lent: false }
    }

    pub(super) fn uid(&self) -> u32 {
        self.uid
    }

    /// Every directory above `directory` must let the account through.
    fn may_enter(&self, directory: &Path) -> Result<()> {
        for above in directory.ancestors().skip(1) {
            let found = fs::metadata(above).map_err(at(above))?;
            let bit = if found.uid() == self.uid {
                0o100
            } else if found.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if found.permissions().mode() & bit == 0 {
                return Err(Error::Closed { user: self.name.clone(), directory: above.to_owned() });
            }
        }
        Ok(())
    }

    /// Gives `path` to the account, closed to everyone else.
    pub(super) fn own(&self, path: &Path) -> Result<()> {
        if self.lent {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).map_err(at(path))?;
        }
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(at(path))
    }

    /// `program` as this account, with nothing of our environment: `PGDATA` and its kin would steer it.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").current_dir("/");
        if self.lent {
            // The standard library drops the supplementary groups when a uid is set by root.
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}
