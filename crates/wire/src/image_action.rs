//! What can be asked of an image that exists.

use crate::strict::{objects, words};
use model::refusal::Refusal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks something of an image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageActionRequest {
    /// What to do.
    #[serde(rename = "type")]
    pub kind: ImageActionKind,
    /// For `transfer`: the slug of the region that gets a copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

/// What can be asked of an image, by its word.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum ImageActionKind {
    /// Make a snapshot of a backup, so that it is kept.
    Convert,
    /// Copy it to another region.
    Transfer,
}

impl ImageActionKind {
    /// The word, as asked for and as the action's `type` has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Transfer => "transfer",
        }
    }
}

/// What was asked of an image, with what it needs and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ImageWish {
    /// Make a snapshot of a backup.
    Convert,
    /// Copy it to the region with this slug.
    Transfer(String),
}

impl ImageActionRequest {
    /// What is asked for, or the field that is missing for it.
    pub fn wish(self) -> Result<ImageWish, Refusal> {
        match self.kind {
            ImageActionKind::Convert => Ok(ImageWish::Convert),
            ImageActionKind::Transfer => match self.region {
                Some(region) => Ok(ImageWish::Transfer(region)),
                None => Err(Refusal::field("region", "This type of action needs it.")),
            },
        }
    }
}

impl From<ImageWish> for ImageActionRequest {
    fn from(wish: ImageWish) -> Self {
        match wish {
            ImageWish::Convert => Self { kind: ImageActionKind::Convert, region: None },
            ImageWish::Transfer(region) => Self { kind: ImageActionKind::Transfer, region: Some(region) },
        }
    }
}

objects!(ImageActionRequest);
words!(ImageActionKind);
