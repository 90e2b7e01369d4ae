//! `cairn admin storage`, `template` and `server`: what is mostly looked at.

use super::{below, get};
use crate::client::Call;
use crate::failure::Result;
use crate::find;
use crate::print::{Shown, size};
use crate::session::Session;
use clap::{Args, Subcommand};
use wire::admin::{PlacedServer, Storage, Template, TemplateFetch, TemplateFetching};

/// A region to narrow a list to.
#[derive(Debug, Args)]
pub(super) struct InRegion {
    /// Only what is in this region
    #[arg(long, value_name = "SLUG")]
    pub(super) region: Option<String>,
}

/// What can be done with storages.
#[derive(Debug, Subcommand)]
pub(super) enum StorageCommand {
    /// List storages as they were last seen
    List(InRegion),
}

impl Shown for Storage {
    const COLUMNS: &'static [&'static str] =
        &["REGION", "NAME", "HOST", "TECHNIQUE", "CONTENT", "USED", "TOTAL", "ONLINE", "FOR SERVERS"];

    fn row(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.name.clone(),
            self.host.clone().unwrap_or_else(|| "all".to_owned()),
            self.technique.clone(),
            self.content.join(", "),
            size(self.used_bytes),
            size(self.total_bytes),
            yes(self.online),
            yes(self.used_for_guests),
        ]
    }

    fn word(&self) -> String {
        self.name.clone()
    }
}

/// Lists storages.
pub(super) async fn storages(command: StorageCommand, session: &Session) -> Result<()> {
    let StorageCommand::List(of) = command;
    let call = get(&[&"storages"]).query_if("region", of.region);
    session.printer.many(&session.client.list::<Storage>(&call, "storages").await?)
}

/// What can be done with templates.
#[derive(Debug, Subcommand)]
pub(super) enum TemplateCommand {
    /// List the images of the catalogue in each region, and whether their bytes are there
    List(InRegion),
    /// Bring an image's bytes to a region before the first server needs them
    Fetch {
        /// The image's slug or id
        image: String,
        /// The region
        #[arg(long, value_name = "SLUG")]
        region: String,
    },
}

impl Shown for Template {
    const COLUMNS: &'static [&'static str] =
        &["REGION", "IMAGE", "SLUG", "NAME", "DISTRIBUTION", "THERE", "SIZE", "SEEN"];

    fn row(&self) -> Vec<String> {
        vec![
            self.region.clone(),
            self.image_id.to_string(),
            self.slug.clone().unwrap_or_default(),
            self.name.clone(),
            self.distribution.clone(),
            yes(self.at_hand),
            self.stored_bytes.map(size).unwrap_or_default(),
            self.seen_at.map(|time| time.to_string()).unwrap_or_default(),
        ]
    }

    fn word(&self) -> String {
        self.slug.clone().unwrap_or_else(|| self.image_id.to_string())
    }
}

/// Lists or fetches templates.
pub(super) async fn templates(command: TemplateCommand, session: &Session) -> Result<()> {
    match command {
        TemplateCommand::List(of) => {
            let call = get(&[&"templates"]).query_if("region", of.region);
            session.printer.many(&session.client.list::<Template>(&call, "templates").await?)
        }
        TemplateCommand::Fetch { image, region } => {
            let call = get(&[&"templates"]).query("region", &region);
            let known = session.client.list::<Template>(&call, "templates").await?;
            let found = known.into_iter().filter(|one| {
                one.value.slug.as_deref() == Some(image.as_str()) || one.value.image_id.to_string() == image
            });
            let found = find::only(found.collect(), &image, |one| one.image_id.to_string())
                .map_err(|failure| failure.during(format!("image {image} in {region}")))?
                .value;
            if found.at_hand {
                session.progress.say(&format!("{image} is in {region} already"));
                return Ok(());
            }
            let body = TemplateFetch { region: region.clone(), image_id: found.image_id };
            let call = Call::post(&below(&[&"templates"]), &body)?.repeatable();
            session.client.whole::<TemplateFetching>(&call).await?;
            session
                .progress
                .say(&format!("{image} is on its way to {region}; cairn admin template list --region {region}"));
            Ok(())
        }
    }
}

/// What can be done with servers of all teams.
#[derive(Debug, Subcommand)]
pub(super) enum ServerCommand {
    /// List servers of all teams: where they stand and whose they are
    List(ServerListArguments),
}

/// What the list is narrowed to.
#[derive(Debug, Args)]
pub(super) struct ServerListArguments {
    /// Only those in this region
    #[arg(long, value_name = "SLUG")]
    region: Option<String>,
    /// Only those on this host, by id or name
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only those of this team, by id
    #[arg(long, value_name = "ID")]
    team: Option<String>,
}

impl Shown for PlacedServer {
    const COLUMNS: &'static [&'static str] =
        &["ID", "NAME", "STATUS", "TEAM", "REGION", "HOST", "SIZE", "ADDRESS", "CREATED"];

    fn row(&self) -> Vec<String> {
        vec![
            self.id.to_string(),
            self.name.clone(),
            self.status.clone(),
            self.team.clone(),
            self.region.clone(),
            self.host.clone().unwrap_or_default(),
            self.size.clone(),
            self.address.map(|address| address.to_string()).unwrap_or_default(),
            self.created_at.to_string(),
        ]
    }

    fn word(&self) -> String {
        self.id.to_string()
    }
}

/// Lists servers.
pub(super) async fn servers(command: ServerCommand, session: &Session) -> Result<()> {
    let ServerCommand::List(arguments) = command;
    let host = match &arguments.host {
        Some(host) => Some(super::host::find(session, host, arguments.region.as_deref()).await?.value.id),
        None => None,
    };
    let call = get(&[&"servers"]).query_if("region", arguments.region).query_if("host_id", host);
    let call = call.query_if("team_id", arguments.team);
    session.printer.many(&session.client.list::<PlacedServer>(&call, "servers").await?)
}

/// A server of any team, by id or by a name that only one has.
pub(super) async fn find_server(session: &Session, text: &str) -> Result<PlacedServer> {
    let mut all = session.client.list::<PlacedServer>(&get(&[&"servers"]), "servers").await?;
    all.retain(|one| one.value.id.to_string() == text || one.value.name == text);
    let by_id = all.iter().position(|one| one.value.id.to_string() == text);
    let found = match by_id {
        Some(index) => Ok(all.swap_remove(index)),
        None => find::only(all, text, |one| one.id.to_string()),
    };
    Ok(found.map_err(|failure| failure.during(format!("server {text}")))?.value)
}

pub(super) fn yes(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
