//! Images: what a server's disk is made from, including the snapshots and backups of servers.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use crate::time::WireTime;
use crate::words;
use model::ids::ImageId;
use model::states::{ImageKind, ImageStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An image.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Image {
    /// The image.
    #[schema(value_type = i32)]
    pub id: ImageId,
    /// For people.
    pub name: String,
    /// Where it comes from.
    #[serde(rename = "type")]
    #[schema(schema_with = words::image_kind)]
    pub kind: ImageKind,
    /// The operating system, such as `Debian`, or `Unknown`.
    pub distribution: String,
    /// For programs; `null` for images of a team.
    #[schema(required)]
    pub slug: Option<String>,
    /// Whether everybody sees it.
    pub public: bool,
    /// The slugs of the regions where servers can be made from it.
    #[serde(deserialize_with = "words::null_as_default")]
    pub regions: Vec<String>,
    /// When it came to be.
    pub created_at: WireTime,
    /// GB of disk that a server made from it needs at least.
    #[schema(required, minimum = 0)]
    pub min_disk_size: Option<i64>,
    /// GB that it takes; `null` or 0 until known.
    #[schema(required)]
    pub size_gigabytes: Option<f64>,
    /// Free text.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub description: String,
    /// The tags on it.
    #[serde(default, deserialize_with = "words::null_as_default")]
    #[schema(required)]
    pub tags: Vec<String>,
    /// Whether it can be used.
    #[schema(schema_with = words::image_status)]
    pub status: ImageStatus,
    /// Why it could not be made, in a sentence; empty or absent when nothing is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error_message: Option<String>,
}

/// One image.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageResponse {
    /// The image.
    pub image: Image,
}

/// A page of images.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageList {
    /// The images.
    pub images: Vec<Image>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(ImageList, images, Image);

/// Asks for an image to be fetched from a URL.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageCreate {
    /// For people.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// Where the disk image is: raw or qcow2, as it is or compressed.
    #[schema(format = "uri")]
    pub url: String,
    /// The slug of the region that keeps it.
    pub region: String,
    /// The operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Tags to put on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
}

/// Changes what an image says of itself. What is absent stays as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageUpdate {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255)]
    pub name: Option<String>,
    /// The operating system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Offers an image to another account, named in exactly one of two ways.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageTransferCreate {
    /// By the e-mail address of a member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_email: Option<String>,
    /// By the id of the team.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient_uuid: Option<String>,
}

/// The offer that was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageTransferCreated {
    /// Names the offer; 0 when it was accepted on the spot.
    pub transfer_id: i64,
}

/// Takes an offered image.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageTransferAccept {
    /// The offer.
    pub transfer_id: i64,
    /// The team that takes it.
    pub recipient_uuid: String,
}

/// Names an offer, to cancel (by who made it) or to decline (by who received it).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", expecting = "an object")]
pub struct ImageTransferReference {
    /// The offer.
    pub transfer_id: i64,
}

objects!(ImageCreate, ImageUpdate, ImageTransferCreate, ImageTransferAccept, ImageTransferReference);
