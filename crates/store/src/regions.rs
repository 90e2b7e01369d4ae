//! Regions as operators see them, and how they are reached. The catalogue's are brought up to its file
//! (`catalogue::apply`); an operator's are written here.

use crate::rows::Columns as _;
use crate::{Result, Store, Tx};
use ipnet::Ipv4Net;
use jiff::Timestamp;
use model::catalogue::Pool;
use model::ids::RegionSlug;
use serde_json::Value;
use sqlx::postgres::{PgListener, PgRow};
use sqlx::{AssertSqlSafe, Row as _};
use std::net::{IpAddr, Ipv4Addr};

/// A range that public addresses are given from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolOf {
    /// Its name.
    pub name: String,
    /// `public_nat` or `public_bridged`.
    pub kind: String,
    /// The network.
    pub range: Ipv4Net,
    /// Its gateway.
    pub gateway: Option<Ipv4Addr>,
    /// The first address to be given.
    pub first: Ipv4Addr,
    /// The last address to be given.
    pub last: Ipv4Addr,
    /// How many nobody has.
    pub free: i64,
}

/// A region as an operator sees it. Its secret is never among it.
#[derive(Clone, Debug, PartialEq)]
pub struct Region {
    /// Its slug.
    pub slug: RegionSlug,
    /// Its name for people.
    pub name: String,
    /// Which provider's code speaks to it.
    pub provider: String,
    /// `catalogue` or `operator`.
    pub origin: String,
    /// What the provider needs to know.
    pub settings: Value,
    /// There is a secret.
    pub has_secret: bool,
    /// SHA-256 of the certificates that are trusted.
    pub fingerprints: Vec<String>,
    /// It takes new servers.
    pub available: bool,
    /// What servers there can have.
    pub features: Vec<String>,
    /// Name servers of its servers.
    pub resolvers: Vec<IpAddr>,
    /// The range from which teams' own networks are cut.
    pub vpc_range: Ipv4Net,
    /// The operator's policy: `overcommit`, `placement` and `heal`, each as `model` writes it; what is not there is as usual.
    pub policy: Value,
    /// What its provider said it can do (`provider::Capabilities`).
    pub capabilities: Value,
    /// `new`, `connected` or `failed`.
    pub state: String,
    /// Why it could not be reached or looked at last time.
    pub last_error: Option<String>,
    /// When it was last connected to.
    pub connected_at: Option<Timestamp>,
    /// Counts changes of the connection.
    pub revision: i64,
    /// How many hosts it has.
    pub hosts: i64,
    /// How many servers it has.
    pub servers: i64,
    /// Its public ranges.
    pub pools: Vec<PoolOf>,
}

const SELECT: &str = "
    SELECT r.slug, r.name, r.provider, r.origin, coalesce(c.settings, '{}') AS settings, c.secret IS NOT NULL AS has_secret,
           coalesce(c.fingerprints, '{}') AS fingerprints, r.available, r.features,
           ARRAY(SELECT host(x) FROM unnest(r.resolvers) AS x) AS resolvers, r.vpc_range,
           r.settings AS policy, r.capabilities, coalesce(c.state, 'new') AS state,
           c.last_error, c.connected_at, coalesce(c.revision, 0) AS revision,
           (SELECT count(*) FROM hosts h WHERE h.region = r.slug) AS hosts,
           (SELECT count(*) FROM servers s WHERE s.region = r.slug AND s.deleted_at IS NULL) AS servers
    FROM regions r LEFT JOIN region_connections c ON c.region = r.slug WHERE r.removed_at IS NULL ";

fn read(row: &PgRow) -> Result<Region> {
    let resolvers: Vec<String> = row.try_get("resolvers")?;
    Ok(Region {
        slug: RegionSlug(row.try_get("slug")?),
        name: row.try_get("name")?,
        provider: row.try_get("provider")?,
        origin: row.try_get("origin")?,
        settings: row.try_get("settings")?,
        has_secret: row.try_get("has_secret")?,
        fingerprints: row.try_get("fingerprints")?,
        available: row.try_get("available")?,
        features: row.try_get("features")?,
        resolvers: resolvers.iter().filter_map(|text| text.parse().ok()).collect(),
        vpc_range: row.range("vpc_range")?,
        policy: row.try_get("policy")?,
        capabilities: row.try_get("capabilities")?,
        state: row.try_get("state")?,
        last_error: row.try_get("last_error")?,
        connected_at: row.time_or_null("connected_at")?,
        revision: row.try_get("revision")?,
        hosts: row.try_get("hosts")?,
        servers: row.try_get("servers")?,
        pools: Vec::new(),
    })
}

/// Every region, in the operator's order.
pub async fn list(store: &Store) -> Result<Vec<Region>> {
    let statement = format!("{SELECT} ORDER BY r.position, r.slug");
    let rows = sqlx::query(AssertSqlSafe(statement)).fetch_all(store.pool()).await?;
    let mut regions: Vec<Region> = rows.iter().map(read).collect::<Result<_>>()?;
    for (region, pool) in pools(store, None).await? {
        if let Some(of) = regions.iter_mut().find(|one| one.slug == region) {
            of.pools.push(pool);
        }
    }
    Ok(regions)
}

/// One region.
pub async fn get(store: &Store, slug: &RegionSlug) -> Result<Option<Region>> {
    let statement = format!("{SELECT} AND r.slug = $1");
    let row = sqlx::query(AssertSqlSafe(statement)).bind(slug.as_str()).fetch_optional(store.pool()).await?;
    let Some(mut region) = row.as_ref().map(read).transpose()? else { return Ok(None) };
    region.pools = pools(store, Some(slug)).await?.into_iter().map(|(_, pool)| pool).collect();
    Ok(Some(region))
}

async fn pools(store: &Store, region: Option<&RegionSlug>) -> Result<Vec<(RegionSlug, PoolOf)>> {
    let rows = sqlx::query(
        "SELECT p.region, p.name, p.kind, p.range, p.gateway, p.first, p.last,
                (p.last - p.next + 1)
                + (SELECT count(*) FROM addresses a WHERE a.pool_id = p.id AND a.server_id IS NULL)
                -- Those of adopted guests became rows before their turn.
                - (SELECT count(*) FROM addresses a WHERE a.pool_id = p.id AND a.address >= p.next) AS free
         FROM address_pools p WHERE p.vpc_id IS NULL AND ($1::text IS NULL OR p.region = $1) ORDER BY p.region, p.name",
    )
    .bind(region.map(RegionSlug::as_str))
    .fetch_all(store.pool())
    .await?;
    rows.iter()
        .map(|row| {
            let pool = PoolOf {
                name: row.try_get("name")?,
                kind: row.try_get::<Option<String>, _>("kind")?.unwrap_or_default(),
                range: row.range("range")?,
                gateway: row.address_or_null("gateway")?,
                first: row.address("first")?,
                last: row.address("last")?,
                free: row.try_get("free")?,
            };
            Ok((RegionSlug(row.try_get("region")?), pool))
        })
        .collect()
}

/// A region that an operator connects.
#[derive(Clone, Debug)]
pub struct NewRegion<'a> {
    /// Its slug.
    pub slug: &'a RegionSlug,
    /// Its name for people.
    pub name: &'a str,
    /// Which provider's code speaks to it.
    pub provider: &'a str,
    /// What the provider needs to know.
    pub settings: &'a Value,
    /// The sealed secret.
    pub secret: Option<&'a [u8]>,
    /// SHA-256 of the certificates that are trusted.
    pub fingerprints: &'a [String],
    /// It takes new servers.
    pub available: bool,
    /// What servers there can have.
    pub features: &'a [String],
    /// Name servers.
    pub resolvers: &'a [IpAddr],
    /// The range from which teams' own networks are cut.
    pub vpc_range: Ipv4Net,
    /// The policy: an object.
    pub policy: &'a Value,
}

/// Writes a region down. `false`: there is one of that slug. One that was removed comes back with its records.
pub async fn insert(tx: &mut Tx, new: &NewRegion<'_>) -> Result<bool> {
    let written = sqlx::query(
        "INSERT INTO regions AS r (slug, name, provider, settings, features, resolvers, vpc_range, available, position, origin)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8,
                 (SELECT coalesce(max(position), 0) + 1 FROM regions), 'operator')
         ON CONFLICT (slug) DO UPDATE SET name = $2, provider = $3, settings = excluded.settings, features = $5,
             resolvers = $6, vpc_range = $7, available = $8, position = excluded.position, origin = 'operator',
             removed_at = NULL, capabilities = '{}'
             WHERE r.removed_at IS NOT NULL",
    )
    .bind(new.slug.as_str())
    .bind(new.name)
    .bind(new.provider)
    .bind(new.policy)
    .bind(new.features)
    .bind(new.resolvers)
    .bind(ipnet::IpNet::V4(new.vpc_range))
    .bind(new.available)
    .execute(&mut **tx)
    .await?;
    if written.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query("INSERT INTO region_connections (region, settings, secret, fingerprints) VALUES ($1, $2, $3, $4)")
        .bind(new.slug.as_str())
        .bind(new.settings)
        .bind(new.secret)
        .bind(new.fingerprints)
        .execute(&mut **tx)
        .await?;
    Ok(true)
}

/// Adds public ranges, or lets them grow. The names of those that keep their range because addresses of it are given.
pub async fn put_pools(tx: &mut Tx, region: &RegionSlug, pools: &[Pool]) -> Result<Vec<String>> {
    let mut kept = Vec::new();
    for pool in pools {
        if !crate::catalogue::put_pool(tx, region, pool).await? {
            kept.push(pool.name.clone());
        }
    }
    Ok(kept)
}

/// What changes of an operator's region; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct Change<'a> {
    /// Its name for people.
    pub name: Option<&'a str>,
    /// What the provider needs to know.
    pub settings: Option<&'a Value>,
    /// The sealed secret.
    pub secret: Option<&'a [u8]>,
    /// The certificates that are trusted.
    pub fingerprints: Option<&'a [String]>,
    /// It takes new servers.
    pub available: Option<bool>,
    /// What servers there can have.
    pub features: Option<&'a [String]>,
    /// Name servers.
    pub resolvers: Option<&'a [IpAddr]>,
    /// The parts of the policy that change: an object.
    pub policy: Option<&'a Value>,
}

/// Changes a region. A change of how it is reached makes every process connect anew.
pub async fn update(tx: &mut Tx, slug: &RegionSlug, change: &Change<'_>) -> Result<()> {
    sqlx::query(
        "UPDATE regions SET name = coalesce($2, name), available = coalesce($3, available),
             features = coalesce($4, features), resolvers = coalesce($5, resolvers),
             settings = settings || coalesce($6::jsonb, '{}')
         WHERE slug = $1 AND removed_at IS NULL",
    )
    .bind(slug.as_str())
    .bind(change.name)
    .bind(change.available)
    .bind(change.features)
    .bind(change.resolvers)
    .bind(change.policy)
    .execute(&mut **tx)
    .await?;
    if change.settings.is_some() || change.secret.is_some() || change.fingerprints.is_some() {
        sqlx::query(
            "UPDATE region_connections SET settings = coalesce($2, settings), secret = coalesce($3, secret),
                 fingerprints = coalesce($4, fingerprints), revision = revision + 1, state = 'new', last_error = NULL,
                 failures = 0
             WHERE region = $1",
        )
        .bind(slug.as_str())
        .bind(change.settings)
        .bind(change.secret)
        .bind(change.fingerprints)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Locks a region against being given new servers and counts what still stands in it: servers that are not gone, and
/// copies of disks.
pub async fn lock_and_count(tx: &mut Tx, slug: &RegionSlug) -> Result<(i64, i64)> {
    // Every server's insert checks this row by its foreign key, and waits for this lock.
    sqlx::query("SELECT 1 FROM regions WHERE slug = $1 FOR UPDATE").bind(slug.as_str()).execute(&mut **tx).await?;
    Ok(sqlx::query_as(
        "SELECT (SELECT count(*) FROM servers WHERE region = $1 AND deleted_at IS NULL),
                (SELECT count(*) FROM images WHERE deleted_at IS NULL AND team_id IS NOT NULL AND $1 = ANY (regions))",
    )
    .bind(slug.as_str())
    .fetch_one(&mut **tx)
    .await?)
}

/// Takes a region off the list. Its secret is forgotten, what was seen in it goes, its records stay.
pub async fn remove(tx: &mut Tx, slug: &RegionSlug) -> Result<()> {
    for statement in [
        "UPDATE regions SET available = false, removed_at = clock_timestamp() WHERE slug = $1",
        "DELETE FROM region_connections WHERE region = $1",
        "DELETE FROM storages WHERE region = $1",
        "DELETE FROM strangers WHERE region = $1",
        "DELETE FROM region_images WHERE region = $1",
        "UPDATE hosts SET state = 'gone', draining = false WHERE region = $1",
        "UPDATE alerts SET resolved_at = greatest(clock_timestamp(), raised_at)
         WHERE resolved_at IS NULL AND (subject = 'region:' || $1 OR starts_with(subject, 'storage:' || $1 || '/')
               OR subject IN (SELECT 'host:' || id FROM hosts WHERE region = $1))",
    ] {
        sqlx::query(statement).bind(slug.as_str()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// How a region is reached, for the process that connects to it.
#[derive(Clone, PartialEq)]
pub struct Connection {
    /// The region.
    pub region: RegionSlug,
    /// Which provider's code speaks to it.
    pub provider: String,
    /// What the provider needs to know.
    pub settings: Value,
    /// The sealed secret.
    pub secret: Option<Vec<u8>>,
    /// What the secret was sealed for.
    pub sealed_for: String,
    /// The certificates that are trusted.
    pub fingerprints: Vec<String>,
    /// Counts its changes.
    pub revision: i64,
}

impl std::fmt::Debug for Connection {
    /// Settings may name accounts; the secret is sealed, and still nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({} by {}, revision {})", self.region, self.provider, self.revision)
    }
}

/// What the secret of a region's connection is sealed for.
pub fn sealed_for(region: &RegionSlug) -> String {
    format!("region:{region}")
}

/// Every region that is to be connected.
pub async fn connections(store: &Store) -> Result<Vec<Connection>> {
    let rows = sqlx::query(
        "SELECT r.slug, r.provider, c.settings, c.secret, c.fingerprints, c.revision
         FROM region_connections c JOIN regions r ON r.slug = c.region WHERE r.removed_at IS NULL ORDER BY r.slug",
    )
    .fetch_all(store.pool())
    .await?;
    rows.iter().map(read_connection).collect()
}

/// How one region is reached.
pub async fn connection(tx: &mut Tx, region: &RegionSlug) -> Result<Option<Connection>> {
    let row = sqlx::query(
        "SELECT r.slug, r.provider, c.settings, c.secret, c.fingerprints, c.revision
         FROM region_connections c JOIN regions r ON r.slug = c.region WHERE r.removed_at IS NULL AND r.slug = $1",
    )
    .bind(region.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    row.as_ref().map(read_connection).transpose()
}

fn read_connection(row: &PgRow) -> Result<Connection> {
    let region = RegionSlug(row.try_get("slug")?);
    Ok(Connection {
        sealed_for: sealed_for(&region),
        region,
        provider: row.try_get("provider")?,
        settings: row.try_get("settings")?,
        secret: row.try_get("secret")?,
        fingerprints: row.try_get("fingerprints")?,
        revision: row.try_get("revision")?,
    })
}

/// Settings and trusted certificates of the other regions of a provider.
pub async fn of_provider(
    tx: &mut Tx,
    except: &RegionSlug,
    provider: &str,
) -> Result<Vec<(RegionSlug, Value, Vec<String>)>> {
    let rows: Vec<(String, Value, Vec<String>)> = sqlx::query_as(
        "SELECT r.slug, c.settings, c.fingerprints FROM regions r JOIN region_connections c ON c.region = r.slug
         WHERE r.removed_at IS NULL AND r.slug <> $1 AND r.provider = $2 ORDER BY r.slug",
    )
    .bind(except.as_str())
    .bind(provider)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().map(|(slug, settings, pinned)| (RegionSlug(slug), settings, pinned)).collect())
}

/// Addresses that two regions give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedAddresses {
    /// The pool.
    pub pool: String,
    /// The other region.
    pub region: RegionSlug,
    /// The pool there.
    pub of: String,
    /// The first address that both give.
    pub first: Ipv4Addr,
    /// The last one.
    pub last: Ipv4Addr,
}

/// Addresses on the operator's own bridges that this region and others give. What is behind address translation is each
/// host's own, and not meant.
pub async fn shared_addresses(tx: &mut Tx, slug: &RegionSlug) -> Result<Vec<SharedAddresses>> {
    let rows = sqlx::query(
        "SELECT p.name, o.region, o.name AS of, greatest(p.first, o.first) AS first, least(p.last, o.last) AS last
         FROM address_pools p
         JOIN address_pools o ON o.region <> p.region AND o.kind = 'public_bridged' AND o.first <= p.last AND p.first <= o.last
         JOIN regions r ON r.slug = o.region AND r.removed_at IS NULL
         WHERE p.region = $1 AND p.kind = 'public_bridged' ORDER BY p.name, o.region, o.name",
    )
    .bind(slug.as_str())
    .fetch_all(&mut **tx)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(SharedAddresses {
                pool: row.try_get("name")?,
                region: RegionSlug(row.try_get("region")?),
                of: row.try_get("of")?,
                first: row.address("first")?,
                last: row.address("last")?,
            })
        })
        .collect()
}

/// Other regions that have hosts of all these names, and what they can do (`provider::Capabilities`).
pub async fn with_hosts(
    store: &Store,
    except: &RegionSlug,
    names: &[String],
) -> Result<Vec<(RegionSlug, serde_json::Value)>> {
    let rows: Vec<(String, serde_json::Value)> = sqlx::query_as(
        "SELECT r.slug, r.capabilities FROM regions r
         WHERE r.slug <> $1 AND cardinality($2) > 0 AND NOT EXISTS (
             SELECT 1 FROM unnest($2) AS n (name)
             WHERE NOT EXISTS (SELECT 1 FROM hosts h WHERE h.region = r.slug AND h.name = n.name)
         ) ORDER BY r.slug",
    )
    .bind(except.as_str())
    .bind(names)
    .fetch_all(store.pool())
    .await?;
    Ok(rows.into_iter().map(|(slug, capabilities)| (RegionSlug(slug), capabilities)).collect())
}

/// A process has connected to a region, or looked at it, and it answered.
pub async fn record_connected(store: &Store, region: &RegionSlug) -> Result<()> {
    sqlx::query(
        "UPDATE region_connections SET state = 'connected', last_error = NULL, connected_at = clock_timestamp(), failures = 0
         WHERE region = $1
           AND (state <> 'connected' OR failures > 0 OR connected_at < clock_timestamp() - interval '1 minute')",
    )
    .bind(region.as_str())
    .execute(store.pool())
    .await?;
    Ok(())
}

/// A process could not connect to a region, or look at it; how often in a row.
pub async fn record_failed(tx: &mut Tx, region: &RegionSlug, error: &str) -> Result<i32> {
    let failures = sqlx::query_scalar(
        "UPDATE region_connections SET state = 'failed', last_error = $2, failures = failures + 1 WHERE region = $1
         RETURNING failures",
    )
    .bind(region.as_str())
    .bind(error)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(failures.unwrap_or(0))
}

/// One connection that hears of changed regions. It is taken out of the pool for as long as it lives.
#[derive(Debug)]
pub struct Listener(PgListener);

impl Listener {
    /// Connects and listens.
    pub async fn open(store: &Store) -> Result<Self> {
        let mut listener = PgListener::connect_with(store.pool()).await?;
        listener.listen("regions").await?;
        Ok(Self(listener))
    }

    /// Waits until a region was added, changed or removed, or the connection was lost and made again.
    pub async fn heard(&mut self) -> Result<()> {
        self.0.try_recv().await?;
        Ok(())
    }
}
