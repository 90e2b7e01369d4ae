//! Sizes: how big a server can be, and what that costs.

use crate::envelope::{Meta, PageLinks, list};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A size that servers can have.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Size {
    /// For programs.
    pub slug: String,
    /// MiB of memory.
    #[schema(minimum = 8, multiple_of = 8)]
    pub memory: i64,
    /// Virtual processors.
    pub vcpus: i64,
    /// GB of disk.
    pub disk: i64,
    /// TB a month that may leave the server without extra charge.
    pub transfer: f64,
    /// Price of a month, in units of the currency.
    pub price_monthly: f64,
    /// Price of an hour, in units of the currency.
    pub price_hourly: f64,
    /// The slugs of the regions that offer it.
    pub regions: Vec<String>,
    /// Whether new servers can have it.
    pub available: bool,
    /// The family that it belongs to, for people.
    pub description: String,
    /// The disks behind `disk`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disk_info: Vec<DiskInfo>,
    /// The GPUs that come with it; absent without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub gpu_info: Option<GpuInfo>,
}

/// The GPUs of a server or size.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct GpuInfo {
    /// How many.
    pub count: i64,
    /// Their model: `nvidia_h100`.
    pub model: String,
    /// The memory that each of them has.
    pub vram: GpuMemory,
}

/// A quantity with its unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct GpuMemory {
    /// How much.
    pub amount: i64,
    /// Of what: `gib`.
    pub unit: String,
}

impl GpuInfo {
    /// So many GPUs of a model, with so many GiB of memory each.
    pub fn new(count: i64, model: impl Into<String>, gib: i64) -> Self {
        Self { count, model: model.into(), vram: GpuMemory { amount: gib, unit: "gib".to_owned() } }
    }
}

/// One disk of a server or size.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiskInfo {
    /// What the disk is for.
    #[serde(rename = "type")]
    pub kind: DiskKind,
    /// How large it is.
    pub size: DiskSize,
}

/// What a disk is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiskKind {
    /// The disk that comes with the server.
    Local,
    /// A boot disk beside others.
    Boot,
    /// Lost when the server is deleted, and never part of a snapshot.
    Scratch,
}

/// A quantity with its unit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiskSize {
    /// How many.
    pub amount: i64,
    /// Of what: `gib` or `tib`.
    pub unit: String,
}

impl DiskInfo {
    /// The one disk of an ordinary server.
    pub fn local(gib: i64) -> Self {
        Self { kind: DiskKind::Local, size: DiskSize { amount: gib, unit: "gib".to_owned() } }
    }
}

/// A price as the API writes it. Money is counted in millionths everywhere else; one division of integers below
/// 2⁵³ is rounded correctly, so 8930 is written `0.00893` and nothing else.
pub fn price_from_micros(micros: i64) -> f64 {
    micros as f64 / 1_000_000.0
}

/// A page of sizes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SizeList {
    /// In the operator's order.
    pub sizes: Vec<Size>,
    /// Other pages.
    #[serde(default)]
    #[schema(required)]
    pub links: PageLinks,
    /// Totals.
    pub meta: Meta,
}
list!(SizeList, sizes, Size);
