//! `cairn tag`: words to find things by.

use super::confirmation::Confirmation;
use crate::client::Call;
use crate::failure::{Ending, Failure, Result};
use crate::find;
use crate::session::Session;
use clap::{Args, Subcommand};
use wire::tag::{Tag, TagCreate, TagResource, TagResourceKind, TagResources};

/// What can be done with tags.
#[derive(Debug, Subcommand)]
pub(crate) enum TagCommand {
    /// List tags
    List,
    /// Show a tag, and how much it is on
    Get {
        /// Which one
        tag: String,
    },
    /// Make a tag that is on nothing yet
    Create {
        /// The word
        tag: String,
    },
    /// Delete a tag; what it is on stays
    Delete {
        /// Which one
        tag: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Put a tag on something; it is made if it does not exist
    Add(ResourcesArguments),
    /// Take a tag off something
    Remove(ResourcesArguments),
}

/// A tag, and on what.
#[derive(Debug, Args)]
pub(crate) struct ResourcesArguments {
    /// Which one
    tag: String,
    /// Servers, by id or name
    #[arg(value_name = "SERVER", required_unless_present = "images")]
    servers: Vec<String>,
    /// An image, by id, slug or name; may be repeated
    #[arg(long = "image", value_name = "IMAGE")]
    images: Vec<String>,
}

/// Does it.
pub(crate) async fn run(command: TagCommand, session: &Session) -> Result<()> {
    match command {
        TagCommand::List => {
            session.printer.many(&session.client.list::<Tag>(&Call::get(&[&"v2", &"tags"]), "tags").await?)
        }
        TagCommand::Get { tag } => {
            let found = session.client.one::<Tag>(&Call::get(&[&"v2", &"tags", &tag]), "tag").await;
            session.printer.one(&found.map_err(|failure| about(failure, &tag))?)
        }
        TagCommand::Create { tag } => session
            .printer
            .one(&session.client.one::<Tag>(&create(&tag)?, "tag").await.map_err(|failure| about(failure, &tag))?),
        TagCommand::Delete { tag, confirmation } => {
            confirmation.ask(&format!("Delete the tag {tag}?"))?;
            let deleted = session.client.command(&Call::delete(&[&"v2", &"tags", &tag])).await;
            deleted.map_err(|failure| about(failure, &tag))?;
            session.progress.say(&format!("{tag}: deleted"));
            Ok(())
        }
        TagCommand::Add(arguments) => {
            let (tag, resources) = resources(arguments, session).await?;
            let call = Call::post(&[&"v2", &"tags", &tag, &"resources"], &resources)?.repeatable();
            match session.client.command(&call).await {
                Err(failure) if failure.ending == Ending::NotFound => {
                    session.client.command(&create(&tag)?).await.map_err(|failure| about(failure, &tag))?;
                    session.client.command(&call).await
                }
                outcome => outcome,
            }
            .map_err(|failure| about(failure, &tag))?;
            session.progress.say(&format!("{tag}: put on {}", resources.resources.len()));
            Ok(())
        }
        TagCommand::Remove(arguments) => {
            let (tag, resources) = resources(arguments, session).await?;
            let call = Call::delete_with(&[&"v2", &"tags", &tag, &"resources"], &resources)?;
            session.client.command(&call).await.map_err(|failure| about(failure, &tag))?;
            session.progress.say(&format!("{tag}: taken off {}", resources.resources.len()));
            Ok(())
        }
    }
}

/// Making a tag that is there changes nothing, so it may be asked for twice.
fn create(tag: &str) -> Result<Call> {
    Ok(Call::post(&[&"v2", &"tags"], &TagCreate { name: tag.to_owned() })?.repeatable())
}

async fn resources(arguments: ResourcesArguments, session: &Session) -> Result<(String, TagResources)> {
    let mut resources = Vec::new();
    for server in &arguments.servers {
        let resource_id = find::server(session, server).await?.value.id.to_string();
        resources.push(TagResource { resource_id, resource_type: TagResourceKind::Server });
    }
    for image in &arguments.images {
        let resource_id = find::image(session, image).await?.value.id.to_string();
        resources.push(TagResource { resource_id, resource_type: TagResourceKind::Image });
    }
    Ok((arguments.tag, TagResources { resources }))
}

fn about(failure: Failure, tag: &str) -> Failure {
    let missing = failure.ending == Ending::NotFound;
    let failure = failure.during(format!("tag {tag}"));
    if missing { failure.suggest("cairn tag list") } else { failure }
}
