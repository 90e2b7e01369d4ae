//! What a command works with once it is clear which installation is meant.

use crate::arguments::Global;
use crate::client::{self, Client, Token};
use crate::contexts::{self, Audience, Contexts, Environment};
use crate::failure::Result;
use crate::print::Printer;
use crate::progress::Progress;
use std::path::Path;
use std::rc::Rc;

/// A conversation with one installation.
#[derive(Debug)]
pub(crate) struct Session {
    /// Asks it.
    pub(crate) client: Client,
    /// Prints what it answers.
    pub(crate) printer: Printer,
    /// Says what goes on meanwhile.
    pub(crate) progress: Rc<Progress>,
}

impl Session {
    /// With the installation that the command line, the environment and the stored contexts name together.
    pub(crate) fn open(global: &Global) -> Result<Self> {
        Self::with(global, Environment::read()?, Audience::Team)
    }

    /// The same for an operator; a token that was read from a file goes before all others.
    pub(crate) fn open_as_operator(global: &Global, token: Option<Token>) -> Result<Self> {
        let mut environment = Environment::read()?;
        let Some(token) = token else { return Self::with(global, environment, Audience::Operator) };
        // It is for this command alone, so it goes wherever the command does.
        environment.operator_token = Some(token.clone());
        let mut session = Self::with(global, environment, Audience::Operator)?;
        session.client = session.client.with_token(token);
        Ok(session)
    }

    fn with(global: &Global, environment: Environment, audience: Audience) -> Result<Self> {
        let progress = Rc::new(Progress::new(global.loudness()));
        let contexts = stored(&progress)?;
        let (url, token, ca) = contexts::choose(&contexts, global.choice(), environment, audience)?;
        let base = client::base(&url)?;
        warn_if_exposed(&base, &progress);
        let client = Client::new(base, token, ca.as_deref(), Rc::clone(&progress))?;
        Ok(Self { client, printer: global.printer(), progress })
    }
}

/// The stored contexts; none where there is no place for them.
fn stored(progress: &Progress) -> Result<Contexts> {
    let Ok(path) = contexts::path() else { return Ok(Contexts::default()) };
    warn_if_open(&path, progress);
    Contexts::read(&path)
}

#[cfg(unix)]
fn warn_if_open(path: &Path, progress: &Progress) {
    use std::os::unix::fs::PermissionsExt;
    let open = std::fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o077 != 0);
    if open {
        progress.say(&format!("warning: others can read {}, which holds tokens; chmod 600 it", path.display()));
    }
}

#[cfg(not(unix))]
fn warn_if_open(_: &Path, _: &Progress) {}

/// Says so when the token can be read on its way.
pub(crate) fn warn_if_exposed(base: &reqwest::Url, progress: &Progress) {
    if client::exposed(base) {
        progress.say(&format!("warning: {base} is not encrypted, so others on the way can read the token"));
    }
}
