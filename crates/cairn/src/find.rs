//! From what a person writes to the thing that is meant: an id, or a name that only one has.

use crate::client::Call;
use crate::document::Document;
use crate::failure::{Ending, Failure, Result};
use crate::session::Session;
use std::str::FromStr;
use wire::image::Image;
use wire::key::SshKey;
use wire::reference::{IdOrSlug, KeyReference};
use wire::server::Server;
use wire::snapshot::Snapshot;

/// A server, by id or name.
pub(crate) async fn server(session: &Session, text: &str) -> Result<Document<Server>> {
    let read = match reference(text) {
        IdOrSlug::Id(id) => session.client.one(&Call::get(&[&"v2", &"droplets", &id]), "droplet").await,
        IdOrSlug::Slug(name) => {
            let call = Call::get(&[&"v2", &"droplets"]).query("name", &name);
            let mut found = session.client.list::<Server>(&call, "droplets").await?;
            // Where the filter is not known, everything comes back.
            found.retain(|server| server.value.name == name);
            only(found, &name, |server| server.id.to_string())
        }
    };
    read.map_err(|failure| about(failure, "server", text))
}

/// An image, by id, slug or name.
pub(crate) async fn image(session: &Session, text: &str) -> Result<Document<Image>> {
    let call = Call::get(&[&"v2", &"images", &text]);
    let read = match (session.client.one(&call, "image").await, reference(text)) {
        (Err(failure), IdOrSlug::Slug(name)) if failure.ending == Ending::NotFound => {
            let call = Call::get(&[&"v2", &"images"]).query("private", true);
            let mut found = session.client.list::<Image>(&call, "images").await?;
            found.retain(|image| image.value.name == name);
            only(found, &name, |image| image.id.to_string())
        }
        (read, _) => read,
    };
    read.map_err(|failure| about(failure, "image", text))
}

/// What a request names an image by. A name is looked up; an id or a slug is for the server to know.
pub(crate) async fn image_reference(session: &Session, text: &str) -> Result<IdOrSlug> {
    match reference(text) {
        IdOrSlug::Id(id) => Ok(IdOrSlug::Id(id)),
        IdOrSlug::Slug(_) => {
            let found = image(session, text).await?.value;
            Ok(found.slug.map_or(IdOrSlug::Id(found.id.0.into()), IdOrSlug::Slug))
        }
    }
}

/// A snapshot, by id or name.
pub(crate) async fn snapshot(session: &Session, text: &str) -> Result<Document<Snapshot>> {
    let call = Call::get(&[&"v2", &"snapshots", &text]);
    let read = match (session.client.one(&call, "snapshot").await, reference(text)) {
        (Err(failure), IdOrSlug::Slug(name)) if failure.ending == Ending::NotFound => {
            let mut found = session.client.list::<Snapshot>(&Call::get(&[&"v2", &"snapshots"]), "snapshots").await?;
            found.retain(|snapshot| snapshot.value.name == name);
            only(found, &name, |snapshot| snapshot.id.clone())
        }
        (read, _) => read,
    };
    read.map_err(|failure| about(failure, "snapshot", text))
}

/// An SSH key, by id, fingerprint or name.
pub(crate) async fn ssh_key(session: &Session, text: &str) -> Result<Document<SshKey>> {
    let read = if names_key(text) {
        let all = session.client.list::<SshKey>(&Call::get(&[&"v2", &"account", &"keys"]), "ssh_keys").await?;
        let found = all.into_iter().filter(|key| key.value.name == text).collect();
        only(found, text, |key| key.id.to_string())
    } else {
        session.client.one(&Call::get(&[&"v2", &"account", &"keys", &text]), "ssh_key").await
    };
    read.map_err(|failure| about(failure, "ssh-key", text))
}

/// What a request names an SSH key by. A name is looked up; an id or a fingerprint is for the server to know.
pub(crate) async fn key_reference(session: &Session, text: &str) -> Result<KeyReference> {
    if names_key(text) {
        return Ok(KeyReference::Id(ssh_key(session, text).await?.value.id.0.into()));
    }
    Ok(KeyReference::from(text.to_owned()))
}

/// Whether this is a key's name: neither a number nor a fingerprint.
fn names_key(text: &str) -> bool {
    let fingerprint = text.len() == 47 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':');
    !fingerprint && matches!(reference(text), IdOrSlug::Slug(_))
}

fn reference(text: &str) -> IdOrSlug {
    // Every text is one or the other.
    IdOrSlug::from_str(text).unwrap_or_else(|never| match never {})
}

/// The one of this name.
pub(crate) fn only<T>(mut found: Vec<Document<T>>, name: &str, id: impl Fn(&T) -> String) -> Result<Document<T>> {
    match (found.pop(), found.len()) {
        (Some(one), 0) => Ok(one),
        (None, _) => Err(Failure::new(Ending::NotFound, "there is none of this name")),
        (Some(last), _) => {
            let mut ids: Vec<_> = found.iter().chain([&last]).map(|one| id(&one.value)).collect();
            ids.sort_by_key(|id| (id.len(), id.clone()));
            let sentence = format!("{} have this name: {}", ids.len(), ids.join(", "));
            Err(Failure::new(Ending::Refused, sentence).suggest(format!("the id instead of `{name}`")))
        }
    }
}

fn about(failure: Failure, kind: &str, text: &str) -> Failure {
    let missing = failure.ending == Ending::NotFound;
    let failure = failure.during(format!("{} {text}", kind.replace('-', " ")));
    if missing { failure.suggest(format!("cairn {kind} list")) } else { failure }
}
