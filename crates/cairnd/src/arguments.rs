//! The command line. Everything here can also stand in the configuration file or the environment; secrets can
//! stand only there, because every user of a machine can read every process's arguments.

use crate::settings::Key;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Cairn's daemon: turns the machines you already have into a cloud.
#[derive(Parser, Debug)]
#[command(name = "cairnd", version, max_term_width = 100)]
pub(crate) struct Arguments {
    /// What to run.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) flags: Flags,
}

/// The roles, which share nothing but the database, so that each may run any number of times, anywhere; and what is done
/// once.
#[derive(Subcommand, Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Answer the API.
    Serve,
    /// Carry out what was asked: run the workflows.
    Work,
    /// Look at the regions and record what is there.
    Observe,
    /// Bring the database up to this version and apply the catalogue, then exit.
    Migrate,
    /// Everything on this machine with a private PostgreSQL: a whole cloud in one command.
    Dev,
    /// Make, list and revoke the tokens of operators, then exit.
    #[command(subcommand)]
    OperatorToken(OperatorTokenCommand),
}

/// What can be done with operators' tokens.
#[derive(Subcommand, Debug, Clone, PartialEq, Eq)]
pub(crate) enum OperatorTokenCommand {
    /// Make a token and print its secret, once, on stdout.
    Create {
        /// Who is going to use it.
        #[arg(long)]
        name: String,
        /// What it may do, such as region:read; may be repeated [default: everything].
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// How many days it is valid [default: until it is revoked].
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
    },
    /// List the tokens, never their secrets.
    List,
    /// Revoke a token: its next request is refused.
    Revoke {
        /// Its id, as list shows it.
        id: String,
    },
}

/// Flags that every command takes. A flag wins over the environment, which wins over the file.
#[derive(Args, Debug, Default)]
pub(crate) struct Flags {
    /// Configuration file [default: ~/.config/cairn/cairnd.toml, then /etc/cairn/cairnd.toml].
    #[arg(long, global = true, env = "CAIRN_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where this daemon keeps its certificate authority and, with `dev`, everything else.
    #[arg(long, global = true, value_name = "DIRECTORY")]
    data_dir: Option<String>,
    /// Address for HTTP, or off [default: 127.0.0.1:8080].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen_http: Option<String>,
    /// Address for HTTPS, or off [default: 127.0.0.1:8443].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen_https: Option<String>,
    /// Address for HTTP at which `work` and `observe` tell health and figures, or off [default: off].
    #[arg(long, global = true, value_name = "ADDRESS:PORT")]
    listen_metrics: Option<String>,
    /// How clients reach this installation; used for links in answers [default: from the listeners].
    #[arg(long, global = true, value_name = "URL")]
    public_url: Option<String>,
    /// Regions, sizes, images and prices as TOML [default: built in].
    #[arg(long, global = true, value_name = "FILE")]
    catalogue: Option<String>,
    /// Take a catalogue image from a file of this host instead of fetching it; may be repeated.
    #[arg(long, global = true, value_name = "SLUG=FILE")]
    image_file: Vec<String>,
    /// With `dev`: offer a region on a simulated Proxmox VE cluster: off, beside the others, or alone [default: off].
    #[arg(long, global = true, value_name = "MODE")]
    demo: Option<String>,
    /// How guests of this host are connected: auto, bridged or user [default: auto].
    #[arg(long, global = true, value_name = "MODE")]
    qemu_networking: Option<String>,
    /// How many workflows one process carries forward at once [default: 16].
    #[arg(long, global = true, value_name = "N")]
    work_concurrency: Option<String>,
    /// text or json [default: text].
    #[arg(long, global = true, value_name = "FORMAT")]
    log_format: Option<String>,
    /// Which records are logged, e.g. debug or info,store=trace [default: info,sqlx=warn].
    #[arg(long, global = true, value_name = "FILTER")]
    log_filter: Option<String>,
}

impl Flags {
    /// What was given on the command line for this setting.
    pub(crate) fn value(&self, key: Key) -> Option<String> {
        let flag = match key {
            Key::DataDir => self.data_dir.as_deref(),
            Key::ListenHttp => self.listen_http.as_deref(),
            Key::ListenHttps => self.listen_https.as_deref(),
            Key::ListenMetrics => self.listen_metrics.as_deref(),
            Key::PublicUrl => self.public_url.as_deref(),
            Key::Catalogue => self.catalogue.as_deref(),
            Key::Demo => self.demo.as_deref(),
            Key::QemuNetworking => self.qemu_networking.as_deref(),
            Key::WorkConcurrency => self.work_concurrency.as_deref(),
            Key::LogFormat => self.log_format.as_deref(),
            Key::LogFilter => self.log_filter.as_deref(),
            Key::ImageFiles if self.image_file.is_empty() => None,
            Key::ImageFiles => return Some(self.image_file.join(",")),
            _ => None,
        };
        flag.map(str::to_owned)
    }
}
