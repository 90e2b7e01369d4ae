//! Sizes.

use crate::Api;
use crate::edge::{Authenticated, Json, PageParameters, Paging, Result};
use axum::extract::State;
use model::catalogue::Gpus;
use wire::size::{DiskInfo, DiskKind, DiskSize, GpuInfo, Size, SizeList, price_from_micros};

fn wire(size: store::catalogue::Size) -> Size {
    let disk = i64::from(size.disk_gb);
    Size {
        slug: size.slug,
        memory: i64::from(size.memory_mib),
        vcpus: i64::from(size.vcpus),
        disk,
        transfer: size.transfer_tb,
        price_monthly: price_from_micros(size.price_monthly),
        price_hourly: price_from_micros(size.price_hourly),
        regions: size.regions,
        available: size.available,
        description: size.description,
        disk_info: vec![DiskInfo { kind: DiskKind::Local, size: DiskSize { amount: disk, unit: "gib".to_owned() } }],
        gpu_info: size.gpus.as_ref().map(gpu_info),
    }
}

/// GPUs as clients see them.
pub(super) fn gpu_info(gpus: &Gpus) -> GpuInfo {
    GpuInfo::new(i64::from(gpus.count), gpus.model(), i64::from(gpus.vram_gib))
}

/// List the sizes
#[utoipa::path(get, path = "/v2/sizes", operation_id = "sizes_list", tag = "Sizes", params(PageParameters),
    security(("bearer_auth" = ["sizes:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of sizes, in the operator's order.", body = SizeList)))]
pub(super) async fn list(State(api): State<Api>, _: Authenticated, paging: Paging) -> Result<Json<SizeList>> {
    let sizes: Vec<_> = store::catalogue::sizes(api.store()).await?.into_iter().map(wire).collect();
    Ok(paging.cut(&api, &sizes))
}
