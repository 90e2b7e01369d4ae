//! Tags: words that are put on resources to find them again.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::{objects, words};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tag, and how much it is on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tag {
    /// The word, in the capitalisation of its first use.
    pub name: String,
    /// What it is on.
    pub resources: TaggedResources,
}

/// What a tag is on: together, and by kind.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaggedResources {
    /// How many resources.
    pub count: i64,
    /// The URL of the one that was tagged last; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub last_tagged_uri: Option<String>,
    /// Servers.
    #[serde(rename = "droplets", default)]
    #[schema(required)]
    pub servers: TagCount,
    /// Images.
    #[serde(default)]
    #[schema(required)]
    pub images: TagCount,
    /// Volumes.
    #[serde(default)]
    #[schema(required)]
    pub volumes: TagCount,
    /// Snapshots of volumes.
    #[serde(default)]
    #[schema(required)]
    pub volume_snapshots: TagCount,
    /// Databases.
    #[serde(default)]
    #[schema(required)]
    pub databases: TagCount,
}

/// How many resources of one kind have a tag.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TagCount {
    /// How many.
    pub count: i64,
    /// The URL of the one that was tagged last; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uri")]
    pub last_tagged_uri: Option<String>,
}

/// One tag.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TagResponse {
    /// The tag.
    pub tag: Tag,
}

/// A page of tags.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TagList {
    /// The tags.
    pub tags: Vec<Tag>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(TagList, tags, Tag);

/// Makes a tag that is on nothing yet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct TagCreate {
    /// Letters, digits, colons, hyphens and underscores.
    #[schema(min_length = 1, max_length = 255, pattern = "^[a-zA-Z0-9_:-]+$")]
    pub name: String,
}

/// The resources to put a tag on, or to take it off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct TagResources {
    /// The resources.
    pub resources: Vec<TagResource>,
}

/// One resource to put a tag on, or to take it off.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct TagResource {
    /// Its id; integer ids in decimal.
    pub resource_id: String,
    /// What it is.
    pub resource_type: TagResourceKind,
}

/// What a tag can be on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "snake_case")]
pub enum TagResourceKind {
    /// A server.
    #[serde(rename = "droplet")]
    Server,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A snapshot of a volume.
    VolumeSnapshot,
    /// A database.
    Database,
}

impl TagResourceKind {
    /// The word, as sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "droplet",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::VolumeSnapshot => "volume_snapshot",
            Self::Database => "database",
        }
    }
}

objects!(TagCreate, TagResources, TagResource);
words!(TagResourceKind);
