//! Schemas for the state words of `model`, which knows nothing of OpenAPI; and for reading leniently.

use model::states::{ActionStatus, GroupPolicy, ImageKind, ImageStatus, ServerStatus};
use serde::{Deserialize, Deserializer};
use utoipa::openapi::{Object, ObjectBuilder, Type};

fn one_of(words: impl IntoIterator<Item = &'static str>, description: &str) -> Object {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .enum_values(Some(words.into_iter().collect::<Vec<_>>()))
        .build()
}

pub(crate) fn server_status() -> Object {
    one_of(ServerStatus::ALL.iter().map(|word| word.as_str()), "Where the server stands.")
}

pub(crate) fn action_status() -> Object {
    one_of(ActionStatus::ALL.iter().map(|word| word.as_str()), "How far the action is.")
}

pub(crate) fn image_status() -> Object {
    one_of(ImageStatus::ALL.iter().map(|word| word.as_str()), "Whether the image can be used.")
}

pub(crate) fn image_kind() -> Object {
    one_of(ImageKind::ALL.iter().map(|word| word.as_str()), "Where the image comes from.")
}

pub(crate) fn group_policy() -> Object {
    let words = GroupPolicy::ALL.iter().map(|word| word.as_str());
    one_of(words, "On different hosts: rather no server at all, or (`soft-…`) as long as there are any.")
}

/// Reads `null` as the empty value: clients and other servers send it for empty lists.
pub(crate) fn null_as_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
