//! Storages of a region, and the templates that servers are copied from.

use crate::envelope::{Meta, PageLinks, list};
use crate::strict::objects;
use crate::time::WireTime;
use model::ids::ImageId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// A page of storages.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminStorageList)]
pub struct StorageList {
    /// By region, name and host.
    pub storages: Vec<Storage>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(StorageList, storages, Storage);

/// A storage as it was last seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminStorage)]
pub struct Storage {
    /// The region that it is in.
    pub region: String,
    /// Its name at the provider.
    pub name: String,
    /// The host that it is on; `null`: every host sees the same one.
    #[schema(required)]
    pub host: Option<String>,
    /// Its technique, such as `zfspool`.
    pub technique: String,
    /// What may be kept on it, such as `images`.
    pub content: Vec<String>,
    /// Bytes in all.
    pub total_bytes: i64,
    /// Bytes in use.
    pub used_bytes: i64,
    /// Whether it answers.
    pub online: bool,
    /// Whether new servers' disks go there.
    pub used_for_guests: bool,
    /// When it was last seen.
    pub seen_at: WireTime,
}

/// A page of templates.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTemplateList)]
pub struct TemplateList {
    /// By region and image.
    pub templates: Vec<Template>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(TemplateList, templates, Template);

/// An image of the catalogue in a region, from which its servers are copied.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTemplate)]
pub struct Template {
    /// The region.
    pub region: String,
    /// The image.
    #[schema(value_type = i32)]
    pub image_id: ImageId,
    /// The image's slug; `null`: it has none.
    #[schema(required)]
    pub slug: Option<String>,
    /// What the image is called.
    pub name: String,
    /// Its distribution.
    pub distribution: String,
    /// How the image stands in the catalogue.
    pub status: String,
    /// Whether its bytes are in the region; where they are not, they are fetched for the first server.
    pub at_hand: bool,
    /// Bytes that it takes there; `null`: not known.
    #[schema(required)]
    pub stored_bytes: Option<i64>,
    /// When it was last looked for; `null`: never.
    #[schema(required)]
    pub seen_at: Option<WireTime>,
}

/// Brings an image's bytes to a region before the first server needs them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTemplateFetch)]
#[serde(remote = "Self", deny_unknown_fields, expecting = "an object")]
pub struct TemplateFetch {
    /// The region.
    pub region: String,
    /// The image.
    #[schema(value_type = i32)]
    pub image_id: ImageId,
}

objects!(TemplateFetch);

/// What carries a request out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = AdminTemplateFetching)]
pub struct TemplateFetching {
    /// The workflow.
    pub workflow_id: Uuid,
}
