//! Reading servers: for their tenants ([`Server`]), and for the workflows that work on them ([`Work`]).

use crate::rows::Columns as _;
use crate::{Result, Tx};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use model::catalogue::Gpus;
use model::ids::{HostId, ImageId, RegionSlug, ServerId, SizeSlug, TeamId, VpcId, WorkflowId};
use model::names::GroupName;
use model::states::{GroupPolicy, GuestKind, ImageKind, ImageStatus, Power};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use std::net::Ipv4Addr;

/// The image that a server was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageOf {
    /// Its id.
    pub id: ImageId,
    /// Its name.
    pub name: String,
    /// Its slug, if it is of the catalogue.
    pub slug: Option<String>,
    /// The distribution's word.
    pub distribution: String,
    /// Base, snapshot, backup or custom.
    pub kind: ImageKind,
    /// What is made of it, and so what the server is.
    pub guest: GuestKind,
    /// How it stands.
    pub status: ImageStatus,
    /// Whether everybody sees it.
    pub public: bool,
    /// Where it is; `None` for everywhere.
    pub regions: Option<Vec<String>>,
    /// The smallest disk that it fits on, in GB.
    pub min_disk_gb: i32,
    /// Bytes that it takes.
    pub stored_bytes: Option<i64>,
    /// What it says of itself.
    pub description: String,
    /// Who logs in by key.
    pub default_user: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Servers of a team that are kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// How far.
    pub policy: GroupPolicy,
}

/// A server as its tenant sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub region: RegionSlug,
    /// Its size.
    pub size: SizeSlug,
    /// vCPUs, fixed when the size was chosen.
    pub vcpus: i32,
    /// Memory in MiB.
    pub memory_mib: i32,
    /// Disk in GB.
    pub disk_gb: i32,
    /// What it was made from.
    pub image: ImageOf,
    /// Its private network.
    pub vpc: VpcId,
    /// Public address, with its range and gateway.
    pub public_address: Option<(Ipv4Addr, Ipv4Net, Option<Ipv4Addr>)>,
    /// Private address, with its range.
    pub private_address: Option<(Ipv4Addr, Ipv4Net)>,
    /// Backups are on.
    pub backups: bool,
    /// When backups are taken.
    pub backup_policy: Option<serde_json::Value>,
    /// Up to when every backup window has been served.
    pub backups_served: Timestamp,
    /// The group that it is a member of.
    pub group: Option<Group>,
    /// The provider keeps it available.
    pub high_availability: bool,
    /// Its GPUs, fixed when the size was chosen.
    pub gpus: Option<Gpus>,
    /// IPv6 was asked for.
    pub ipv6: bool,
    /// Monitoring was asked for.
    pub monitoring: bool,
    /// It has answered once.
    pub answered: bool,
    /// Power as last seen.
    pub seen_power: Option<Power>,
    /// A forwarded SSH port, where the addresses are not reachable.
    pub seen_ssh: Option<(String, u16)>,
    /// An action is under way.
    pub locked: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// Snapshots taken from it.
    pub snapshots: Vec<i32>,
    /// Backups taken from it.
    pub backup_images: Vec<i32>,
    /// The workflow that makes and deletes it.
    pub workflow: WorkflowId,
    /// Another word for each time that its disk was made anew.
    pub incarnation: String,
    /// When it was ordered.
    pub created_at: Timestamp,
}

/// What is read of a server that stands as `s` beside its image `i`. A macro, so that statements made of it are constants.
macro_rules! columns {
    () => {
        "s.id, s.name, s.region, s.size, s.vcpus, s.memory_mib, s.disk_gb, s.vpc_id, s.backups, s.backup_policy,
           s.backups_served_at,
           s.group_name, s.group_policy, s.high_availability, s.gpu, s.ipv6, s.monitoring, s.answered_at IS NOT NULL AS answered,
           s.seen_power, s.seen_ssh_host, s.seen_ssh_port, s.workflow_id, s.incarnation, s.created_at,
           i.id AS image_id, i.name AS image_name, i.slug AS image_slug, i.distribution, i.kind AS image_kind, i.guest,
           i.status AS image_status, i.team_id IS NULL AS image_public, i.regions AS image_regions, i.min_disk_gb,
           i.stored_bytes, i.description AS image_description, i.default_user, i.created_at AS image_created_at,
           pub.address AS public_address, pub.range AS public_range, pub.gateway AS public_gateway,
           priv.address AS private_address, priv.range AS private_range"
    };
}
pub(super) use columns;

/// The image and the addresses of a server that stands as `s`.
macro_rules! joined {
    () => {
        "JOIN images i ON i.id = s.image_id
    LEFT JOIN LATERAL (SELECT a.address, p.range, p.gateway FROM addresses a JOIN address_pools p ON p.id = a.pool_id
                       WHERE a.server_id = s.id AND p.vpc_id IS NULL LIMIT 1) pub ON true
    LEFT JOIN LATERAL (SELECT a.address, p.range FROM addresses a JOIN address_pools p ON p.id = a.pool_id
                       WHERE a.server_id = s.id AND p.vpc_id IS NOT NULL LIMIT 1) priv ON true"
    };
}
pub(super) use joined;

const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    ",
           EXISTS (SELECT 1 FROM actions a WHERE a.resource_type = 'droplet' AND a.resource_id = s.id
                   AND a.completed_at IS NULL AND a.kind <> 'destroy') AS locked,
           ARRAY(SELECT t.tag FROM tagged t WHERE t.team_id = s.team_id AND t.resource_type = 'droplet'
                 AND t.resource_id = s.id::text ORDER BY t.tag) AS tags,
           ARRAY(SELECT n.id FROM images n WHERE n.server_id = s.id AND n.team_id = s.team_id AND n.kind = 'snapshot'
                 AND n.deleted_at IS NULL ORDER BY n.id) AS snapshots,
           ARRAY(SELECT n.id FROM images n WHERE n.server_id = s.id AND n.team_id = s.team_id AND n.kind = 'backup'
                 AND n.deleted_at IS NULL ORDER BY n.id) AS backup_images
    FROM servers s ",
    joined!(),
    " WHERE s.team_id = $1 AND s.deleted_at IS NULL AND s.destroy_requested_at IS NULL "
);

fn image(row: &PgRow) -> Result<ImageOf> {
    Ok(ImageOf {
        id: ImageId(row.try_get("image_id")?),
        name: row.try_get("image_name")?,
        slug: row.try_get("image_slug")?,
        distribution: row.try_get("distribution")?,
        kind: row.word("image_kind")?,
        guest: row.word("guest")?,
        status: row.word("image_status")?,
        public: row.try_get("image_public")?,
        regions: row.try_get("image_regions")?,
        min_disk_gb: row.try_get("min_disk_gb")?,
        stored_bytes: row.try_get("stored_bytes")?,
        description: row.try_get("image_description")?,
        default_user: row.try_get("default_user")?,
        created_at: row.time("image_created_at")?,
    })
}

fn group(row: &PgRow) -> Result<Option<Group>> {
    let Some(name) = row.try_get::<Option<String>, _>("group_name")? else { return Ok(None) };
    let name = GroupName::parse(&name).map_err(|refusal| crate::Error::Corrupt(refusal.message))?;
    Ok(Some(Group { name, policy: row.word("group_policy")? }))
}

fn ssh(row: &PgRow) -> Result<Option<(String, u16)>> {
    let host: Option<String> = row.try_get("seen_ssh_host")?;
    let port: Option<i32> = row.try_get("seen_ssh_port")?;
    Ok(host.zip(port.and_then(|port| u16::try_from(port).ok())))
}

pub(super) fn read(row: &PgRow) -> Result<Server> {
    let public_range = row.range_or_null("public_range")?;
    let public_gateway = row.address_or_null("public_gateway")?;
    Ok(Server {
        id: ServerId(row.try_get("id")?),
        name: row.try_get("name")?,
        region: RegionSlug(row.try_get("region")?),
        size: SizeSlug(row.try_get("size")?),
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        disk_gb: row.try_get("disk_gb")?,
        image: image(row)?,
        vpc: VpcId(row.try_get("vpc_id")?),
        public_address: row
            .address_or_null("public_address")?
            .zip(public_range)
            .map(|(address, range)| (address, range, public_gateway)),
        private_address: row.address_or_null("private_address")?.zip(row.range_or_null("private_range")?),
        backups: row.try_get("backups")?,
        backup_policy: row.try_get("backup_policy")?,
        backups_served: row.time("backups_served_at")?,
        group: group(row)?,
        high_availability: row.try_get("high_availability")?,
        gpus: row.json_or_null("gpu")?,
        ipv6: row.try_get("ipv6")?,
        monitoring: row.try_get("monitoring")?,
        answered: row.try_get("answered")?,
        seen_power: row.word_or_null("seen_power")?,
        seen_ssh: ssh(row)?,
        locked: row.try_get("locked")?,
        tags: row.try_get("tags")?,
        snapshots: row.try_get("snapshots")?,
        backup_images: row.try_get("backup_images")?,
        workflow: WorkflowId(row.try_get("workflow_id")?),
        incarnation: row.try_get("incarnation")?,
        created_at: row.time("created_at")?,
    })
}

/// One server of the team.
pub async fn get(tx: &mut Tx, team: TeamId, id: ServerId) -> Result<Option<Server>> {
    let statement = format!("{SELECT} AND s.id = $2");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(team.0).bind(id.0).fetch_optional(&mut **tx).await?;
    row.as_ref().map(read).transpose()
}

/// Several servers of the team, by id.
pub async fn by_ids(tx: &mut Tx, team: TeamId, ids: &[i32]) -> Result<Vec<Server>> {
    let statement = format!("{SELECT} AND s.id = ANY($2) ORDER BY s.id");
    let rows = sqlx::query(AssertSqlSafe(statement)).bind(team.0).bind(ids).fetch_all(&mut **tx).await?;
    rows.iter().map(read).collect()
}

/// What a list is narrowed to.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Exactly this name (case-insensitive, as clients expect).
    pub name: Option<String>,
    /// Having this tag.
    pub tag: Option<String>,
    /// With GPUs or without.
    pub gpus: WithGpus,
}

/// Whether a list shows servers with GPUs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithGpus {
    /// All servers.
    #[default]
    Whether,
    /// Those alone.
    Only,
    /// All others.
    Never,
}

/// One page in the order of creation, and the count of all that match.
pub async fn list(tx: &mut Tx, team: TeamId, filter: &Filter, limit: i64, offset: i64) -> Result<(Vec<Server>, i64)> {
    const MATCH: &str = " AND ($2::text IS NULL OR lower(s.name) = lower($2))
        AND ($3::text IS NULL OR EXISTS (SELECT 1 FROM tagged t WHERE t.team_id = s.team_id AND t.tag = $3
             AND t.resource_type = 'droplet' AND t.resource_id = s.id::text))
        AND ($4::bool IS NULL OR $4 = (s.gpu IS NOT NULL))";
    let gpus = match filter.gpus {
        WithGpus::Whether => None,
        WithGpus::Only => Some(true),
        WithGpus::Never => Some(false),
    };
    // The page is cut before the joins, so that a deep page costs an index walk and not a join of what it skips.
    let statement = format!(
        "{SELECT} AND s.id IN (SELECT s.id FROM servers s WHERE s.team_id = $1 AND s.deleted_at IS NULL
         AND s.destroy_requested_at IS NULL {MATCH} ORDER BY s.id LIMIT $5 OFFSET $6) ORDER BY s.id"
    );
    let rows = sqlx::query(AssertSqlSafe(statement))
        .bind(team.0)
        .bind(&filter.name)
        .bind(&filter.tag)
        .bind(gpus)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut **tx)
        .await?;
    let count = format!(
        "SELECT count(*) FROM servers s WHERE s.team_id = $1 AND s.deleted_at IS NULL
         AND s.destroy_requested_at IS NULL {MATCH}"
    );
    let total = sqlx::query_scalar(AssertSqlSafe(count))
        .bind(team.0)
        .bind(&filter.name)
        .bind(&filter.tag)
        .bind(gpus)
        .fetch_one(&mut **tx)
        .await?;
    Ok((rows.iter().map(read).collect::<Result<_>>()?, total))
}

/// Servers of the same team on the same host.
pub async fn neighbors(tx: &mut Tx, team: TeamId, id: ServerId) -> Result<Vec<Server>> {
    let statement = format!(
        "{SELECT} AND s.id <> $2 AND s.host_id = (SELECT o.host_id FROM servers o WHERE o.id = $2 AND o.team_id = $1)
         ORDER BY s.id"
    );
    let rows = sqlx::query(AssertSqlSafe(statement)).bind(team.0).bind(id.0).fetch_all(&mut **tx).await?;
    rows.iter().map(read).collect()
}

/// Ids of the team's servers that share a host, a group a host, groups of one left out.
pub async fn neighbor_groups(tx: &mut Tx, team: TeamId) -> Result<Vec<Vec<i32>>> {
    Ok(sqlx::query_scalar(
        "SELECT array_agg(id ORDER BY id) FROM servers
         WHERE team_id = $1 AND host_id IS NOT NULL AND deleted_at IS NULL AND destroy_requested_at IS NULL
         GROUP BY host_id HAVING count(*) > 1 ORDER BY min(id)",
    )
    .bind(team.0)
    .fetch_all(&mut **tx)
    .await?)
}

/// What the workflows need of a server, whoever's it is and whether or not it is on its way out.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// Its id.
    pub id: ServerId,
    /// Whose.
    pub team: TeamId,
    /// Its name.
    pub name: String,
    /// Where.
    pub region: RegionSlug,
    /// Its size.
    pub size: SizeSlug,
    /// vCPUs.
    pub vcpus: u32,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Disk in GB.
    pub disk_gb: u32,
    /// The image that its disk starts as.
    pub image: ImageId,
    /// `provider::ImageSource` as stored.
    pub image_source: serde_json::Value,
    /// What it is.
    pub guest: GuestKind,
    /// Who logs in by key.
    pub default_user: String,
    /// Its private network.
    pub vpc: VpcId,
    /// Keys that may log in.
    pub public_keys: Vec<String>,
    /// Which incarnation its seed is for.
    pub incarnation: String,
    /// The tenant's own cloud-init document.
    pub user_data: Option<String>,
    /// The host and its name, once placed.
    pub host: Option<(HostId, String)>,
    /// The guest's number, where the region's provider numbers guests.
    pub guest_number: Option<i64>,
    /// The guest was there before it was ours.
    pub adopted: bool,
    /// The group that it is a member of.
    pub group: Option<Group>,
    /// The provider keeps it available.
    pub high_availability: bool,
    /// Its GPUs.
    pub gpus: Option<Gpus>,
    /// The region's `model::catalogue::Placing` as stored, where it has one.
    pub placing: Option<serde_json::Value>,
    /// Power as wanted.
    pub wanted_power: Power,
    /// Power as last seen.
    pub seen_power: Option<Power>,
    /// It has answered once.
    pub answered: bool,
    /// It is on its way out.
    pub leaving: bool,
    /// The region's resolvers.
    pub resolvers: Vec<Ipv4Addr>,
    /// Millionths an hour.
    pub price_hourly: i64,
    /// Workflow of its life.
    pub workflow: WorkflowId,
}

const WORK: &str = "
    SELECT s.id, s.team_id, s.name, s.region, s.size, s.vcpus, s.memory_mib, s.disk_gb, s.image_id, s.vpc_id,
           s.public_keys, s.incarnation, s.user_data, s.host_id, h.name AS host_name, s.wanted_power, s.seen_power,
           s.answered_at IS NOT NULL AS answered, s.destroy_requested_at IS NOT NULL AS leaving, s.workflow_id,
           s.group_name, s.group_policy, s.high_availability, s.gpu,
           s.adopted, r.settings -> 'placement' AS placing, (SELECT n.number FROM guest_numbers n WHERE n.server_id = s.id AND n.freed_at IS NULL) AS guest_number,
           i.source, i.guest, i.default_user,
           ARRAY(SELECT host(x) FROM unnest(r.resolvers) AS x) AS resolvers, z.price_hourly
    FROM servers s
    JOIN images i ON i.id = s.image_id
    JOIN regions r ON r.slug = s.region
    JOIN sizes z ON z.slug = s.size
    LEFT JOIN hosts h ON h.id = s.host_id ";

fn read_work(row: &PgRow) -> Result<Work> {
    let number = |column: &str| -> Result<u32> {
        let value: i32 = row.try_get(column)?;
        u32::try_from(value).map_err(|_| crate::Error::Corrupt(format!("column {column} holds {value}")))
    };
    let resolvers: Vec<String> = row.try_get("resolvers")?;
    let host: Option<uuid::Uuid> = row.try_get("host_id")?;
    let host_name: Option<String> = row.try_get("host_name")?;
    Ok(Work {
        id: ServerId(row.try_get("id")?),
        team: TeamId(row.try_get("team_id")?),
        name: row.try_get("name")?,
        region: RegionSlug(row.try_get("region")?),
        size: SizeSlug(row.try_get("size")?),
        vcpus: number("vcpus")?,
        memory_mib: number("memory_mib")?,
        disk_gb: number("disk_gb")?,
        image: ImageId(row.try_get("image_id")?),
        image_source: row.try_get("source")?,
        guest: row.word("guest")?,
        default_user: row.try_get("default_user")?,
        vpc: VpcId(row.try_get("vpc_id")?),
        public_keys: row.try_get("public_keys")?,
        incarnation: row.try_get("incarnation")?,
        user_data: row.try_get("user_data")?,
        host: host.map(HostId).zip(host_name),
        guest_number: row.try_get("guest_number")?,
        adopted: row.try_get("adopted")?,
        group: group(row)?,
        high_availability: row.try_get("high_availability")?,
        gpus: row.json_or_null("gpu")?,
        placing: row.try_get("placing")?,
        wanted_power: row.word("wanted_power")?,
        seen_power: row.word_or_null("seen_power")?,
        answered: row.try_get("answered")?,
        leaving: row.try_get("leaving")?,
        resolvers: resolvers.iter().filter_map(|text| text.parse().ok()).collect(),
        price_hourly: row.try_get("price_hourly")?,
        workflow: WorkflowId(row.try_get("workflow_id")?),
    })
}

/// The row of a server that a workflow works on. `None` once it is deleted.
pub async fn work(connection: &mut PgConnection, id: ServerId) -> Result<Option<Work>> {
    let statement = format!("{WORK} WHERE s.id = $1 AND s.deleted_at IS NULL");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(id.0).fetch_optional(connection).await?;
    row.as_ref().map(read_work).transpose()
}

/// Every placed, living server of a region, for the observer.
pub async fn on_region(tx: &mut Tx, region: &RegionSlug) -> Result<Vec<Work>> {
    let statement = format!("{WORK} WHERE s.region = $1 AND s.deleted_at IS NULL AND s.host_id IS NOT NULL");
    let rows = sqlx::query(AssertSqlSafe(statement)).bind(region.as_str()).fetch_all(&mut **tx).await?;
    rows.iter().map(read_work).collect()
}

/// What a region's provider said it can do (`provider::Capabilities`).
pub async fn capabilities(tx: &mut Tx, region: &RegionSlug) -> Result<serde_json::Value> {
    Ok(sqlx::query_scalar("SELECT capabilities FROM regions WHERE slug = $1")
        .bind(region.as_str())
        .fetch_one(&mut **tx)
        .await?)
}
