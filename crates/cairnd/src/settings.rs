//! What this process was told: checked once, at the start, so that nothing can turn out to be wrong later.

mod key;
mod layers;
mod smtp;

pub(crate) use key::Key;
pub(crate) use smtp::{Encryption, Smtp};

use crate::arguments::Flags;
use layers::{Given, Layers};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Something is wrong with the configuration: what, where it was written, and what to write instead.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  {fix}")]
pub(crate) struct Problem {
    what: String,
    fix: String,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), fix: fix.into() }
    }
}

/// A value that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The value.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// How guests of this host are connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Networking {
    /// Bridged as root, otherwise user-mode.
    Auto,
    /// A bridge per network, with addresses of our own.
    Bridged,
    /// Behind QEMU's own translation, SSH through a forwarded port.
    User,
}

/// Whether `cairnd dev` offers a region on a simulated cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Demo {
    /// It does not.
    Off,
    /// Beside the regions of the catalogue.
    Beside,
    /// And no other.
    Alone,
}

/// How log records are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The operator's own certificate.
#[derive(Clone, Debug)]
pub(crate) struct CertificateFiles {
    /// The chain, leaf first, PEM.
    pub(crate) certificate: PathBuf,
    /// The leaf's key, PEM.
    pub(crate) key: PathBuf,
}

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The daemon's own directory.
    pub(crate) data_dir: PathBuf,
    /// Where PostgreSQL is; `cairnd dev` brings its own.
    pub(crate) database_url: Option<Secret>,
    /// At most this many connections to it.
    pub(crate) database_connections: u32,
    /// How clients reach us, without a trailing slash.
    pub(crate) public_url: String,
    /// The operator's catalogue; the built-in one otherwise.
    pub(crate) catalogue: Option<PathBuf>,
    /// Images of the catalogue that are files on this host: slug and path.
    pub(crate) image_files: BTreeMap<String, String>,
    /// Where the key is that seals the secrets of regions; in the daemon's own directory otherwise.
    pub(crate) secret_key_file: Option<PathBuf>,
    /// Whether `cairnd dev` offers a simulated region.
    pub(crate) demo: Demo,
    /// Plain HTTP.
    pub(crate) listen_http: Option<SocketAddr>,
    /// HTTPS.
    pub(crate) listen_https: Option<SocketAddr>,
    /// Plain HTTP for health and figures of a process that does not serve the API.
    pub(crate) listen_metrics: Option<SocketAddr>,
    /// The operator's certificate; one of our own otherwise.
    pub(crate) certificate: Option<CertificateFiles>,
    /// Where guests of this host are kept.
    pub(crate) qemu_state_dir: PathBuf,
    /// How they are connected.
    pub(crate) qemu_networking: Networking,
    /// Workflows carried forward at once.
    pub(crate) work_concurrency: usize,
    /// How long a workflow's lease outlives a worker that died.
    pub(crate) work_lease: std::time::Duration,
    /// How long workflows that have ended, and events, are kept.
    pub(crate) retention: std::time::Duration,
    /// How mails are sent; without it, they wait.
    pub(crate) smtp: Option<Smtp>,
    /// Requests that one token may make in an hour.
    pub(crate) requests_per_hour: u32,
    /// Requests that one token may make in a minute.
    pub(crate) requests_per_minute: u32,
    /// How log records are written.
    pub(crate) log_format: LogFormat,
    /// Which are.
    pub(crate) log_filter: String,
}

impl Settings {
    /// Reads all layers. `variables` is the environment.
    pub(crate) fn read(flags: &Flags, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, Problem> {
        let layers = Layers::read(flags, variables)?;
        let data_dir = match layers.get(Key::DataDir)? {
            Some(given) => absolute(&given)?,
            None => default_data_dir(variables)?,
        };
        let usual = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let listen_http = address(&layers, Key::ListenHttp, 8080, usual(8080))?;
        let listen_https = address(&layers, Key::ListenHttps, 8443, usual(8443))?;
        Ok(Self {
            database_url: layers.get(Key::DatabaseUrl)?.map(database_url).transpose()?,
            database_connections: number(&layers, Key::DatabaseConnections, 16, 2..=1000)?,
            public_url: match layers.get(Key::PublicUrl)? {
                Some(given) => public_url(&given)?,
                None => default_public_url(listen_http, listen_https),
            },
            catalogue: layers.get(Key::Catalogue)?.map(|given| existing_file(&given)).transpose()?,
            image_files: layers.get(Key::ImageFiles)?.map(|given| image_files(&given)).transpose()?.unwrap_or_default(),
            secret_key_file: layers.get(Key::SecretKeyFile)?.map(|given| absolute(&given)).transpose()?,
            demo: word(&layers, Key::Demo, &[("off", Demo::Off), ("beside", Demo::Beside), ("alone", Demo::Alone)])?,
            listen_http,
            listen_https,
            listen_metrics: address(&layers, Key::ListenMetrics, 9464, None)?,
            certificate: certificate(&layers)?,
            qemu_state_dir: match layers.get(Key::QemuStateDir)? {
                Some(given) => absolute(&given)?,
                None => data_dir.join("qemu"),
            },
            qemu_networking: word(
                &layers,
                Key::QemuNetworking,
                &[("auto", Networking::Auto), ("bridged", Networking::Bridged), ("user", Networking::User)],
            )?,
            work_concurrency: number::<u16>(&layers, Key::WorkConcurrency, 16, 1..=1024)?.into(),
            work_lease: std::time::Duration::from_secs(
                number::<u32>(&layers, Key::WorkLeaseSeconds, 30, 1..=600)?.into(),
            ),
            retention: std::time::Duration::from_secs(
                u64::from(number::<u16>(&layers, Key::RetentionDays, 30, 1..=3650)?) * 24 * 3600,
            ),
            smtp: smtp::read(&layers)?,
            requests_per_hour: number(&layers, Key::LimitsRequestsPerHour, 5000, 1..=u32::MAX)?,
            requests_per_minute: number(&layers, Key::LimitsRequestsPerMinute, 250, 1..=u32::MAX)?,
            log_format: word(&layers, Key::LogFormat, &[("text", LogFormat::Text), ("json", LogFormat::Json)])?,
            log_filter: log_filter(&layers)?,
            data_dir,
        })
    }

    /// The database's URL, or how to give one.
    pub(crate) fn require_database(&self) -> Result<&str, Problem> {
        self.database_url.as_ref().map(Secret::reveal).ok_or_else(|| {
            Problem::new(
                "database_url is not set",
                "set DATABASE_URL=postgres://user:password@host/cairn in the environment or database_url in the \
                 configuration file; `cairnd dev` brings a PostgreSQL of its own",
            )
        })
    }
}

fn default_data_dir(variables: &dyn Fn(&str) -> Option<String>) -> Result<PathBuf, Problem> {
    if nix::unistd::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/cairn"));
    }
    variables("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| variables("HOME").map(|home| PathBuf::from(home).join(".local/share")))
        .map(|directory| directory.join("cairn"))
        .ok_or_else(|| {
            Problem::new("data_dir is not set and there is no HOME", "give --data-dir, or set HOME or XDG_DATA_HOME")
        })
}

fn absolute(given: &Given) -> Result<PathBuf, Problem> {
    std::path::absolute(&given.text)
        .map_err(|error| given.problem(format_args!("is not a path: {error}"), "write an absolute path"))
}

fn existing_file(given: &Given) -> Result<PathBuf, Problem> {
    let path = absolute(given)?;
    match std::fs::File::open(&path).and_then(|file| file.metadata()) {
        Ok(metadata) if metadata.is_file() => Ok(path),
        Ok(_) => Err(given.problem(format_args!("names {}, which is not a file", path.display()), "name a file")),
        Err(error) => Err(given.problem(
            format_args!("names {}, which cannot be read: {error}", path.display()),
            "check the path and the file's permissions",
        )),
    }
}

fn image_files(given: &Given) -> Result<BTreeMap<String, String>, Problem> {
    let pair = |pair: &str| match pair.trim().split_once('=') {
        Some((slug, file)) if !slug.is_empty() && file.starts_with('/') => Ok((slug.to_owned(), file.to_owned())),
        _ => Err(given.problem(
            format_args!("has {pair:?}, which is not an image with its file"),
            "write debian-12-x64=/path/to/image.qcow2; several are separated by commas",
        )),
    };
    given.text.split(',').filter(|text| !text.trim().is_empty()).map(pair).collect()
}

/// An address; `port` is what one may look like.
fn address(layers: &Layers<'_>, key: Key, port: u16, usual: Option<SocketAddr>) -> Result<Option<SocketAddr>, Problem> {
    let Some(given) = layers.get(key)? else { return Ok(usual) };
    if given.text == "off" {
        return Ok(None);
    }
    given.text.parse().map(Some).map_err(|_| {
        given.problem(
            format_args!("is {:?}, which is not an address with a port", given.text),
            format!("write 127.0.0.1:{port}, 0.0.0.0:{port} or [::]:{port}, or off"),
        )
    })
}

/// A URL of PostgreSQL. Its own programs let the host be empty where `host=` names the directory of a socket
/// (`postgres://user@/database?host=/run/postgresql`); what reads it here wants a host, which `host=` then replaces.
fn database_url(given: Given) -> Result<Secret, Problem> {
    let fix = "write postgres://user:password@host:5432/database, or \
               postgres://user@/database?host=/run/postgresql for a socket";
    let rest = given.text.split_once("://").filter(|(scheme, _)| ["postgres", "postgresql"].contains(scheme));
    // The value may hold a password, so it is not repeated.
    let Some((scheme, rest)) = rest else { return Err(given.problem("is not a PostgreSQL URL", fix)) };
    let (authority, place) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let without_host = authority.rsplit_once('@').filter(|(_, host)| host.is_empty() || host.starts_with(':'));
    let Some((account, port)) = without_host else { return Ok(Secret(given.text)) };
    if !place.contains("?host=") && !place.contains("&host=") {
        return Err(given.problem("names no host", fix));
    }
    Ok(Secret(format!("{scheme}://{account}@localhost{port}{place}")))
}

fn public_url(given: &Given) -> Result<String, Problem> {
    let url = given.text.trim_end_matches('/');
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']) => Ok(url.to_owned()),
        _ => Err(given.problem(
            format_args!("is {:?}, which is not a URL of a host", given.text),
            "write https://cloud.example.org or https://cloud.example.org:8443, without a path",
        )),
    }
}

fn default_public_url(http: Option<SocketAddr>, https: Option<SocketAddr>) -> String {
    let (scheme, address) = match (https, http) {
        (Some(address), _) => ("https", address),
        (None, Some(address)) => ("http", address),
        (None, None) => return "http://localhost".to_owned(),
    };
    // Nobody can connect to the wildcard address, so a link names the machine instead.
    match address.ip() {
        ip if ip.is_unspecified() => format!("{scheme}://{}:{}", host_name(), address.port()),
        IpAddr::V4(ip) => format!("{scheme}://{ip}:{}", address.port()),
        IpAddr::V6(ip) => format!("{scheme}://[{ip}]:{}", address.port()),
    }
}

/// This machine's name, as it calls itself.
pub(crate) fn host_name() -> String {
    nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok()).unwrap_or_else(|| "localhost".to_owned())
}

fn certificate(layers: &Layers<'_>) -> Result<Option<CertificateFiles>, Problem> {
    match (layers.get(Key::TlsCertificate)?, layers.get(Key::TlsSecret)?) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => {
            Ok(Some(CertificateFiles { certificate: existing_file(&certificate)?, key: existing_file(&key)? }))
        }
        (Some(given), None) => Err(given.problem("is set, but tls.key is not", "set both, or neither")),
        (None, Some(given)) => Err(given.problem("is set, but tls.certificate is not", "set both, or neither")),
    }
}

fn number<N>(layers: &Layers<'_>, key: Key, default: N, range: std::ops::RangeInclusive<N>) -> Result<N, Problem>
where
    N: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let Some(given) = layers.get(key)? else { return Ok(default) };
    match given.text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(given.problem(
            format_args!("is {:?}, which is not a number that it can be", given.text),
            format!("write a whole number from {} to {}", range.start(), range.end()),
        )),
    }
}

/// The first choice is the default.
fn word<T: Copy>(layers: &Layers<'_>, key: Key, choices: &[(&str, T)]) -> Result<T, Problem> {
    let Some(given) = layers.get(key)? else { return Ok(choices[0].1) };
    if let Some((_, choice)) = choices.iter().find(|(name, _)| *name == given.text) {
        return Ok(*choice);
    }
    let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
    Err(given.problem(
        format_args!("is {:?}, which is none of its choices", given.text),
        format!("write one of: {}", names.join(", ")),
    ))
}

fn log_filter(layers: &Layers<'_>) -> Result<String, Problem> {
    let Some(given) = layers.get(Key::LogFilter)? else { return Ok("info,sqlx=warn".to_owned()) };
    match given.text.parse::<tracing_subscriber::EnvFilter>() {
        Ok(_) => Ok(given.text),
        Err(error) => Err(given.problem(
            format_args!("is {:?}: {error}", given.text),
            "write a level (error, warn, info, debug, trace) or a list such as info,store=debug",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Problem> {
        let lookup = |name: &str| {
            let fixed = [("HOME", "/home/somebody"), ("CAIRN_DATA_DIR", "/data")];
            variables.iter().chain(&fixed).find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Flags::default(), &lookup)
    }

    #[test]
    fn defaults_listen_on_this_machine_only() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.listen_http.unwrap().to_string(), "127.0.0.1:8080");
        assert_eq!(settings.public_url, "https://127.0.0.1:8443");
        assert_eq!(settings.qemu_state_dir, PathBuf::from("/data/qemu"));
        assert_eq!(settings.listen_metrics, None, "nobody hears of a worker's figures unasked");
    }

    #[test]
    fn a_listener_can_be_off() {
        let settings = read(&[("CAIRN_LISTEN_HTTPS", "off")]).unwrap();
        assert_eq!(settings.listen_https, None);
        assert_eq!(settings.public_url, "http://127.0.0.1:8080");
    }

    #[test]
    fn a_public_url_has_no_path_and_loses_its_slash() {
        assert_eq!(read(&[("CAIRN_PUBLIC_URL", "https://c.example/")]).unwrap().public_url, "https://c.example");
        assert!(read(&[("CAIRN_PUBLIC_URL", "https://c.example/v2")]).is_err());
        assert!(read(&[("CAIRN_PUBLIC_URL", "c.example")]).is_err());
    }

    #[test]
    fn a_databases_socket_is_written_as_postgresqls_programs_take_it() {
        let url =
            |text: &str| read(&[("DATABASE_URL", text)]).map(|read| read.database_url.unwrap().reveal().to_owned());
        let socket = "host=/run/postgresql";
        for (written, read) in [
            (format!("postgres://cairn@/cairn?{socket}"), format!("postgres://cairn@localhost/cairn?{socket}")),
            (
                format!("postgresql://a:b@:5433/c?x=y&{socket}"),
                format!("postgresql://a:b@localhost:5433/c?x=y&{socket}"),
            ),
        ] {
            assert_eq!(url(&written).unwrap(), read);
        }
        for usual in ["postgres:///cairn?host=/run", "postgres://cairn:b@db:5432/cairn", "postgres://db/cairn"] {
            assert_eq!(url(usual).unwrap(), usual);
        }
        let problem = url("postgres://cairn:hunter2@/cairn").unwrap_err().to_string();
        assert!(problem.contains("names no host") && !problem.contains("hunter2"), "{problem}");
    }

    #[test]
    fn a_password_is_never_repeated() {
        let problem = read(&[("DATABASE_URL", "mysql://cairn:hunter2@db/cairn")]).unwrap_err();
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
        let settings = read(&[("DATABASE_URL", "postgres://cairn:hunter2@db/cairn")]).unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn every_setting_is_documented_under_its_own_name() {
        let page = include_str!("../../../docs/configuration.md");
        for key in Key::ALL {
            assert!(page.contains(&format!("`{}`", key.name())), "{} is not in docs/configuration.md", key.name());
            assert!(page.contains(&format!("`{}`", key.variable())), "{} is not in it either", key.variable());
        }
    }
}
