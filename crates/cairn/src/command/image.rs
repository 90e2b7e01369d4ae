//! `cairn image`: what servers are made from.

use super::confirmation::Confirmation;
use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::find;
use crate::session::Session;
use crate::waiting::Waiting;
use clap::{ArgGroup, Args, Subcommand};
use model::states::ImageStatus;
use wire::image::{Image, ImageCreate, ImageUpdate};

/// What can be done with images. IMAGE is an id, a slug, or a name that only one image has.
#[derive(Debug, Subcommand)]
pub(crate) enum ImageCommand {
    /// List images
    List(ListArguments),
    /// Show an image
    Get {
        /// Which one, by id, slug or name
        image: String,
    },
    Create(CreateArguments),
    /// Change what an image says of itself
    Update(UpdateArguments),
    /// Delete an image
    Delete {
        /// Which one, by id, slug or name
        image: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Which images to list.
#[derive(Debug, Args)]
pub(crate) struct ListArguments {
    /// Only the team's own
    #[arg(long, conflicts_with = "public")]
    private: bool,
    /// Only those of the operator
    #[arg(long)]
    public: bool,
    /// Only those with this tag
    #[arg(long)]
    tag: Option<String>,
}

/// Fetch an image from a URL
///
/// Prints the image when it can be used.
#[derive(Debug, Args)]
pub(crate) struct CreateArguments {
    /// What it is called
    name: String,
    /// Where the disk image is: raw or qcow2, as it is or compressed
    // `--url` is where the installation is.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The region that keeps it: see `cairn region list`
    #[arg(long, value_name = "SLUG")]
    region: String,
    /// The operating system
    #[arg(long)]
    distribution: Option<String>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
    /// A tag to put on it; may be repeated
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// What to change.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true).args(["name", "distribution", "description"]))]
pub(crate) struct UpdateArguments {
    /// Which one, by id, slug or name
    image: String,
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// The operating system
    #[arg(long)]
    distribution: Option<String>,
    /// Free text
    #[arg(long)]
    description: Option<String>,
}

/// Does it.
pub(crate) async fn run(command: ImageCommand, session: &Session) -> Result<()> {
    match command {
        ImageCommand::List(arguments) => {
            let call = Call::get(&[&"v2", &"images"])
                .query_if("private", arguments.private.then_some(true))
                .query_if("type", arguments.public.then_some("distribution"))
                .query_if("tag_name", arguments.tag);
            session.printer.many(&session.client.list::<Image>(&call, "images").await?)
        }
        ImageCommand::Get { image } => session.printer.one(&find::image(session, &image).await?),
        ImageCommand::Create(arguments) => create(arguments, session).await,
        ImageCommand::Update(arguments) => {
            let id = find::image(session, &arguments.image).await?.value.id;
            let UpdateArguments { name, distribution, description, .. } = arguments;
            let call = Call::put(&[&"v2", &"images", &id], &ImageUpdate { name, distribution, description })?;
            let updated = session.client.one::<Image>(&call, "image").await;
            session.printer.one(&updated.map_err(|failure| failure.during(format!("cannot change image {id}")))?)
        }
        ImageCommand::Delete { image, confirmation } => {
            let found = find::image(session, &image).await?.value;
            let called = format!("{} (id {})", found.name, found.id);
            confirmation.ask(&format!("Delete the image {called}?"))?;
            let deleted = session.client.command(&Call::delete(&[&"v2", &"images", &found.id])).await;
            deleted.map_err(|failure| failure.during(format!("cannot delete the image {called}")))?;
            session.progress.say(&format!("{called}: deleted"));
            Ok(())
        }
    }
}

async fn create(arguments: CreateArguments, session: &Session) -> Result<()> {
    let deadline = arguments.waiting.deadline();
    let request = ImageCreate {
        name: arguments.name,
        url: arguments.from,
        region: arguments.region,
        distribution: arguments.distribution,
        description: arguments.description,
        tags: Some(arguments.tags).filter(|tags| !tags.is_empty()),
    };
    let made = session.client.one::<Image>(&Call::post(&[&"v2", &"images"], &request)?, "image").await;
    let made = made.map_err(|failure| failure.during(format!("cannot create the image {}", request.name)))?;
    if arguments.waiting.no_wait {
        return session.printer.one(&made);
    }
    session.printer.one(&usable(session, made, deadline).await?)
}

/// Waits until an image can be used.
async fn usable(
    session: &Session,
    mut image: Document<Image>,
    mut deadline: crate::waiting::Deadline,
) -> Result<Document<Image>> {
    loop {
        let Image { id, name, status, error_message, .. } = &image.value;
        let wrong = error_message.as_deref().filter(|message| !message.is_empty());
        match (status, wrong) {
            (ImageStatus::Available, _) => {
                session.progress.stands(name, "can be used", "");
                session.progress.finish();
                return Ok(image);
            }
            (ImageStatus::Deleted | ImageStatus::Retired, _) | (_, Some(_)) => {
                let why = wrong.unwrap_or("it is gone again");
                return Err(Failure::new(Ending::Refused, format!("the image {name} could not be fetched: {why}")));
            }
            (ImageStatus::New | ImageStatus::Pending, None) => session.progress.stands(name, "is being fetched", ""),
        }
        deadline
            .pause(1, &format!("the image {name} (id {id})"))
            .await
            .map_err(|failure| failure.suggest(format!("cairn image get {id}")))?;
        let look = session.client.one(&Call::get(&[&"v2", &"images", id]), "image").await;
        if let Some(seen) = deadline.bear(session, look)? {
            image = seen;
        }
    }
}
