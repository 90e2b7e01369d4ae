//! The key under which the secrets of regions are sealed in the database. It stands in a file, apart from the database:
//! whoever has only one of the two has nothing.

use crate::files;
use crate::settings::{Key as Setting, Problem, Settings};
use anyhow::Result;
use cloud::secrets::Key;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The usual file.
fn file(settings: &Settings) -> PathBuf {
    settings.secret_key_file.clone().unwrap_or_else(|| settings.data_dir.join("secret.key"))
}

/// The key; `None` where there is none, which is fine until a region with a secret is connected.
pub(crate) fn load(settings: &Settings) -> Result<Option<Arc<Key>>> {
    let path = file(settings);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(Arc::new(read(&path, &text)?))),
        Err(error) if error.kind() == ErrorKind::NotFound && settings.secret_key_file.is_none() => Ok(None),
        Err(error) => Err(Problem::new(
            format!("{} {} cannot be read: {error}", Setting::SecretKeyFile.name(), path.display()),
            "make one with `openssl rand -hex 32`, readable by the daemon alone, the same on every machine",
        )
        .into()),
    }
}

/// Makes the key where there is none yet: for an installation of one machine.
pub(crate) fn ensure(settings: &Settings) -> Result<()> {
    let path = file(settings);
    if path.exists() {
        return Ok(());
    }
    files::write(&path, format!("{}\n", Key::generate().to_text()).as_bytes(), files::PRIVATE)?;
    tracing::info!(file = %path.display(), "made the key that seals secrets; keep a copy apart from the database's");
    Ok(())
}

fn read(path: &Path, text: &str) -> Result<Key> {
    Ok(Key::parse(text).map_err(|error| {
        // Its content is not repeated.
        Problem::new(format!("{} is of no use: {error}", path.display()), "restore the file from its copy")
    })?)
}
