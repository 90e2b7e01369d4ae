//! `cairn admin region`: where servers can stand.

use super::add::{self, AddArguments};
use super::ask::Asker;
use super::findings::judge;
use super::policy::{self, Policy};
use super::proxmox::{Cluster, Network, address, entry};
use super::things::yes;
use super::{below, get, secret};
use crate::client::Call;
use crate::command::confirmation::Confirmation;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::print::Shown;
use crate::session::Session;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};
use std::path::Path;
use wire::admin::{ConnectionState, Region, RegionTest, RegionUpdate, Template};

/// What can be done with regions.
#[derive(Debug, Subcommand)]
pub(super) enum RegionCommand {
    /// List regions, and how they are reached
    List,
    /// Show a region; never its secret
    Get {
        /// Which one
        region: String,
    },
    /// Connect a cluster
    Add(Box<AddArguments>),
    /// Look whether everything is there that making servers takes; changes nothing
    ///
    /// Ends with 1 if something has to be mended.
    Test {
        /// Which one
        region: String,
    },
    /// Change a region; what is not said stays as it is
    Edit(Box<EditArguments>),
    /// Disconnect a region; nothing is deleted there, and nothing of ours may stand there any more
    Remove {
        /// Which one
        region: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// What is changed.
#[derive(Debug, Args)]
pub(super) struct EditArguments {
    /// Which one
    region: String,
    /// Its name for people
    #[arg(long)]
    name: Option<String>,
    /// Whether new servers can be made in it
    #[arg(long, value_name = "BOOL")]
    available: Option<bool>,
    /// An address of the cluster, in place of those that are known; may be repeated
    #[arg(long = "entry", value_name = "URL")]
    entries: Vec<String>,
    #[command(flatten)]
    cluster: Cluster,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    policy: Policy,
}

impl Shown for Region {
    const COLUMNS: &'static [&'static str] =
        &["SLUG", "NAME", "PROVIDER", "AVAILABLE", "CONNECTION", "HOSTS", "SERVERS", "ADDRESSES LEFT"];

    fn row(&self) -> Vec<String> {
        vec![
            self.slug.clone(),
            self.name.clone(),
            self.provider.clone(),
            yes(self.available),
            connection(self.connection.state).to_owned(),
            self.hosts.to_string(),
            self.servers.to_string(),
            self.pools.iter().map(|pool| pool.free).sum::<i64>().to_string(),
        ]
    }

    fn word(&self) -> String {
        self.slug.clone()
    }

    fn details(&self) -> Vec<(&'static str, String)> {
        let mut lines: Vec<_> = Self::COLUMNS.iter().copied().zip(self.row()).collect();
        let settings: Vec<_> = self.settings.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        let pools: Vec<_> = self
            .pools
            .iter()
            .map(|pool| format!("{} {} ({}-{}, {} left)", pool.name, pool.range, pool.first, pool.last, pool.free))
            .collect();
        lines.extend([
            ("PROBLEM", self.connection.problem.clone().unwrap_or_default()),
            ("CONNECTED", self.connection.connected_at.map(|time| time.to_string()).unwrap_or_default()),
            ("ORIGIN", self.origin.clone()),
            ("SETTINGS", settings.join("\n")),
            ("SECRET", if self.has_secret { "stored" } else { "none" }.to_owned()),
            ("FINGERPRINTS", self.fingerprints.join("\n")),
            ("FEATURES", self.features.join(", ")),
            ("RESOLVERS", self.resolvers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
            ("TEAM NETWORKS", self.vpc_range.clone()),
            ("POOLS", pools.join("\n")),
        ]);
        lines.extend(policy::lines(self));
        lines
    }
}

const fn connection(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::New => "new",
        ConnectionState::Connected => "connected",
        ConnectionState::Failed => "failed",
        ConnectionState::Unknown => "unknown",
    }
}

/// Does it.
pub(super) async fn run(command: RegionCommand, session: &Session) -> Result<()> {
    match command {
        RegionCommand::List => {
            session.printer.many(&session.client.list::<Region>(&get(&[&"regions"]), "regions").await?)
        }
        RegionCommand::Get { region } => session.printer.one(&find(session, &region).await?),
        RegionCommand::Add(arguments) => Box::pin(add::run(*arguments, session)).await,
        RegionCommand::Test { region } => {
            let call = Call::post(&below(&[&"regions", &region, &"test"]), &serde_json::json!({}))?.repeatable();
            let test = session.client.one::<RegionTest>(&call, "test").await;
            let test = test.map_err(|failure| about(failure, &region))?;
            session.printer.one(&test)?;
            judge(&test.value, &region)
        }
        RegionCommand::Edit(arguments) => Box::pin(edit(*arguments, session)).await,
        RegionCommand::Remove { region, confirmation } => {
            let present = find(session, &region).await?.value;
            confirmation.ask(&format!("Disconnect the region {region} and forget its secret?"))?;
            // Nobody can say what stays there once the region is gone.
            let templates = get(&[&"templates"]).query_if("region", Some(&region));
            let templates = session.client.list::<Template>(&templates, "templates").await?;
            let removed = session.client.command(&Call::delete(&below(&[&"regions", &region]))).await;
            removed.map_err(|failure| about(failure, &region))?;
            session.progress.say(&format!("{region}: removed"));
            let left =
                templates.into_iter().map(|template| template.value).filter(|template| template.at_hand).collect();
            if let Some(told) = left_behind(&present, left) {
                session.progress.say(&told);
            }
            Ok(())
        }
    }
}

/// What stays at the provider, and how it is removed there: nothing is deleted in a region that is let go.
fn left_behind(region: &Region, templates: Vec<Template>) -> Option<String> {
    if templates.is_empty() {
        return None;
    }
    let names: Vec<_> = templates.iter().map(|one| format!("cairn-image-{} ({})", one.image_id, one.name)).collect();
    let storage = region.settings.get("file_storage").and_then(Value::as_str).unwrap_or("local");
    let how = match region.provider.as_str() {
        "proxmox" => format!(
            " Who needs them no more removes them on a node: `qm list | grep cairn-image-` shows their numbers, `qm destroy \
             NUMBER` deletes one; `pvesm list {storage} | grep /cairn-` shows what was downloaded for them, `pvesm free \
             VOLUME` deletes it."
        ),
        _ => String::new(),
    };
    Some(format!("{} keeps the templates of its images: {}.{how}", region.slug, names.join(", ")))
}

async fn find(session: &Session, region: &str) -> Result<Document<Region>> {
    let found = session.client.one(&get(&[&"regions", &region]), "region").await;
    found.map_err(|failure| about(failure, region))
}

fn about(failure: Failure, region: &str) -> Failure {
    let missing = failure.ending == Ending::NotFound;
    let failure = failure.during(format!("region {region}"));
    if missing { failure.suggest("cairn admin region list") } else { failure }
}

/// The secret, where it is said; asked for where the cluster's addresses or fingerprints change, because the stored one is
/// not sent to others than it was given for.
fn again(
    region: &Region,
    settings: &Map<String, Value>,
    pinned: &[String],
    file: Option<&Path>,
    session: &Session,
) -> Result<Option<String>> {
    let moves = settings.get("entries") != region.settings.get("entries")
        || !(pinned.is_empty() || pinned == region.fingerprints);
    let asker = Asker::look();
    if !moves || !region.has_secret || !asker.is_there() {
        // Where there is nobody to ask, the server says whether it is needed.
        return secret::said(file);
    }
    session.progress.say("the secret of the token is needed again, because it is going to be sent elsewhere");
    secret::given(file, asker).map(Some)
}

async fn edit(arguments: EditArguments, session: &Session) -> Result<()> {
    let region = find(session, &arguments.region).await?.value;
    let mut settings = region.settings.clone();
    if !arguments.entries.is_empty() {
        let entries: Result<Vec<_>> = arguments.entries.iter().map(|text| Ok(address(&entry(text)?))).collect();
        settings.insert("entries".to_owned(), entries?.into());
    }
    arguments.cluster.write(&mut settings)?;
    let pinned = arguments.cluster.pinned()?;
    let secret = again(&region, &settings, &pinned, arguments.cluster.secret_file.as_deref(), session)?;
    let update = RegionUpdate {
        name: arguments.name.clone(),
        settings: (settings != region.settings).then_some(settings),
        secret,
        fingerprints: Some(pinned).filter(|pinned| !pinned.is_empty()),
        available: arguments.available,
        features: None,
        resolvers: Some(arguments.network.resolvers.clone()).filter(|resolvers| !resolvers.is_empty()),
        overcommit: arguments.policy.overcommit(Some(&region)),
        placement: arguments.policy.placement(Some(&region)),
        heal: arguments.policy.heal(Some(&region)),
        pools: arguments.network.pools(),
    };
    if update == RegionUpdate::default() {
        return Err(Failure::usage("nothing to change is named").suggest("cairn admin region edit --help"));
    }
    let call = Call::put(&below(&[&"regions", &region.slug]), &update)?;
    let changed = add::saved(session, &call).await;
    let changed = changed.map_err(|failure| about(failure, &region.slug))?;
    if update.settings.is_some() || update.secret.is_some() || update.fingerprints.is_some() {
        session.progress.say(&format!("cairn admin region test {} looks whether that works", region.slug));
    }
    session.printer.one(&changed)
}
