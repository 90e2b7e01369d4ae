//! Servers: `droplets` on the wire.

use super::shapes::{Shapes, action_link};
use crate::Api;
use crate::edge::{Authenticated, Id, Json, PageParameters, Paging, Problem, Query, RawJson, Result};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use cloud::server::create::{CreateServers, Created};
use model::ids::{ImageId, ServerId, SshKeyId, VpcId};
use model::names::GroupName;
use model::refusal::{Code, Refusal};
use model::states::GroupPolicy;
use serde::Deserialize;
use store::servers::{Filter, Group, ImageChoice, KeyChoice, WithGpus};
use utoipa::IntoParams;
use wire::cloud::ServerGroup;
use wire::envelope::ActionLinks;
use wire::reference::{IdOrSlug, KeyReference};
use wire::server::{
    CreatedServer, CreatedServers, KernelList, NeighborIds, Neighbors, ServerCreate, ServerCreateResponse, ServerList,
    ServerResponse,
};

/// What a list of servers can be narrowed to.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParameters {
    /// Only those with this tag.
    tag_name: Option<String>,
    /// Only those of this name.
    name: Option<String>,
    /// `droplets`: those without GPUs, `gpus`: those with some, `all`: both. When absent, and no name or tag is given,
    /// those without GPUs.
    #[serde(rename = "type")]
    kind: Option<String>,
}

/// Which tag.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TagParameter {
    /// All servers with this tag.
    pub(super) tag_name: Option<String>,
}

/// List the servers
#[utoipa::path(get, path = "/v2/droplets", operation_id = "droplets_list", tag = "Droplets",
    params(PageParameters, ListParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "A page of servers, the oldest first.", body = ServerList)))]
pub(super) async fn list(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    paging: Paging,
    Query(asked): Query<ListParameters>,
) -> Result<Json<ServerList>> {
    if asked.tag_name.is_some() && asked.name.is_some() {
        return Err(Refusal::field("tag_name", "A list is narrowed by name or by tag, not by both.").into());
    }
    let gpus = match asked.kind.as_deref() {
        Some("droplets") => WithGpus::Never,
        Some("gpus") => WithGpus::Only,
        Some("all") => WithGpus::Whether,
        Some(_) => return Err(Refusal::field("type", "It is `droplets`, `gpus` or `all`.").into()),
        None if asked.name.is_some() || asked.tag_name.is_some() => WithGpus::Whether,
        None => WithGpus::Never,
    };
    let shapes = Shapes::of(&api).await?;
    let filter = Filter { name: asked.name, tag: asked.tag_name, gpus };
    let mut tx = api.store().tenant(caller.team).await?;
    let (servers, total) = store::servers::list(&mut tx, caller.team, &filter, paging.limit(), paging.offset()).await?;
    Ok(paging.answer(&api, servers.into_iter().map(|server| shapes.server(server)).collect(), total))
}

/// Show a server
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}", operation_id = "droplets_get", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The server.", body = ServerResponse)))]
pub(super) async fn show(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<ServerResponse>> {
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let server = store::servers::get(&mut tx, caller.team, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Json(ServerResponse { server: shapes.server(server) }))
}

/// Order one server, or several that are alike
///
/// Accepted at once, made after the answer: the action in `links` says how far it is. With an `Idempotency-Key` header,
/// a repeat of the same request answers with what the first one made.
#[utoipa::path(post, path = "/v2/droplets", operation_id = "droplets_create", tag = "Droplets",
    params(("idempotency-key" = Option<String>, Header, description = "Makes a repeat of this request harmless for a day.")),
    request_body = ServerCreate,
    security(("bearer_auth" = ["droplet:create"])),
    extensions(("x-cairn" = json!({"audit": "droplets_create", "rate": "standard"}))),
    responses((status = 202, description = "Accepted.", body = ServerCreateResponse)))]
pub(super) async fn create(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    headers: HeaderMap,
    body: RawJson<ServerCreate>,
) -> Result<(StatusCode, Json<ServerCreateResponse>)> {
    let several = body.value.names.is_some();
    let key = idempotency_key(&headers)?;
    let hash = store::idempotency::hash_request("POST", "/v2/droplets", &body.bytes);
    let request = request(body.value, key.map(|key| (key, hash)))?;
    let created = api.groups().create(api.store(), &caller, request).await?;
    answer(&api, created, several).await.map(|answer| (StatusCode::ACCEPTED, Json(answer)))
}

/// The header, within bounds.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>> {
    let Some(value) = headers.get("idempotency-key") else { return Ok(None) };
    match value.to_str() {
        Ok(text) if (1..=255).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(Refusal::new(Code::BadRequest, "An Idempotency-Key has 1 to 255 visible ASCII characters.").into()),
    }
}

async fn answer(api: &Api, created: Created, several: bool) -> Result<ServerCreateResponse> {
    let shapes = Shapes::of(api).await?;
    let mut servers: Vec<_> = created.servers.into_iter().map(|server| shapes.server(server)).collect();
    let actions = created.actions.iter().map(|action| action_link(api, *action, "create")).collect();
    let links = ActionLinks { actions };
    if several {
        return Ok(ServerCreateResponse::Several(CreatedServers { servers, links }));
    }
    let server = servers.pop().ok_or_else(|| {
        // A repeat whose first request's server is gone already.
        Problem::new(Code::Conflict, "What this Idempotency-Key made was deleted in the meantime. Use a new key.")
    })?;
    Ok(ServerCreateResponse::One(Box::new(CreatedServer { server, links })))
}

fn request(body: ServerCreate, idempotency: Option<(String, [u8; 32])>) -> Result<CreateServers> {
    let (names, names_field) = match (body.name, body.names) {
        (Some(name), None) => (vec![name], "name"),
        (None, Some(names)) => (names, "names"),
        (Some(_), Some(_)) => return Err(Refusal::field("names", "Give `name` or `names`, not both.").into()),
        (None, None) => return Err(Refusal::field("name", "Give the server a name.").into()),
    };
    let vpc = match body.vpc_uuid.as_deref() {
        None | Some("") => None,
        Some(text) => {
            let unknown =
                |_| Refusal::field("vpc_uuid", "It has to be the UUID of a VPC; leave it out for the default one.");
            Some(text.parse::<VpcId>().map_err(unknown)?)
        }
    };
    let backups = match (body.backups.unwrap_or(false), body.backup_policy) {
        // Names differ where servers do; ids are not known yet.
        (true, policy) => Some(backup_policy(policy, names.iter().map(|name| name.len() as u64).sum())?),
        (false, _) => None,
    };
    let wishes = body.cloud.unwrap_or_default();
    Ok(CreateServers {
        names,
        names_field,
        region: body.region.filter(|region| !region.is_empty()),
        size: body.size,
        image: image_choice(body.image)?,
        keys: body.ssh_keys.unwrap_or_default().into_iter().map(key_choice).collect(),
        backups,
        ipv6: body.ipv6.unwrap_or(false),
        monitoring: body.monitoring.unwrap_or(false),
        public_networking: body.public_networking.unwrap_or(true),
        tags: body.tags.unwrap_or_default(),
        user_data: body.user_data.filter(|text| !text.is_empty()),
        volumes: body.volumes.unwrap_or_default(),
        vpc,
        high_availability: wishes.high_availability.unwrap_or(false),
        group: wishes.group.map(group).transpose()?,
        idempotency,
    })
}

/// A group as a request names it.
fn group(asked: ServerGroup) -> Result<Group> {
    let name = GroupName::parse(&asked.name).map_err(|refusal| refusal.at("cloud.group.name"))?;
    let policy = match asked.policy {
        None => GroupPolicy::AntiAffinity,
        Some(word) => word.parse().map_err(|_| {
            let known: Vec<String> = GroupPolicy::ALL.iter().map(|word| format!("`{word}`")).collect();
            Refusal::field("cloud.group.policy", format!("It has to be {}.", known.join(" or ")))
        })?,
    };
    Ok(Group { name, policy })
}

/// A backup policy as a request words it. What it leaves open, `seed` decides.
pub(super) fn backup_policy(asked: Option<wire::server_backup::BackupPolicy>, seed: u64) -> Result<serde_json::Value> {
    let asked = asked.map_or_else(Default::default, super::backups::asked);
    let policy = model::backup::Policy::choose(asked, seed)?;
    serde_json::to_value(policy).map_err(|error| Problem::internal(format!("BUG: a backup policy: {error}")))
}

/// An image as a request names it. A number that no column holds names nothing.
pub(super) fn image_choice(named: IdOrSlug) -> Result<ImageChoice> {
    match named {
        IdOrSlug::Slug(slug) => Ok(ImageChoice::Slug(slug)),
        IdOrSlug::Id(id) => match i32::try_from(id) {
            Ok(id) => Ok(ImageChoice::Id(ImageId(id))),
            Err(_) => {
                let message = "There is no such image. GET /v2/images lists those that you can use.";
                Err(Refusal::new(Code::ImageUnavailable, message).at("image").into())
            }
        },
    }
}

fn key_choice(named: KeyReference) -> KeyChoice {
    match named {
        KeyReference::Fingerprint(text) => KeyChoice::Fingerprint(text),
        // No key has a number that its column cannot hold, so it is looked for as a fingerprint and not found.
        KeyReference::Id(id) => {
            i32::try_from(id).map_or_else(|_| KeyChoice::Fingerprint(id.to_string()), |id| KeyChoice::Id(SshKeyId(id)))
        }
    }
}

/// Destroy a server
#[utoipa::path(delete, path = "/v2/droplets/{droplet_id}", operation_id = "droplets_destroy", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:delete"])),
    extensions(("x-cairn" = json!({"audit": "droplets_destroy", "rate": "standard"}))),
    responses((status = 204, description = "It is not listed any more and is being taken down.")))]
pub(super) async fn destroy(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<StatusCode> {
    cloud::server::destroy::destroy(api.store(), &caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Destroy all servers with a tag
#[utoipa::path(delete, path = "/v2/droplets", operation_id = "droplets_destroy_byTag", tag = "Droplets",
    params(TagParameter),
    security(("bearer_auth" = ["droplet:delete"])),
    extensions(("x-cairn" = json!({"audit": "droplets_destroy_byTag", "rate": "standard"}))),
    responses((status = 204, description = "They are not listed any more and are being taken down.")))]
pub(super) async fn destroy_tagged(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Query(asked): Query<TagParameter>,
) -> Result<StatusCode> {
    let tag = tag(asked)?;
    cloud::server::destroy::destroy_tagged(api.store(), &caller, &tag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The tag that a request about all servers with one cannot do without.
pub(super) fn tag(asked: TagParameter) -> Result<String> {
    asked
        .tag_name
        .filter(|tag| !tag.is_empty())
        .ok_or_else(|| Refusal::field("tag_name", "Say which tag: this is about all servers that have it.").into())
}

/// List the kernels of a server
///
/// There are none: servers boot the kernel of their own disk.
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/kernels", operation_id = "droplets_list_kernels", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server."), PageParameters),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "An empty page.", body = KernelList)))]
pub(super) async fn kernels(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    paging: Paging,
) -> Result<Json<KernelList>> {
    exists(&api, &caller, id).await?;
    Ok(paging.answer(&api, Vec::new(), 0))
}

/// List the firewalls of a server
///
/// There are no firewalls yet.
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/firewalls", operation_id = "droplets_list_firewalls", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server."), PageParameters),
    security(("bearer_auth" = ["firewall:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "An empty page.", body = wire::firewall::FirewallList)))]
pub(super) async fn firewalls(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
    paging: Paging,
) -> Result<Json<wire::firewall::FirewallList>> {
    exists(&api, &caller, id).await?;
    Ok(paging.answer(&api, Vec::new(), 0))
}

/// 404 unless the server is the caller's.
pub(super) async fn exists(api: &Api, caller: &cloud::Caller, id: ServerId) -> Result<()> {
    let mut tx = api.store().tenant(caller.team).await?;
    match store::servers::get(&mut tx, caller.team, id).await? {
        Some(_) => Ok(()),
        None => Err(Problem::not_found()),
    }
}

/// List a server's neighbors
///
/// The team's other servers on the same host.
#[utoipa::path(get, path = "/v2/droplets/{droplet_id}/neighbors", operation_id = "droplets_list_neighbors", tag = "Droplets",
    params(("droplet_id" = i32, Path, description = "The server.")),
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The others.", body = Neighbors)))]
pub(super) async fn neighbors(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
    Id(id): Id<ServerId>,
) -> Result<Json<Neighbors>> {
    exists(&api, &caller, id).await?;
    let shapes = Shapes::of(&api).await?;
    let mut tx = api.store().tenant(caller.team).await?;
    let servers = store::servers::neighbors(&mut tx, caller.team, id).await?;
    Ok(Json(Neighbors { servers: servers.into_iter().map(|server| shapes.server(server)).collect() }))
}

/// List all neighbors
///
/// Ids of servers that share a host, one list for each host that has two or more.
#[utoipa::path(get, path = "/v2/reports/droplet_neighbors_ids", operation_id = "droplets_list_neighborsIds", tag = "Droplets",
    security(("bearer_auth" = ["droplet:read"])), extensions(("x-cairn" = json!({"rate": "standard"}))),
    responses((status = 200, description = "The lists.", body = NeighborIds)))]
pub(super) async fn neighbor_ids(
    State(api): State<Api>,
    Authenticated(caller): Authenticated,
) -> Result<Json<NeighborIds>> {
    let mut tx = api.store().tenant(caller.team).await?;
    let groups = store::servers::neighbor_groups(&mut tx, caller.team).await?;
    let neighbor_ids = groups.into_iter().map(|group| group.into_iter().map(ServerId).collect()).collect();
    Ok(Json(NeighborIds { neighbor_ids }))
}
