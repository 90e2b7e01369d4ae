//! `cairn login`.

use crate::arguments::Global;
use crate::client::{self, Call, Client, Token};
use crate::contexts::{self, Context, Contexts, Environment};
use crate::failure::{Failure, Result};
use crate::progress::Progress;
use crate::session::warn_if_exposed;
use clap::Args;
use reqwest::Url;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use wire::account::Account;

/// Store an installation and a token for it
///
/// Asks for the URL where --url is not given, and for the token without showing it. Where there is nobody to ask, the
/// token is read from stdin. The token is tried before it is stored; --context gives what is stored a name other
/// than the host's. There is no flag for the token itself, because every user of a machine can read the arguments of
/// every process.
#[derive(Debug, Args)]
pub(crate) struct LoginArguments {
    /// Read the token from this file instead of asking; `-` is stdin
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// Tries a token, and stores it.
pub(crate) async fn run(arguments: LoginArguments, global: &Global) -> Result<()> {
    let progress = Rc::new(Progress::new(global.loudness()));
    let place = Place::of(global, ask_url)?;
    warn_if_exposed(&place.base, &progress);
    let token = given(arguments.token_file.as_deref(), "Token: ")?;
    let client = Client::new(place.base.clone(), token.clone(), place.ca.as_deref(), Rc::clone(&progress))?;
    let account = client.one::<Account>(&Call::get(&[&"v2", &"account"]), "account").await?.value;
    let team = account.team.map_or(account.email, |team| team.name);
    let (url, name) = place.store(global.context.clone(), |context| context.token = Some(token))?;
    progress.say(&format!("Logged in to {url} for {team}. The context `{name}` is used from now on."));
    Ok(())
}

/// Where somebody logs in.
pub(super) struct Place {
    /// The installation.
    pub(super) base: Url,
    /// The certificate authorities to trust.
    pub(super) ca: Option<PathBuf>,
}

impl Place {
    /// As the command line and the environment say, or else as `otherwise` does.
    pub(super) fn of(global: &Global, otherwise: impl FnOnce() -> Result<String>) -> Result<Self> {
        let environment = Environment::read()?.choice;
        let base = client::base(&match global.url.clone().or(environment.url) {
            Some(url) => url,
            None => otherwise()?,
        })?;
        let ca = global.ca.clone().or(environment.ca).map(|path| absolute(&path)).transpose()?;
        Ok(Self { base, ca })
    }

    /// Writes it down as the current context, with what `change` puts in. Of a context of this name that is already
    /// there for the same installation, the rest stays.
    pub(super) fn store(self, name: Option<String>, change: impl FnOnce(&mut Context)) -> Result<(String, String)> {
        let path = contexts::path()?;
        let mut contexts = Contexts::read(&path)?;
        let url = self.base.to_string().trim_end_matches('/').to_owned();
        let name = name.unwrap_or_else(|| host(&self.base));
        let fresh = Context { url: url.clone(), ca: None, token: None, operator_token: None };
        let mut context = contexts.all.remove(&name).filter(|known| known.url == url).unwrap_or(fresh);
        context.ca = self.ca;
        change(&mut context);
        contexts.all.insert(name.clone(), context);
        contexts.current = Some(name.clone());
        contexts.write(&path)?;
        Ok((url, name))
    }
}

/// A token from a file (`-` is stdin), from the person, or, where there is nobody, from stdin.
pub(super) fn given(file: Option<&Path>, question: &str) -> Result<Token> {
    match file {
        Some(path) if path != Path::new("-") => {
            Token::parse(&std::fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?)
        }
        None if std::io::stdin().is_terminal() => {
            let asked = rpassword::prompt_password(question);
            Token::parse(&asked.map_err(|error| Failure::usage(format!("the token cannot be asked for: {error}")))?)
        }
        _ => from_stdin(),
    }
}

pub(super) fn ask_url() -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("which installation is missing").suggest("--url https://cloud.example.org"));
    }
    let mut stderr = std::io::stderr();
    // Nothing is left to do about a stderr that cannot be written to.
    let _ = write!(stderr, "URL of the installation: ").and_then(|()| stderr.flush());
    let mut url = String::new();
    std::io::stdin().read_line(&mut url).map_err(|error| Failure::usage(format!("no URL: {error}")))?;
    Ok(url.trim().to_owned())
}

fn from_stdin() -> Result<Token> {
    let mut text = String::new();
    let read = std::io::stdin().take(64 * 1024).read_to_string(&mut text);
    read.map_err(|error| Failure::usage(format!("the token cannot be read from stdin: {error}")))?;
    Token::parse(&text)
}

/// A context is used from other directories, too.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::fs::canonicalize(path).map_err(|error| Failure::file("read the certificate authority", path, &error))
}

/// What a context is called by itself.
fn host(base: &Url) -> String {
    let host = base.host_str().unwrap_or("default");
    base.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}
