//! Regions: connecting, testing, changing and removing them. A secret goes in and never comes out; whether a connection
//! works is found out by a worker.

use super::{key, policy};
use crate::Api;
use crate::edge::{AsOperator, Id, Json, PageParameters, Paging, Problem, Result};
use axum::extract::State;
use axum::http::StatusCode;
use cloud::region::{NewRegion, Probe, RegionEdit};
use model::addressing::Ipv4Range;
use model::ids::RegionSlug;
use model::refusal::Refusal;
use serde_json::{Map, Value};
use store::probes::Tested;
use store::regions::PoolOf;
use wire::admin::{
    ConnectionState, Finding, Pool, PoolKind, Region, RegionConnection, RegionCreate, RegionList, RegionPool,
    RegionProbe, RegionResponse, RegionTest, RegionTestResponse, RegionUpdate, Severity,
};

/// The range from which teams' own networks are cut where an operator names none.
const USUAL_VPC_RANGE: &str = "10.100.0.0/16";

/// List the regions
#[utoipa::path(get, path = "/admin/v1/regions", operation_id = "admin_regions_list", tag = "Admin",
    params(PageParameters),
    security(("operator_auth" = ["region:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of regions, in the operator's order.", body = RegionList)))]
pub(super) async fn list(State(api): State<Api>, _: AsOperator, paging: Paging) -> Result<Json<RegionList>> {
    let regions: Vec<Region> = store::regions::list(api.store()).await?.into_iter().map(wire).collect();
    Ok(paging.cut(&api, &regions))
}

/// Connect a region
///
/// It is reached for as soon as a worker hears of it; `connection` in later answers says whether that worked.
#[utoipa::path(post, path = "/admin/v1/regions", operation_id = "admin_regions_create", tag = "Admin",
    request_body = RegionCreate,
    security(("operator_auth" = ["region:create"])),
    extensions(("x-cairn" = json!({"audit": "region.connect", "rate": "standard"}))),
    responses((status = 201, description = "The region, without its secret.", body = RegionResponse)))]
pub(super) async fn create(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Json(body): Json<RegionCreate>,
) -> Result<(StatusCode, Json<RegionResponse>)> {
    let new = NewRegion {
        name: body.name.unwrap_or_else(|| body.slug.clone()),
        slug: body.slug,
        provider: body.provider,
        settings: Value::Object(body.settings.unwrap_or_default()),
        secret: body.secret,
        fingerprints: body.fingerprints.unwrap_or_default(),
        available: body.available.unwrap_or(true),
        features: body.features.unwrap_or_default(),
        resolvers: body.resolvers.unwrap_or_default(),
        vpc_range: range("vpc_range", body.vpc_range.as_deref().unwrap_or(USUAL_VPC_RANGE))?,
        overcommit: body.overcommit.map(policy::overcommit).unwrap_or_default(),
        placement: body.placement.map(policy::placement).unwrap_or_default(),
        heal: body.heal.map(policy::heal).unwrap_or_default(),
        pools: pools(body.pools.unwrap_or_default())?,
    };
    let saved = cloud::region::connect(api.store(), key(&api)?, &operator, &new).await?;
    Ok((StatusCode::CREATED, Json(RegionResponse { region: wire(saved.region), warnings: saved.warnings })))
}

/// Show a region
#[utoipa::path(get, path = "/admin/v1/regions/{region_slug}", operation_id = "admin_regions_get", tag = "Admin",
    params(("region_slug" = String, Path, description = "The region.")),
    security(("operator_auth" = ["region:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The region, without its secret.", body = RegionResponse)))]
pub(super) async fn show(State(api): State<Api>, _: AsOperator, Id(slug): Id<String>) -> Result<Json<RegionResponse>> {
    let region = store::regions::get(api.store(), &RegionSlug(slug)).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(RegionResponse { region: wire(region), warnings: Vec::new() }))
}

/// Change a region
///
/// What is absent stays as it is; but where the cluster's addresses or fingerprints change, its secret is sent again,
/// because a stored one is sent to nobody else than it was given for. A region of the catalogue's file is changed there.
#[utoipa::path(put, path = "/admin/v1/regions/{region_slug}", operation_id = "admin_regions_update", tag = "Admin",
    params(("region_slug" = String, Path, description = "The region.")), request_body = RegionUpdate,
    security(("operator_auth" = ["region:update"])),
    extensions(("x-cairn" = json!({"audit": "region.edit", "rate": "standard"}))),
    responses((status = 200, description = "The region, without its secret.", body = RegionResponse)))]
pub(super) async fn update(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(slug): Id<String>,
    Json(body): Json<RegionUpdate>,
) -> Result<Json<RegionResponse>> {
    let edit = RegionEdit {
        name: body.name,
        settings: body.settings.map(Value::Object),
        secret: body.secret,
        fingerprints: body.fingerprints,
        available: body.available,
        features: body.features,
        resolvers: body.resolvers,
        overcommit: body.overcommit.map(policy::overcommit),
        placement: body.placement.map(policy::placement),
        heal: body.heal.map(policy::heal),
        pools: body.pools.map(pools).transpose()?,
    };
    let saved = cloud::region::edit(api.store(), key(&api)?, &operator, &RegionSlug(slug), &edit).await?;
    Ok(Json(RegionResponse { region: wire(saved.region), warnings: saved.warnings }))
}

/// Remove a region
///
/// Refused while anything stands in it. Nothing is deleted at the provider.
#[utoipa::path(delete, path = "/admin/v1/regions/{region_slug}", operation_id = "admin_regions_delete", tag = "Admin",
    params(("region_slug" = String, Path, description = "The region.")),
    security(("operator_auth" = ["region:delete"])),
    extensions(("x-cairn" = json!({"audit": "region.remove", "rate": "standard"}))),
    responses((status = 204, description = "It is not connected any more, and its secret is forgotten.")))]
pub(super) async fn remove(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(slug): Id<String>,
) -> Result<StatusCode> {
    cloud::region::remove(api.store(), &operator, &RegionSlug(slug)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test a region
///
/// A worker looks whether everything is there that making servers takes, and changes nothing. Answers when it has
/// looked.
#[utoipa::path(post, path = "/admin/v1/regions/{region_slug}/test", operation_id = "admin_regions_test", tag = "Admin",
    params(("region_slug" = String, Path, description = "The region.")),
    security(("operator_auth" = ["region:update"])),
    extensions(("x-cairn" = json!({"audit": "region.test", "rate": "standard"}))),
    responses((status = 200, description = "What was found.", body = RegionTestResponse)))]
pub(super) async fn test(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Id(slug): Id<String>,
) -> Result<Json<RegionTestResponse>> {
    let tested = cloud::region::test_saved(api.store(), &operator, &RegionSlug(slug)).await?;
    Ok(Json(found(tested)))
}

/// Test a connection that is not stored yet
///
/// The same look as at a stored region. What is sent is forgotten when it is answered.
#[utoipa::path(post, path = "/admin/v1/region_tests", operation_id = "admin_regions_probe", tag = "Admin",
    request_body = RegionProbe,
    security(("operator_auth" = ["region:create"])),
    extensions(("x-cairn" = json!({"audit": "region.probe", "rate": "standard"}))),
    responses((status = 200, description = "What was found.", body = RegionTestResponse)))]
pub(super) async fn probe(
    State(api): State<Api>,
    AsOperator(operator): AsOperator,
    Json(body): Json<RegionProbe>,
) -> Result<Json<RegionTestResponse>> {
    let probe = Probe {
        provider: body.provider,
        settings: Value::Object(body.settings.unwrap_or_default()),
        secret: body.secret,
        fingerprints: body.fingerprints.unwrap_or_default(),
    };
    let tested = cloud::region::test(api.store(), key(&api)?, &operator, &probe).await?;
    Ok(Json(found(tested)))
}

fn range(field: &str, text: &str) -> Result<Ipv4Range> {
    text.parse().map_err(|error: model::addressing::RangeError| Refusal::field(field, format!("{error}.")).into())
}

fn pools(asked: Vec<Pool>) -> Result<Vec<model::catalogue::Pool>> {
    let read = |(index, pool): (usize, Pool)| {
        Ok(model::catalogue::Pool {
            name: pool.name,
            kind: match pool.kind {
                PoolKind::PublicNat => model::catalogue::PoolKind::PublicNat,
                PoolKind::PublicBridged => model::catalogue::PoolKind::PublicBridged,
            },
            range: range(&format!("pools[{index}].range"), &pool.range)?,
            gateway: pool.gateway,
            first: pool.first,
            last: pool.last,
        })
    };
    asked.into_iter().enumerate().map(read).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn wire(region: store::regions::Region) -> Region {
    let (overcommit, placement, heal) = policy::shown(&region.policy);
    Region {
        slug: region.slug.0,
        name: region.name,
        provider: region.provider,
        origin: region.origin,
        available: region.available,
        settings: object(region.settings),
        has_secret: region.has_secret,
        fingerprints: region.fingerprints,
        features: region.features,
        resolvers: region.resolvers,
        vpc_range: region.vpc_range.to_string(),
        overcommit,
        placement,
        heal,
        pools: region.pools.into_iter().map(pool).collect(),
        connection: RegionConnection {
            state: match region.state.as_str() {
                "new" => ConnectionState::New,
                "connected" => ConnectionState::Connected,
                "failed" => ConnectionState::Failed,
                _ => ConnectionState::Unknown,
            },
            connected_at: region.connected_at.map(Into::into),
            problem: region.last_error,
        },
        capabilities: object(region.capabilities),
        hosts: region.hosts,
        servers: region.servers,
    }
}

fn pool(pool: PoolOf) -> RegionPool {
    RegionPool {
        name: pool.name,
        kind: pool.kind,
        range: pool.range.to_string(),
        gateway: pool.gateway,
        first: pool.first,
        last: pool.last,
        free: pool.free,
    }
}

fn found(tested: Tested) -> RegionTestResponse {
    // Written by a worker, maybe of another release: what cannot be read is as good as not looked at.
    let offers = tested.offers.and_then(|offers| serde_json::from_value(offers).ok());
    let findings: Vec<Finding> = tested
        .findings
        .into_iter()
        .map(|finding| Finding {
            severity: match finding.severity.as_str() {
                "fine" => Severity::Fine,
                "warning" => Severity::Warning,
                // What is not known is not well.
                _ => Severity::Error,
            },
            subject: finding.subject,
            sentence: finding.sentence,
        })
        .collect();
    let passed = findings.iter().all(|finding| finding.severity != Severity::Error);
    RegionTestResponse { test: RegionTest { at: jiff::Timestamp::now().into(), passed, findings, offers } }
}
