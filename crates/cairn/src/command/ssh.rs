//! `cairn server ssh`.

use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::find;
use crate::print::{Output, Shown};
use crate::session::Session;
use clap::Args;
use model::states::ServerStatus;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use wire::cloud::SshEndpoint;
use wire::server::{NetworkKind, Server};

/// How long a booting server is waited for.
const PATIENCE: Duration = Duration::from_secs(180);
/// How long one try may take.
const GREETING: Duration = Duration::from_secs(5);
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);

/// Log in to a server, or run a command on it, with this machine's ssh
///
/// The exit code is that of ssh, which is that of the command. A server's host key is remembered under the server's
/// id, because addresses and ports are used again by others: the first one is accepted, a changed one is not, unless
/// the server was rebuilt in between.
#[derive(Debug, Args)]
pub(crate) struct SshArguments {
    /// Which one, by id or name
    server: String,
    /// The account to log in to, if it is not the image's
    #[arg(short, long)]
    user: Option<String>,
    /// The private key to log in with
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
    /// Something from ssh_config(5), such as ConnectTimeout=5; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE")]
    options: Vec<String>,
    /// Do not wait until the server answers, which takes a moment after it was started
    #[arg(long)]
    no_wait: bool,
    /// Print the command and do not run it; with -o json, where to connect to
    #[arg(long)]
    print: bool,
    /// What to run there; without it, a shell
    #[arg(last = true)]
    command: Vec<String>,
}

impl Shown for SshEndpoint {
    const COLUMNS: &'static [&'static str] = &["HOST", "PORT", "USER"];

    fn row(&self) -> Vec<String> {
        vec![self.host.clone(), self.port.to_string(), self.user.clone()]
    }

    fn word(&self) -> String {
        self.host.clone()
    }
}

/// Becomes ssh.
pub(crate) async fn run(arguments: SshArguments, session: &Session) -> Result<()> {
    let server = find::server(session, &arguments.server).await?.value;
    let mut endpoint = endpoint(&server)?;
    if let Some(user) = arguments.user.clone() {
        endpoint.user = user;
    }
    for part in [&endpoint.host, &endpoint.user] {
        if part.is_empty() || part.starts_with('-') || part.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(Failure::new(Ending::Broken, format!("`{part}` is neither a host nor a user for ssh")));
        }
    }
    if arguments.print && session.printer.output != Output::Table {
        return session.printer.one(&Document::of(endpoint)?);
    }
    let words = words(&server, &endpoint, &arguments);
    if arguments.print {
        let quoted: Vec<_> = std::iter::once("ssh".to_owned()).chain(words.iter().map(|word| quote(word))).collect();
        return session.printer.text(&format!("{}\n", quoted.join(" ")));
    }
    if server.status == ServerStatus::Off {
        let sentence = format!("{} is stopped", server.name);
        return Err(Failure::new(Ending::Refused, sentence).suggest(format!("cairn server start {}", server.id)));
    }
    if !arguments.no_wait && !answers_in_time(&endpoint, session).await {
        session.progress.say(&format!("{} does not answer; ssh says why", endpoint.host));
    }
    session.progress.finish();
    become_ssh(&words)
}

/// Waits for the first bytes of an SSH server. A server that was just started boots for a while, and a forwarded port
/// is open before anything stands behind it, so a connection alone says nothing.
async fn answers_in_time(endpoint: &SshEndpoint, session: &Session) -> bool {
    let patience_ends = tokio::time::Instant::now() + PATIENCE;
    let mut told = false;
    loop {
        let greeted = tokio::time::timeout(GREETING, async {
            let mut stream = tokio::net::TcpStream::connect((endpoint.host.as_str(), endpoint.port)).await?;
            let mut greeting = [0; 4];
            stream.read_exact(&mut greeting).await.map(|_| greeting == *b"SSH-")
        });
        if matches!(greeted.await, Ok(Ok(true))) {
            return true;
        }
        if tokio::time::Instant::now() > patience_ends {
            return false;
        }
        if !told {
            session.progress.say(&format!("waiting for SSH at {}:{} ...", endpoint.host, endpoint.port));
            told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Where SSH answers: what the server says of itself, otherwise its public address.
fn endpoint(server: &Server) -> Result<SshEndpoint> {
    if let Some(ssh) = server.cloud.as_ref().and_then(|cloud| cloud.ssh.clone()) {
        return Ok(ssh);
    }
    let v4 = server.networks.v4.iter().find(|v4| v4.kind == NetworkKind::Public).map(|v4| v4.ip_address.to_string());
    let v6 = server.networks.v6.first().map(|v6| v6.ip_address.to_string());
    let Some(host) = v4.or(v6) else {
        let sentence = format!("{} has no address yet at which it can be reached ({})", server.name, server.status);
        return Err(Failure::new(Ending::Refused, sentence).suggest(format!("cairn server get {}", server.id)));
    };
    Ok(SshEndpoint { host, port: 22, user: "root".to_owned() })
}

fn words(server: &Server, endpoint: &SshEndpoint, arguments: &SshArguments) -> Vec<String> {
    let mut words = vec!["-p".to_owned(), endpoint.port.to_string(), "-l".to_owned(), endpoint.user.clone()];
    let alias = alias(server);
    // What comes first counts for ssh, so the person's own options stand in front.
    let own = [format!("HostKeyAlias={alias}"), "StrictHostKeyChecking=accept-new".to_owned()];
    for option in arguments.options.iter().chain(&own) {
        words.extend(["-o".to_owned(), option.clone()]);
    }
    if let Some(identity) = &arguments.identity {
        words.extend(["-i".to_owned(), identity.display().to_string()]);
    }
    words.extend(["--".to_owned(), endpoint.host.clone()]);
    words.extend(arguments.command.iter().cloned());
    words
}

/// The name under which the host key is remembered: of one disk of one server. With the time, because another
/// installation, or the same one made anew, counts its ids from one, too; with the incarnation, because a disk that is
/// made anew has a new key. Of what the server says only letters, digits and dashes are taken, because ssh reads
/// patterns.
fn alias(server: &Server) -> String {
    let alias = format!("cairn-{}-{}", server.id, server.created_at.timestamp().as_second());
    let incarnation = server.cloud.as_ref().map(|cloud| cloud.incarnation.as_str()).unwrap_or_default();
    let plain: String = incarnation.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(64).collect();
    match plain.as_str() {
        "" | "first" => alias,
        again => format!("{alias}-{again}"),
    }
}

/// Only returns if it could not be done.
#[cfg(unix)]
fn become_ssh(words: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;
    let mut command = tokio::process::Command::new("ssh");
    let error = command.args(words).as_std_mut().exec();
    Err(Failure::new(Ending::Refused, format!("ssh cannot be started: {error}"))
        .suggest("install OpenSSH's client, or use --print to see where to connect to"))
}

#[cfg(not(unix))]
fn become_ssh(_: &[String]) -> Result<()> {
    Err(Failure::new(Ending::Refused, "ssh cannot be started from here").suggest("--print"))
}

/// A word for a POSIX shell.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::quote;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quote("uptime"), "uptime");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }
}
