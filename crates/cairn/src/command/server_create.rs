//! `cairn server create`.

use super::action;
use crate::client::{Call, fresh_key};
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::find;
use crate::session::Session;
use crate::waiting::{self, Started, Waiting};
use clap::Args;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;
use wire::cloud::{ServerGroup, ServerWishes};
use wire::envelope::ActionLinks;
use wire::server::{Server, ServerCreate};

/// Make one server, or several that are alike
///
/// Prints the servers when they are up. A request whose answer is lost is sent again with the same idempotency key for
/// up to half a minute, so that nothing is made twice.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// What they are called; also their host names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// How big: see `cairn size list`
    #[arg(long, value_name = "SLUG")]
    size: String,
    /// What from, by slug, id or name: see `cairn image list`
    #[arg(long, value_name = "IMAGE")]
    image: String,
    /// Where: see `cairn region list`; chosen for you if not given
    #[arg(long, value_name = "SLUG")]
    region: Option<String>,
    /// A key that may log in, by id, fingerprint or name; may be repeated
    #[arg(long = "ssh-key", value_name = "KEY")]
    ssh_keys: Vec<String>,
    /// What cloud-init gets; `-` is stdin
    #[arg(long, value_name = "FILE")]
    user_data_file: Option<PathBuf>,
    /// A tag to put on them; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// The network of their private addresses, by id
    #[arg(long, value_name = "ID")]
    vpc: Option<String>,
    /// Keep them on different hosts than other servers of this group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
    /// How far the servers of the group are kept apart: `anti-affinity` (rather none at all), or `soft-anti-affinity`
    #[arg(long, value_name = "POLICY", requires = "group")]
    group_policy: Option<String>,
    /// Start them again when they die, elsewhere when their host does; not every region can
    #[arg(long)]
    high_availability: bool,
    /// Give them IPv6 addresses
    #[arg(long)]
    ipv6: bool,
    /// Give them no public address
    #[arg(long)]
    no_public: bool,
    /// Take backups of them
    #[arg(long)]
    backups: bool,
    /// Make nothing twice that was asked for with the same key and the same words within a day; a new one if not given
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// How long a lost answer is asked for again.
const ASKED_AGAIN_FOR: Duration = Duration::from_secs(30);

/// Makes servers.
pub(crate) async fn run(arguments: CreateArguments, session: &Session) -> Result<()> {
    let waiting = arguments.waiting;
    let one = arguments.names.len() == 1;
    let names = arguments.names.join(", ");
    let key = arguments.idempotency_key.clone().unwrap_or_else(fresh_key);
    let request = request(arguments, session).await?;
    let deadline = waiting.deadline();
    let span = ASKED_AGAIN_FOR.min(deadline.left());
    let call = Call::post_keyed(&[&"v2", &"droplets"], &request, &key, span)?;
    let mut answer = session.client.envelope(&call).await.map_err(|failure| not_made(failure, &names, &key))?;
    let servers: Vec<Document<Server>> =
        if one { vec![answer.take("droplet")?] } else { answer.take_list("droplets")? };
    let links = answer.take_if_there::<ActionLinks>("links")?.map(|links| links.value).unwrap_or_default();
    if waiting.no_wait {
        return print(session, &servers, one);
    }
    if links.actions.len() != servers.len() {
        return Err(Failure::new(Ending::Broken, "the server did not say which actions to wait for"));
    }
    let started: Vec<_> = servers
        .iter()
        .zip(&links.actions)
        .map(|(server, link)| Started { subject: server.value.name.clone(), action: link.id })
        .collect();
    let outcomes = waiting::actions(session, started, deadline).await?;
    let mut made = Vec::new();
    for (server, _) in servers.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
        made.push(find::server(session, &server.value.id.to_string()).await?);
    }
    let (_, failed) = action::split(outcomes);
    if !made.is_empty() {
        print(session, &made, one)?;
    }
    failed
}

/// What is known, and no more: a server that may be there is not said to be missing.
fn not_made(failure: Failure, names: &str, key: &str) -> Failure {
    if !failure.in_doubt {
        return failure.during(format!("cannot create {names}"));
    }
    let what = format!("it is not known whether {names} was ordered");
    failure.during(what).suggest(format!(
        "cairn server list; or the same command with --idempotency-key {key}, which makes nothing twice"
    ))
}

fn print(session: &Session, servers: &[Document<Server>], one: bool) -> Result<()> {
    match servers {
        [server] if one => session.printer.one(server),
        _ => session.printer.many(servers),
    }
}

async fn request(arguments: CreateArguments, session: &Session) -> Result<ServerCreate> {
    let mut names = arguments.names;
    let image = find::image_reference(session, &arguments.image).await?;
    let mut request = ServerCreate::new("", arguments.size, image);
    (request.name, request.names) = match names.pop() {
        Some(name) if names.is_empty() => (Some(name), None),
        last => (None, Some(names.into_iter().chain(last).collect())),
    };
    request.region = arguments.region;
    let mut keys = Vec::new();
    for key in &arguments.ssh_keys {
        keys.push(find::key_reference(session, key).await?);
    }
    request.ssh_keys = Some(keys).filter(|keys| !keys.is_empty());
    request.tags = Some(arguments.tags).filter(|tags| !tags.is_empty());
    request.user_data = arguments.user_data_file.as_deref().map(read).transpose()?;
    request.vpc_uuid = arguments.vpc;
    let policy = arguments.group_policy;
    let group = arguments.group.map(|name| ServerGroup { name, policy });
    let wishes = ServerWishes { group, high_availability: arguments.high_availability.then_some(true) };
    request.cloud = Some(wishes).filter(|wishes| *wishes != ServerWishes::default());
    request.ipv6 = arguments.ipv6.then_some(true);
    request.backups = arguments.backups.then_some(true);
    request.public_networking = arguments.no_public.then_some(false);
    Ok(request)
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    Ok(text)
}
