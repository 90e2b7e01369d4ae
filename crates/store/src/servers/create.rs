//! What a request for servers needs to know ([`ground`], one round trip) and what it writes ([`insert`], another).

use super::read::{Group, Server, columns, joined, read};
use crate::rows::Columns as _;
use crate::{Result, Tx};
use ipnet::Ipv4Net;
use model::catalogue::Gpus;
use model::ids::{ImageId, RegionSlug, ServerId, SizeSlug, SshKeyId, TeamId, VpcId};
use model::states::{GroupPolicy, GuestKind, ImageKind, ImageStatus};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// How the request names an image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageChoice {
    /// By id: public, or the team's own.
    Id(ImageId),
    /// By slug: public.
    Slug(String),
}

/// How the request names a key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyChoice {
    /// By id.
    Id(SshKeyId),
    /// By MD5 fingerprint.
    Fingerprint(String),
}

/// What the request names.
#[derive(Clone, Debug)]
pub struct GroundChoice<'a> {
    /// Whose request.
    pub team: TeamId,
    /// How many servers.
    pub count: usize,
    /// The region; `None` lets Cairn choose.
    pub region: Option<&'a str>,
    /// The size.
    pub size: &'a str,
    /// The image.
    pub image: &'a ImageChoice,
    /// Keys.
    pub keys: &'a [KeyChoice],
    /// The VPC; `None` for the region's default one.
    pub vpc: Option<VpcId>,
}

/// A key that was named and found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its id.
    pub id: SshKeyId,
    /// Its fingerprint.
    pub fingerprint: String,
    /// The line.
    pub public_key: String,
}

/// A VPC with the pool that its addresses come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Its region.
    pub region: RegionSlug,
    /// Its pool.
    pub pool: Uuid,
}

/// What was found of what the request named. Everything is optional: what is missing becomes a refusal by the verb.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Slug, whether it takes servers, its range for default VPCs, its public pool, its provider's capabilities.
    pub region: Option<Region>,
    /// The size.
    pub size: Option<Size>,
    /// The image.
    pub image: Option<Image>,
    /// The keys that exist, in no order.
    pub keys: Vec<Key>,
    /// The VPC that was named, or the region's default one if it exists already.
    pub vpc: Option<Vpc>,
    /// Ids for the new servers.
    pub ids: Vec<ServerId>,
}

/// The region part of [`Ground`].
#[derive(Clone, Debug)]
pub struct Region {
    /// Its slug.
    pub slug: RegionSlug,
    /// Takes new servers.
    pub available: bool,
    /// Where default VPCs get their addresses from.
    pub vpc_range: Ipv4Net,
    /// The pool of public addresses.
    pub public_pool: Option<Uuid>,
    /// `provider::Capabilities` as stored.
    pub capabilities: serde_json::Value,
}

/// The size part of [`Ground`].
#[derive(Clone, Debug)]
pub struct Size {
    /// Its slug.
    pub slug: SizeSlug,
    /// Offered.
    pub available: bool,
    /// Where; `None` for everywhere.
    pub regions: Option<Vec<String>>,
    /// vCPUs.
    pub vcpus: i32,
    /// MiB.
    pub memory_mib: i32,
    /// GB.
    pub disk_gb: i32,
    /// Millionths an hour.
    pub price_hourly: i64,
    /// The GPUs that come with it.
    pub gpus: Option<Gpus>,
}

/// The image part of [`Ground`].
#[derive(Clone, Debug)]
pub struct Image {
    /// Its id.
    pub id: ImageId,
    /// What kind.
    pub kind: ImageKind,
    /// What is made of it.
    pub guest: GuestKind,
    /// How it stands.
    pub status: ImageStatus,
    /// Where it is; `None` for everywhere.
    pub regions: Option<Vec<String>>,
    /// The smallest disk that it fits on.
    pub min_disk_gb: i32,
}

/// Looks everything up in one round trip.
pub async fn ground(tx: &mut Tx, choice: &GroundChoice<'_>) -> Result<Ground> {
    let (image_id, image_slug) = match choice.image {
        ImageChoice::Id(id) => (Some(id.0), None),
        ImageChoice::Slug(slug) => (None, Some(slug.as_str())),
    };
    let ids: Vec<i32> = choice
        .keys
        .iter()
        .filter_map(|key| match key {
            KeyChoice::Id(id) => Some(id.0),
            KeyChoice::Fingerprint(_) => None,
        })
        .collect();
    let fingerprints: Vec<&str> = choice
        .keys
        .iter()
        .filter_map(|key| match key {
            KeyChoice::Fingerprint(text) => Some(text.as_str()),
            KeyChoice::Id(_) => None,
        })
        .collect();
    let row = sqlx::query(GROUND)
        .bind(choice.team.0)
        .bind(choice.region)
        .bind(choice.size)
        .bind(image_id)
        .bind(image_slug)
        .bind(ids)
        .bind(fingerprints)
        .bind(choice.vpc.map(|vpc| vpc.0))
        .bind(i64::try_from(choice.count).unwrap_or(i64::MAX))
        .fetch_one(&mut **tx)
        .await?;
    Ok(Ground {
        region: region(&row)?,
        size: read_size(&row)?,
        image: read_image(&row)?,
        keys: keys(&row)?,
        vpc: vpc(&row)?,
        ids: row.try_get::<Vec<i32>, _>("ids")?.into_iter().map(ServerId).collect(),
    })
}

// A region that was not named is the one with the most free memory: "regionless" requests must succeed.
const GROUND: &str = "
    SELECT r.slug AS region, r.available AS region_available, r.vpc_range, r.capabilities,
           (SELECT p.id FROM address_pools p WHERE p.region = r.slug AND p.vpc_id IS NULL ORDER BY p.name LIMIT 1) AS public_pool,
           z.slug AS size, z.available AS size_available, z.regions AS size_regions, z.vcpus, z.memory_mib, z.disk_gb, z.price_hourly, z.gpu,
           i.id AS image, i.kind AS image_kind, i.guest, i.status AS image_status, i.regions AS image_regions, i.min_disk_gb,
           v.id AS vpc, v.region AS vpc_region, (SELECT p.id FROM address_pools p WHERE p.vpc_id = v.id) AS vpc_pool,
           k.ids AS key_ids, k.fingerprints, k.lines,
           ARRAY(SELECT nextval('servers_id_seq')::int FROM generate_series(1, $9)) AS ids
    FROM (SELECT 1) AS one
    LEFT JOIN LATERAL (
        SELECT * FROM regions WHERE slug = $2 OR ($2 IS NULL AND available)
        ORDER BY CASE WHEN $2 IS NULL THEN (
            SELECT coalesce(sum(h.memory_mib), 0) - coalesce((SELECT sum(o.memory_mib) FROM servers o
                WHERE o.region = regions.slug AND o.deleted_at IS NULL), 0)
            FROM hosts h WHERE h.region = regions.slug AND h.state = 'up') END DESC NULLS LAST, slug
        LIMIT 1) r ON true
    LEFT JOIN sizes z ON z.slug = $3
    LEFT JOIN images i ON (i.id = $4 OR i.slug = $5) AND i.deleted_at IS NULL AND (i.team_id IS NULL OR i.team_id = $1)
    LEFT JOIN vpcs v ON v.team_id = $1 AND (v.id = $8 OR ($8 IS NULL AND v.region = r.slug AND v.is_default))
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(fingerprint), '{}') AS fingerprints,
               coalesce(array_agg(public_key), '{}') AS lines
        FROM ssh_keys WHERE team_id = $1 AND (id = ANY($6) OR fingerprint = ANY($7))) k";

fn region(row: &PgRow) -> Result<Option<Region>> {
    let Some(slug) = row.try_get::<Option<String>, _>("region")? else { return Ok(None) };
    Ok(Some(Region {
        slug: RegionSlug(slug),
        available: row.try_get("region_available")?,
        vpc_range: row.range("vpc_range")?,
        public_pool: row.try_get("public_pool")?,
        capabilities: row.try_get("capabilities")?,
    }))
}

/// One size of the catalogue, by slug.
pub async fn size(tx: &mut Tx, slug: &str) -> Result<Option<Size>> {
    let row = sqlx::query(
        "SELECT slug AS size, available AS size_available, regions AS size_regions, vcpus, memory_mib, disk_gb, price_hourly, gpu
         FROM sizes WHERE slug = $1",
    )
    .bind(slug)
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map_or(Ok(None), read_size)
}

fn read_size(row: &PgRow) -> Result<Option<Size>> {
    let Some(slug) = row.try_get::<Option<String>, _>("size")? else { return Ok(None) };
    Ok(Some(Size {
        slug: SizeSlug(slug),
        available: row.try_get("size_available")?,
        regions: row.try_get("size_regions")?,
        vcpus: row.try_get("vcpus")?,
        memory_mib: row.try_get("memory_mib")?,
        disk_gb: row.try_get("disk_gb")?,
        price_hourly: row.try_get("price_hourly")?,
        gpus: row.json_or_null("gpu")?,
    }))
}

fn read_image(row: &PgRow) -> Result<Option<Image>> {
    let Some(id) = row.try_get::<Option<i32>, _>("image")? else { return Ok(None) };
    Ok(Some(Image {
        id: ImageId(id),
        kind: row.word("image_kind")?,
        guest: row.word("guest")?,
        status: row.word("image_status")?,
        regions: row.try_get("image_regions")?,
        min_disk_gb: row.try_get("min_disk_gb")?,
    }))
}

fn vpc(row: &PgRow) -> Result<Option<Vpc>> {
    let Some(id) = row.try_get::<Option<Uuid>, _>("vpc")? else { return Ok(None) };
    let Some(pool) = row.try_get::<Option<Uuid>, _>("vpc_pool")? else {
        return Err(crate::Error::Corrupt(format!("vpc {id} has no address pool")));
    };
    Ok(Some(Vpc { id: VpcId(id), region: RegionSlug(row.try_get("vpc_region")?), pool }))
}

fn keys(row: &PgRow) -> Result<Vec<Key>> {
    let ids: Vec<i32> = row.try_get("key_ids")?;
    let fingerprints: Vec<String> = row.try_get("fingerprints")?;
    let lines: Vec<String> = row.try_get("lines")?;
    Ok(ids
        .into_iter()
        .zip(fingerprints)
        .zip(lines)
        .map(|((id, fingerprint), public_key)| Key { id: SshKeyId(id), fingerprint, public_key })
        .collect())
}

/// A policy that living members of the team's group have and that is not this one.
pub async fn other_policy(tx: &mut Tx, team: TeamId, group: &Group) -> Result<Option<GroupPolicy>> {
    let other: Option<String> = sqlx::query_scalar(
        "SELECT group_policy FROM servers
         WHERE team_id = $1 AND group_name = $2 AND group_policy <> $3 AND deleted_at IS NULL LIMIT 1",
    )
    .bind(team.0)
    .bind(group.name.as_str())
    .bind(group.policy.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    other.map(|word| word.parse().map_err(|_| crate::Error::Corrupt(format!("group policy {word}")))).transpose()
}

/// One new server.
#[derive(Clone, Debug)]
pub struct NewServer {
    /// Its id, from [`Ground::ids`].
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// The workflow that will make it.
    pub workflow: crate::workflow::New,
    /// The token of its request, for the audit.
    pub token: Uuid,
    /// Its request's id, for the audit.
    pub request_id: Uuid,
}

/// Everything that servers which are accepted together have in common.
#[derive(Clone, Debug)]
pub struct NewServers<'a> {
    /// Whose.
    pub team: TeamId,
    /// The servers.
    pub servers: &'a [NewServer],
    /// Where.
    pub region: &'a RegionSlug,
    /// Size and what it means today.
    pub size: &'a Size,
    /// The image.
    pub image: ImageId,
    /// The VPC.
    pub vpc: VpcId,
    /// Keys that may log in.
    pub public_keys: &'a [String],
    /// The tenant's own cloud-init document.
    pub user_data: Option<&'a str>,
    /// Backups are on, and when.
    pub backups: bool,
    /// When backups are taken.
    pub backup_policy: Option<&'a serde_json::Value>,
    /// IPv6 was asked for.
    pub ipv6: bool,
    /// Monitoring was asked for.
    pub monitoring: bool,
    /// A public address was asked for.
    pub public_networking: bool,
    /// Tags, made where they do not exist.
    pub tags: &'a [String],
    /// The group that they are members of.
    pub group: Option<&'a Group>,
    /// The provider keeps them available.
    pub high_availability: bool,
}

/// Writes servers, their workflows, reservations, `create` actions, tags, audit and events in one statement, and wakes
/// the workers at the commit. Returns the servers as they stand now, each with the action that makes it, in the order
/// of their ids. The addresses were claimed before.
pub async fn insert(tx: &mut Tx, new: &NewServers<'_>) -> Result<Vec<(Server, i32)>> {
    let Some(first) = new.servers.first() else { return Ok(Vec::new()) };
    let ids: Vec<i32> = new.servers.iter().map(|server| server.id.0).collect();
    let names: Vec<&str> = new.servers.iter().map(|server| server.name.as_str()).collect();
    let workflows: Vec<Uuid> = new.servers.iter().map(|server| server.workflow.id.0).collect();
    let subjects: Vec<&str> = new.servers.iter().map(|server| server.workflow.subject.as_str()).collect();
    let inputs: Vec<&serde_json::Value> = new.servers.iter().map(|server| &server.workflow.input).collect();
    let tokens: Vec<Uuid> = new.servers.iter().map(|server| server.token).collect();
    let requests: Vec<Uuid> = new.servers.iter().map(|server| server.request_id).collect();
    let rows = sqlx::query(INSERT)
        .bind(new.team.0)
        .bind(&ids)
        .bind(names)
        .bind(workflows)
        .bind(new.region.as_str())
        .bind(new.size.slug.as_str())
        .bind(new.image.0)
        .bind(new.vpc.0)
        .bind(new.size.vcpus)
        .bind(new.size.memory_mib)
        .bind(new.size.disk_gb)
        .bind(new.public_keys)
        .bind(new.user_data)
        .bind(new.backups)
        .bind(new.backup_policy)
        .bind(new.ipv6)
        .bind(new.monitoring)
        .bind(new.public_networking)
        .bind(new.tags)
        .bind(tokens)
        .bind(requests)
        .bind(subjects)
        .bind(inputs)
        .bind(&first.workflow.kind)
        .bind(first.workflow.made_within.as_secs_f64())
        .bind(first.workflow.unmade_within.as_secs_f64())
        .bind(new.group.map(|group| group.name.as_str()))
        .bind(new.group.map(|group| group.policy.as_str()))
        .bind(new.high_availability)
        .bind(new.size.gpus.as_ref().map(sqlx::types::Json))
        .fetch_all(&mut **tx)
        .await?;
    rows.iter().map(|row| Ok((read(row)?, row.try_get("action")?))).collect()
}

// What one part of a statement writes, the others do not see: so the server is read from what was returned, and the
// action that locks it and its tags from theirs. The workflows are lifecycles of things that nobody knows yet, so there
// is no parent and no rival to look for, as store::workflow::insert has to.
const INSERT: &str = concat!(
    "WITH new AS (
        SELECT * FROM unnest($2::int[], $3::text[], $4::uuid[], $20::uuid[], $21::uuid[], $22::text[], $23::jsonb[])
            WITH ORDINALITY AS n (id, name, workflow_id, token, request, subject, input, nth)
    ), workflow AS (
        INSERT INTO workflows (id, kind, subject, team_id, input, lifecycle, exclusive, wake_at, unmade_within,
                               deadline_at, created_at)
        SELECT workflow_id, $24, subject, $1, input, true, false, statement_timestamp(), make_interval(secs => $26),
               statement_timestamp() + make_interval(secs => $25), statement_timestamp() FROM new
    ), server AS (
        INSERT INTO servers (id, team_id, name, region, size, image_id, vpc_id, vcpus, memory_mib, disk_gb, public_keys,
                             user_data, backups, backup_policy, ipv6, monitoring, public_networking, workflow_id,
                             group_name, group_policy, high_availability, gpu)
        SELECT id, $1, name, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, workflow_id,
               $27, $28, $29, $30 FROM new
        RETURNING *
    ), reserved AS (
        INSERT INTO reservations (server_id, team_id, vcpus, memory_mib, disk_gb, gpu_mapping, gpu_count)
        SELECT id, $1, $9, $10, $11, $30 ->> 'mapping', ($30 ->> 'count')::int FROM new
    ), tag AS (
        INSERT INTO tags (team_id, name) SELECT $1, unnest($19::text[]) ON CONFLICT DO NOTHING
    ), tagging AS (
        INSERT INTO tagged (team_id, tag, resource_type, resource_id)
        SELECT $1, t, 'droplet', new.id::text FROM new, unnest($19::text[]) AS t
        RETURNING resource_id, tag
    ), audit AS (
        INSERT INTO audit_events (team_id, token_id, operation, urn, request_id, detail)
        SELECT $1, token, 'droplets_create', 'do:droplet:' || id, request,
               jsonb_build_object('name', name, 'region', $5::text, 'size', $6::text, 'image', $7::int)
        FROM new
    ), event AS (
        INSERT INTO events (team_id, kind, urn, body)
        SELECT $1, 'droplet.create', 'do:droplet:' || id, jsonb_build_object('name', name) FROM new
    ), action AS (
        INSERT INTO actions (team_id, workflow_id, kind, resource_type, resource_id, region)
        SELECT $1, workflow_id, 'create', 'droplet', id, $5 FROM new ORDER BY nth
        RETURNING resource_id, id
    )
    SELECT ",
    columns!(),
    ", true AS locked,
           ARRAY(SELECT t.tag FROM tagging t WHERE t.resource_id = s.id::text ORDER BY t.tag) AS tags,
           '{}'::int[] AS snapshots, '{}'::int[] AS backup_images, action.id AS action,
           pg_notify('workflow', '')::text AS told
    FROM server s JOIN action ON action.resource_id = s.id ",
    joined!(),
    " ORDER BY s.id"
);
