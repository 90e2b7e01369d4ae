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
    let environment = Environment::read()?.choice;
    let base = client::base(&match global.url.clone().or(environment.url) {
        Some(url) => url,
        None => ask_url()?,
    })?;
    let ca = global.ca.clone().or(environment.ca).map(|path| absolute(&path)).transpose()?;
    warn_if_exposed(&base, &progress);
    let token = match arguments.token_file {
        Some(path) if path != Path::new("-") => {
            Token::parse(&std::fs::read_to_string(&path).map_err(|error| Failure::file("read", &path, &error))?)?
        }
        None if std::io::stdin().is_terminal() => {
            let asked = rpassword::prompt_password("Token: ");
            Token::parse(&asked.map_err(|error| Failure::usage(format!("the token cannot be asked for: {error}")))?)?
        }
        _ => from_stdin()?,
    };
    let client = Client::new(base.clone(), token.clone(), ca.as_deref(), Rc::clone(&progress))?;
    let account = client.one::<Account>(&Call::get(&[&"v2", &"account"]), "account").await?.value;
    let name = global.context.clone().unwrap_or_else(|| host(&base));
    let path = contexts::path()?;
    let mut contexts = Contexts::read(&path)?;
    let url = base.to_string().trim_end_matches('/').to_owned();
    contexts.all.insert(name.clone(), Context { url: url.clone(), ca, token });
    contexts.current = Some(name.clone());
    contexts.write(&path)?;
    let team = account.team.map_or(account.email, |team| team.name);
    progress.say(&format!("Logged in to {url} for {team}. The context `{name}` is used from now on."));
    Ok(())
}

fn ask_url() -> Result<String> {
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
