//! What operators do with regions: connect, try out, edit, remove.

use super::{files, numbers, pools, probe};
use crate::secrets::Key;
use crate::{Error, Operator, Result};
use ipnet::Ipv4Net;
use model::addressing::Ipv4Range;
use model::catalogue::{self, CatalogueError, Placing, Pool};
use model::healing::{Healing, MOST_PER_HOUR};
use model::ids::RegionSlug;
use model::placement::Overcommit;
use model::refusal::{Code, Refusal};
use serde_json::{Value, json};
use std::net::IpAddr;
use store::probes::Tested;
use store::regions::{Change, Connection, Region, sealed_for};
use store::{Store, Tx, operators};

/// A region that an operator connects.
#[derive(Clone)]
pub struct NewRegion {
    /// Its slug.
    pub slug: String,
    /// Its name for people.
    pub name: String,
    /// Which provider's code speaks to it.
    pub provider: String,
    /// What the provider needs to know: an object.
    pub settings: Value,
    /// What the provider is logged in to with.
    pub secret: Option<String>,
    /// SHA-256 of the certificates that are trusted.
    pub fingerprints: Vec<String>,
    /// It takes new servers.
    pub available: bool,
    /// What servers there can have.
    pub features: Vec<String>,
    /// Name servers of its servers.
    pub resolvers: Vec<IpAddr>,
    /// The range from which teams' own networks are cut.
    pub vpc_range: Ipv4Range,
    /// How much of its hosts is sold.
    pub overcommit: Overcommit,
    /// Which of its hosts servers go to.
    pub placement: Placing,
    /// What is put right there by itself.
    pub heal: Healing,
    /// Where public addresses come from.
    pub pools: Vec<Pool>,
}

/// What changes of a region; `None` stays as it is.
#[derive(Clone, Default)]
pub struct RegionEdit {
    /// Its name for people.
    pub name: Option<String>,
    /// What the provider needs to know: an object, in place of the present one.
    pub settings: Option<Value>,
    /// What the provider is logged in to with.
    pub secret: Option<String>,
    /// SHA-256 of the certificates that are trusted.
    pub fingerprints: Option<Vec<String>>,
    /// It takes new servers.
    pub available: Option<bool>,
    /// What servers there can have.
    pub features: Option<Vec<String>>,
    /// Name servers of its servers.
    pub resolvers: Option<Vec<IpAddr>>,
    /// How much of its hosts is sold.
    pub overcommit: Option<Overcommit>,
    /// Which of its hosts servers go to.
    pub placement: Option<Placing>,
    /// What is put right there by itself.
    pub heal: Option<Healing>,
    /// Public ranges that are added, or grow.
    pub pools: Option<Vec<Pool>>,
}

/// A region as it was written, and what the operator ought to look at although it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Saved {
    /// The region.
    pub region: Region,
    /// A sentence each.
    pub warnings: Vec<String>,
}

/// A connection to try out.
#[derive(Clone)]
pub struct Probe {
    /// Which provider's code speaks to it.
    pub provider: String,
    /// What the provider needs to know: an object.
    pub settings: Value,
    /// What the provider is logged in to with.
    pub secret: Option<String>,
    /// SHA-256 of the certificates that are trusted.
    pub fingerprints: Vec<String>,
}

fn urn(slug: &RegionSlug) -> String {
    format!("region:{slug}")
}

fn unreadable(error: &serde_json::Error) -> Error {
    Error::Bug(format!("what was checked cannot be written: {error}"))
}

fn seal(key: &Key, purpose: &str, secret: Option<&str>) -> Result<Option<Vec<u8>>> {
    let sealed = secret.map(|secret| key.seal(purpose, secret)).transpose();
    sealed.map_err(|_| Error::Bug("a secret could not be sealed".to_owned()))
}

/// Checks what holds for the settings of every provider, wherever a request brings some.
fn check_settings(settings: &Value) -> Result<()> {
    if !settings.is_object() {
        return Err(Refusal::field("settings", "Write an object.").into());
    }
    files::refuse(settings)
}

/// Checks by the rules that hold for the catalogue's regions. The first mistake is the answer.
fn check(region: &catalogue::Region) -> Result<()> {
    match region.check() {
        Ok(()) => Ok(()),
        Err(CatalogueError::Entries(problems)) => {
            let first = problems.first().map(|one| format!("{} {}.", one.entry, one.problem)).unwrap_or_default();
            Err(Refusal::new(Code::UnprocessableEntity, capital(&first)).into())
        }
        Err(error) => Err(Refusal::new(Code::UnprocessableEntity, error.to_string()).into()),
    }
}

/// The parts of the policy that are said, as they are stored.
fn policy(overcommit: Option<Overcommit>, placement: Option<Placing>, heal: Option<Healing>) -> Result<Value> {
    let mut parts = serde_json::Map::new();
    let mut put = |key: &str, part: Option<serde_json::Result<Value>>| -> Result<()> {
        if let Some(part) = part.transpose().map_err(|error| unreadable(&error))? {
            parts.insert(key.to_owned(), part);
        }
        Ok(())
    };
    put("overcommit", overcommit.map(serde_json::to_value))?;
    put("placement", placement.map(serde_json::to_value))?;
    put("heal", heal.map(serde_json::to_value))?;
    Ok(Value::Object(parts))
}

fn check_policy(placement: Option<Placing>, heal: Option<Healing>) -> Result<()> {
    if placement.and_then(|placement| placement.headroom).is_some_and(|headroom| headroom.percent > 99) {
        let message = "Write a whole number from 0 to 99: with 100, no host would ever have room.";
        return Err(Refusal::field("placement.headroom_percent", message).into());
    }
    if heal.is_some_and(|heal| !(1..=MOST_PER_HOUR).contains(&heal.per_hour)) {
        let message = format!("Write a whole number from 1 to {MOST_PER_HOUR}; to heal nothing, say `off`.");
        return Err(Refusal::field("heal.per_hour", message).into());
    }
    Ok(())
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn as_listed(new: &NewRegion) -> catalogue::Region {
    catalogue::Region {
        slug: RegionSlug(new.slug.clone()),
        name: new.name.clone(),
        provider: new.provider.clone(),
        settings: Default::default(),
        available: new.available,
        features: new.features.clone(),
        resolvers: new.resolvers.clone(),
        vpc_range: new.vpc_range,
        overcommit: new.overcommit,
        placement: new.placement,
        heal: new.heal,
        pools: new.pools.clone(),
    }
}

/// Connects a region: every process that works or observes opens it within seconds.
pub async fn connect(store: &Store, key: &Key, operator: &Operator, new: &NewRegion) -> Result<Saved> {
    check_settings(&new.settings)?;
    check_policy(Some(new.placement), Some(new.heal))?;
    check(&as_listed(new))?;
    let slug = RegionSlug(new.slug.clone());
    let secret = seal(key, &sealed_for(&slug), new.secret.as_deref())?;
    let policy = policy(Some(new.overcommit), Some(new.placement), Some(new.heal))?;
    let row = store::regions::NewRegion {
        slug: &slug,
        name: &new.name,
        provider: &new.provider,
        settings: &new.settings,
        secret: secret.as_deref(),
        fingerprints: &new.fingerprints,
        available: new.available,
        features: &new.features,
        resolvers: &new.resolvers,
        vpc_range: new.vpc_range.net(),
        policy: &policy,
    };
    let mut tx = store.begin().await?;
    numbers::refuse_overlap(&mut tx, &slug, &new.provider, &new.settings, &new.fingerprints).await?;
    if !store::regions::insert(&mut tx, &row).await? {
        let message = format!("There is a region `{slug}` already. Choose another slug, or edit that one.");
        return Err(Refusal::new(Code::NameTaken, message).at("slug").into());
    }
    put_pools(&mut tx, &slug, &new.pools).await?;
    pools::refuse_shared(&mut tx, &slug, &new.provider, &new.settings, &new.fingerprints).await?;
    let warnings = pools::warnings(&mut tx, &slug).await?;
    let detail = json!({ "name": new.name, "provider": new.provider, "settings": new.settings });
    operators::record(&mut tx, operator.origin(), "region.connect", &urn(&slug), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(Saved { region: read(store, &slug).await?, warnings })
}

async fn put_pools(tx: &mut Tx, slug: &RegionSlug, pools: &[Pool]) -> Result<()> {
    let kept = store::regions::put_pools(tx, slug, pools).await?;
    let Some(name) = kept.first() else { return Ok(()) };
    let message = format!(
        "Addresses of pool `{name}` are given already, so it can only grow at its end. Add another pool instead."
    );
    Err(Refusal::new(Code::InUse, message).at("pools").into())
}

async fn read(store: &Store, slug: &RegionSlug) -> Result<Region> {
    Ok(store::regions::get(store, slug).await?.ok_or_else(Refusal::not_found)?)
}

/// Changes a region. Those of the catalogue are changed in its file.
pub async fn edit(
    store: &Store,
    key: &Key,
    operator: &Operator,
    slug: &RegionSlug,
    edit: &RegionEdit,
) -> Result<Saved> {
    let present = read(store, slug).await?;
    if present.origin != "operator" {
        let message = "This region comes from the catalogue. Change it in the catalogue's file and restart.";
        return Err(Refusal::new(Code::WrongState, message).into());
    }
    edit.settings.as_ref().map(check_settings).transpose()?;
    check_policy(edit.placement, edit.heal)?;
    check(&edited(&present, edit)?)?;
    check_secret(&present, edit)?;
    let secret = seal(key, &sealed_for(slug), edit.secret.as_deref())?;
    let policy = policy(edit.overcommit, edit.placement, edit.heal)?;
    let change = Change {
        name: edit.name.as_deref(),
        settings: edit.settings.as_ref(),
        secret: secret.as_deref(),
        fingerprints: edit.fingerprints.as_deref(),
        available: edit.available,
        features: edit.features.as_deref(),
        resolvers: edit.resolvers.as_deref(),
        policy: Some(&policy),
    };
    let mut tx = store.begin().await?;
    let (settings, fingerprints) = becomes(&present, edit);
    let moves = edit.settings.is_some() || edit.fingerprints.is_some();
    if moves {
        numbers::refuse_overlap(&mut tx, slug, &present.provider, settings, fingerprints).await?;
    }
    store::regions::update(&mut tx, slug, &change).await?;
    put_pools(&mut tx, slug, edit.pools.as_deref().unwrap_or_default()).await?;
    if moves || edit.pools.is_some() {
        pools::refuse_shared(&mut tx, slug, &present.provider, settings, fingerprints).await?;
    }
    let warnings = pools::warnings(&mut tx, slug).await?;
    let detail = json!({ "name": edit.name, "settings": edit.settings, "fingerprints": edit.fingerprints,
                         "available": edit.available, "policy": policy, "secret": edit.secret.is_some() });
    operators::record(&mut tx, operator.origin(), "region.edit", &urn(slug), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(Saved { region: read(store, slug).await?, warnings })
}

/// Settings and fingerprints as they will be.
fn becomes<'a>(present: &'a Region, edit: &'a RegionEdit) -> (&'a Value, &'a [String]) {
    let fingerprints = edit.fingerprints.as_deref().unwrap_or(&present.fingerprints);
    (edit.settings.as_ref().unwrap_or(&present.settings), fingerprints)
}

/// A stored secret is sent to nobody else than it was given for: whoever may change a region's addresses or the
/// certificates that are believed could otherwise read it.
fn check_secret(present: &Region, edit: &RegionEdit) -> Result<()> {
    let (settings, fingerprints) = becomes(present, edit);
    let elsewhere =
        numbers::reached(settings, fingerprints) != numbers::reached(&present.settings, &present.fingerprints);
    if !elsewhere || !present.has_secret || edit.secret.is_some() {
        return Ok(());
    }
    let message = "The addresses (`settings.entries`) or fingerprints of the cluster change, and the stored secret is not \
                   sent to others than it was given for. Send `secret` again with them; `cairn admin region edit` takes it \
                   from --secret-file FILE or CAIRN_REGION_SECRET, or asks for it.";
    Err(Refusal::field("secret", message).into())
}

/// The region as it would be, for the rules that look at more than one value.
fn edited(present: &Region, edit: &RegionEdit) -> Result<catalogue::Region> {
    let range = |net: Ipv4Net| {
        Ipv4Range::try_from(net).map_err(|error| Error::Bug(format!("a stored range cannot be read: {error}")))
    };
    Ok(catalogue::Region {
        slug: present.slug.clone(),
        name: edit.name.clone().unwrap_or_else(|| present.name.clone()),
        provider: present.provider.clone(),
        settings: Default::default(),
        available: edit.available.unwrap_or(present.available),
        features: edit.features.clone().unwrap_or_default(),
        resolvers: edit.resolvers.clone().unwrap_or_default(),
        vpc_range: range(present.vpc_range)?,
        overcommit: edit.overcommit.unwrap_or_default(),
        placement: edit.placement.unwrap_or_default(),
        heal: edit.heal.unwrap_or_default(),
        pools: edit.pools.clone().unwrap_or_default(),
    })
}

/// Removes a region. While servers or copies of disks stand in it, it is refused.
pub async fn remove(store: &Store, operator: &Operator, slug: &RegionSlug) -> Result<()> {
    let present = read(store, slug).await?;
    if present.origin != "operator" {
        let message = "This region comes from the catalogue. Take it out of the catalogue's file and restart.";
        return Err(Refusal::new(Code::WrongState, message).into());
    }
    let mut tx = store.begin().await?;
    let (servers, copies) = store::regions::lock_and_count(&mut tx, slug).await?;
    if servers > 0 || copies > 0 {
        let message = format!(
            "Region `{slug}` still holds {servers} servers and {copies} snapshots, backups or images of teams. Set it \
             to take no new servers, and remove it when they are gone."
        );
        return Err(Refusal::new(Code::InUse, message).into());
    }
    store::regions::remove(&mut tx, slug).await?;
    operators::record(&mut tx, operator.origin(), "region.remove", &urn(slug), &json!({})).await?;
    tx.commit().await.map_err(store::Error::from)?;
    Ok(())
}

/// Tries a connection out before anything is saved.
pub async fn test(store: &Store, key: &Key, operator: &Operator, asked: &Probe) -> Result<Tested> {
    check_settings(&asked.settings)?;
    let purpose = format!("probe:{}", operator.request_id);
    let connection = Connection {
        region: RegionSlug::from("probe"),
        provider: asked.provider.clone(),
        settings: asked.settings.clone(),
        secret: seal(key, &purpose, asked.secret.as_deref())?,
        sealed_for: purpose,
        fingerprints: asked.fingerprints.clone(),
        revision: 0,
    };
    tested(store, operator, &connection).await
}

/// Tries the connection of a region out, anew: not the one that is open.
pub async fn test_saved(store: &Store, operator: &Operator, slug: &RegionSlug) -> Result<Tested> {
    let connection = {
        let mut tx = store.begin().await?;
        store::regions::connection(&mut tx, slug).await?.ok_or_else(Refusal::not_found)?
    };
    tested(store, operator, &connection).await
}

async fn tested(store: &Store, operator: &Operator, connection: &Connection) -> Result<Tested> {
    let mut tx = store.begin().await?;
    let id = probe::ask(&mut tx, connection).await?;
    let detail = json!({ "provider": connection.provider });
    operators::record(&mut tx, operator.origin(), "region.test", &urn(&connection.region), &detail).await?;
    tx.commit().await.map_err(store::Error::from)?;
    probe::wait(store, id).await
}
