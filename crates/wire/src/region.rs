//! Regions: one provider endpoint each.

use crate::envelope::{Meta, PageLinks, list};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A place where servers can stand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Region {
    /// For people.
    pub name: String,
    /// For programs.
    pub slug: String,
    /// What servers there can have, such as `ipv6`.
    pub features: Vec<String>,
    /// Whether new servers can be placed there.
    pub available: bool,
    /// The slugs of the sizes offered there.
    pub sizes: Vec<String>,
}

/// A page of regions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RegionList {
    /// In the operator's order.
    pub regions: Vec<Region>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(RegionList, regions, Region);
