//! What a request for servers does: one transaction, three questions to the database, no provider.

use super::life::{Life, ServerInput, subject};
use crate::{Caller, Result};
use model::cloud_init::UserData;
use model::ids::{ActionId, ServerId, TeamId, TokenId, VpcId};
use model::names::{ServerName, TagName};
use model::quota::{self, Ask};
use model::refusal::{Code, Refusal};
use model::states::ImageStatus;
use provider::Capabilities;
use store::idempotency::Claim;
use store::servers::{Ground, GroundChoice, Group, ImageChoice, KeyChoice, NewServer, NewServers, Server, Vpc};
use store::{Store, Tx};
use workflow::NewWorkflow;

/// The most servers that one request may ask for (as the specification's `names` has it).
pub const MOST_AT_ONCE: usize = 10;

/// The most keys that one server may be given.
const MOST_KEYS: usize = 100;

/// The most tags that one server may be given.
const MOST_TAGS: usize = 100;

/// A request for one or several servers, as the client worded it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreateServers {
    /// Their names; one server each.
    pub names: Vec<String>,
    /// Which field the names came from, for refusals: `name` or `names`.
    pub names_field: &'static str,
    /// The region; `None` lets Cairn choose.
    pub region: Option<String>,
    /// The size.
    pub size: String,
    /// The image.
    pub image: ImageChoice,
    /// Keys that may log in.
    pub keys: Vec<KeyChoice>,
    /// Take backups; `Some(policy)` where one was given.
    pub backups: Option<serde_json::Value>,
    /// IPv6.
    pub ipv6: bool,
    /// Monitoring.
    pub monitoring: bool,
    /// A public address.
    pub public_networking: bool,
    /// Tags.
    pub tags: Vec<String>,
    /// A cloud-init document of the tenant's own.
    pub user_data: Option<String>,
    /// Volumes to attach.
    pub volumes: Vec<String>,
    /// The VPC; `None` for the region's default.
    pub vpc: Option<VpcId>,
    /// The group that they are members of.
    pub group: Option<Group>,
    /// The provider is to keep them available.
    pub high_availability: bool,
    /// The idempotency key with the hash of the request.
    pub idempotency: Option<(String, [u8; 32])>,
}

/// What was accepted: servers with the action that makes each.
#[derive(Clone, Debug, PartialEq)]
pub struct Created {
    /// As they stood when they were accepted, in the order of the names. Of a repeat: those that are still there.
    pub servers: Vec<Server>,
    /// The action that makes each.
    pub actions: Vec<ActionId>,
    /// The request was a repeat; nothing was made.
    pub repeated: bool,
}

/// Accepts a request: checks it, reserves quota and addresses, writes servers, actions and workflows down.
pub async fn create(store: &Store, caller: &Caller, request: &CreateServers) -> Result<Created> {
    let order = Order::checked(caller, request)?;
    let mut tx = store.tenant(caller.team).await?;
    if let Some((key, hash)) = &request.idempotency {
        match store::idempotency::claim(&mut tx, caller.team, key, hash).await? {
            Claim::First => {}
            Claim::Repeat { resources, actions } => {
                let servers = store::servers::by_ids(&mut tx, caller.team, &resources).await?;
                return Ok(Created { servers, actions: actions.into_iter().map(ActionId).collect(), repeated: true });
            }
            Claim::Mismatch => {
                let message =
                    "This Idempotency-Key was used before with a different request. Use a new key for a new request.";
                return Err(Refusal::new(Code::IdempotencyMismatch, message).into());
            }
        }
    }
    let made = write(&mut tx, caller.team, request, &[&order]).await?;
    let (servers, actions): (Vec<_>, Vec<_>) = made.into_iter().unzip();
    if let Some((key, _)) = &request.idempotency {
        let ids: Vec<i32> = servers.iter().map(|server| server.id.0).collect();
        let numbers: Vec<i32> = actions.iter().map(|action| action.0).collect();
        store::idempotency::settle(&mut tx, caller.team, key, &ids, &numbers).await?;
    }
    tx.commit().await.map_err(store::Error::from)?;
    Ok(Created { servers, actions, repeated: false })
}

/// What one request asks for beyond what it may share with others: names, and who asks.
#[derive(Debug)]
pub(super) struct Order {
    names: Vec<ServerName>,
    token: TokenId,
    request_id: uuid::Uuid,
}

impl Order {
    /// All that can be said of a request without asking the database.
    pub(super) fn checked(caller: &Caller, request: &CreateServers) -> Result<Self> {
        let names = check(request)?;
        Ok(Self { names, token: caller.token, request_id: caller.request_id })
    }

    /// How many servers.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

fn check(request: &CreateServers) -> Result<Vec<ServerName>> {
    let field = request.names_field;
    if request.names.is_empty() {
        return Err(Refusal::field(field, "Give at least one name.").into());
    }
    if request.names.len() > MOST_AT_ONCE {
        let message = format!("One request makes at most {MOST_AT_ONCE} servers. Split it.");
        return Err(Refusal::field(field, message).into());
    }
    let names = request.names.iter().map(|name| ServerName::parse(name)).collect::<std::result::Result<Vec<_>, _>>();
    let names = names.map_err(|refusal| refusal.at(field))?;
    chosen_tags(request)?;
    if let Some(text) = &request.user_data {
        UserData::parse(text)?;
    }
    if request.keys.len() > MOST_KEYS {
        return Err(Refusal::field("ssh_keys", format!("A server has at most {MOST_KEYS} keys.")).into());
    }
    if let Some(volume) = request.volumes.first() {
        let message = format!("There is no volume {volume}. Leave `volumes` out.");
        return Err(Refusal::field("volumes", message).into());
    }
    Ok(names)
}

/// The tags of a request, each once.
fn chosen_tags(request: &CreateServers) -> Result<Vec<String>> {
    if request.tags.len() > MOST_TAGS {
        return Err(Refusal::field("tags", format!("A server has at most {MOST_TAGS} tags.")).into());
    }
    let mut tags = Vec::with_capacity(request.tags.len());
    for (index, tag) in request.tags.iter().enumerate() {
        let tag = TagName::parse(tag).map_err(|refusal| refusal.at(format!("tags[{index}]")))?;
        if !tags.iter().any(|known: &String| known == tag.as_str()) {
            tags.push(tag.as_str().to_owned());
        }
    }
    Ok(tags)
}

/// What the request named, found and fitting together.
struct Fit {
    region: store::servers::Region,
    size: store::servers::Size,
    image: store::servers::Image,
    keys: Vec<String>,
    vpc: Option<Vpc>,
    private: bool,
    public_pool: Option<uuid::Uuid>,
    ids: Vec<ServerId>,
}

fn fit(request: &CreateServers, ground: Ground) -> Result<Fit> {
    let named = request.region.as_deref().unwrap_or("(none)");
    let region = ground.region.ok_or_else(|| {
        refuse(Code::RegionUnavailable, "region", &format!("There is no region `{named}`. GET /v2/regions lists them."))
    })?;
    if !region.available {
        return Err(refuse(
            Code::RegionUnavailable,
            "region",
            &format!("Region `{}` takes no new servers at the moment.", region.slug),
        )
        .into());
    }
    let size = ground.size.filter(|size| size.available).ok_or_else(|| {
        let message = format!("There is no size `{}`. GET /v2/sizes lists them.", shown(&request.size));
        refuse(Code::SizeUnavailable, "size", &message)
    })?;
    if !offered(size.regions.as_deref(), region.slug.as_str()) {
        let message = format!("Size `{}` is not offered in region `{}`.", size.slug, region.slug);
        return Err(refuse(Code::SizeUnavailable, "size", &message).into());
    }
    let image = ground.image.ok_or_else(|| {
        refuse(Code::ImageUnavailable, "image", "There is no such image. GET /v2/images lists those that you can use.")
    })?;
    check_image(&image, region.slug.as_str(), size.slug.as_str(), size.disk_gb)?;
    let keys = chosen_keys(&request.keys, &ground.keys)?;
    let private = has_private_networks(&region);
    if !private {
        check_public(request, &region)?;
    }
    let vpc = fit_vpc(request, ground.vpc, &region)?;
    let capabilities: Capabilities = serde_json::from_value(region.capabilities.clone()).unwrap_or_default();
    super::containers::check_create(request, &image, &region.slug, capabilities)?;
    super::gpus::check_create(request, &size, &image, &region.slug, capabilities)?;
    if request.high_availability && !capabilities.high_availability {
        let message = format!("Region `{}` offers no high availability. Leave it out.", region.slug);
        return Err(refuse(Code::Unsupported, "cloud.high_availability", &message).into());
    }
    if request.ipv6 && !capabilities.ipv6 {
        let message = format!("Region `{}` has no IPv6. Leave `ipv6` out or set it to false.", region.slug);
        return Err(refuse(Code::Unsupported, "ipv6", &message).into());
    }
    let public_pool = if request.public_networking { region.public_pool } else { None };
    if request.public_networking && public_pool.is_none() {
        let message = format!("Region `{}` has no public addresses. Set `public_networking` to false.", region.slug);
        return Err(refuse(Code::AddressesExhausted, "public_networking", &message).into());
    }
    Ok(Fit { region, size, image, keys, vpc, private, public_pool, ids: ground.ids })
}

/// Whether servers there get an address of their VPC. What a region can do is known from the first look at it; until then
/// it is taken to have private networks, and the step that claims addresses goes by what is known by that time.
fn has_private_networks(region: &store::servers::Region) -> bool {
    region.capabilities.get("private_networks").and_then(serde_json::Value::as_bool).unwrap_or(true)
}

/// What a request cannot ask for in a region without private networks: a public address is the only one there is.
fn check_public(request: &CreateServers, region: &store::servers::Region) -> Result<()> {
    let slug = &region.slug;
    if region.public_pool.is_none() {
        let message = format!(
            "Region `{slug}` has neither public addresses nor private networks. Choose another one, or ask your operator to \
             add a range."
        );
        return Err(refuse(Code::AddressesExhausted, "region", &message).into());
    }
    if request.vpc.is_some() {
        let message =
            format!("Region `{slug}` has no private networks. Leave `vpc_uuid` out, or choose another region.");
        return Err(refuse(Code::Unsupported, "vpc_uuid", &message).into());
    }
    if !request.public_networking {
        let message = format!(
            "Region `{slug}` has no private networks, and without a public address the server would have no network at all. \
             Leave `public_networking` out, or choose another region."
        );
        return Err(refuse(Code::Unsupported, "public_networking", &message).into());
    }
    Ok(())
}

fn refuse(code: Code, field: &str, message: &str) -> Refusal {
    Refusal::new(code, message).at(field)
}

/// At most this much of a client's own words is said back.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

pub(crate) fn offered(regions: Option<&[String]>, region: &str) -> bool {
    regions.is_none_or(|regions| regions.iter().any(|known| known == region))
}

/// An image that a server's disk can be made from, in this region and on this disk.
pub(crate) fn check_image(image: &store::servers::Image, region: &str, size: &str, disk_gb: i32) -> Result<()> {
    // A catalogue image is available from the start and fetched when it is first used; one that is NEW has no checksum
    // yet, and so no source that a provider would take.
    if image.status != ImageStatus::Available {
        return Err(refuse(
            Code::ImageUnavailable,
            "image",
            "The image is not available. Wait until it is, or choose another one.",
        )
        .into());
    }
    if !offered(image.regions.as_deref(), region) {
        let message = format!("The image is not in region `{region}`.");
        return Err(refuse(Code::ImageUnavailable, "image", &message).into());
    }
    if image.min_disk_gb > disk_gb {
        let message = format!(
            "The image needs a disk of {} GB, and with size `{size}` there are {disk_gb} GB. Choose a larger size.",
            image.min_disk_gb
        );
        return Err(refuse(Code::DiskTooSmall, "size", &message).into());
    }
    Ok(())
}

fn chosen_keys(choices: &[KeyChoice], found: &[store::servers::Key]) -> Result<Vec<String>> {
    let mut lines: Vec<String> = Vec::with_capacity(choices.len());
    for (index, choice) in choices.iter().enumerate() {
        let key = found.iter().find(|key| match choice {
            KeyChoice::Id(id) => key.id == *id,
            KeyChoice::Fingerprint(text) => key.fingerprint == *text,
        });
        let Some(key) = key else {
            let named = match choice {
                KeyChoice::Id(id) => id.to_string(),
                KeyChoice::Fingerprint(text) => shown(text),
            };
            let message = format!("There is no SSH key `{named}` in this team. GET /v2/account/keys lists them.");
            return Err(Refusal::field(format!("ssh_keys[{index}]"), message).into());
        };
        if !lines.contains(&key.public_key) {
            lines.push(key.public_key.clone());
        }
    }
    Ok(lines)
}

fn fit_vpc(request: &CreateServers, found: Option<Vpc>, region: &store::servers::Region) -> Result<Option<Vpc>> {
    match (request.vpc, found) {
        (Some(id), None) => Err(Refusal::field(
            "vpc_uuid",
            format!("There is no VPC {id} in this team. Leave `vpc_uuid` out for the default one."),
        )
        .into()),
        (Some(id), Some(vpc)) if vpc.region != region.slug => {
            let message = format!("VPC {id} is in region `{}`, the server would be in `{}`.", vpc.region, region.slug);
            Err(Refusal::field("vpc_uuid", message).into())
        }
        (_, found) => Ok(found),
    }
}

/// The range of a team's default VPC: the first of the usual size in the region's. Teams may overlap, they never meet.
pub(crate) fn default_range(region: ipnet::Ipv4Net) -> ipnet::Ipv4Net {
    let prefix = model::catalogue::VPC_PREFIX;
    if region.prefix_len() >= prefix {
        return region;
    }
    ipnet::Ipv4Net::new(region.network(), prefix).unwrap_or(region)
}

/// Writes the servers of `orders`, which are alike but for what an [`Order`] says, into a tenant's transaction. Returns them
/// in the orders' order, each with the action that makes it. Commits nothing.
pub(super) async fn write(
    tx: &mut Tx,
    team: TeamId,
    alike: &CreateServers,
    orders: &[&Order],
) -> Result<Vec<(Server, ActionId)>> {
    let count = orders.iter().map(|order| order.len()).sum();
    let choice = GroundChoice {
        team,
        count,
        region: alike.region.as_deref(),
        size: &alike.size,
        image: &alike.image,
        keys: &alike.keys,
        vpc: alike.vpc,
    };
    let ground = store::servers::ground(tx, &choice).await?;
    let fit = fit(alike, ground)?;
    let vpc = reserve(tx, team, &fit).await?;
    // Under the quota's lock: no other request of the team gives the group another policy meanwhile.
    if let Some(group) = &alike.group {
        one_policy(tx, team, group).await?;
    }
    let named = orders.iter().flat_map(|order| order.names.iter().map(move |name| (name, order)));
    let servers = fit.ids.iter().zip(named).map(|(id, (name, order))| {
        let life = NewWorkflow::of::<Life>(subject(*id), &ServerInput { server: *id }).team(team);
        Ok(NewServer {
            id: *id,
            name: name.as_str().to_owned(),
            workflow: life.into_row()?,
            token: order.token.0,
            request_id: order.request_id,
        })
    });
    let servers = servers.collect::<store::Result<Vec<_>>>()?;
    let new = NewServers {
        team,
        servers: &servers,
        region: &fit.region.slug,
        size: &fit.size,
        image: fit.image.id,
        vpc,
        public_keys: &fit.keys,
        user_data: alike.user_data.as_deref(),
        backups: alike.backups.is_some(),
        backup_policy: alike.backups.as_ref(),
        ipv6: alike.ipv6,
        monitoring: alike.monitoring,
        public_networking: alike.public_networking,
        tags: &chosen_tags(alike)?,
        group: alike.group.as_ref(),
        high_availability: alike.high_availability,
    };
    let made = store::servers::insert(tx, &new).await?;
    Ok(made.into_iter().map(|(server, action)| (server, ActionId(action))).collect())
}

/// A group has one policy as long as it has members.
async fn one_policy(tx: &mut Tx, team: TeamId, group: &Group) -> Result<()> {
    let Some(other) = store::servers::other_policy(tx, team, group).await? else { return Ok(()) };
    let message = format!("Group `{}` has the policy `{other}`. Use that one, or another group.", group.name);
    Err(Refusal::field("cloud.group.policy", message).into())
}

/// Claims the addresses and admits the servers under the quota's lock. Returns the VPC that they are counted to: where
/// there are no private networks, they have no address of it.
async fn reserve(tx: &mut Tx, team: TeamId, fit: &Fit) -> Result<VpcId> {
    let vpc = match &fit.vpc {
        Some(vpc) => vpc.clone(),
        None => {
            let range = default_range(fit.region.vpc_range);
            store::networks::default_vpc(tx, team, &fit.region.slug, range).await?
        }
    };
    let pools: Vec<uuid::Uuid> = fit.public_pool.into_iter().chain(fit.private.then_some(vpc.pool)).collect();
    // The quota's lock is taken last: the team's other creates wait for it.
    let (missing, quota) = store::quota::claim_and_lock(tx, team, &fit.ids, &pools).await?;
    if missing > 0 {
        let message = format!(
            "Region `{}` has not enough free addresses. Delete servers you no longer need, or ask your operator for a larger range.",
            fit.region.slug
        );
        return Err(refuse(Code::AddressesExhausted, "region", &message).into());
    }
    let size = &fit.size;
    let amount = |value: i32| u32::try_from(value).unwrap_or(u32::MAX);
    let ask = Ask::servers(fit.ids.len(), amount(size.vcpus), amount(size.memory_mib), amount(size.disk_gb));
    quota::admit(&quota.limits, &quota.used, &ask)?;
    Ok(vpc.id)
}
