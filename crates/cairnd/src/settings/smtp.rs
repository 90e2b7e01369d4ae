//! The server for mail, as it is written down.

use super::layers::{Given, Layers};
use super::{Key, Problem, absolute, existing_file};
use std::net::IpAddr;
use std::path::PathBuf;

/// How the connection is made secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encryption {
    /// From the first byte.
    FromTheBeginning,
    /// By STARTTLS, or nothing is sent.
    Upgraded,
    /// By STARTTLS where it is offered: the server is this machine.
    IfOffered,
}

/// The server for mail.
#[derive(Clone, Debug)]
pub(crate) struct Smtp {
    /// Its name or address.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
    /// How the connection is made secret.
    pub(crate) encryption: Encryption,
    /// Who logs in, and the file with the password.
    pub(crate) login: Option<(String, PathBuf)>,
    /// Whom mails come from.
    pub(crate) from: lettre::message::Mailbox,
    /// The certificate of its authority; the machine's own ones otherwise.
    pub(crate) authority: Option<PathBuf>,
}

const FIX: &str = "write smtps://user@host:465 or smtp://user@host:587; the password stands in smtp.password_file";

/// Reads the settings that belong together. `None`: there is no server for mail.
pub(super) fn read(layers: &Layers<'_>) -> Result<Option<Smtp>, Problem> {
    let password = layers.get(Key::SmtpPasswordFile)?;
    let from = layers.get(Key::SmtpFrom)?;
    let Some(url) = layers.get(Key::SmtpUrl)? else {
        return match password.or(from) {
            Some(given) => Err(given.problem("is set, but smtp.url is not", FIX)),
            None => Ok(None),
        };
    };
    let from = from.ok_or_else(|| {
        Problem::new("smtp.url is set, but smtp.from is not", "write whom mails come from: Cairn <cloud@example.org>")
    })?;
    let place = place(&url)?;
    let login = match (place.user, password) {
        (Some(user), Some(file)) => Some((user, absolute(&file)?)),
        (None, None) => None,
        (Some(_), None) => return Err(url.problem("names a user, but smtp.password_file is not set", FIX)),
        (None, Some(file)) => return Err(file.problem("is set, but smtp.url names no user", FIX)),
    };
    Ok(Some(Smtp {
        host: place.host,
        port: place.port,
        encryption: place.encryption,
        login,
        from: from.text.parse().map_err(|_| {
            from.problem(format_args!("is {:?}, which is no address", from.text), "write Cairn <cloud@example.org>")
        })?,
        authority: layers.get(Key::SmtpAuthority)?.map(|given| existing_file(&given)).transpose()?,
    }))
}

struct Place {
    encryption: Encryption,
    user: Option<String>,
    host: String,
    port: u16,
}

/// The value may hold a password by mistake, so it is not repeated.
fn place(given: &Given) -> Result<Place, Problem> {
    let unreadable = || given.problem("is not a URL of a server for mail", FIX);
    let (scheme, rest) = given.text.split_once("://").ok_or_else(unreadable)?;
    let rest = rest.trim_end_matches('/');
    if rest.contains(['/', '?', '#', ' ']) {
        return Err(unreadable());
    }
    let (user, server) = match rest.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err(given.problem("holds a password, which would stand in a file that others read", FIX));
        }
        Some((user, server)) => (Some(user.replace("%40", "@")), server),
        None => (None, rest),
    };
    let (host, port) = match server.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => match server.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    let (encryption, usual) = match scheme {
        "smtps" => (Encryption::FromTheBeginning, 465),
        "smtp" if local => (Encryption::IfOffered, 25),
        "smtp" => (Encryption::Upgraded, 587),
        _ => return Err(unreadable()),
    };
    if host.is_empty() || user.as_deref() == Some("") {
        return Err(unreadable());
    }
    let port = port.map_or(Ok(usual), str::parse).map_err(|_| unreadable())?;
    Ok(Place { encryption, user, host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;
    use crate::arguments::Flags;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Smtp>, Problem> {
        let lookup = |name: &str| {
            let fixed = [("HOME", "/home/somebody"), ("CAIRN_DATA_DIR", "/data")];
            variables.iter().chain(&fixed).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Flags::default(), &lookup).map(|settings| settings.smtp)
    }

    fn of(url: &str) -> Result<Smtp, Problem> {
        let mut variables = vec![("CAIRN_SMTP_URL", url), ("CAIRN_SMTP_FROM", "Cairn <cloud@example.org>")];
        if url.contains('@') {
            variables.push(("CAIRN_SMTP_PASSWORD_FILE", "/etc/cairn/password"));
        }
        read(&variables).map(Option::unwrap)
    }

    #[test]
    fn without_a_server_there_is_none() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("CAIRN_SMTP_FROM", "a@example.org")]).is_err());
        assert!(read(&[("CAIRN_SMTP_URL", "smtp://mail.example.org")]).is_err(), "from whom?");
    }

    #[test]
    fn a_server_is_written_as_a_url() {
        let smtp = of("smtps://cloud%40example.org@mail.example.org").unwrap();
        assert_eq!(
            (smtp.host.as_str(), smtp.port, smtp.encryption),
            ("mail.example.org", 465, Encryption::FromTheBeginning)
        );
        assert_eq!(smtp.login.unwrap().0, "cloud@example.org");
        let smtp = of("smtp://mail.example.org:2525").unwrap();
        assert_eq!((smtp.port, smtp.encryption), (2525, Encryption::Upgraded));
        assert!(smtp.login.is_none());
        for local in ["smtp://localhost", "smtp://127.0.0.1/", "smtp://[::1]"] {
            assert_eq!(of(local).unwrap().encryption, Encryption::IfOffered, "{local}");
        }
        for bad in ["mail.example.org", "http://a", "smtps://", "smtps://a:b", "smtps://@host", "smtps://host/path"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_in_the_url_is_refused_and_not_repeated() {
        let problem = of("smtps://cloud:hunter2@mail.example.org").unwrap_err().to_string();
        assert!(problem.contains("password") && !problem.contains("hunter2"), "{problem}");
    }
}
